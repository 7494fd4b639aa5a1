"""Find build scripts and macros that call git, before compiling: the source has no `.git`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pipeline.project.tree import TreeCrate


@dataclass(frozen=True)
class GitUser:
    """A row: a crate whose macro or build script calls git.

    Attributes:
        name: the crate's name.
        features: features of which one must be enabled; empty if it always calls git.
        source: the documentation.
    """

    name: str
    features: frozenset[str] = frozenset()
    source: str = ""


# fmt: off
TABLE = (
    GitUser("vergen", frozenset({"git", "gitcl", "git2", "gix"}), "docs.rs/vergen, Features"),
    GitUser("vergen-git2", source="docs.rs/vergen-git2"),
    GitUser("vergen-gitcl", source="docs.rs/vergen-gitcl"),
    GitUser("vergen-gix", source="docs.rs/vergen-gix"),
    GitUser("built", frozenset({"git2"}), "docs.rs/built, Feature flags"),
    GitUser("git-version", source="docs.rs/git-version"),
    GitUser("shadow-rs", source="docs.rs/shadow-rs"),
    GitUser("git-testament", source="docs.rs/git-testament"),
    GitUser("build-info-build", source="docs.rs/build-info-build"),
    GitUser("rustc_tools_util", source="docs.rs/rustc_tools_util, get_commit_hash"),
)
# fmt: on

_BY_NAME = {row.name: row for row in TABLE}
_STARTS = re.compile(
    r'"git"|"git (?:describe|rev-parse|rev-list|log|show|status|diff|tag|branch|config)\b'
    r'|"\.git"|(?<![\w-])\.git/|\bgit2::|\bgix::|Repository::(?:open|discover)'
)
"""The name of the program, alone or before a command; the path of its directory; its libraries."""

_DECLARED = re.compile(r'rerun-if-changed=[^"]*')
"""A declaration for cargo, which reads nothing (the cargo book, "Build Scripts")."""

ADVICE = "--git-metadata hands over the commit and its tags; or pass the value with --build-arg"


def crates(found: Iterable[TreeCrate]) -> list[str]:
    """Return the names of the crates that call git."""
    rows = [(crate, _BY_NAME[crate.name]) for crate in found if crate.name in _BY_NAME]
    return sorted({crate.name for crate, row in rows if not row.features or row.features & crate.features})


def starts_git(build_script: str) -> bool:
    """Return True if a build script calls git, judging by its text."""
    return _STARTS.search(_DECLARED.sub("", build_script)) is not None


def warnings(found: Iterable[TreeCrate], scripts: Mapping[str, str]) -> list[str]:
    """Return warnings about crates and build scripts that call git and will not find a commit.

    Args:
        found: the crates of the build.
        scripts: the text of the build script of each package of the project, by the package's name.
    """
    asking = [f"the build script of {name}" for name, text in scripts.items() if starts_git(text)]
    asking += [f"the crate {name}" for name in crates(found)]
    return [f"{what} asks git, and .git is no part of the source: {ADVICE}" for what in asking]
