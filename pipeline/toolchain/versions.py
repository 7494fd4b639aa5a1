"""Versions of base images, and of symbols (`GLIBC_2.34`)."""

from __future__ import annotations

import re
from collections.abc import Iterable

PYTHON = "python:3.11-slim-bookworm"
"""The image of the module and of every build step written in Python."""

BASE = "debian:bookworm-slim"
"""The base of the final image, of the builder's Debian release."""

LATER = {"linux/riscv64": "debian:trixie-slim"}
"""Base images of platforms without a port in this Debian release (Debian 13 release notes, 2.1).
Their glibc is newer than the builder's, so binaries linked there run."""

GLIBC_OF = {"debian:bullseye-slim": (2, 31), "debian:bookworm-slim": (2, 36), "debian:trixie-slim": (2, 41)}
"""The glibc version of runtime bases, for suggesting a base that is new enough."""

_NUMBERED = re.compile(r"(.+?)_([0-9]+(?:\.[0-9]+)*)")


def numbered(version: str) -> tuple[str, tuple[int, ...]]:
    """Split a version into family and number: `GLIBC_2.34` is `("GLIBC", (2, 34))`; the number may be ()."""
    match = _NUMBERED.fullmatch(version)
    return (match[1], tuple(map(int, match[2].split(".")))) if match else (version, ())


def highest(versions: Iterable[str], family: str) -> str:
    """Return the newest version of a family, or ""."""
    of_family = [version for version in versions if numbered(version)[0] == family]
    return max(of_family, key=lambda version: numbered(version)[1], default="")
