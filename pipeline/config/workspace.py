"""Find a project's manifest, workspace root and configuration in a source, like cargo.

Source: the cargo book, "Workspaces" and "Configuration".
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline import cargo_toml
from pipeline.config.project_files import Files, upward
from pipeline.errors import NotACargoProject

MANIFEST, LOCK = "Cargo.toml", "Cargo.lock"
CONFIGURATIONS = (".cargo/config", ".cargo/config.toml")
"""Paths of cargo's configuration in a directory; cargo uses the first that exists."""

TOOLCHAINS = ("rust-toolchain", "rust-toolchain.toml")
"""Names of rustup's toolchain file; rustup uses the first that exists."""


@dataclass(frozen=True)
class Location:
    """The location of a project in a source; paths are POSIX paths relative to the source, "" for itself.

    Attributes:
        directory: the directory to run cargo in.
        workspace: the directory of the workspace root's manifest and the lock file.
        package: the member that cargo builds there; empty means the workspace's default.
    """

    directory: str = ""
    workspace: str = ""
    package: str = ""


def manifest_directory(manifest_path: str) -> str:
    """Return the directory of a Cargo.toml, relative to the source; "" for the source itself.

    Raises:
        NotACargoProject: the path is not a Cargo.toml in the source.
    """
    path = posixpath.normpath(manifest_path or MANIFEST)
    if posixpath.basename(path) != MANIFEST or path.startswith((posixpath.sep, posixpath.pardir)):
        raise NotACargoProject(
            f"{manifest_path!r} is not the path of a Cargo.toml in the source",
            where="--manifest-path",
            fix="pass a path relative to the source, for example services/api/Cargo.toml",
        )
    return posixpath.dirname(path)


async def find(files: Files, directory: str) -> Location:
    """Return the location of the project that cargo finds from a directory.

    Args:
        files: the source.
        directory: the directory to run cargo in.

    Raises:
        NotACargoProject: neither the directory nor a parent has a manifest.
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
    """Return the workspace root's directory; None if the package has no other root."""
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
    """Return True if a workspace excludes a directory: by `exclude`, unless it is also in `members`."""
    table = cargo_toml.table(root, "workspace")

    def named(key: str) -> bool:
        listed = cargo_toml.strings(table, key)
        paths = [posixpath.normpath(posixpath.join(folder, each)) for each in listed]
        return any(member == path or member.startswith(f"{path}/") for path in paths)

    return named("exclude") and not named("members")


async def texts(files: Files, directory: str, names: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return path and text of a file in a directory and its parents, the nearest first.

    Args:
        files: the source.
        directory: the directory to start from.
        names: the possible names of the file; in each directory, the first that exists is used.
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
    """Merge cargo's configuration files.

    The nearest value takes precedence. Tables and lists are merged; in lists, the nearest items come last.

    Args:
        configurations: path and text of each file, the nearest first; invalid TOML counts as empty.
    """
    found: dict[str, Any] = {}
    for _, text in reversed(configurations):
        found = over(found, cargo_toml.read(text))
    return found


def over(far: dict[str, Any], near: dict[str, Any]) -> dict[str, Any]:
    """Merge two configurations; the values of the second take precedence."""
    joined = {**far, **near}
    for name in far.keys() & near.keys():
        one, other = far[name], near[name]
        if isinstance(one, dict) and isinstance(other, dict):
            joined[name] = over(one, other)
        elif isinstance(one, list) and isinstance(other, list):
            joined[name] = [*one, *other]
    return joined
