"""TOML as projects have it: what is not there, or not of the form it should have, is empty.

Cargo explains what is wrong with a manifest or its configuration better than we could.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any


def read(text: str) -> dict[str, Any]:
    """The document; empty for what is no TOML."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return {}


def table(document: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    """A table inside a document; empty where there is none of that name."""
    for name in names:
        inner = document.get(name)
        document = inner if isinstance(inner, dict) else {}
    return document


def package(document: Mapping[str, Any]) -> str:
    """The name of a manifest's package; empty where it has none."""
    return str(table(document, "package").get("name", ""))
