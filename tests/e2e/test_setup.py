"""Test `make setup` with the oldest pip of a supported Python, and the newest."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

OLDEST = "22.3"
"""The pip in Python 3.11.0's own virtual environments."""


@pytest.mark.parametrize("pip", [f"pip=={OLDEST}", pytest.param("pip", id="newest")])
def test_the_environment_is_made_with(pip: str, tmp_path: Path) -> None:
    place = tmp_path / "venv"
    python = str(place / "bin/python")
    subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--upgrade", pip], check=True)
    made = subprocess.run(["make", "setup", f"VENV={place}"], cwd=ROOT, capture_output=True, text=True)
    assert made.returncode == 0, made.stdout + made.stderr
    called = subprocess.run(
        [place / "bin/rust-multiarch", "--help"], cwd=tmp_path, capture_output=True, text=True
    )
    assert called.returncode == 0 and "publish" in called.stdout, called.stderr
    assert (place / "checked").read_text() == "No broken requirements found.\n"
