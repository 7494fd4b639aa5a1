"""TOML as projects have it: what is not there, or not of the form it should have, is empty.

Cargo explains what is wrong with a manifest or its configuration better than we could.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from typing import Any


def parse(text: str) -> dict[str, Any]:
    """Return the document; like cargo, without a byte order mark.

    Raises:
        tomllib.TOMLDecodeError: the text is not TOML.
    """
    return tomllib.loads(text.removeprefix("\ufeff"))


def read(text: str) -> dict[str, Any]:
    """Return the document; {} if the text is not TOML."""
    try:
        return parse(text)
    except (ValueError, RecursionError):  # numbers and nesting beyond Python's limits too
        return {}


def table(document: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    """Return a table in a document; {} if the document does not have it."""
    for name in names:
        document = _table(document.get(name))
    return document


def strings(table: Mapping[str, Any], name: str) -> list[str]:
    """Return the strings of a list in a table; empty where there is no list, without items of other types."""
    value = table.get(name)
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def write(document: Mapping[str, Any]) -> str:
    """Return a document as TOML, each of its tables in one line."""
    return "".join(f"{_text(name)} = {_written(value)}\n" for name, value in document.items())


def _written(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_text(name)} = {_written(each)}" for name, each in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_written, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return _text(value) if isinstance(value, str) else str(value)


def _text(value: str) -> str:
    """Return a basic string of TOML, which is JSON's but for the characters that JSON writes as two."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")


def package(document: Mapping[str, Any]) -> str:
    """Return the name of a manifest's package; "" without a package."""
    return str(table(document, "package").get("name", ""))


DEPENDENCIES = ("dependencies", "dev-dependencies", "build-dependencies")
"""Tables of dependencies in a manifest, in each of its `target` tables and in its workspace's."""


def neighbours(document: Mapping[str, Any]) -> list[str]:
    """Return the directories of a manifest's path dependencies, as they are written there."""
    places = [document, table(document, "workspace"), *map(_table, table(document, "target").values())]
    entries = [entry for place in places for name in DEPENDENCIES for entry in table(place, name).values()]
    return [entry["path"] for entry in map(_table, entries) if isinstance(entry.get("path"), str)]


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
