"""What a module's bindings lack beside a client's, read off generated code: `tests/data/bindings.json`.

`tests/e2e/test_bindings.py` compares the file with what an engine generates for this module, and renews it if
it is run with `RENEW=1`.
"""

from __future__ import annotations

import ast
import importlib.util
import json
from pathlib import Path

DATA = Path(__file__).parents[1] / "data/bindings.json"


def client() -> str:
    """The bindings of the SDK that clients install, as text."""
    found = importlib.util.find_spec("dagger.client.gen")
    assert found and found.origin
    return Path(found.origin).read_text()


def api(bindings: str) -> dict[str, set[str]]:
    """The classes of generated bindings and their methods."""
    return {
        node.name: {
            each.name for each in node.body if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef))
        }
        for node in ast.parse(bindings).body
        if isinstance(node, ast.ClassDef)
    }


def lacking(module: str) -> dict[str, list[str] | None]:
    """The methods that a module's bindings lack, by class; None where the whole class is missing."""
    theirs = api(module)
    missing = {
        name: sorted(methods - theirs[name]) if name in theirs else None
        for name, methods in api(client()).items()
    }
    return {name: methods for name, methods in sorted(missing.items()) if methods is None or methods}


def recorded() -> dict[str, list[str] | None]:
    """The same as it was committed."""
    found: dict[str, list[str] | None] = json.loads(DATA.read_text())
    return found


def uses(code: str) -> list[str]:
    """The lines of a module of ours that use what a module's bindings lack.

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
