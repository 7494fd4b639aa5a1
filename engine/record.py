"""Save the settings of a start: the next start compares them, and stop undoes the changes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class BaseImages:
    """The base images that builds need.

    Attributes:
        platforms: platforms of runtime images.
        builders: platforms besides this machine's own that the compiler will run on, under QEMU.
        releases: Debian releases of both, besides the default.
    """

    platforms: Sequence[str] = ()
    builders: Sequence[str] = ()
    releases: Sequence[str] = ()

    def includes(self, other: BaseImages) -> bool:
        """Return True if every image that another needs is among these."""
        return all(set(theirs) <= set(own) for own, theirs in zip(_lists(self), _lists(other), strict=True))

    def union(self, other: BaseImages) -> BaseImages:
        """Return the images that either needs, sorted."""
        pairs = zip(_lists(self), _lists(other), strict=True)
        return BaseImages(*(sorted({*own, *theirs}) for own, theirs in pairs))


NONE = BaseImages()
"""No base images but this machine's own."""


def _lists(images: BaseImages) -> tuple[Sequence[str], ...]:
    return images.platforms, images.builders, images.releases


@dataclass(frozen=True)
class Record:
    """The settings of a start of the engine."""

    build: str
    cidr: str
    registry: str
    registry_port: int
    mirror: bool
    forwarding_before: str
    platforms: list[str] = field(default_factory=list)
    builders: list[str] = field(default_factory=list)
    releases: list[str] = field(default_factory=list)

    @property
    def images(self) -> BaseImages:
        """Return the base images that were made."""
        return BaseImages(self.platforms, self.builders, self.releases)

    def write(self, path: Path) -> None:
        """Write the record atomically."""
        new = path.with_suffix(".new")
        new.write_text(json.dumps(asdict(self), indent=1))
        new.replace(path)

    @classmethod
    def read(cls, path: Path) -> Record | None:
        """Read the last start's record; return None if it is missing, unreadable or of another version."""
        try:
            return cls(**json.loads(path.read_text()))
        except (FileNotFoundError, PermissionError, ValueError, TypeError):
            return None
