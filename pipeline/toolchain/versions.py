"""Versions: the image that steps in Python run on; symbol versions (`GLIBC_2.34`) and who has them."""

from __future__ import annotations

import re
from collections.abc import Iterable

PYTHON = "python:3.11-slim-bookworm"
"""The image that the module itself runs on, and every step of a build that is written in Python."""

BASE = "debian:bookworm-slim"
"""The base image of the final image, of the same Debian release as the builder."""

LATER = {"linux/riscv64": "debian:trixie-slim"}
"""The base image of platforms that this Debian release has no port for (Debian 13 release notes, 2.1).
Its glibc is newer than the builder's, so what was linked there runs."""

GLIBC_OF = {"debian:bullseye-slim": (2, 31), "debian:bookworm-slim": (2, 36), "debian:trixie-slim": (2, 41)}
"""What a runtime base has, for naming one that is new enough."""

_NUMBERED = re.compile(r"(.+?)_([0-9]+(?:\.[0-9]+)*)")


def numbered(version: str) -> tuple[str, tuple[int, ...]]:
    """A version's family and number: `GLIBC_2.34` is `("GLIBC", (2, 34))`; no number where it has none."""
    match = _NUMBERED.fullmatch(version)
    return (match[1], tuple(map(int, match[2].split(".")))) if match else (version, ())


def highest(versions: Iterable[str], family: str) -> str:
    """The newest version of a family, empty where there is none."""
    of_family = [version for version in versions if numbered(version)[0] == family]
    return max(of_family, key=lambda version: numbered(version)[1], default="")
