"""Test the files of a project in the engine, which are read once."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from pipeline.config.settings import in_engine

pytestmark = pytest.mark.anyio


class Directory:
    """A directory that counts the requests for each path, and equals every other one."""

    def __init__(self, text: str) -> None:
        self.text, self.requests = text, Counter[str]()

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]

    def directory(self, place: str) -> Directory:
        below = Directory(f"{self.text} in {place}")
        below.requests = self.requests
        return below

    async def exists(self, path: str) -> bool:
        return path == "Cargo.toml"

    async def glob(self, pattern: str) -> list[str]:
        self.requests[pattern] += 1
        return ["b", "a"]

    def file(self, path: str) -> Any:
        return self

    async def contents(self) -> str:
        self.requests["contents"] += 1
        return self.text


async def test_a_file_and_a_pattern_are_requested_once() -> None:
    source: Any = Directory("text")
    for _ in range(3):
        files = in_engine(source)
        assert await files.read("Cargo.toml") == "text" and await files.read("absent") is None
        found = await files.glob("*")
        assert found == ["a", "b"]
        found.append("changed by a caller")
    assert source.requests == {"contents": 1, "*": 1}


async def test_another_place_and_an_equal_directory_are_other_files() -> None:
    first: Any = Directory("one")
    second: Any = Directory("two")
    assert first == second
    assert await in_engine(first).read("Cargo.toml") == "one"
    assert await in_engine(second).read("Cargo.toml") == "two"
    assert await in_engine(first, "below").read("Cargo.toml") == "one in below"
