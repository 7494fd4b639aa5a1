"""Test the files of a project in the engine: each question is sent once, and few are sent."""

from __future__ import annotations

from collections import Counter
from typing import Any

import dagger
import pytest
from dagger._exceptions import QueryErrorValue
from gql import GraphQLRequest

from pipeline.config.project_files import in_engine

pytestmark = pytest.mark.anyio


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
            error = QueryErrorValue("no such file", extensions={})
            raise dagger.QueryError([error], GraphQLRequest("{ a }"))
        return text


async def test_a_file_and_a_pattern_are_requested_once() -> None:
    source: Any = Directory({"Cargo.toml": "text", "a": "", "b/": None})
    for _ in range(3):
        files = in_engine(source)
        assert await files.read("Cargo.toml") == "text"
        assert await files.read(".cargo/config.toml") is None and await files.read("b/Cargo.toml") is None
        found = await files.glob("*")
        assert found == ["Cargo.toml", "a", "b/"]
        found.append("changed by a caller")
    assert source.requests == {"Cargo.toml": 1, "*": 1, "**/*": 1}


async def test_places_of_a_directory_have_the_same_answers() -> None:
    source: Any = Directory({"below/": None, "below/Cargo.toml": "text"})
    assert await in_engine(source, "below").read("Cargo.toml") == "text"
    assert await in_engine(source).read("below/Cargo.toml") == "text"
    assert await in_engine(source, "below").read("../below/Cargo.toml") == "text"
    assert await in_engine(source, "below").read("../../Cargo.toml") is None
    assert await in_engine(source, "below").glob("*") == ["", "Cargo.toml"]
    assert source.requests == {"below/Cargo.toml": 1, "**/*": 1, "*": 1}


async def test_an_equal_directory_has_other_files() -> None:
    first: Any = Directory({"Cargo.toml": "one"})
    second: Any = Directory({"Cargo.toml": "two"})
    assert first == second
    assert await in_engine(first).read("Cargo.toml") == "one"
    assert await in_engine(second).read("Cargo.toml") == "two"


async def test_a_file_below_a_link_is_read() -> None:
    class Linked(Directory):
        async def glob(self, pattern: str) -> list[str]:
            return ["real/", "real/Cargo.toml", "services"]

    source: Any = Linked({"services/api/Cargo.toml": "text"})
    assert await in_engine(source).read("services/api/Cargo.toml") == "text"


async def test_a_link_to_nothing_is_no_file() -> None:
    source: Any = Directory({"Cargo.toml": None})
    assert await in_engine(source).read("Cargo.toml") is None
    assert source.requests["exists Cargo.toml"] == 1
