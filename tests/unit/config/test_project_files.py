"""Test the files of a project in the engine: each question is sent once, and few are sent."""

from __future__ import annotations

from typing import Any

import pytest
from engine_directory import Directory

from pipeline.config.project_files import in_engine

pytestmark = pytest.mark.anyio


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
