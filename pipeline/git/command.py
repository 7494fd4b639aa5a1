"""Run git on a checkout whose configuration is not trusted.

A repository's own configuration can name programs that git starts: a file system monitor, hooks, filters,
a pager, a signature checker. It comes with an unpacked archive, with a bare repository that is committed in
a subdirectory, or from an earlier step of a CI job. Every git process on this machine starts here.
"""

from __future__ import annotations

import functools
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import NotAGitRepository


@dataclass(frozen=True)
class Override:
    """A git setting that a repository must not choose, and its fixed value."""

    key: str
    value: str
    why: str


# Source: git-config(1). A value from the environment has precedence over every file.
# fmt: off
OVERRIDES = (
    Override("safe.bareRepository", "explicit", "a committed directory can be a bare repository"),
    Override("core.fsmonitor", "false", "starts a program when the index is read"),
    Override("core.hooksPath", os.devnull, "hooks run when the index is written"),
    Override("core.pager", "cat", "starts a program for output"),
    Override("core.editor", "true", "starts a program for messages"),
    Override("core.sshCommand", "false", "starts a program for a fetch"),
    Override("core.askPass", "true", "starts a program for passwords"),
    Override("core.alternateRefsCommand", "true", "starts a program for alternates"),
    Override("credential.helper", "", "starts a program for passwords"),
    Override("diff.external", "", "starts a program for differences"),
    Override("gpg.program", "false", "starts a program for signatures"),
    Override("log.showSignature", "false", "starts the program for signatures"),
    Override("gc.auto", "0", "starts a process in the background"),
    Override("maintenance.auto", "false", "starts a process in the background"),
    Override("protocol.allow", "never", "a partial clone fetches what is missing, by programs too"),
)

VARIABLES = {
    "GIT_ALLOW_PROTOCOL": "",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_PAGER": "cat",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
}
"""Variables of git(1): no fetches, replaced commits, changes of the index, prompts or translated messages."""

CLEARED = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_ASKPASS", "GIT_ATTR_SOURCE", "GIT_COMMON_DIR", "GIT_CONFIG",
    "GIT_DIR", "GIT_EXTERNAL_DIFF", "GIT_GRAFT_FILE", "GIT_IMPLICIT_WORK_TREE", "GIT_INDEX_FILE",
    "GIT_INTERNAL_SUPER_PREFIX", "GIT_NAMESPACE", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX",
    "GIT_REPLACE_REF_BASE", "GIT_SHALLOW_FILE", "GIT_WORK_TREE", "SSH_ASKPASS",
)
"""Variables that select another repository than the directory's; they are set in hooks."""
# fmt: on

OLDEST = (2, 31)
"""The first version of git that reads settings from the environment."""

_COUNT = "GIT_CONFIG_COUNT"


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which git runs no program of a repository, except filters.

    A repository chooses the names of its filters; `ask.sh` overrides those that it finds.
    """
    kept = {name: value for name, value in environ.items() if name not in CLEARED}
    counted = kept.get(_COUNT, "")
    first = int(counted) if counted.isdecimal() else 0
    for number, override in enumerate(OVERRIDES, first):
        kept[f"GIT_CONFIG_KEY_{number}"] = override.key
        kept[f"GIT_CONFIG_VALUE_{number}"] = override.value
    return kept | VARIABLES | {_COUNT: str(first + len(OVERRIDES))}


def top(directory: Path, environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return the top directory of the checkout around a directory; None outside a checkout.

    git itself also accepts a directory that looks like a bare repository. Here only `.git` counts.
    """
    ceilings = {Path(each) for each in environ.get("GIT_CEILING_DIRECTORIES", "").split(os.pathsep) if each}
    here = directory.resolve()
    for folder in (here, *here.parents):
        if folder in ceilings and folder != here:
            return None
        if (folder / ".git").exists():
            return folder
    return None


def run(command: Sequence[str], directory: Path, text: str = "") -> subprocess.CompletedProcess[str]:
    """Run a program that calls git, in the directory of a checkout.

    Args:
        command: the program and its arguments.
        directory: where it runs.
        text: its standard input.

    Raises:
        NotAGitRepository: git is not installed, or too old to be prevented from running programs.
    """
    environ = environment(os.environ)
    _check_version(environ.get("PATH", ""))
    return subprocess.run(
        command,
        cwd=directory,
        env=environ,
        input=text,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        check=False,
    )


@functools.cache
def _check_version(path: str) -> None:
    """Check that git reads settings from the environment; `path` is the PATH to find it on."""
    try:
        printed = subprocess.run(
            ["git", "version"], capture_output=True, text=True, check=False, env={"PATH": path}
        ).stdout
    except FileNotFoundError:
        raise NotAGitRepository(
            "git is not installed", where="git", fix="install git, or name tags and labels yourself"
        ) from None
    found = re.search(r"(\d+)\.(\d+)", printed)
    if found and (int(found[1]), int(found[2])) < OLDEST:
        raise NotAGitRepository(
            f"git {found[0]} cannot be kept from running programs that a repository names",
            where="git",
            fix=f"install git {OLDEST[0]}.{OLDEST[1]} or newer, or name tags and labels yourself",
        )
