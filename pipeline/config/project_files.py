"""Read the small files of a project that decide a build: on this machine, or in the engine."""

from __future__ import annotations

import posixpath
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import anyio

from pipeline.sdk import dagger

EVERYTHING = "**/*"
"""The pattern of all paths; in the engine, those of directories end with a slash."""


AT_ONCE = 16
"""Number of questions sent to the engine at the same time."""


class Files(Protocol):
    """The files of a project."""

    async def read(self, path: str) -> str | None:
        """Return a file's text; None if it does not exist."""
        ...

    async def glob(self, pattern: str) -> list[str]:
        """Return the paths that match a pattern."""
        ...


def upward(directory: str) -> Iterator[str]:
    """Yield a directory and its parents, up to the source itself."""
    while directory:
        yield directory
        directory = posixpath.dirname(directory)
    yield ""


@dataclass(frozen=True)
class OnDisk:
    """A project on this machine."""

    root: Path

    async def read(self, path: str) -> str | None:
        """Return a file's text; None if it does not exist."""
        file = anyio.Path(self.root / path)
        return await file.read_text(errors="replace") if await file.is_file() else None

    async def glob(self, pattern: str) -> list[str]:
        """Return the paths that match a pattern; nothing for an invalid pattern."""
        root = anyio.Path(self.root)
        try:
            return sorted([str(path.relative_to(root)) async for path in root.glob(pattern)])
        except (ValueError, NotImplementedError, OSError):
            return []


@dataclass(frozen=True)
class _Answers:
    """The answers of the engine about a directory, which does not change: texts by path, paths by pattern."""

    texts: dict[str, str | None] = field(default_factory=dict)
    paths: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class InEngine:
    """A project in the engine: the files below a place in a directory. Each question is sent once."""

    source: dagger.Directory
    place: str = ""
    answers: _Answers = field(default_factory=_Answers, compare=False, repr=False)

    @property
    def root(self) -> dagger.Directory:
        """Return the directory of the project."""
        return self.source.directory(self.place) if self.place else self.source

    async def read(self, path: str) -> str | None:
        """Return a file's text; None if it does not exist."""
        path, texts = posixpath.normpath(posixpath.join(self.place, path)), self.answers.texts
        if path not in texts:
            texts[path] = await self._text(path) if await self._may_exist(path) else None
        return texts[path]

    async def glob(self, pattern: str) -> list[str]:
        """Return the paths that match a pattern."""
        key, paths = (self.place, pattern), self.answers.paths
        if key not in paths:
            paths[key] = sorted(await self.root.glob(pattern))
        return [*paths[key]]

    async def _text(self, path: str) -> str | None:
        try:
            return await self.source.file(path).contents()
        except dagger.QueryError:
            # A link to nothing, or a directory.
            if await self.source.exists(path, expected_type=dagger.ExistsType.REGULAR_TYPE):
                raise
            return None

    async def _may_exist(self, path: str) -> bool:
        """Return False if the list of all names has neither a path nor a link above it.

        Cargo looks for many files that few projects have, and one list takes less time than these questions.
        In it, a link to a directory looks like a file.
        """
        if not self.answers.names:
            self.answers.names.update(await InEngine(self.source, "", self.answers).glob(EVERYTHING))
        return any(each in self.answers.names for each in upward(path))


_latest: deque[tuple[dagger.Directory, _Answers]] = deque(maxlen=16)


def in_engine(source: dagger.Directory, place: str = "") -> InEngine:
    """Return the files below a place in a directory, with the answers known of the same object.

    Two objects of different sessions can be equal, so only the identity counts.
    """
    for known, answers in _latest:
        if known is source:
            return InEngine(source, place, answers)
    made = InEngine(source, place)
    _latest.append((source, made.answers))
    return made
