"""Parse and order versions by Semantic Versioning 2.0.0, and parse tags that contain one."""

from __future__ import annotations

import functools
import re
from collections.abc import Collection
from dataclasses import dataclass

_NUMBER = r"(?:0|[1-9]\d*)"
_IDENTIFIER = rf"(?:{_NUMBER}|\d*[a-zA-Z-][0-9a-zA-Z-]*)"
_VERSION = re.compile(
    rf"(?P<major>{_NUMBER})\.(?P<minor>{_NUMBER})\.(?P<patch>{_NUMBER})"
    rf"(?:-(?P<prerelease>{_IDENTIFIER}(?:\.{_IDENTIFIER})*))?"
    r"(?:\+(?P<build>[0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?"
)


@functools.total_ordering
@dataclass(frozen=True)
class Version:
    """A semantic version, ordered by precedence, which ignores build metadata."""

    major: int
    minor: int
    patch: int
    prerelease: str = ""
    build: str = ""

    @property
    def stable(self) -> bool:
        """Check whether this is a release and not a prerelease."""
        return not self.prerelease

    def __str__(self) -> str:
        text = f"{self.major}.{self.minor}.{self.patch}"
        return (
            text + (f"-{self.prerelease}" if self.prerelease else "") + (f"+{self.build}" * bool(self.build))
        )

    def __lt__(self, other: Version) -> bool:
        return self._precedence() < other._precedence()

    def _precedence(self) -> tuple[object, ...]:
        # Numbers sort before words and compare as numbers; a release sorts after its prereleases.
        parts = self.prerelease.split(".") if self.prerelease else []
        identifiers = [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts]
        return (self.major, self.minor, self.patch, self.stable, identifiers)


def of_tag(tag: str) -> Version | None:
    """Parse a git tag as a version, with or without a leading `v`; return None for other tags."""
    match = _VERSION.fullmatch(tag.removeprefix("v"))
    if match is None:
        return None
    major, minor, patch = (int(match[name]) for name in ("major", "minor", "patch"))
    return Version(major, minor, patch, match["prerelease"] or "", match["build"] or "")


def fronted(tag: str) -> list[tuple[str, Version]]:
    """Return every way to split a git tag into a prefix and a version, for example `server-v1.4.2`.

    The separators are those of cargo-release and release-plz (`-`), of Go modules (`/`) and of npm (`@`).
    """
    splits = ((tag[: at.start()], of_tag(tag[at.end() :])) for at in re.finditer(r"[-/@]", tag))
    return [(front, version) for front, version in splits if front and version]


def of_crate(tag: str, crates: Collection[str]) -> Version | None:
    """Return the version of a crate in a git tag prefixed with its name or path; None for other tags.

    Args:
        tag: for example `server-v1.4.2`, `crates/server/v1.4.2`.
        crates: the crate's name, and its directory in the project.
    """
    for front, version in fronted(tag):
        if any(front == crate or front.endswith(f"/{crate}") for crate in crates):
            return version
    return None
