"""What a start found and decided, on disk: for the next start to compare with, for stop to undo."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Record:
    """One start of the engine."""

    build: str
    cidr: str
    registry: str
    registry_port: int
    mirror: bool
    forwarding_before: str
    platforms: list[str] = field(default_factory=list)
    builders: list[str] = field(default_factory=list)

    def write(self, path: Path) -> None:
        """Write it whole or not at all."""
        new = path.with_suffix(".new")
        new.write_text(json.dumps(asdict(self), indent=1))
        new.replace(path)

    @classmethod
    def read(cls, path: Path) -> Record | None:
        """The last start's record; None when there is none that this user and this version can read."""
        try:
            return cls(**json.loads(path.read_text()))
        except (FileNotFoundError, PermissionError, ValueError, TypeError):
            return None
