"""Export the files of an image's root filesystem that its dynamic loader would use.

No image is run or exported whole. File name patterns go to the engine, and the matching files come back as
one small export. If these need more files (the libraries of a library, the target of a link), another export
follows. Most Rust programs take one export.
"""

from __future__ import annotations

import os
import posixpath
import re
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from pipeline.abi import elf
from pipeline.abi.loader import CACHE, Root, default_directories, load, musl_path
from pipeline.errors import VerificationError
from pipeline.oci.layout import digest_of_file
from pipeline.sdk import dagger
from pipeline.targets import Target

USUAL = ("libc.so.6", "libm.so.6", "libgcc_s.so.1")
"""Libraries of most Rust programs, included in the first export."""

_SETTINGS = re.compile(rf"{re.escape(CACHE)}|/etc/ld-musl-[^/]+\.path")
_ROUNDS = 32  # one per level of libraries and per link in a chain; real images need far fewer


@dataclass(frozen=True)
class FileSelection:
    """The files to export from a root filesystem.

    Attributes:
        paths: files to export if they exist, with the links on the way to them.
        names: file names to export from any directory.
    """

    paths: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()

    def __sub__(self, other: FileSelection) -> FileSelection:
        return FileSelection(self.paths - other.paths, self.names - other.names)

    def __or__(self, other: FileSelection) -> FileSelection:
        return FileSelection(self.paths | other.paths, self.names | other.names)

    def include(self) -> list[str]:
        """Return the engine's patterns in order; the last one that matches a file decides.

        A pattern that matches a directory would include its content, so each is followed by one that excludes
        the content again. Only single files are exported.
        """
        on_the_way = {
            str(up) for path in self.paths for up in (PurePosixPath(path), *PurePosixPath(path).parents)
        }
        paths = [escape(path) for path in sorted(on_the_way - {"/"})]  # a directory before what is in it
        names = [f"**/{escape(name)}" for name in sorted(self.names)]
        return [line for pattern in (*paths, *names) for line in (pattern, f"!{pattern}/*")]


def escape(path: str) -> str:
    """Quote an absolute path as a pattern that matches only this path."""
    return re.sub(r"([\\*?!\[\]])", r"\\\1", path.lstrip("/"))


def required_files(root: Root, programs: Sequence[str], target: Target) -> FileSelection:
    """Return the files needed to load some programs, given the files already in the root."""
    paths, names = {CACHE, target.loader, *programs, *default_directories(target)}, set(USUAL)
    for program in programs:
        loaded, found = load(program, target, root), root.get(program)
        paths |= loaded.tried | ({found.interpreter} if found and found.interpreter else set())
        lacking = {missing.library for missing in loaded.missing}
        names |= lacking
        paths |= {path for path in root.links if posixpath.basename(path) in lacking}
    paths |= {musl_path(path) for path in paths} - {""}
    return FileSelection(
        frozenset({root.real(path) for path in paths} - {"", "/"}),
        frozenset(name for name in names if "/" not in name and name not in ("", ".", "..")),
    )


async def export_files(container: dagger.Container, programs: Sequence[str], target: Target) -> Root:
    """Export the files that loading some programs of a container depends on.

    Args:
        container: the image.
        programs: absolute paths in it.
        target: its platform.

    Raises:
        VerificationError: a program is not an ELF file.
    """
    root, exported = Root(library_path=await container.env_variable("LD_LIBRARY_PATH") or ""), FileSelection()
    for _ in range(_ROUNDS):
        selection = required_files(root, programs, target) - exported
        if selection == FileSelection():
            break
        with tempfile.TemporaryDirectory() as folder:
            await container.rootfs().filter(include=selection.include()).export(folder)
            root = add(root, Path(folder), {root.real(program) for program in programs})
        exported |= selection
    return root


def add(root: Root, folder: Path, programs: Iterable[str]) -> Root:
    """Add the files of an exported directory to a root, without following links.

    Raises:
        VerificationError: a file in `programs` is not an ELF file, or is damaged.
    """
    elves, links, files, digests = dict(root.elves), dict(root.links), dict(root.files), dict(root.digests)
    for parent, directories, names in os.walk(folder):
        for local in (Path(parent) / name for name in directories + names):
            path = f"/{local.relative_to(folder).as_posix()}"
            if local.is_symlink():
                links[path] = str(local.readlink())
            elif local.is_file() and _SETTINGS.fullmatch(path):
                files[path] = local.read_bytes()
            elif local.is_file():
                elves |= _read(local, path, path in programs)
                digests |= {path: digest_of_file(local)} if path in programs else {}
    return replace(root, elves=elves, links=links, files=files, digests=digests)


def _read(local: Path, path: str, program: bool) -> dict[str, elf.Elf]:
    try:
        return {path: elf.read_file(local, path)}
    except VerificationError:
        if program:
            raise
        return {}  # not an ELF file despite its name; the loader skips it too
