"""List the files of a checkout by git's rules: tracked, new and ignored ones."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import NotAGitRepository
from pipeline.git import command

_IGNORED = ("ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory")
_UNTRACKED = ("ls-files", "-z", "--others", "--exclude-standard", "--directory", "--no-empty-directory")
_TRACKED = ("ls-files", "-z", "--stage", "-t")
_MODULE = " 160000 "
"""A part of a submodule's entry (git-ls-files(1), `--stage`)."""

_LARGE = ("ls-files", "-z", "--", ":(top,attr:filter=lfs)")
_NOT_CHECKED_OUT = "S "
"""The start of the entry of a file that a sparse checkout leaves out (git-ls-files(1), `-t`)."""


@dataclass(frozen=True)
class Listing:
    """The files below a directory by their state in git, as paths relative to it.

    Attributes:
        ignored: files and directories (with `/` at their end) that are ignored and not tracked.
        untracked: files and directories that are neither ignored nor tracked.
        tracked: tracked files, including submodules and their files.
        modules: the submodules.
        sparse: tracked files that a sparse checkout leaves out.
        large: files that git-lfs keeps, or their pointers.
    """

    ignored: tuple[str, ...] = ()
    untracked: tuple[str, ...] = ()
    tracked: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    sparse: tuple[str, ...] = ()
    large: tuple[str, ...] = ()


def listing(top: Path, within: Sequence[str] = ()) -> Listing:
    """List the files of a checkout.

    Args:
        top: its top; outside a repository, the top directory of untracked files, to which .gitignore still
            applies.
        within: outside a repository, the paths to list, relative to the top; empty means all.

    Raises:
        NotAGitRepository: git is not installed, or fails.
    """
    if (top / ".git").exists():
        return _checkout(top)
    with tempfile.TemporaryDirectory() as empty:
        made = command.run(["git", "init", "--quiet", "--bare", empty], Path(empty))
        _check(made.returncode, made.stderr, top)
        return _listed([f"--git-dir={empty}", f"--work-tree={top}"], top, within)


def _checkout(top: Path) -> Listing:
    """List a checkout and the submodules that are checked out in it."""
    found = _listed([], top)
    modules = [module for module in found.modules if (top / module / ".git").exists()]
    return joined([found, *(below(_checkout(top / module), module) for module in modules)])


def below(listing: Listing, directory: str) -> Listing:
    """Return a listing with paths relative to a parent; `directory` is the listing's own in it."""
    start = f"{directory}/" if directory else ""
    return Listing(*(tuple(f"{start}{path}" for path in paths) for paths in _columns(listing)))


def joined(listings: Iterable[Listing]) -> Listing:
    """Merge listings."""
    columns = zip(*map(_columns, listings), strict=True)
    return Listing(*(tuple(itertools.chain.from_iterable(column)) for column in columns))


def _columns(listing: Listing) -> tuple[tuple[str, ...], ...]:
    return listing.ignored, listing.untracked, listing.tracked, listing.modules, listing.sparse, listing.large


def _listed(options: Sequence[str], top: Path, within: Sequence[str] = ()) -> Listing:
    paths = ["--", *(f":(top,literal){path}" for path in within)] if within else []

    def ask(words: Sequence[str], paths: Sequence[str] = paths) -> list[str]:
        ran = command.run(["git", *options, *words, *paths], top)
        _check(ran.returncode, ran.stderr, top)
        return list(filter(None, ran.stdout.split("\0")))

    entries = [entry.partition("\t")[::2] for entry in ask(_TRACKED)]
    return Listing(
        _outermost(ask(_IGNORED)),
        _outermost(ask(_UNTRACKED)),
        tuple(path for _, path in entries),
        tuple(path for about, path in entries if _MODULE in about),
        tuple(path for about, path in entries if about.startswith(_NOT_CHECKED_OUT)),
        () if options else tuple(ask(_LARGE, ())),
    )


def _outermost(paths: Sequence[str]) -> tuple[str, ...]:
    """Leave out paths in directories that are also listed."""
    kept: list[str] = []
    for path in sorted(paths):
        if not (kept and kept[-1].endswith("/") and path.startswith(kept[-1])):
            kept.append(path)
    return tuple(kept)


def _check(code: int, output: str, top: Path) -> None:
    if code:
        raise NotAGitRepository(
            "git cannot list the files", where=str(top), fix="correct what git reports above", output=output
        )
