"""Test the effect of install.sh on its directory, with fake programs."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "install.sh"
OURS = (".rust-multiarch",)
BEFORE_THE_MARKER = ("pyvenv.cfg", "bin/rust-multiarch")

# As `python3 -m venv --clear DIRECTORY`: empties it, and makes a Python in it.
PYTHON = """#!/bin/sh
rm -rf "$4" && mkdir -p "$4/bin" && printf '#!/bin/sh\\n' > "$4/bin/python" && chmod +x "$4/bin/python"
exit "${VENV_ENDS:-0}"
"""


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """Write the programs that the script finds on PATH."""
    directory = tmp_path / "programs"
    directory.mkdir()
    (dagger,) = re.findall(r"^dagger=(.+)$", SCRIPT.read_text(), re.MULTILINE)
    for name, text in {"python3": PYTHON, "dagger": f"#!/bin/sh\necho 'dagger v{dagger} (x)'\n"}.items():
        (directory / name).write_text(text)
        (directory / name).chmod(0o755)
    return directory


def install(programs: Path, target: Path, **more: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", **more}
    return subprocess.run(["sh", str(SCRIPT), str(target)], env=env, capture_output=True, text=True)


def fill(target: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_text("mine")


@pytest.mark.parametrize("names", [("thesis.tex",), (".hidden",), ("bin/rust-multiarch",), ("pyvenv.cfg",)])
def test_a_directory_with_something_else_in_it_is_left_alone(
    programs: Path, tmp_path: Path, names: tuple[str, ...]
) -> None:
    """Regression: everything in a home directory was deleted."""
    target = tmp_path / "there"
    fill(target, names)
    done = install(programs, target)
    assert done.returncode == 1
    assert f"{target} is not empty" in done.stderr
    assert [(target / name).read_text() for name in names] == ["mine"] * len(names)


@pytest.mark.parametrize("names", [None, (), OURS, BEFORE_THE_MARKER])
def test_a_new_directory_and_an_earlier_installation_are_installed_into(
    programs: Path, tmp_path: Path, names: tuple[str, ...] | None
) -> None:
    target = tmp_path / "with space/there"
    if names is not None:
        target.mkdir(parents=True)
        fill(target, names)
    done = install(programs, target)
    assert done.returncode == 0, done.stderr
    assert f"is in {target}/bin" in done.stdout
    assert (target / ".rust-multiarch").is_file()


def test_an_older_installation_is_replaced(programs: Path, tmp_path: Path) -> None:
    """Regression: it was kept, and the script reported the new version."""
    target = tmp_path / "there"
    assert install(programs, target).returncode == 0
    command = target / "bin/rust-multiarch"
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    assert install(programs, target).returncode == 0
    assert command.exists(), "the same version is kept"
    assert install(programs, target, RUST_MULTIARCH_INSTALL_FROM="elsewhere").returncode == 0
    assert not command.exists(), "another source is installed"
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    (target / ".rust-multiarch").write_text("0.0.9 from elsewhere\n")
    assert install(programs, target, RUST_MULTIARCH_INSTALL_FROM="elsewhere").returncode == 0
    assert not command.exists(), "another version is replaced"


def test_half_an_installation_is_gone_on_with(programs: Path, tmp_path: Path) -> None:
    target = tmp_path / "there"
    assert install(programs, target, VENV_ENDS="3").returncode == 3
    assert install(programs, target).returncode == 0
