"""Bring the few files of an image's root file system that its dynamic loader would look at.

Nothing of the image is run, and an image is never exported whole: a handful of name patterns go to the
engine, what they match comes back as one small export, and where that raises a new question (the library
of a library, the target of a link) another follows. A common Rust program takes one.
"""

from __future__ import annotations

import os
import posixpath
import re
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import dagger

from pipeline.abi import elf
from pipeline.abi.loader import CACHE, Root, default_directories, load, musl_path
from pipeline.errors import VerificationError
from pipeline.targets import Target

USUAL = ("libc.so.6", "libm.so.6", "libgcc_s.so.1")
"""What a Rust program links to of itself, so that they come with the first export."""

_SETTINGS = re.compile(rf"{re.escape(CACHE)}|/etc/ld-musl-[^/]+\.path")
_ROUNDS = 32  # one per level of libraries and per link in a chain; no real image comes near


@dataclass(frozen=True)
class Question:
    """What to bring from a root file system.

    Attributes:
        paths: files to bring where they are there, and links anywhere on the way to them.
        names: file names to bring from wherever they are.
    """

    paths: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()

    def __sub__(self, asked: Question) -> Question:
        return Question(self.paths - asked.paths, self.names - asked.names)

    def __or__(self, asked: Question) -> Question:
        return Question(self.paths | asked.paths, self.names | asked.names)

    def include(self) -> list[str]:
        """The engine's patterns; the last one that matches a file decides, so the order matters.

        A pattern that names a directory means all that is in it, which is taken out again each time: no
        program can make us bring more than single files.
        """
        on_the_way = {
            str(up) for path in self.paths for up in (PurePosixPath(path), *PurePosixPath(path).parents)
        }
        paths = [escape(path) for path in sorted(on_the_way - {"/"})]  # a directory before what is in it
        names = [f"**/{escape(name)}" for name in sorted(self.names)]
        return [line for pattern in (*paths, *names) for line in (pattern, f"!{pattern}/*")]


def escape(path: str) -> str:
    """An absolute path as a pattern that matches it alone."""
    return re.sub(r"([\\*?!\[\]])", r"\\\1", path.lstrip("/"))


def ask(root: Root, programs: Sequence[str], target: Target) -> Question:
    """What has to be known for loading some programs, as far as the root can tell already."""
    paths, names = {CACHE, target.loader, *programs, *default_directories(target)}, set(USUAL)
    for program in programs:
        loaded, found = load(program, target, root), root.get(program)
        paths |= loaded.tried | ({found.interpreter} if found and found.interpreter else set())
        lacking = {missing.library for missing in loaded.missing}
        names |= lacking
        paths |= {path for path in root.links if posixpath.basename(path) in lacking}
    paths |= {musl_path(path) for path in paths} - {""}
    return Question(
        frozenset({root.real(path) for path in paths} - {"", "/"}),
        frozenset(name for name in names if "/" not in name and name not in ("", ".", "..")),
    )


async def bring(container: dagger.Container, programs: Sequence[str], target: Target) -> Root:
    """The root of a container as far as loading some of its programs depends on it.

    Args:
        container: the image.
        programs: absolute paths in it.
        target: its platform.

    Raises:
        VerificationError: a program is not an ELF file.
    """
    root, asked = Root(library_path=await container.env_variable("LD_LIBRARY_PATH") or ""), Question()
    for _ in range(_ROUNDS):
        question = ask(root, programs, target) - asked
        if question == Question():
            break
        with tempfile.TemporaryDirectory() as folder:
            await container.rootfs().filter(include=question.include()).export(folder)
            root = add(root, Path(folder), {root.real(program) for program in programs})
        asked |= question
    return root


def add(root: Root, folder: Path, programs: Iterable[str]) -> Root:
    """A root with the files of an exported directory added; links are read, never followed.

    Raises:
        VerificationError: a file that is one of `programs` is not an ELF file, or a damaged one.
    """
    elves, links, files = dict(root.elves), dict(root.links), dict(root.files)
    for parent, directories, names in os.walk(folder):
        for local in (Path(parent) / name for name in directories + names):
            path = f"/{local.relative_to(folder).as_posix()}"
            if local.is_symlink():
                links[path] = str(local.readlink())
            elif local.is_file() and _SETTINGS.fullmatch(path):
                files[path] = local.read_bytes()
            elif local.is_file():
                elves |= _read(local, path, path in programs)
    return replace(root, elves=elves, links=links, files=files)


def _read(local: Path, path: str, program: bool) -> dict[str, elf.Elf]:
    try:
        return {path: elf.read(local.read_bytes(), path)}
    except VerificationError:
        if program:
            raise
        return {}  # a file that only has a library's name: the loader passes it over
