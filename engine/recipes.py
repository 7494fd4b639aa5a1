"""Define the stand-in images, one row each."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from engine import oci
from pipeline.errors import BaseImageUnavailable
from pipeline.targets import TARGETS, Target

SUITE = "bookworm"
PORTS = {
    SUITE: frozenset({"amd64", "arm64", "armhf", "i386", "ppc64el", "s390x"}),
    "trixie": frozenset({"amd64", "arm64", "armhf", "i386", "ppc64el", "riscv64", "s390x"}),
}
"""Debian architectures of the pipeline's targets, by suite."""

ROOTFS = Path(__file__).parent / "rootfs"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Base:
    """An image name and the recipe of its stand-in.

    Attributes:
        name: the repository on Docker Hub.
        tag: the tag there.
        recipe: the directory of its files under `engine/rootfs`.
        packages: the packages to install on top of Debian's minimal system.
        env: the environment in the image's configuration.
        cmd: the default command.
        parent: the image below; None for a complete system, made for every platform.
        suite: the Debian release of its packages.
    """

    name: str
    tag: str
    recipe: str
    packages: tuple[str, ...]
    env: Mapping[str, str]
    cmd: tuple[str, ...]
    parent: Base | None = None
    suite: str = SUITE

    def has(self, target: Target) -> bool:
        """Return True if Debian has the packages for a platform."""
        return target.debian in PORTS[self.suite]

    @property
    def image(self) -> str:
        """Return the image reference that the pipeline uses."""
        return f"docker.io/{self.name}:{self.tag}"

    def key(self) -> str:
        """Return a digest of all inputs of the stand-in, except the state of Debian's archive."""
        files = sorted(path for path in (ROOTFS / self.recipe).rglob("*") if path.is_file())
        content = {path.name: path.read_text() for path in [*files, ROOTFS.parent / "making.py"]}
        row = {**asdict(self), "parent": self.parent.key() if self.parent else None}
        return hashlib.sha256(json.dumps([row, content], sort_keys=True).encode()).hexdigest()[:16]


DEBIAN = Base(
    name="library/debian",
    tag=f"{SUITE}-slim",
    recipe="debian",
    packages=(),
    env={"PATH": PATH},
    cmd=("bash",),
)
RUST = Base(
    name="library/rust",
    tag=f"1.96-slim-{SUITE}",
    recipe="rust",
    packages=(
        "ca-certificates",
        "cargo-web",
        "gcc",
        "libc6-dev",
        "libstd-rust-web-dev",
        "rust-web-clippy",
        "rustc-web",
        "rustfmt-web",
    ),
    env={
        "RUSTUP_HOME": "/usr/local/rustup",
        "CARGO_HOME": "/usr/local/cargo",
        "PATH": f"/usr/local/cargo/bin:{PATH}",
        "RUST_VERSION": "1.96.0",
    },
    cmd=("bash",),
    parent=DEBIAN,
)
PYTHON = Base(
    name="library/python",
    tag=f"3.11-slim-{SUITE}",
    recipe="python",
    packages=("ca-certificates", "netbase", "python3", "python3-pip", "python3-venv", "tzdata"),
    env={"PATH": PATH, "LANG": "C.UTF-8", "PYTHON_VERSION": "3.11"},
    cmd=("python3",),
    parent=DEBIAN,
)
LATER = replace(DEBIAN, tag="trixie-slim", suite="trixie")
"""The runtime base of platforms without a port in DEBIAN; see `pipeline.toolchain.versions.LATER`."""

BASES = (DEBIAN, LATER, RUST, PYTHON)


def system(target: Target) -> Base:
    """Return the base of a platform's runtime image."""
    return DEBIAN if DEBIAN.has(target) else LATER


@dataclass(frozen=True)
class Job:
    """An image for a platform, and the directory it is stored below."""

    base: Base
    target: Target
    store: Path

    @property
    def name(self) -> str:
        """Return a unique name for files."""
        return f"{self.base.recipe}-{self.target.debian}"

    @property
    def directory(self) -> Path:
        """Return the directory of the image."""
        return self.store / f"{self.name}-{self.base.key()}"

    @property
    def parent(self) -> Job | None:
        """Return the job of the parent image."""
        return replace(self, base=self.base.parent) if self.base.parent else None

    @property
    def image(self) -> oci.Image:
        """Return the image; its files exist once it is made."""
        return oci.Image(self.directory)

    @property
    def made(self) -> bool:
        """Return True if the image is made."""
        return self.directory.is_dir()

    def __str__(self) -> str:
        return f"{self.base.image} for {self.target.platform}"


def host() -> Target:
    """Return the target of this machine."""
    command = ["dpkg", "--print-architecture"]
    architecture = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    for target in TARGETS:
        if target.debian == architecture:
            return target
    raise BaseImageUnavailable(
        f"stand-in images cannot be made on the Debian architecture {architecture}",
        where="dpkg --print-architecture",
        fix="Use a machine with one of these platforms: " + ", ".join(sorted(t.platform for t in TARGETS)),
    )
