"""Try the module on the newest pre-release of Dagger's SDK: install, import, registration, mypy.

`make next-dagger` runs this in an environment of its own, which it removes afterwards. It reports and does
not fail: what a pre-release breaks is to be known early and stops no build.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
SDK = "dagger-io"
SHOWN_LINES = 15

REGISTRATION = """
from dagger.mod import default_module
from pipeline import RustMultiarch
module = default_module()
for name in ("RustMultiarch", "Image", "Variant"):
    described = module.get_object(name)
    functions = [described.get_constructor(module._converter)] if name == "RustMultiarch" else []
    functions += described.functions.values()
    print(name, sum(len(function.parameters) for function in functions), "arguments")
"""
"""What the SDK does before it tells the engine of a module: it reads every signature."""


def steps(python: str) -> dict[str, Sequence[str]]:
    """Return what is tried with an environment's Python, by name and in order."""
    pip = (python, "-m", "pip", "--disable-pip-version-check")
    return {
        "install the locked packages": (*pip, "install", "-q", "--no-deps", "-r", "requirements.txt"),
        "install the SDK": (*pip, "install", "-q", "--upgrade", "--pre", SDK),
        "install the module": (*pip, "install", "-q", "--no-deps", "--no-build-isolation", "-e", "."),
        "version": (*pip, "list", "--format=freeze"),
        "import": (python, "-c", "import pipeline"),
        "registration": (python, "-c", REGISTRATION),
        "mypy": (python, "-m", "mypy", "--cache-dir", "/dev/null"),
    }


def report(name: str, done: subprocess.CompletedProcess[str]) -> str:
    """Return the lines that say how a step ended."""
    output = done.stdout + done.stderr
    lines = [line for line in output.splitlines() if line.strip()]
    if name == "version":
        return next((line for line in lines if line.startswith(SDK)), f"{SDK} is not installed")
    ended = "passed" if done.returncode == 0 else f"failed (exit code {done.returncode})"
    return "\n".join([f"{name}: {ended}", *(f"    {line}" for line in lines[-SHOWN_LINES:])])


def main() -> None:
    """Run every step and report it."""
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run([sys.executable, "-m", "venv", directory], check=True)
        for name, command in steps(str(Path(directory) / "bin/python")).items():
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
            print(report(name, done), flush=True)


if __name__ == "__main__":
    main()
