"""Save the settings of a start: the next start compares them, and stop undoes the changes."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path


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
