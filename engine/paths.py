"""Define the paths of the embedded engine's files; an engine is identified by its root directory."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from pipeline.host_files import cache_root

# sun_path holds 108 bytes, one of them the terminating NUL.
MAX_SOCKET_PATH = 107


def default_root() -> Path:
    """Return the root of this user's engine; see `host_files.cache_root`."""
    return cache_root()


@dataclass(frozen=True)
class Paths:
    """The paths of one engine; engines with different roots are independent."""

    root: Path

    @classmethod
    def default(cls) -> Paths:
        """Return the paths of this user's engine."""
        return cls(default_root())

    @property
    def instance(self) -> str:
        """Return a short name of this engine, derived from its root.

        The bridge, the container network and the cgroup have this name. It is short enough for an interface
        name (15 characters) with the engine's suffix.
        """
        return "rma" + hashlib.sha256(str(self.root).encode()).hexdigest()[:7]

    @property
    def builds(self) -> Path:
        """Return the directory of compiled engines, with a subdirectory per build key."""
        return self.root / "builds"

    @property
    def bases(self) -> Path:
        """Return the directory of the stand-in images."""
        return self.root / "bases"

    def share(self, other: Paths) -> None:
        """Share the compiled engines and the stand-in images with another root."""
        self.root.mkdir(parents=True, exist_ok=True)
        for link, directory in ((self.builds, other.builds), (self.bases, other.bases)):
            directory.mkdir(parents=True, exist_ok=True)
            if not link.is_symlink():
                link.symlink_to(directory)

    @property
    def registry(self) -> Path:
        """Return the storage directory of the loopback registry."""
        return self.root / "registry"

    @property
    def certificates(self) -> Path:
        """Return the directory of root certificates for containers; if missing, the machine's are used."""
        return self.root / "certificates"

    @property
    def engine(self) -> Path:
        """Return the directory of all files that the engine writes."""
        return self.root / "engine"

    @property
    def state(self) -> Path:
        """Return the directory of the engine's cache, kept between starts."""
        return self.engine / "state"

    @property
    def sandbox(self) -> Path:
        """Return the mount point of the engine's sandbox, empty outside its mount namespace."""
        return self.engine / "sandbox"

    @property
    def tmp(self) -> Path:
        """Return the engine's /tmp and /var/tmp, emptied at every start."""
        return self.engine / "tmp"

    @property
    def run(self) -> Path:
        """Return the directory of the socket, configuration and logs; accessible only to the owner."""
        return self.engine / "run"

    @property
    def socket(self) -> Path:
        """Return the socket, the engine's only address."""
        return self.run / "engine.sock"

    @property
    def lock(self) -> Path:
        """Return the lock file of starts and stops."""
        return self.engine / "lock"

    @property
    def log(self) -> Path:
        """Return the engine's log; the previous log has the suffix `.1`."""
        return self.run / "engine.log"

    @property
    def spec(self) -> Path:
        """Return the file of the sandbox's specification."""
        return self.run / "sandbox.json"

    @property
    def record(self) -> Path:
        """Return the record of the last start, which stop uses to undo it."""
        return self.run / "record.json"

    def create(self) -> None:
        """Create the directories."""
        for path in (self.builds, self.bases, self.registry, self.state, self.sandbox, self.tmp, self.run):
            path.mkdir(parents=True, exist_ok=True)
        # The state contains root filesystems of images, with set-user-ID programs.
        for path in (self.engine, self.run):
            path.chmod(0o700)
        self.tmp.chmod(0o1777)
