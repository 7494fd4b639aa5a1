"""Run the shell programs of this package, the `*.sh` files beside its modules, in containers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

PIPELINE = Path(__file__).parent


def text(path: str) -> str:
    """Return a program, named by its path in this package: `native/debian.sh`."""
    return (PIPELINE / path).read_text()


def command(path: str, *arguments: str) -> list[str]:
    """Return the command that runs a program in a container without adding it to the container's files."""
    program = text(path)
    shell = program.partition("\n")[0].rpartition("/")[2]
    return [shell, "-c", program, path, *arguments]


def counted(words: Sequence[str]) -> list[str]:
    """Return a command as arguments for a program that runs several: its number of words, then the words."""
    return [str(len(words)), *words]
