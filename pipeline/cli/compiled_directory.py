"""Implement `--compile-cache DIR`: a directory of compiled dependencies, which CI systems keep between jobs.

The directory has sccache's layout, `a/b/abc…` by the key of an entry. A build starts from a copy of it in the
engine and adds its entries to it: each complete, under its own name, alone among the runs of this program.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import anyio
from anyio.to_thread import run_sync

from pipeline import host_files
from pipeline.build.entries_directory import LIMIT
from pipeline.config import compile_cache
from pipeline.config.compile_cache import CompileCache
from pipeline.errors import InvalidArgument
from pipeline.printable import say
from pipeline.sdk import dag, dagger

ENTRY = re.compile(r"([0-9a-f])/([0-9a-f])/\1\2[0-9a-f]+")
LAYOUT = "?/?/*"
UNFINISHED = ".rust-multiarch-"
"""The start of the names of directories that a killed run leaves behind."""


@dataclass
class CompiledDirectory:
    """The directory of a command.

    Attributes:
        path: its path.
        read_only: the build is untrusted, and adds nothing to it.
        taken: its content in the engine, once it was read.
    """

    path: Path
    read_only: bool = False
    taken: dagger.Directory | None = None

    async def read(self) -> dagger.Directory:
        """Copy it to the engine, once; it is empty if it cannot be read."""
        if self.taken is None:
            self.taken = dag.directory()
            try:
                await run_sync(make, self.path)
                async with _alone(self.path):
                    content = dag.host().directory(str(self.path), include=[LAYOUT], no_cache=True)
                    self.taken = await content.sync()
            except (OSError, dagger.QueryError) as error:
                say(f"warning: the compiled dependencies in {self.path} are not used: {error}")
        return self.taken

    async def keep(self, given: dagger.Directory) -> None:
        """Add what a build gives, or warn."""
        if self.read_only:
            return
        try:
            async with _alone(self.path):
                with tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=self.path) as folder:
                    await given.export(folder)
                    await run_sync(add, self.path, Path(folder))
            self.taken = None
        except (OSError, dagger.QueryError) as error:
            say(f"warning: the compiled dependencies are not kept in {self.path}: {error}")


def of(cache: CompileCache | None, untrusted: bool) -> CompiledDirectory | None:
    """Return the directory of a cache; None without one.

    Raises:
        InvalidArgument: it is no directory.
    """
    if not cache or not cache.directory:
        return None
    path = Path(cache.directory)
    if path.exists() and not path.is_dir():
        raise InvalidArgument(
            f"{path} is not a directory",
            where=compile_cache.OPTION,
            fix="name a directory, which is made if it does not exist",
        )
    return CompiledDirectory(path.absolute(), read_only=untrusted)


@contextlib.asynccontextmanager
async def _alone(path: Path) -> AsyncIterator[None]:
    """Hold the directory against other runs of this program, as `host_files.locked` does."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        while not _locked(descriptor):  # noqa: ASYNC110 - another process has it
            await anyio.sleep(0.1)
        yield
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    """Try to lock the directory; a wait in a thread could not be interrupted."""
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def make(path: Path) -> None:
    """Make the directory if it does not exist."""
    path.mkdir(parents=True, exist_ok=True)
    if not any(path.iterdir()):
        # It may be in the project, whose files are uploaded.
        (path / ".gitignore").write_text("*\n")


def add(path: Path, given: Path, limit: int = LIMIT) -> None:
    """Move new entries to the directory; remove the oldest ones, and what killed runs left behind.

    Args:
        path: the directory.
        given: the new entries in `entries`, and the list `used` of all that the build used or made. Build
            scripts can write anything to both.
        limit: the size of the directory in bytes.
    """
    for name, entry in _entries(given / "entries"):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        entry.replace(path / name)
    now = time.time()
    (listed,) = host_files.regular(given, ["used"])
    for name in filter(ENTRY.fullmatch, listed.read_text(errors="replace").splitlines()):
        with contextlib.suppress(OSError):
            os.utime(path / name, (now, now), follow_symlinks=False)
    for left in path.glob(f"{UNFINISHED}*"):
        if left != given:
            shutil.rmtree(left, ignore_errors=True)
    _remove_oldest(path, limit)


def _remove_oldest(path: Path, limit: int) -> None:
    found = [(entry.lstat(), entry) for _, entry in _entries(path)]
    for info, entry in sorted(found, key=lambda each: each[0].st_mtime, reverse=True):
        limit -= info.st_size
        if limit < 0:
            entry.unlink(missing_ok=True)


def _entries(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the names and paths of the entries in a directory: only regular files, through no link."""
    for first in _directories(folder):
        for second in _directories(first):
            for entry in list(second.iterdir()):
                name = f"{first.name}/{second.name}/{entry.name}"
                if ENTRY.fullmatch(name) and stat.S_ISREG(entry.lstat().st_mode):
                    yield name, entry


def _directories(folder: Path) -> list[Path]:
    found = sorted(folder.iterdir()) if folder.exists() else []
    return [each for each in found if stat.S_ISDIR(each.lstat().st_mode)]
