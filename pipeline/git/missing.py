"""Add the tracked files that .gitignore names to a directory from Dagger, which leaves them out."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from pipeline.config import private
from pipeline.git import facts
from pipeline.printable import say
from pipeline.sdk import dagger

PROGRAM = Path(__file__).with_name("missing.sh")
_INDEX = ("index", "sharedindex.*")
"""The files of a git directory that list what is tracked (gitrepository-layout(5))."""

ELSEWHERE = (
    "warning: this is a git worktree or submodule, whose list of files is not in it: tracked files that "
    ".gitignore names are not part of the source. Build with the command line to have them"
)


async def tracked(workspace: dagger.Workspace, source: dagger.Directory) -> dagger.Directory | None:
    """Return the tracked files of the caller's workspace that a source made of it lacks; None if it has all.

    Of the git directory the engine gets the index, and nothing else.

    Raises:
        NotAGitRepository: git cannot read the index.
    """
    kept = [f"!.git/{name}" for name in _INDEX]
    index = workspace.directory("/", include=[".git"], exclude=[".git/*", *kept])
    entries = await index.glob("**/*")
    if ".git" in entries:
        say(ELSEWHERE)
    if ".git/index" not in entries:
        return None
    program, at = f"/{PROGRAM.name}", "/index"
    asking = facts.container(source).with_mounted_directory(at, index.directory(".git"))
    asking = asking.with_new_file(program, PROGRAM.read_text())
    try:
        printed = await asking.with_exec(["sh", program, at, facts.REPOSITORY]).stdout()
    except dagger.ExecError as error:
        raise facts.explain(error.stderr, "the caller's workspace") from error
    paths = [facts.unquoted(line) for line in printed.splitlines()]
    return workspace.directory("/", include=patterns(paths), exclude=private.NEVER) if paths else None


_SPECIAL = re.compile(r"[*?\[\]\\!]|^\s|\s$")


def patterns(paths: Iterable[str]) -> list[str]:
    """Return patterns of Dagger, each for one of these paths alone."""
    return [_escaped(path) if _SPECIAL.search(path) else path for path in paths]


def _escaped(path: str) -> str:
    """Return a path as a pattern that is matched as a regular expression of Go; spaces at its ends count."""
    characters = re.sub(r"[!-.:-@\[-`{-~]", r"\\\g<0>", path)
    return re.sub(r"^\s|\s$", r"[\g<0>]", characters)
