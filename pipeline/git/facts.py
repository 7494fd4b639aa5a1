"""The facts of a git repository that an image's tags and labels come from.

One shell program asks git for all of them, so that the same questions are put on a user's machine, where
the command line runs git itself, and in a container of the engine, for a repository that a caller handed to
the module. What it prints is read here.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import dagger
from dagger import dag

from pipeline.errors import DirtyTree, NotAGitRepository
from pipeline.toolchain import builder as toolchain
from pipeline.toolchain.versions import BASE

IMAGE = BASE
"""Where git runs for the module: no image of the pipeline has git, and here it is one small layer."""

REPOSITORY = "/repository"

ASK = """
git rev-parse --git-dir > /dev/null
revision=$(git rev-parse --verify --quiet HEAD) || { echo no commit >&2; exit 1; }
time=$(git log -1 --no-show-signature --format=%ct)
here=$(git for-each-ref --format='%(refname:strip=2)' --points-at=HEAD refs/tags)
tags=$(git for-each-ref --format='%(refname:strip=2)' refs/tags)
changes=$(git status --porcelain --untracked-files=normal)
printf 'revision %s\\ntime %s\\n' "$revision" "$time"
printf 'branch %s\\n' "$(git symbolic-ref --quiet --short HEAD || true)"
printf 'default %s\\n' "$(git symbolic-ref --quiet refs/remotes/origin/HEAD || true)"
printf 'remote %s\\n' "$(git config --get remote.origin.url || true)"
printf 'shallow %s\\n' "$(git rev-parse --is-shallow-repository)"
printf '%s\\n' "$here" | sed 's/^/here /'
printf '%s\\n' "$tags" | sed 's/^/tag /'
printf '%s\\n' "$changes" | sed 's/^/change /'
"""
"""The questions, for `sh -e` in the repository: one `name value` a line."""

FILTERED = (
    "git ls-files -z --cached --ignored --exclude-standard | git update-index -z --skip-worktree --stdin"
)
"""Keeps git from missing files that are committed and match .gitignore: Dagger leaves those out."""


@dataclass(frozen=True)
class Facts:
    """What git knows of the checkout.

    Attributes:
        revision: the commit's full hash.
        time: when it was committed, in seconds since 1970.
        branch: the branch that is checked out, empty for a detached head.
        tags: tags that name this commit.
        all_tags: every tag of the repository.
        remote: where `origin` can be looked at with a browser, without credentials; empty for a local path.
        dirty: a file differs from the commit, or is new and not ignored.
        shallow: the history is cut off, so tags may be missing.
        default_branch: the branch that `origin` has checked out, empty where git was not told.
    """

    revision: str
    time: int
    branch: str = ""
    tags: tuple[str, ...] = ()
    all_tags: tuple[str, ...] = ()
    remote: str = ""
    dirty: bool = False
    shallow: bool = False
    default_branch: str = ""

    @property
    def short(self) -> str:
        """The first seven digits of the revision, as the metadata action writes it."""
        return self.revision[:7]


def parse(printed: str) -> Facts:
    """The facts that `ASK` printed."""
    found: dict[str, list[str]] = {}
    for line in printed.splitlines():
        name, _, value = line.partition(" ")
        if value:
            found.setdefault(name, []).append(value)

    def only(name: str) -> str:
        return found.get(name, [""])[0]

    return Facts(
        revision=only("revision"),
        time=int(only("time")),
        branch=only("branch"),
        tags=tuple(found.get("here", ())),
        all_tags=tuple(found.get("tag", ())),
        remote=browsable(only("remote")),
        dirty="change" in found,
        shallow=only("shallow") == "true",
        default_branch=only("default").removeprefix("refs/remotes/origin/"),
    )


_SCP = re.compile(r"(?:[^@/:]+@)?(?P<host>[^/:@]+):(?P<path>(?!/{2}).+)")


def browsable(remote: str) -> str:
    """The web address of a git remote: without user name, password, port of ssh, `.git` and query.

    A remote that is a path of this machine has none; it must not get into an image. Nor has what is no URL.
    """
    if "://" in remote:
        try:
            parts = urlsplit(remote)
            number = parts.port
        except ValueError:
            return ""
        host, path, web = parts.hostname or "", parts.path, parts.scheme in ("http", "https")
        if parts.scheme == "file" or not host:
            return ""
        scheme = parts.scheme if web else "https"
        port = f":{number}" if web and number else ""
    elif match := _SCP.fullmatch(remote):
        scheme, host, port, path = "https", match["host"], "", match["path"]
    else:
        return ""
    return f"{scheme}://{host}{port}/{path.strip('/').removesuffix('.git')}"


@dataclass(frozen=True)
class Failure:
    """A message of git or the shell and what it means to the user."""

    pattern: str
    what: str
    fix: str


# fmt: off
FAILURES: tuple[Failure, ...] = (
    Failure(r"not a git repository: (?!\(or)", "this .git only points at a repository elsewhere",
            "pass the main checkout instead of a worktree or submodule, or use the command line there"),
    Failure(r"not a git repository", "there is no git repository here",
            "run in a git checkout, or name tags and labels yourself"),
    Failure(r"no commit", "the git repository has no commit yet", "commit once"),
    Failure(r"dubious ownership", "git refuses a repository that another user owns",
            "run as its owner, or add it with `git config --global --add safe.directory PATH`"),
    Failure(r"git: .*not found", "git is not installed", "install git, or name tags and labels yourself"),
    Failure(r"", "git cannot read the repository", "correct what git reports above"),
)
# fmt: on


def explain(output: str, where: str) -> NotAGitRepository:
    """The error that git's output means, carrying it whole."""
    failure = next(failure for failure in FAILURES if re.search(failure.pattern, output))
    return NotAGitRepository(failure.what, where=where, fix=failure.fix, output=output)


