"""Save and restore compiled state as an archive, for CI runners that keep nothing between runs.

The archive has the content of a project's cache volumes after a build: cargo's downloads, and its target
directory with the compiled sources. A build uses it if the engine has no compiled state, and cargo then
compiles everything that is out of date, as usual.
"""

from __future__ import annotations

import dagger

from pipeline.build import scripts
from pipeline.toolchain import builder as toolchain

ARCHIVE = "/state.tar.zst"
PACKAGE = "zstd"

DOWNLOADS = ("registry/index", "registry/cache", "git/db")
"""The parts of cargo's home in the archive, without what cargo unpacks from them."""

COMPILED = ("target", "src", "state")
"""The parts of the compiled state's volume: the target directory, its sources, and the inputs of both."""


def mount(container: dagger.Container, archive: dagger.File) -> dagger.Container:
    """Return a container that can unpack an archive."""
    container = toolchain.with_packages(scripts.added(container), [PACKAGE])
    return container.with_mounted_file(ARCHIVE, archive)


def pack(built: dagger.Container, fetched: dagger.Directory) -> dagger.File:
    """Return the archive of a container that has just run a build.

    Args:
        built: the container.
        fetched: cargo's home as it was fetched: build scripts may have changed the container's.
    """
    built = toolchain.with_fetched(built, fetched)
    home, build = toolchain.CARGO_HOME.strip("/"), toolchain.BUILD.strip("/")
    paths = [*(f"{home}/{name}" for name in DOWNLOADS), *(f"{build}/{name}" for name in COMPILED)]
    packing = scripts.command("pack.sh", ARCHIVE, *paths)
    return toolchain.with_packages(scripts.added(built), [PACKAGE]).with_exec(packing).file(ARCHIVE)
