"""Test how the embedded engine loads Python modules, with a module that lists its environment."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from engine.build import version
from pipeline.releases import PYTHON

SECONDS = 600
PROJECT = f"""
[project]
name = "looks-around"
version = "0.0.0"
requires-python = ">=3.11"
dependencies = ["dagger-io", "six"]

[project.entry-points."dagger.mod"]
main_object = "looks_around:LooksAround"

[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[tool.hatch.build.targets.wheel]
packages = ["src/looks_around"]

[tool.dagger]
base-image = "{PYTHON}"
"""
CODE = """
import json, os, shutil, sys
from importlib import metadata
from pathlib import Path
import dagger, six
from dagger import dag, function, object_type

@object_type
class LooksAround:
    @function(cache="never")
    def around(self) -> str:
        import dagger.client
        return json.dumps({
            "module": __file__, "sdk": dagger.__file__, "sdk_version": metadata.version("dagger-io"),
            "program": sys.argv[0], "workdir": str(Path.cwd()), "host": hasattr(dag, "host"),
            "submodules": sorted(path.name for path in Path(dagger.__file__).parent.iterdir()),
            "uv": shutil.which("uv"), "distributions": [one.name for one in metadata.distributions()],
            "environment": {k: v for k, v in os.environ.items() if k.startswith(("DAGGER_", "UV_"))},
        })

    @function(cache="never")
    def own_file(self) -> dagger.File:
        Path("folder").mkdir()
        Path("folder/made").write_text("by the module")
        return dag.current_module().workdir("folder").file("made")

    @function
    async def sources(self) -> list[str]:
        return await dag.current_module().source().entries()
"""


def written(root: Path, settings: str = "", code: str = CODE) -> Path:
    """Write the module below its context directory, with files that a developer's tools leave there."""
    files = {
        "dagger.json": json.dumps(
            {"name": "looks-around", "engineVersion": version(), "sdk": {"source": "python"}, "source": "."}
        ),
        "pyproject.toml": PROJECT + settings,
        "src/looks_around/__init__.py": code,
        "src/looks_around/template.py": "this does not compile",
        ".venv/pyvenv.cfg": "left",
        "sdk/src/dagger/__init__.py": "left = True",
    }
    module = root / "ci/module"
    for name, text in files.items():
        (module / name).parent.mkdir(parents=True, exist_ok=True)
        (module / name).write_text(text)
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    return module


def call(module: Path, *words: str) -> subprocess.CompletedProcess[str]:
    dagger = os.environ.get("_EXPERIMENTAL_DAGGER_CLI_BIN", "dagger")
    return subprocess.run(
        [dagger, "call", "-m", str(module), *words], capture_output=True, text=True, timeout=SECONDS
    )


def said(module: Path, *words: str) -> str:
    done = call(module, *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("settings", ["", "use-uv = false\n"], ids=["uv", "pip"])
def test_what_a_module_sees(engine, tmp_path: Path, settings: str) -> None:
    module = written(tmp_path, settings)
    seen = json.loads(said(module, "around"))
    root = r"/src/[^/]+/ci/module"
    assert re.fullmatch(rf"{root}/src/looks_around/__init__\.py", seen["module"])
    assert re.fullmatch(rf"{root}/sdk/src/dagger/__init__\.py", seen["sdk"])
    assert seen["sdk_version"] == "0.0.0"
    assert {"client", "mod"} <= set(seen["submodules"])
    assert not {"_engine", "provisioning"} & set(seen["submodules"])
    assert not seen["host"]
    assert (seen["program"], seen["workdir"]) == ("/runtime", "/scratch")
    assert seen["uv"] == "/usr/local/bin/uv" and "uv" not in seen["distributions"]
    environment = seen["environment"]
    assert environment["DAGGER_MODULE"] == "looks-around"
    assert environment["DAGGER_MAIN_OBJECT"] == "LooksAround"
    assert environment["DAGGER_DEFAULT_PYTHON_PACKAGE"] == "looks_around"
    assert (environment["UV_SYSTEM_PYTHON"], environment["UV_NATIVE_TLS"]) == ("1", "1")
    assert said(module, "own-file", "contents").strip() == "by the module"
    assert {"sdk/", "src/"} <= set(said(module, "sources").split())


def test_a_changed_module_is_loaded_anew(engine, tmp_path: Path) -> None:
    module = written(tmp_path)
    said(module, "around")
    written(tmp_path, code=CODE.replace("by the module", "by another"))
    assert said(module, "own-file", "contents").strip() == "by another"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda module: (module / "pyproject.toml").unlink(), "no pyproject.toml"),
        (lambda module: subprocess.run(["rm", "-r", module / "src"], check=True), "no python files found"),
        (
            lambda module: (module / "pyproject.toml").write_text(PROJECT.replace('"six"', '"six>1000"')),
            "install module",
        ),
    ],
    ids=["project", "code", "requirements"],
)
def test_a_module_that_cannot_be_loaded(engine, tmp_path: Path, change, message: str) -> None:
    module = written(tmp_path)
    change(module)
    done = call(module, "around")
    assert done.returncode != 0 and message in done.stderr