def require_clean(facts: Facts) -> None:
    """Accept a checkout only if it is exactly its commit.

    Raises:
        DirtyTree: a file differs from the commit, or is new.
    """
    if facts.dirty:
        raise DirtyTree(
            f"the working tree is not what commit {facts.short} says",
            where="--require-clean",
            fix="commit or stash what `git status` lists, or add it to .gitignore",
        )


def read_here(directory: Path) -> Facts:
    """The facts of the repository that a directory of this machine lies in.

    Raises:
        NotAGitRepository: it lies in none, or git cannot read it.
    """
    command: Sequence[str] = ("sh", "-ec", ASK)
    ran = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise explain(ran.stderr, str(directory))
    return parse(ran.stdout)


def read_if_any(directory: Path) -> Facts | None:
    """The facts of the repository that a directory of this machine lies in; None where it lies in none.

    Raises:
        NotAGitRepository: there is one, and git cannot read it.
    """
    try:
        return read_here(directory)
    except NotAGitRepository:
        if any((folder / ".git").exists() for folder in (directory, *directory.resolve().parents)):
            raise
        return None


async def read(repository: dagger.Directory) -> Facts:
    """The facts of a repository that a caller handed over, with its `.git`.

    git runs in a container, which takes seconds once and is cached for as long as the repository is the
    same; the engine's own git API gives neither a commit's time nor the tags of a commit.

    Raises:
        NotAGitRepository: it has no `.git`, or git cannot read it.
    """
    container = toolchain.with_packages(dag.container().from_(IMAGE), ["git"])
    # The files are root's here and someone else's in the index of a checkout.
    container = container.with_exec(["git", "config", "--global", "safe.directory", "*"])
    container = container.with_mounted_directory(REPOSITORY, repository).with_workdir(REPOSITORY)
    try:
        return parse(await container.with_exec(["sh", "-ec", f"{FILTERED}\n{ASK}"]).stdout())
    except dagger.ExecError as error:
        raise explain(error.stderr, "the git repository") from error
