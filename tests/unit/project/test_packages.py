import json
from typing import Any

from pipeline.project import packages
from pipeline.project.packages import Local

TOP = "/source"


def package(name: str, *kinds: str, source: str | None = None, folder: str = "") -> dict[str, Any]:
    return {
        "id": name,
        "name": name,
        "source": source,
        "manifest_path": f"{folder or f'{TOP}/{name}'}/Cargo.toml",
        "targets": [{"kind": [kind]} for kind in kinds],
    }


def node(name: str, **dependencies: str | None) -> dict[str, Any]:
    deps = [{"pkg": other, "dep_kinds": [{"kind": kind}]} for other, kind in dependencies.items()]
    return {"id": name, "deps": deps}


def read(found: list[dict[str, Any]], nodes: list[dict[str, Any]]) -> dict[str, Local]:
    document = {"packages": found, "resolve": {"nodes": nodes}}
    return {one.name: one for one in packages.read(json.dumps(document), TOP)}


def test_what_runs_at_compile_time() -> None:
    """Build scripts, macros, and all that they are compiled from, by way of a dependency too."""
    found = read(
        [
            package("app", "bin", folder=TOP),
            package("script", "lib", "custom-build"),
            package("macro", "proc-macro"),
            package("helper", "lib"),
            package("inner", "lib"),
            package("tested", "lib"),
            package("used", "lib"),
            package("registry", "lib", source="registry+x", folder="/cargo/registry/src/registry-1"),
            package("elsewhere", "lib", folder="/elsewhere"),
        ],
        [
            node("app", script=None, macro=None),
            node("script", helper="build", used=None),
            node("macro", tested="dev"),
            node("helper", registry=None),
            node("registry", inner=None, elsewhere=None),
            *(node(name) for name in ("inner", "tested", "used", "elsewhere")),
        ],
    )
    assert {name for name, one in found.items() if one.runs} == {"script", "macro", "helper", "inner"}
    assert set(found) == {"app", "script", "macro", "helper", "inner", "tested", "used"}
    assert (found["app"].folder, found["helper"].folder) == (".", "helper")
