"""A project's outline: all that cargo reads to describe it, to fetch its dependencies, to resolve features.

Cargo reads manifests, lock files and its own configuration; of code it only asks whether the files that
become targets are there. The outline has those files empty, so a change of code leaves it as it is, and what
the engine found out about it before is found again.
"""

from __future__ import annotations

import re

import dagger

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
"""What keeps its content: manifests, cargo's configuration, what vouches for vendored crates, and a registry
that lies in the project (the cargo book, "Local Registry Sources")."""

CODE = ".rs"

_TOP, _NAMES = "/outline", "/code"
# As many names at once as a command line takes; `--` since a name may begin with a dash.
_EMPTY = (
    f"cd {_TOP}\n"
    f"tr '\\n' '\\0' <{_NAMES} | xargs -0r dirname -z -- | xargs -0r mkdir -p --\n"
    f"tr '\\n' '\\0' <{_NAMES} | xargs -0r touch --"
)


_PLAIN = re.compile(r"(?!\.git/)(?:[\w. +@-]+/)*[\w +@-]+")


def _may_link(name: str) -> bool:
    """Return whether a name may be that of a link to a directory of code; few other files have such names.

    The engine does not tell links from files. One that ends in `.rs` stands in the outline as an empty file.
    """
    return bool(_PLAIN.fullmatch(name))


async def outline(source: dagger.Directory, image: dagger.Container) -> dagger.Directory:
    """The outline of a project.

    Files with a line break in their name are not understood: where cargo does not take an outline, it has to
    be given the project itself.

    Args:
        source: the project.
        image: has a shell and Debian's coreutils and findutils; nothing of the project runs in it.
    """
    there = await source.glob("**/*")
    names = [name for name in there if name.endswith(CODE)]
    read = [*READ, *filter(_may_link, there)]
    made = image.with_directory(_TOP, source.filter(include=read))
    listed = made.with_new_file(_NAMES, "".join(f"{name}\n" for name in sorted(names)))
    return listed.with_exec(["sh", "-ec", _EMPTY]).directory(_TOP)
