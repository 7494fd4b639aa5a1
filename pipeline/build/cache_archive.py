"""Compiled state as an archive, for runners on which nothing survives between runs.

The archive has what the cache volumes of a project have after a build: cargo's downloads, and its target
directory with the sources that it was compiled from. A build that is given one starts from it where this
engine has nothing of its own, and cargo then judges, as always, what of it is still fresh: there are no
stub crates, and whatever the archive holds, what ships is compiled from the sources at hand.
"""

from __future__ import annotations

from collections.abc import Sequence

import dagger

from pipeline.build import scripts
from pipeline.toolchain import builder as toolchain

ARCHIVE = "/state.tar.zst"
PACKAGE = "zstd"

DOWNLOADS = ("registry/index", "registry/cache", "git/db")
"""Of cargo's home; what is unpacked from these is left out."""

COMPILED = ("target", "src", "state")
"""Of the volume with compiled state: what is compiled, from which sources, and what was noted about both."""


def mount(container: dagger.Container, archive: dagger.File) -> dagger.Container:
    """A container that can unpack an archive."""
    container = toolchain.with_packages(scripts.added(container), [PACKAGE])
    return container.with_mounted_file(ARCHIVE, archive)


def fetch(command: Sequence[str]) -> list[str]:
    """The command that unpacks cargo's downloads where there are none, and runs another."""
    return scripts.command("fetch.sh", ARCHIVE, *command)


def pack(built: dagger.Container) -> dagger.File:
    """The archive of a container in which a build has just run."""
    home, build = toolchain.CARGO_HOME.strip("/"), toolchain.BUILD.strip("/")
    paths = [*(f"{home}/{name}" for name in DOWNLOADS), *(f"{build}/{name}" for name in COMPILED)]
    packing = scripts.command("pack.sh", ARCHIVE, *paths)
    return toolchain.with_packages(scripts.added(built), [PACKAGE]).with_exec(packing).file(ARCHIVE)
