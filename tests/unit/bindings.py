"""Find what a module's bindings lack, compared with a client's: `tests/data/bindings.json`.

`tests/e2e/test_bindings.py` compares the file with the bindings that an engine generates for this module, and
updates it with `RENEW=1`.
"""

from __future__ import annotations

import ast
import importlib.util
import json
from pathlib import Path

DATA = Path(__file__).parents[1] / "data/bindings.json"


def client() -> str:
    """Return the text of the bindings in the SDK that clients install."""
    found = importlib.util.find_spec("dagger.client.gen")
    assert found and found.origin
    return Path(found.origin).read_text()


def api(bindings: str) -> dict[str, set[str]]:
    """Return the classes of generated bindings and their methods."""
    return {
        node.name: {
            each.name for each in node.body if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef))
        }
        for node in ast.parse(bindings).body
        if isinstance(node, ast.ClassDef)
    }


def lacking(module: str) -> dict[str, list[str] | None]:
    """Return the methods that a module's bindings lack, by class; None for a missing class."""
    theirs = api(module)
    missing = {
        name: sorted(methods - theirs[name]) if name in theirs else None
        for name, methods in api(client()).items()
    }
    return {name: methods for name, methods in sorted(missing.items()) if methods is None or methods}


def recorded() -> dict[str, list[str] | None]:
    """Return the committed table of these methods."""
    found: dict[str, list[str] | None] = json.loads(DATA.read_text())
    return found


def uses(code: str) -> list[str]:
    """Return the lines of a pipeline module that use what a module's bindings lack.

    `dag` is the bindings' `Query`; the types are attributes of `dagger`, or imported from it.
    """
    missing = recorded()
    types = {name for name, methods in missing.items() if methods is None}
    found = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            names = {"dag": set(missing["Query"] or ()), "dagger": types}.get(node.value.id, set())
            found += [f"{node.lineno}: {ast.unparse(node)}"] if node.attr in names else []
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "dagger":
            found += [f"{node.lineno}: {name.name}" for name in node.names if name.name in types]
    return found
