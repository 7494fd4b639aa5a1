"""Parse and order versions by PEP 440, Python's, for tag rules of type `pep440`."""

from __future__ import annotations

from dataclasses import dataclass

from packaging import version

from pipeline.git.semver import Version

_LEAST = version.Version("0")


@dataclass(frozen=True)
class PythonVersion(Version):
    """A version by PEP 440; `prerelease` is set for every version that is not final.

    Attributes:
        parsed: the version, which gives the normalized text and the order.
    """

    parsed: version.Version = _LEAST

    def __str__(self) -> str:
        return str(self.parsed)

    def _precedence(self) -> tuple[object, ...]:
        return (self.parsed,)


def of_tag(tag: str) -> PythonVersion | None:
    """Parse a git tag as a version, with or without a leading `v`; return None for other tags."""
    try:
        parsed = version.Version(tag)
    except version.InvalidVersion:
        return None
    unfinished = parsed.public.removeprefix(parsed.base_version)
    return PythonVersion(parsed.major, parsed.minor, parsed.micro, unfinished, parsed=parsed)
