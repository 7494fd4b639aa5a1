"""Make a project's skeleton: the files that cargo needs before compiling.

Cargo reads manifests, lock files and its configuration, and checks that the source files of targets exist. In
the skeleton, source files are empty. So it does not change with the code, and the engine's cached results
stay valid.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence

from pipeline import programs
from pipeline.config.project_files import EVERYTHING, in_engine
from pipeline.sdk import dagger

READ = (
    "**/Cargo.toml",
    "**/Cargo.lock",
    "**/.cargo/**",
    "**/.cargo-checksum.json",
    "**/*.crate",
    "**/index/**",
    "**/rust-toolchain",
    "**/rust-toolchain.toml",
)
"""The files with content: manifests, cargo's configuration, checksums of vendored crates, and registries in
the project (the cargo book, "Local Registry Sources")."""

CODE = ".rs"

_TOP, _NAMES = "/skeleton", "/code"


_PLAIN = re.compile(r"(?!\.git/)(?:[\w. +@-]+/)*[\w +@-]+")
_NAMED = re.compile(r"[\w. +@/-]+")


def _may_link(name: str) -> bool:
    """Return True if a name may be a link to a directory of code; few other files have such names.

    The engine's API does not distinguish links from files. A link that ends in `.rs` becomes an empty file.
    """
    return bool(_PLAIN.fullmatch(name))


async def skeleton(
    source: dagger.Directory, image: dagger.Container, started: Sequence[str] = ()
) -> dagger.Directory:
    """Return the skeleton of a project.

    Files with a line break in their names are left out. If cargo does not accept a skeleton, use the complete
    project.

    Args:
        source: the project.
        image: a container with a shell and Debian's coreutils and findutils; no code of the project runs in
        it.
        started: paths of programs of the project that its configuration names, which cargo starts.
    """
    there = await in_engine(source).glob(EVERYTHING)
    names = [name for name in there if name.endswith(CODE)]
    ends = tuple(posixpath.join("/", posixpath.normpath(program)) for program in started)
    named = [name for name in there if _NAMED.fullmatch(name) and f"/{name}".endswith(ends)]
    read = [*READ, *filter(_may_link, there), *named]
    made = image.with_directory(_TOP, source.filter(include=read))
    listed = made.with_new_file(_NAMES, "".join(f"{name}\n" for name in sorted(names)))
    return listed.with_exec(programs.command("project/skeleton.sh", _TOP, _NAMES)).directory(_TOP)
