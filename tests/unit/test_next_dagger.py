"""Test the program of `make next-dagger` on the SDK that is installed."""

import runpy
import subprocess
import sys
from pathlib import Path

TOOL = Path(__file__).parents[2] / "tools/next_dagger.py"


def test_the_objects_of_the_module_are_found() -> None:
    """Regression: the module's objects are imported when they are used, and nothing used them."""
    program = runpy.run_path(str(TOOL))["REGISTRATION"]
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=TOOL.parents[1]
    )
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["RustMultiarch", "Image", "Variant"]
