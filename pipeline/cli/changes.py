"""Watch a project for changes, by polling the state of the files that git does not ignore."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import anyio

from pipeline.git import command
from pipeline.git import files as git_files

POLL_SECONDS = 0.3
"""Time between two looks at the files."""

Stamp = Mapping[str, tuple[int, int, int]]
"""Mode, size and time of the last change of each file, by path."""


class Changes:
    """The changes of a project's files since this object was made."""

    def __init__(self, directory: Path) -> None:
        """Remember the state of the files.

        Args:
            directory: a directory of the project; the whole checkout around it is watched, without one the
                directory.
        """
        self._top = command.top(directory) or directory
        self._before = stamp(self._top)

    def happened(self) -> bool:
        """Return True if a file was changed, added or removed."""
        return stamp(self._top) != self._before

    async def wait(self) -> None:
        """Return after a change."""
        while True:
            if await anyio.to_thread.run_sync(self.happened):
                return
            await anyio.sleep(POLL_SECONDS)


def stamp(top: Path) -> Stamp:
    """Return the state of each file that git does not ignore; files that are being removed are left out.

    Raises:
        NotAGitRepository: git is not installed, or fails.
    """
    found = git_files.listing(top)
    states = {}
    for path in (*found.tracked, *found.untracked):
        for file in _below(top / path):
            try:
                state = file.lstat()
            except OSError:
                continue
            states[str(file)] = (state.st_mode, state.st_size, state.st_mtime_ns)
    return states


def _below(path: Path) -> Iterator[Path]:
    """Yield a file, or the files of a directory."""
    if path.is_symlink() or not path.is_dir():
        yield path
        return
    for folder, _, names in os.walk(path):
        yield from (Path(folder, name) for name in names)
