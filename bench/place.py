"""Where the benchmarks keep what they make: below the project's cache, and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine.paths import Paths, default_root

REGISTRY_PORT = 5010
"""Of a registry of our own: the engine that people use keeps its base images to itself."""


@dataclass(frozen=True)
class Place:
    """Every path of the benchmarks."""

    root: Path

    @classmethod
    def default(cls) -> Place:
        """The paths of this user's benchmarks."""
        return cls(default_root() / "bench")

    @property
    def engine(self) -> Paths:
        """An engine of our own, whose caches can be emptied; it shares what is compiled with the user's."""
        return Paths(self.root / "engine")

    @property
    def buildkit(self) -> Path:
        """BuildKit's programs, state and socket."""
        return self.root / "buildkit"

    @property
    def toolbox(self) -> Path:
        """The builder's file tree, for the peers that run without containers."""
        return self.root / "toolbox"

    @property
    def images(self) -> Path:
        """Base images that only BuildKit needs."""
        return self.root / "images"

    @property
    def host(self) -> Path:
        """Target directories and cargo homes of the peers without containers."""
        return self.root / "host"

    @property
    def subjects(self) -> Path:
        """What is built, as it was fetched or generated."""
        return self.root / "subjects"

    @property
    def work(self) -> Path:
        """Each peer's own copy of each subject."""
        return self.root / "work"

    def archive(self, peer: str) -> Path:
        """The OCI archive that a peer writes, if it writes one."""
        return self.work / f"{peer}.tar"

    @property
    def logs(self) -> Path:
        """The output of every sample."""
        return self.root / "logs"

    def create(self) -> None:
        """Make the directories; compiled engines and stand-in images are those of the user's own engine."""
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
        # None for any container: the images trust what this machine trusts, as BuildKit's have to.
        self.engine.certificates.mkdir(parents=True, exist_ok=True)
        self.engine.share(Paths.default())
