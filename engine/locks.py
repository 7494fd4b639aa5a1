"""One lock for everything that two processes must not do at the same time."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.log import Log


@contextmanager
def exclusive(path: Path, log: Log | None = None, waiting: str = "") -> Iterator[None]:
    """Keep others out; the kernel lets go of the lock however this process ends.

    Args:
        path: the lock's file, made if it is not there.
        log: told `waiting` once, where another process has the lock.
        waiting: what is being waited for.
    """
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if log:
                log(waiting)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
