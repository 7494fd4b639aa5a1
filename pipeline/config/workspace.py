"""Find a project's place in a source as cargo does: manifest, workspace root and configuration lie above.

Source: the cargo book, "Workspaces" and "Configuration".
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline import cargo_toml
from pipeline.config.settings import Files
from pipeline.errors import NotACargoProject

MANIFEST, LOCK = "Cargo.toml", "Cargo.lock"
CONFIGURATIONS = (".cargo/config", ".cargo/config.toml")
"""Where a directory has cargo's configuration; of two, cargo reads the first."""

TOOLCHAINS = ("rust-toolchain", "rust-toolchain.toml")
"""Where a directory has rustup's choice; of two, rustup reads the first."""


@dataclass(frozen=True)
class Location:
    """Where a project is in a source; paths are POSIX and relative to the source's top, which is empty.

    Attributes:
        directory: where cargo is run.
        workspace: the directory of the workspace root's manifest, and of the lock file.
        package: the member that cargo builds there; empty for the workspace's own choice.
    """

    directory: str = ""
    workspace: str = ""
    package: str = ""


def manifest_directory(manifest_path: str) -> str:
    """Return the directory of a Cargo.toml that is named relative to a source's top; empty for the top.

    Raises:
        NotACargoProject: the path is not that of a Cargo.toml in the source.
    """
    path = posixpath.normpath(manifest_path or MANIFEST)
    if posixpath.basename(path) != MANIFEST or path.startswith((posixpath.sep, posixpath.pardir)):
        raise NotACargoProject(
            f"{manifest_path!r} is not the path of a Cargo.toml in the source",
            where="--manifest-path",
            fix="pass a path relative to the source, for example services/api/Cargo.toml",
        )
    return posixpath.dirname(path)


def upward(directory: str) -> Iterator[str]:
    """Yield a directory and those above it, the top of the source last."""
    while directory:
        yield directory
        directory = posixpath.dirname(directory)
    yield ""


async def find(files: Files, directory: str) -> Location:
    """Return the place of the project that cargo finds in a directory.

    Args:
        files: the source.
        directory: where cargo is run.

    Raises:
        NotACargoProject: neither the directory nor one above it has a manifest.
    """
    for folder in upward(directory):
        text = await files.read(posixpath.join(folder, MANIFEST))
        if text is not None:
            break
    else:
        raise NotACargoProject(
            f"there is no {MANIFEST} in {directory or 'the source'}, nor above it",
            where=directory or "source",
            fix="pass the directory that holds Cargo.toml, or name it with --manifest-path",
        )
    own = cargo_toml.read(text)
    name = cargo_toml.package(own)
    if not name or "workspace" in own:
        return Location(directory, folder)
    root = await _root(files, folder, own)
    return Location(directory, folder) if root is None else Location(directory, root, name)


async def _root(files: Files, member: str, own: Mapping[str, Any]) -> str | None:
    """The workspace root's directory; None for a package that is its own."""
    for folder in upward(member):
        document = (
            own
            if folder == member
            else cargo_toml.read(await files.read(posixpath.join(folder, MANIFEST)) or "")
        )
        named = cargo_toml.table(document, "package").get("workspace")
        if isinstance(named, str):
            found = posixpath.normpath(posixpath.join(folder, named))
            return "" if found == posixpath.curdir else found
        if folder != member and "workspace" in document and not _excluded(document, folder, member):
            return folder
    return None


def _excluded(root: Mapping[str, Any], folder: str, member: str) -> bool:
    """Tell whether a workspace leaves a directory out: by `exclude`, unless `members` names it too."""
    table = cargo_toml.table(root, "workspace")

    def named(key: str) -> bool:
        listed = cargo_toml.strings(table, key)
        paths = [posixpath.normpath(posixpath.join(folder, each)) for each in listed]
        return any(member == path or member.startswith(f"{path}/") for path in paths)

    return named("exclude") and not named("members")


async def texts(files: Files, directory: str, names: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return path and text of a file in a directory and in those above it, the nearest first.

    Args:
        files: the source.
        directory: where the search begins.
        names: what the file may be called; of two in one directory only the first counts.
    """
    found = []
    for folder in upward(directory):
        for name in names:
            path = posixpath.join(folder, name)
            text = await files.read(path)
            if text is not None:
                found.append((path, text))
                break
    return found


def merged(configurations: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Return cargo's configuration of several files as one.

    The nearest value counts; tables are joined, and so are lists, where the nearest comes last.

    Args:
        configurations: path and text of each file, the nearest first; one that is no TOML is empty.
    """
    found: dict[str, Any] = {}
    for _, text in reversed(configurations):
        found = _over(found, cargo_toml.read(text))
    return found


def _over(far: dict[str, Any], near: dict[str, Any]) -> dict[str, Any]:
    joined = {**far, **near}
    for name in far.keys() & near.keys():
        one, other = far[name], near[name]
        if isinstance(one, dict) and isinstance(other, dict):
            joined[name] = _over(one, other)
        elif isinstance(one, list) and isinstance(other, list):
            joined[name] = [*one, *other]
    return joined
