"""The cgroups of an engine's containers: all below one of its own, so that none is left behind."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


def find(instance: str, root: Path = ROOT) -> list[Path]:
    """This engine's cgroup in every hierarchy: one on cgroup v2, one per controller on v1."""
    hierarchies = [root, *(path for path in root.iterdir() if path.is_dir() and not path.is_symlink())]
    return [path / instance for path in hierarchies if (path / instance).is_dir()]


def remove(instance: str, seconds: float = 3, root: Path = ROOT) -> None:
    """Remove them. The kernel needs a moment after the last process, during which they are busy."""
    deadline = time.monotonic() + seconds
    while tops := find(instance, root):
        for top in tops:
            for directory, _, _ in os.walk(top, topdown=False):
                with suppress(OSError):
                    Path(directory).rmdir()
        if time.monotonic() > deadline:
            return
        time.sleep(0.05)
