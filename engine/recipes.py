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
from pipeline.releases import DEFAULT, RELEASES, RUST, Release
from pipeline.releases import PYTHON as PYTHON_IMAGE
from pipeline.targets import TARGETS, Target

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
    suite: str = DEFAULT.name

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


def debian(release: Release) -> Base:
    """Return the recipe of a release's minimal system."""
    return Base(
        name="library/debian",
        tag=release.base.partition(":")[2],
        recipe="debian",
        packages=(),
        env={"PATH": PATH},
        cmd=("bash",),
        suite=release.name,
    )


def rust(release: Release) -> Base:
    """Return the recipe of the default Rust on a release."""
    return Base(
        name="library/rust",
        tag=release.image_of(RUST).partition(":")[2],
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
            "RUST_VERSION": f"{RUST}.0",
        },
        cmd=("bash",),
        parent=debian(release),
        suite=release.name,
    )


PYTHON = Base(
    name="library/python",
    tag=PYTHON_IMAGE.partition(":")[2],
    recipe="python",
    packages=("ca-certificates", "netbase", "python3", "python3-pip", "python3-venv", "tzdata"),
    env={"PATH": PATH, "LANG": "C.UTF-8", "PYTHON_VERSION": PYTHON_IMAGE.partition(":")[2].partition("-")[0]},
    cmd=("python3",),
    parent=debian(DEFAULT),
)

BASES = (*map(debian, RELEASES.values()), *map(rust, RELEASES.values()), PYTHON)


@dataclass(frozen=True)
class Job:
    """An image for a platform, and the directory it is stored below."""

    base: Base
    target: Target
    store: Path

    @property
    def name(self) -> str:
        """Return a unique name for files."""
        return f"{self.base.recipe}-{self.base.suite}-{self.target.debian}"

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
