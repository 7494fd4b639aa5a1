"""A directory of the engine for unit tests: it has texts, and counts its requests."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import dagger
from dagger._exceptions import QueryErrorValue


class Directory:
    """A directory that counts its requests, and equals every other one.

    A text of None is a directory, or a link to nothing.
    """

    def __init__(self, texts: dict[str, str | None], requests: Counter[str] | None = None) -> None:
        self.texts, self.requests = texts, Counter[str]() if requests is None else requests

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]

    def directory(self, place: str) -> Directory:
        below = {name.removeprefix(f"{place}/"): text for name, text in self.texts.items() if place in name}
        return Directory(below, self.requests)

    async def exists(self, path: str, **_: Any) -> bool:
        self.requests[f"exists {path}"] += 1
        return False

    async def glob(self, pattern: str) -> list[str]:
        self.requests[pattern] += 1
        return sorted(self.texts, reverse=True)

    def file(self, path: str) -> File:
        return File(self, path)


class File:
    def __init__(self, directory: Directory, path: str) -> None:
        self.directory, self.path = directory, path

    async def contents(self) -> str:
        self.directory.requests[self.path] += 1
        text = self.directory.texts.get(self.path)
        if text is None:
            request: Any = SimpleNamespace(document=None)
            raise dagger.QueryError([QueryErrorValue("no such file", extensions={})], request)
        return text
