"""Compiled state as an archive, for runners on which nothing survives between runs.

The archive has what the cache volumes of a project have after a build: cargo's downloads, and its target
directory with the sources that it was compiled from. A build that is given one starts from it where this
engine has nothing of its own, and cargo then judges, as always, what of it is still fresh: there are no
stub crates, and whatever the archive holds, what ships is compiled from the sources at hand.
"""

from __future__ import annotations

import shlex

import dagger

from pipeline.toolchain import builder as toolchain

ARCHIVE = "/state.tar.zst"
PACKAGE = "zstd"

DOWNLOADS = ("registry/index", "registry/cache", "git/db")
"""Of cargo's home; what is unpacked from these is left out."""


def mount(container: dagger.Container, archive: dagger.File) -> dagger.Container:
    """A container that can unpack an archive."""
    return toolchain.with_packages(container, [PACKAGE]).with_mounted_file(ARCHIVE, archive)


def downloads_lines() -> list[str]:
    """Shell lines that unpack cargo's downloads where there are none."""
    return [_unpack(f"{toolchain.CARGO_HOME}/registry", toolchain.CARGO_HOME)]


def compiled_lines() -> list[str]:
    """Shell lines that unpack the target directory and its sources where there are none."""
    return [_unpack(f"{toolchain.BUILD}/target", toolchain.BUILD)]


def _unpack(unless: str, folder: str) -> str:
    pattern = shlex.quote(f"{folder.strip('/')}/*")
    return f"[ -e {unless} ] || tar -C / --zstd -xf {ARCHIVE} --wildcards {pattern}"


def pack(built: dagger.Container) -> dagger.File:
    """The archive of a container in which a build has just run.

    Incremental state is left out: it is large, and only of use where one file is changed at a time.
    """
    home, build = toolchain.CARGO_HOME.strip("/"), toolchain.BUILD.strip("/")
    there = " ".join(f"{home}/{folder}" for folder in DOWNLOADS)
    script = "\n".join(
        [
            "cd /",
            f"present=$(ls -d {there} 2>/dev/null || true)",
            f"tar --exclude=incremental -cf - {build}/target {build}/src $present |",
            f"zstd -q -3 -T0 -o {ARCHIVE}",
        ]
    )
    return toolchain.with_packages(built, [PACKAGE]).with_exec([*toolchain.SHELL, script]).file(ARCHIVE)
