"""Test the module with the bindings that an official engine generates."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import bindings
import dagger
import pytest
from conftest import ROOT

GENERATED = "sdk/src/dagger/client/gen.py"
CHECKED = ("pipeline.main", "pipeline.image")


@pytest.fixture(scope="module")
async def generated(session: dagger.Client, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the output of `dagger develop` for a checkout of this module."""
    folder = tmp_path_factory.mktemp("generated")
    await session.module_source(str(ROOT)).generated_context_directory().export(str(folder))
    return folder


def checked(folder: Path, generated: Path) -> subprocess.CompletedProcess[str]:
    """Run mypy with --strict on the module's code beside generated bindings."""
    config = folder / "pyproject.toml"
    silent = '\n[[tool.mypy.overrides]]\nmodule = ["dagger.*"]\nfollow_imports = "silent"\n'
    config.write_text((ROOT / "pyproject.toml").read_text() + silent)
    command = [sys.executable, "-m", "mypy", "--config-file", str(config)]
    command += [word for name in CHECKED for word in ("-m", name)]
    # Before the installed packages, like the vendored SDK.
    environment = os.environ | {"MYPYPATH": str(generated / "sdk/src")}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_the_sdk_is_vendored_with_bindings_of_its_own(generated: Path) -> None:
    names = {path.name for path in (generated / "sdk/src/dagger").iterdir()}
    assert {"client", "mod", "py.typed"} <= names
    assert not {"_engine", "provisioning"} & names, "what only clients have"
    assert 'version = "0.0.0"' in (generated / "sdk/pyproject.toml").read_text()


def test_the_ignored_files_stay_the_projects_own(generated: Path) -> None:
    assert not (generated / ".gitignore").exists(), "automaticGitignore in dagger.json"


def test_what_modules_lack_is_as_recorded(generated: Path) -> None:
    found = bindings.lacking((generated / GENERATED).read_text())
    if os.environ.get("RENEW"):
        bindings.DATA.write_text(json.dumps(found, indent=2) + "\n")
    assert bindings.recorded() == found, "RENEW=1 records it anew"


def test_the_module_type_checks_against_its_own_bindings(generated: Path, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "pipeline", tmp_path / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    done = checked(tmp_path, generated)
    assert done.returncode == 0, done.stdout + done.stderr
    with (tmp_path / "pipeline/image.py").open("a") as file:
        file.write("\n\ndag.host()\n")
    done = checked(tmp_path, generated)
    assert '"Client" has no attribute "host"' in done.stdout
