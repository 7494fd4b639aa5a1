"""Where the embedded engine keeps its files: one root, one engine."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

# sun_path holds 108 bytes, one of them the terminating NUL.
MAX_SOCKET_PATH = 107


def default_root() -> Path:
    """`$XDG_CACHE_HOME/rust-multiarch`, or the same under `~/.cache`."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification says to ignore a relative path.
    base = Path(cache) if cache.startswith("/") else Path.home() / ".cache"
    return base / "rust-multiarch"


@dataclass(frozen=True)
class Paths:
    """Every path of one engine; engines with different roots do not meet."""

    root: Path

    @classmethod
    def default(cls) -> Paths:
        """The paths of this user's engine."""
        return cls(default_root())

    @property
    def instance(self) -> str:
        """A short name of this engine, the same as long as its root is the same.

        It names the bridge, the container network and the cgroup, so it fits an interface name (15
        characters) with room for the engine's suffix.
        """
        return "rma" + hashlib.sha256(str(self.root).encode()).hexdigest()[:7]

    @property
    def builds(self) -> Path:
        """Compiled engines, one directory per build key."""
        return self.root / "builds"

    @property
    def bases(self) -> Path:
        """What stand-in images are made from."""
        return self.root / "bases"

    def share(self, other: Paths) -> None:
        """Use the compiled engines and the stand-in images of another root, which takes what is made here."""
        self.root.mkdir(parents=True, exist_ok=True)
        for link, directory in ((self.builds, other.builds), (self.bases, other.bases)):
            directory.mkdir(parents=True, exist_ok=True)
            if not link.is_symlink():
                link.symlink_to(directory)

    @property
    def registry(self) -> Path:
        """The loopback registry's storage."""
        return self.root / "registry"

    @property
    def certificates(self) -> Path:
        """Root certificates that containers get instead of the machine's own, where somebody made it."""
        return self.root / "certificates"

    @property
    def engine(self) -> Path:
        """Everything the engine itself writes."""
        return self.root / "engine"

    @property
    def state(self) -> Path:
        """The engine's cache, kept between starts."""
        return self.engine / "state"

    @property
    def sandbox(self) -> Path:
        """The mount point of the engine's own file tree, empty outside its mount namespace."""
        return self.engine / "sandbox"

    @property
    def tmp(self) -> Path:
        """The engine's /tmp and /var/tmp, emptied at every start."""
        return self.engine / "tmp"

    @property
    def run(self) -> Path:
        """Socket, lock, configuration and logs of the running engine; only its owner may enter."""
        return self.engine / "run"

    @property
    def socket(self) -> Path:
        """The engine's only address."""
        return self.run / "engine.sock"

    @property
    def lock(self) -> Path:
        """Held while an engine is being started or stopped."""
        return self.engine / "lock"

    @property
    def log(self) -> Path:
        """What the engine says; the previous run's is beside it with the suffix `.1`."""
        return self.run / "engine.log"

    @property
    def spec(self) -> Path:
        """The sandbox this engine runs in, as data."""
        return self.run / "sandbox.json"

    @property
    def record(self) -> Path:
        """What the last start found and changed on this machine, so that stop undoes exactly that."""
        return self.run / "record.json"

    def create(self) -> None:
        """Make the directories."""
        for path in (self.builds, self.bases, self.registry, self.state, self.sandbox, self.tmp, self.run):
            path.mkdir(parents=True, exist_ok=True)
        # The state holds whole root file systems of images, set-user-ID programs among them.
        for path in (self.engine, self.run):
            path.chmod(0o700)
        self.tmp.chmod(0o1777)
