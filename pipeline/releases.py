"""The Debian releases of builder and runtime images, one row each. To add a release, add a row.

Builder and runtime have the same release: a newer builder links symbols that an older glibc lacks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipeline.errors import InvalidArgument
from pipeline.targets import Target


@dataclass(frozen=True)
class Release:
    """A Debian release.

    Attributes:
        name: the codename, as in the tags of the official images.
        number: the number of the release, as in the tags of distroless images.
        glibc: the version of its C library.
        rust: the oldest Rust with an official image on this release; rustup installs older ones.
    """

    name: str
    number: int
    glibc: tuple[int, int]
    rust: tuple[int, int]

    def has_port(self, target: Target) -> bool:
        """Return True if the release has packages and images of a target."""
        return target.port is not None and target.port <= self.number

    @property
    def base(self) -> str:
        """Return the default base of the final image."""
        return f"debian:{self.name}-slim"

    @property
    def small_base(self) -> str:
        """Return a base with the C library alone: no shell, no package manager."""
        return f"gcr.io/distroless/cc-debian{self.number}"

    def image_of(self, rust: str) -> str:
        """Return the official image of a Rust version on this release."""
        return f"rust:{rust}-slim-{self.name}"

    def has_image_of(self, rust: str) -> bool:
        """Return True if a Rust version may have an official image on this release."""
        numbers = re.match(r"(\d+)\.(\d+)", rust)
        return numbers is None or (int(numbers[1]), int(numbers[2])) >= self.rust


RELEASES = {
    release.name: release
    for release in (
        Release("trixie", 13, (2, 41), rust=(1, 89)),
        Release("bookworm", 12, (2, 36), rust=(1, 71)),
    )
}
"""The supported releases, the newest first."""

DEFAULT = RELEASES["trixie"]

RUST = "1.96"
"""The default Rust version of the builder."""

PYTHON = "python:3.13-slim-trixie"
"""The image of the module and of every build step written in Python."""

GLIBC_OF = {
    "debian:bullseye-slim": (2, 31),
    **{release.base: release.glibc for release in reversed(RELEASES.values())},
}
"""The glibc version of runtime bases, for suggesting a base that is new enough; the oldest first."""


def release(name: str) -> Release:
    """Return a release by its codename.

    Raises:
        InvalidArgument: no row has the name.
    """
    if name not in RELEASES:
        raise InvalidArgument(
            f"{name!r} is not a supported Debian release",
            where="--debian",
            fix=f"choose from {', '.join(RELEASES)}",
        )
    return RELEASES[name]


def with_port(first: Release, target: Target) -> Release:
    """Return a release, or the oldest newer one if the release has no port to a platform.

    The glibc of a newer release is newer than the builder's, so binaries linked there run.
    """
    newest_first = list(RELEASES.values())
    candidates = reversed(newest_first[: newest_first.index(first) + 1])
    return next((each for each in candidates if each.has_port(target)), first)


def base_for(base: str, target: Target) -> str:
    """Return the base image's name for a platform, since a release's base may not have all platforms."""
    named = next((each for each in RELEASES.values() if each.base == base), None)
    return with_port(named, target).base if named else base
