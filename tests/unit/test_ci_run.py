"""Test that CI stops the engine that it started, and no other."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

RUN = Path(__file__).parents[2] / ".ci/run"
PROGRAMS = ("make", "git", "curl", "ps", "ssh-agent", "shellcheck")
COMMANDS = ["make setup", "rust-multiarch engine status", "make lint", "make test", "make cargo-later"]


def program(path: Path, body: str = "") -> None:
    """Write a program that notes how it is called."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\necho "${{0##*/}} $*" >>called\n{body}\n')
    path.chmod(0o755)


@pytest.mark.parametrize(("running", "stopped"), [(False, ["rust-multiarch engine stop"]), (True, [])])
@pytest.mark.parametrize("failing", ["", "make test"])
def test_the_engine_is_stopped_if_it_was_started(
    tmp_path: Path, running: bool, stopped: list[str], failing: str
) -> None:
    """Regression: `engine env` starts an engine, so none seemed to be started here."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(RUN, tmp_path / ".ci/run")
    for name in PROGRAMS:
        program(tmp_path / "bin" / name, f'[ "${{0##*/}} $*" != "{failing}" ]')
    status = 0 if running else 60
    program(tmp_path / ".venv/bin/rust-multiarch", f'[ "$2" != status ] || exit {status}')
    environment = {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", tmp_path / ".ci/run"], env=environment)
    expected = COMMANDS[: COMMANDS.index(failing) + 1] if failing else COMMANDS
    assert (tmp_path / "called").read_text().splitlines() == [*expected, *stopped]
    assert (done.returncode != 0) == bool(failing)
