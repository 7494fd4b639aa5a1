"""Install Debian's programs that read and run images."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine import prerequisites
from engine.locks import exclusive
from engine.log import to_stderr
from engine.paths import default_root

PROGRAMS = ("skopeo", "zstd")
"""Readers of images and of archives, each in the package of its name."""

PACKAGES = (*PROGRAMS, "libsubid4", "libglib2.0-0")
"""The libraries of podman and conmon, besides skopeo's."""

UNPACKED = ("podman", "conmon")
"""Packages that are unpacked but not installed: Dagger would use an installed podman as an engine."""


def ensure() -> None:
    """Install the missing packages."""
    if not all(map(shutil.which, PROGRAMS)):
        prerequisites.install_packages(list(PACKAGES), to_stderr)


@contextmanager
def podman(directory: Path) -> Iterator[Path]:
    """Write a program `docker` to a directory: a real podman, with its images in that directory.

    Its `info` fails, as without an engine.
    """
    home = default_root() / "tools/podman"
    home.mkdir(parents=True, exist_ok=True)
    with exclusive(home / "lock"):
        if not (home / "usr/bin/conmon").exists():
            prerequisites.install_packages(list(PACKAGES), to_stderr)
            for package in UNPACKED:
                _run(["apt-get", "download", package], home)
                (archive,) = home.glob(f"{package}_*.deb")
                _run(["dpkg-deb", "--extract", str(archive), str(home)], home)
    program = directory / "docker"
    # Podman does not accept a longer path for its state.
    with tempfile.TemporaryDirectory(prefix="podman-", dir="/tmp") as running:
        places = f"--root {directory}/images --runroot {running} --storage-driver vfs"
        program.write_text(
            '#!/bin/sh\n[ "$1" = info ] && exit 1\n'
            f"exec {home}/usr/bin/podman {places} --conmon {home}/usr/bin/conmon"
            ' --cgroup-manager cgroupfs "$@"\n'
        )
        program.chmod(0o755)
        yield program


def _run(command: list[str], directory: Path) -> None:
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(command, cwd=directory, env=env, check=True, capture_output=True)
