"""The facts of a git repository that an image's tags and labels come from.

One shell program, `ask.sh`, asks git for all of them: on a user's machine, where the command line runs git
itself, and in a container of the engine, for a repository that a caller handed to the module. What it prints
is read here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import dagger
from dagger import dag

from pipeline.config import private
from pipeline.errors import DirtyTree, NotAGitRepository
from pipeline.git import command
from pipeline.toolchain import builder as toolchain
from pipeline.toolchain.versions import BASE

IMAGE = BASE
"""Where git runs for the module: no image of the pipeline has git, and here it is one small layer."""

REPOSITORY = "/repository"

ASK = Path(__file__).with_name("ask.sh")
"""The questions, as a shell program for the top of a checkout."""


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
        changed: files that git tracks and that differ from the commit, those of submodules too.
        untracked: files and directories (with `/` at their end) that are new and not ignored.
        shallow: the history is cut off, so tags may be missing.
        default_branch: the branch that `origin` has checked out, empty where git was not told.
    """

    revision: str
    time: int
    branch: str = ""
    tags: tuple[str, ...] = ()
    all_tags: tuple[str, ...] = ()
    remote: str = ""
    changed: tuple[str, ...] = ()
    untracked: tuple[str, ...] = ()
    shallow: bool = False
    default_branch: str = ""

    @property
    def dirty(self) -> bool:
        """Whether what git tracks is not what the commit says."""
        return bool(self.changed)

    @property
    def short(self) -> str:
        """The first seven digits of the revision, as the metadata action writes it."""
        return self.revision[:7]


def parse(printed: str) -> Facts:
    """The facts that `ASK` printed."""
    found: dict[str, list[str]] = {}
    folder = ""
    for line in printed.split("\n"):
        name, _, value = line.partition(" ")
        if name == "in":
            folder = value
        elif name == "change" and value:
            kind = "untracked" if value.startswith("??") else "changed"
            found.setdefault(kind, []).append(folder + unquoted(value[3:]))
        elif value:
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
        changed=tuple(found.get("changed", ())),
        untracked=tuple(path for path in found.get("untracked", ()) if not private.is_private(path)),
        shallow=only("shallow") == "true",
        default_branch=only("default").removeprefix("refs/remotes/origin/"),
    )


_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", '"': '"', "\\": "\\"}


def unquoted(path: str) -> str:
    """Return a path that git may have quoted as a string of C (git-config(1), `core.quotePath`)."""
    if not path.startswith('"'):
        return path

    def character(match: re.Match[str]) -> str:
        text = match[1]
        return _ESCAPES[text] if text in _ESCAPES else chr(int(text, 8))

    octets = re.sub(r"\\([0-7]{3}|.)", character, path[1:-1])
    return octets.encode("latin-1", "replace").decode(errors="replace")


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
    Failure(r"", "git cannot read the repository", "correct what git reports above"),
)
# fmt: on


def explain(output: str, where: str) -> NotAGitRepository:
    """The error that git's output means, carrying it whole."""
    failure = next(failure for failure in FAILURES if re.search(failure.pattern, output))
    return NotAGitRepository(failure.what, where=where, fix=failure.fix, output=output)


SHOWN = 10
"""Files that a message names before it only counts."""


def listed(paths: Sequence[str]) -> str:
    """Return paths for a message, the first ones by name."""
    more = len(paths) - SHOWN
    return ", ".join(paths[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def differences(facts: Facts) -> list[str]:
    """Return sentences about what is built besides the commit, and the files that they are about."""
    found = []
    if facts.changed:
        found.append(f"tracked files differ from commit {facts.short}: {listed(facts.changed)}")
    if facts.untracked:
        found.append(f"files that git does not track are built in too: {listed(facts.untracked)}")
    return found


def require_clean(facts: Facts) -> None:
    """Accept a checkout only if what is built from it is exactly its commit.

    Raises:
        DirtyTree: a file differs from the commit, or is new; the message names them.
    """
    found = [f"changed: {listed(facts.changed)}"] if facts.changed else []
    found += [f"not tracked: {listed(facts.untracked)}"] if facts.untracked else []
    if found:
        raise DirtyTree(
            f"the working tree is not what commit {facts.short} says; {'; '.join(found)}",
            where="--require-clean",
            fix="commit or stash these files; a file that is not part of the project, add to .gitignore",
        )


def require_release(facts: Facts, tag: str) -> None:
    """Accept a release only if no file that git tracks was changed.

    Raises:
        DirtyTree: a tracked file differs from the commit; the message names them.
    """
    if facts.changed:
        raise DirtyTree(
            f"the release {tag} is built from files that are not those of its commit {facts.short}: "
            + listed(facts.changed),
            where="the git repository",
            fix="undo the changes (`git stash`), or pass --allow-dirty for an image that is called dirty",
        )


def read_here(directory: Path) -> Facts:
    """The facts of the repository that a directory of this machine lies in.

    Raises:
        NotAGitRepository: it lies in none, or git cannot read it.
    """
    top = command.top(directory)
    if top is None:
        raise explain("not a git repository (or", str(directory))
    ran = command.run(["sh", str(ASK)], top)
    if ran.returncode:
        raise explain(ran.stderr, str(directory))
    return parse(ran.stdout)


def read_if_any(directory: Path) -> Facts | None:
    """The facts of the repository that a directory of this machine lies in; None where it lies in none.

    Raises:
        NotAGitRepository: there is one, and git cannot read it.
    """
    return read_here(directory) if command.top(directory) else None


def container(repository: dagger.Directory) -> dagger.Container:
    """Return a container with git and a checkout, of which git starts nothing."""
    made = toolchain.with_packages(dag.container().from_(IMAGE), ["git"])
    # The files are root's here and someone else's in the index of a checkout.
    made = made.with_exec(["git", "config", "--global", "safe.directory", "*"])
    made = made.with_mounted_directory(REPOSITORY, repository).with_workdir(REPOSITORY)
    for name, value in command.environment({}).items():
        made = made.with_env_variable(name, value)
    return made


async def read(repository: dagger.Directory) -> Facts:
    """The facts of a repository that a caller handed over, with its `.git`.

    git runs in a container, which takes seconds once and is cached for as long as the repository is the
    same; the engine's own git API gives neither a commit's time nor the tags of a commit. Dagger leaves
    tracked files that .gitignore names out of a directory: they are among the changed ones, since what is
    built lacks them.

    Raises:
        NotAGitRepository: it has no `.git`, or git cannot read it.
    """
    program = f"/{ASK.name}"
    asking = container(repository).with_new_file(program, ASK.read_text())
    try:
        return parse(await asking.with_exec(["sh", program]).stdout())
    except dagger.ExecError as error:
        raise explain(error.stderr, "the git repository") from error
