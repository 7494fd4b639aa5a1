"""Files of this machine that what was built is written to: named by us, whole, and never through a link."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pipeline.errors import UnsafeOutput, WouldOverwrite

LAYOUT = frozenset({"blobs", "index.json", "oci-layout", "ingest"})
"""What an OCI layout directory has in it, and nothing else."""


def cache_root() -> Path:
    """Return `$XDG_CACHE_HOME/rust-multiarch`, by default `~/.cache/rust-multiarch`."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification says to ignore a relative path.
    base = Path(cache) if cache.startswith("/") else Path.home() / ".cache"
    return base / "rust-multiarch"


def regular(folder: Path, names: Iterable[str]) -> list[Path]:
    """Return the files of an exported directory by name, each a regular file.

    Build scripts write to the directory that is exported: a link in it would be followed here.

    Raises:
        UnsafeOutput: one is missing, or is something else than a regular file.
    """
    found = []
    for name in names:
        path = folder / name
        try:
            mode = path.lstat().st_mode
        except OSError:
            mode = 0
        if not stat.S_ISREG(mode):
            kind = "a link" if stat.S_ISLNK(mode) else "missing" if not mode else "no regular file"
            raise UnsafeOutput(
                f"what was built as {name} is {kind}",
                where="the output of the build",
                fix="find the build script that writes to /output, and build without it",
            )
        found.append(path)
    return found


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a directory against other runs of this program for the length of the block."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def beside(folder: Path) -> Iterator[Path]:
    """Yield an empty directory on the file system of a directory, which is made; it goes with the block."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".rust-multiarch-", dir=folder) as made:
        yield Path(made)


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield a path to write to, which takes the target's place in one step once the block is done.

    Where the block fails, the target stays as it was.

    Raises:
        WouldOverwrite: the target is a directory with something else than an OCI layout in it.
    """
    parent = target.absolute().parent
    with beside(parent) as folder:
        made = folder / target.name
        with locked(parent):
            check_replaceable(target)
        yield made
        with locked(parent):
            check_replaceable(target)
            _exchange(made, target, folder / "before")


def check_replaceable(target: Path) -> None:
    """Refuse to replace a directory that has files of somebody else.

    Raises:
        WouldOverwrite: the target is a directory with something else than an OCI layout in it.
    """
    if target.is_dir() and (others := sorted({path.name for path in target.iterdir()} - LAYOUT)):
        raise WouldOverwrite(
            f"the directory has other files in it: {', '.join(others[:3])}",
            where=str(target),
            fix="name a new directory, or one with an OCI layout alone",
        )


def _exchange(made: Path, target: Path, before: Path) -> None:
    if not target.is_dir():
        made.replace(target)
        return
    target.rename(before)
    try:
        made.rename(target)
    except BaseException:
        before.rename(target)
        raise


def move(files: Sequence[tuple[Path, Path]], folder: Path) -> None:
    """Move finished files to their places below a directory, one after the other, alone among such runs."""
    with locked(folder):
        for made, target in files:
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.is_dir() and not target.is_symlink():
                raise WouldOverwrite("there is a directory in its place", where=str(target), fix="remove it")
            made.replace(target)
