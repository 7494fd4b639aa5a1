"""Find and remove the cgroups of an engine's containers, all below one parent cgroup."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


def find(instance: str, root: Path = ROOT) -> list[Path]:
    """Return this engine's cgroup in every hierarchy: one on cgroup v2, one per controller on v1."""
    hierarchies = [root, *(path for path in root.iterdir() if path.is_dir() and not path.is_symlink())]
    return [path / instance for path in hierarchies if (path / instance).is_dir()]


def remove(instance: str, seconds: float = 3, root: Path = ROOT) -> None:
    """Remove this engine's cgroups, waiting while the kernel still reports them as busy."""
    deadline = time.monotonic() + seconds
    while tops := find(instance, root):
        for top in tops:
            for directory, _, _ in os.walk(top, topdown=False):
                with suppress(OSError):
                    Path(directory).rmdir()
        if time.monotonic() > deadline:
            return
        time.sleep(0.05)
