"""Versions of symbols (`GLIBC_2.34`)."""

from __future__ import annotations

import re
from collections.abc import Iterable

_NUMBERED = re.compile(r"(.+?)_([0-9]+(?:\.[0-9]+)*)")


def numbered(version: str) -> tuple[str, tuple[int, ...]]:
    """Split a version into family and number: `GLIBC_2.34` is `("GLIBC", (2, 34))`; the number may be ()."""
    match = _NUMBERED.fullmatch(version)
    return (match[1], tuple(map(int, match[2].split(".")))) if match else (version, ())


def highest(versions: Iterable[str], family: str) -> str:
    """Return the newest version of a family, or ""."""
    of_family = [version for version in versions if numbered(version)[0] == family]
    return max(of_family, key=lambda version: numbered(version)[1], default="")
