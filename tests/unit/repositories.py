"""Make real git repositories for tests."""

import atexit
import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

EPOCH = 1_700_000_000
_IDENTITY = {
    **{f"GIT_{role}_{what}": "me" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    **{f"GIT_{role}_DATE": f"{EPOCH} +0000" for role in ("AUTHOR", "COMMITTER")},
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
}


def git(directory: Path, *arguments: str) -> str:
    """Run git in a directory, with a fixed author and time; return its output."""
    command = ["git", "-c", "protocol.file.allow=always", *arguments]
    ran = subprocess.run(
        command, cwd=directory, env={**os.environ, **_IDENTITY}, capture_output=True, text=True, check=True
    )
    return ran.stdout.strip()


def commit(directory: Path, name: str, text: str = "") -> str:
    """Write a file and commit it; return the commit."""
    (directory / name).write_text(text)
    git(directory, "add", "--force", name)
    git(directory, "commit", "--quiet", "--message", name)
    return git(directory, "rev-parse", "HEAD")


def repository(directory: Path) -> Path:
    """Make a repository with one commit on main."""
    shutil.copytree(_template(), directory, symlinks=True, dirs_exist_ok=True)
    return directory


@functools.cache
def _template() -> Path:
    """Return a repository to copy, made once per process: a commit takes git four times as long as a copy."""
    directory = Path(tempfile.mkdtemp(prefix="rust-multiarch-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    git(directory, "init", "--quiet", "--initial-branch", "main")
    commit(directory, "first")
    for sample in (directory / ".git/hooks").glob("*.sample"):
        sample.unlink()
    return directory
