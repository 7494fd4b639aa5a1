"""Directories of the benchmarks, all below the project's cache."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine.paths import Paths, default_root

REGISTRY_PORT = 5010
"""Port of a separate registry, since the user's engine has its base images in another."""


@dataclass(frozen=True)
class Place:
    """The directories of the benchmarks."""

    root: Path

    @classmethod
    def default(cls) -> Place:
        """Return the directories of this user's benchmarks."""
        return cls(default_root() / "bench")

    @property
    def engine(self) -> Paths:
        """Return the paths of a separate engine, with caches to empty and the user's compiled programs."""
        return Paths(self.root / "engine")

    @property
    def buildkit(self) -> Path:
        """Return the directory of BuildKit's programs, state and socket."""
        return self.root / "buildkit"

    @property
    def toolbox(self) -> Path:
        """Return the builder's file tree, for the peers that run without containers."""
        return self.root / "toolbox"

    @property
    def images(self) -> Path:
        """Return the directory of base images that only BuildKit needs."""
        return self.root / "images"

    @property
    def host(self) -> Path:
        """Return the directory of the target directories and cargo homes of peers without containers."""
        return self.root / "host"

    @property
    def subjects(self) -> Path:
        """Return the directory of the original sources of subjects, fetched or generated."""
        return self.root / "subjects"

    @property
    def work(self) -> Path:
        """Return the directory of each peer's copy of each subject."""
        return self.root / "work"

    def archive(self, peer: str) -> Path:
        """Return the path of the OCI archive of a peer that writes one."""
        return self.work / f"{peer}.tar"

    @property
    def logs(self) -> Path:
        """Return the directory of the output of every sample."""
        return self.root / "logs"

    def create(self) -> None:
        """Make the directories; compiled engines and stand-in images are shared with the user's engine."""
        for path in (
            self.buildkit,
            self.toolbox,
            self.images,
            self.host,
            self.subjects,
            self.work,
            self.logs,
        ):
            path.mkdir(parents=True, exist_ok=True)
        # No extra certificates for containers: the images include this machine's, as BuildKit requires.
        self.engine.certificates.mkdir(parents=True, exist_ok=True)
        self.engine.share(Paths.default())
