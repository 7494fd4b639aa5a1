"""Read the facts of a git repository from which tags and labels are derived.

The shell program `ask.sh` prints all of them. The command line runs it on the user's machine; the module runs
it in a container, on a repository passed by the caller. This module parses its output.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pipeline import releases
from pipeline.config import private
from pipeline.errors import DirtyTree, NotAGitRepository
from pipeline.git import command
from pipeline.sdk import dag, dagger
from pipeline.toolchain import builder as toolchain

IMAGE = releases.DEFAULT.base
"""The image in which the module runs git, which no other image of the pipeline has."""

REPOSITORY = "/repository"

ASK = Path(__file__).with_name("ask.sh")
"""The shell program that prints the facts, run at the top of a checkout."""


@dataclass(frozen=True)
class Facts:
    """The facts of a checkout.

    Attributes:
        revision: the commit's full hash.
        time: its commit time, in seconds since 1970.
        branch: the current branch; empty for a detached head.
        tags: tags of this commit.
        all_tags: all tags of the repository.
        remote: web address of `origin`, without credentials; empty for a local path.
        changed: tracked files that differ from the commit, including those of submodules.
        untracked: files and directories (with `/` at their end) that are new and not ignored.
        added: files and directories that are built in although git ignores them or they are outside the
            checkout.
        shallow: the clone is shallow, so tags may be missing.
        default_branch: the default branch of `origin`; empty if unknown.
    """

    revision: str
    time: int
    branch: str = ""
    tags: tuple[str, ...] = ()
    all_tags: tuple[str, ...] = ()
    remote: str = ""
    changed: tuple[str, ...] = ()
    untracked: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    shallow: bool = False
    default_branch: str = ""

    @property
    def dirty(self) -> bool:
        """Return True if tracked files differ from the commit; then the image is not the commit's."""
        return bool(self.changed)

    @property
    def marked(self) -> bool:
        """Return True if tracked files differ from the commit, or other files were added on purpose."""
        return bool(self.changed or self.added)

    @property
    def exact(self) -> bool:
        """Return True if what is built is nothing but files of the commit."""
        return not (self.marked or self.untracked)

    @property
    def short(self) -> str:
        """Return the first seven digits of the revision, like docker's metadata action."""
        return self.revision[:7]


def parse(printed: str) -> Facts:
    """Parse the output of `ASK`."""
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
        return chr(int(text, 8)) if len(text) == 3 else _ESCAPES.get(text, text)

    octets = re.sub(r"\\([0-7]{3}|.)", character, path[1:-1])
    return octets.encode("latin-1", "replace").decode(errors="replace")


_SCP = re.compile(r"(?:[^@/:]+@)?(?P<host>[^/:@]+):(?P<path>(?!/{2}).+)")


def browsable(remote: str) -> str:
    """Return the web address of a git remote, without credentials, ssh port, `.git` and query.

    It is empty for anything else than a URL: a local path must not get into an image.
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
    """Return the error for git's output, with the complete output."""
    failure = next(failure for failure in FAILURES if re.search(failure.pattern, output))
    return NotAGitRepository(failure.what, where=where, fix=failure.fix, output=output)


SHOWN = 10
"""The number of files that a message names; it only counts the others."""


def listed(paths: Sequence[str]) -> str:
    """Return paths for a message, the first ones by name."""
    more = len(paths) - SHOWN
    return ", ".join(paths[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def differences(facts: Facts) -> list[str]:
    """Return sentences about the differences between the checkout and its commit."""
    found = []
    if facts.changed:
        found.append(f"tracked files differ from commit {facts.short}: {listed(facts.changed)}")
    if facts.untracked:
        found.append(f"files that git does not track are built in too: {listed(facts.untracked)}")
    if facts.added:
        found.append(f"files that no clean checkout has are built in too: {listed(facts.added)}")
    return found


def require_clean(facts: Facts) -> None:
    """Reject a checkout that differs from its commit.

    Raises:
        DirtyTree: a file differs from the commit, or is new; the message names them.
    """
    found = [f"changed: {listed(facts.changed)}"] if facts.changed else []
    extra = (*facts.untracked, *facts.added)
    found += [f"not tracked: {listed(extra)}"] if extra else []
    if found:
        raise DirtyTree(
            f"the working tree is not what commit {facts.short} says; {'; '.join(found)}",
            where="--require-clean",
            fix="commit or stash these files; a file that is not part of the project, add to .gitignore",
        )


def require_release(facts: Facts, tag: str) -> None:
    """Reject a release with changed tracked files.

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
    """Return the facts of the repository around a local directory.

    Raises:
        NotAGitRepository: there is no repository, or git cannot read it.
    """
    top = command.top(directory)
    if top is None:
        raise explain("not a git repository (or", str(directory))
    ran = command.run(["sh", str(ASK)], top)
    if ran.returncode:
        raise explain(ran.stderr, str(directory))
    return parse(ran.stdout)


def read_if_any(directory: Path) -> Facts | None:
    """Return the facts of the repository around a local directory; None if there is no repository.

    Raises:
        NotAGitRepository: git cannot read it.
    """
    return read_here(directory) if command.top(directory) else None


def container(repository: dagger.Directory) -> dagger.Container:
    """Return a container with git and a checkout, in which git runs no program of the repository."""
    made = toolchain.with_packages(dag.container().from_(IMAGE), ["git"])
    # The files belong to root here, and to another user in the checkout's index.
    made = made.with_exec(["git", "config", "--global", "safe.directory", "*"])
    made = made.with_mounted_directory(REPOSITORY, repository).with_workdir(REPOSITORY)
    for name, value in command.environment({}).items():
        made = made.with_env_variable(name, value)
    return made


async def read(repository: dagger.Directory) -> Facts:
    """Return the facts of a repository passed by the caller, with its `.git`.

    git runs in a container, which takes a few seconds and is cached until the repository changes; the
    engine's git API has neither commit times nor the tags of a commit. Dagger leaves out tracked files that
    match .gitignore. They count as changed, since the build lacks them. It does not leave out files in
    .git/info/exclude, which count as untracked.

    Raises:
        NotAGitRepository: it has no `.git`, or git cannot read it.
    """
    program = f"/{ASK.name}"
    asking = container(repository).with_new_file(program, ASK.read_text())
    try:
        return parse(await asking.with_exec(["sh", program, ".gitignore"]).stdout())
    except dagger.ExecError as error:
        raise explain(error.stderr, "the git repository") from error
