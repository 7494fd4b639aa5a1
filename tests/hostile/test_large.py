"""Large programs and debug symbols go through in little memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

LARGE = Path(__file__).with_name("large.py")
MEGABYTES = 160
"""More than the peak that is allowed, so that a file that is held in memory as a whole fails the test."""


@pytest.mark.parametrize("what", ["normalize", "push", "cache"])
def test_a_large_file_is_never_in_memory_as_a_whole(what: str, tmp_path: Path) -> None:
    """A layer of 200 MB took 866 MB, and symbols were read whole."""
    command = [sys.executable, str(LARGE), what, str(tmp_path), str(MEGABYTES)]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout.split()[-1]) < 150_000
