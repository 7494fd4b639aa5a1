"""Lock files between processes."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.log import Log


@contextmanager
def exclusive(path: Path, log: Log | None = None, waiting: str = "") -> Iterator[None]:
    """Hold an exclusive lock; the kernel releases it when this process ends.

    Args:
        path: the lock file, created if missing.
        log: called with `waiting` if another process holds the lock.
        waiting: the message shown while waiting.
    """
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if log:
                log(waiting)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
