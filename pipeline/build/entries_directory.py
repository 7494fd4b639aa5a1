"""Copy compiled dependencies from a directory outside of the engine to its volume, and new ones back.

Each is a step of its own, so that the compile does not run again if only the directory has changed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Protocol

from pipeline.build import scripts
from pipeline.sdk import dagger

LIMIT = 2_000_000_000
"""The size in bytes of the directory, above which entries are removed from it."""

_TAKEN, _GIVEN, _USED = "/compile-cache-taken", "/compile-cache-given", "/compile-cache.used"


class Outside(Protocol):
    """The directory."""

    async def read(self) -> dagger.Directory:
        """Return its content."""
        ...

    async def keep(self, given: dagger.Directory) -> None:
        """Add what a build gives: new `entries`, and the list `used` of those that the build used or made."""
        ...


_outside: ContextVar[Outside | None] = ContextVar("outside", default=None)


@contextlib.contextmanager
def using(outside: Outside) -> Iterator[None]:
    """Use a directory in the block."""
    token = _outside.set(outside)
    try:
        yield
    finally:
        _outside.reset(token)


def current() -> Outside | None:
    """Return the directory; None without one, as in a function of the module."""
    return _outside.get()


def taken(container: dagger.Container, volume: str, entries: dagger.Directory) -> dagger.Container:
    """Return a container that has copied the directory to the volume.

    Args:
        container: a container with the volume.
        volume: the path of the volume.
        entries: the content of the directory.
    """
    prepared = scripts.added(container).with_mounted_directory(_TAKEN, entries)
    return prepared.with_exec(scripts.command("take_entries.sh", _TAKEN, volume))


def given(
    container: dagger.Container, volume: str, entries: dagger.Directory, used: dagger.File
) -> dagger.Directory:
    """Return what a build adds to the directory.

    Args:
        container: see `taken`, and so are `volume` and `entries`.
        used: the list of the paths of the entries that the build used or made.
    """
    prepared = scripts.added(container).with_mounted_directory(_TAKEN, entries).with_mounted_file(_USED, used)
    command = scripts.command("give_entries.sh", _USED, volume, _TAKEN, _GIVEN, str(LIMIT))
    return prepared.with_exec(command).directory(_GIVEN)
