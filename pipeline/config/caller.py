"""The caller's workspace: the cargo project around the directory that a Dagger function is called in."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass

import dagger

from pipeline import cargo_toml
from pipeline.errors import NotACargoProject

MANIFEST = "Cargo.toml"
LOCK = "Cargo.lock"


@dataclass(frozen=True)
class Place:
    """A cargo project in the caller's workspace.

    Attributes:
        directory: the project, as a path from the root of the workspace.
        member: the package to build; empty leaves it to cargo.
        called: the directory of the manifest that is nearest to the caller.
    """

    directory: str
    called: str
    member: str = ""


async def find(workspace: dagger.Workspace) -> Place:
    """Return the cargo project around the caller's directory, as cargo finds it.

    Where that is a member of a cargo workspace, the project is the whole cargo workspace: the lock file and
    inherited settings are there (the cargo book, "Workspaces").

    Raises:
        NotACargoProject: there is no Cargo.toml in the directory, nor in one above it.
    """
    found = await workspace.find_up(MANIFEST)
    if not found:
        raise NotACargoProject(
            f"there is no {MANIFEST} in the directory of the call, nor in one above it",
            where="the caller's workspace",
            fix="call from a directory of the cargo project, or pass it: --source path/to/project",
        )
    own = posixpath.dirname(found)
    manifest, locked = await _read(workspace, own)
    name = cargo_toml.package(manifest)
    if not name or "workspace" in manifest or locked:
        return Place(own, own)
    above = own
    while above != "/" and (found := await workspace.find_up(MANIFEST, from_=posixpath.dirname(above))):
        above = posixpath.dirname(found)
        manifest, _ = await _read(workspace, above)
        if "workspace" in manifest:
            return Place(above, own, name)
    return Place(own, own)


def source(workspace: dagger.Workspace, place: Place, exclude: Sequence[str]) -> dagger.Directory:
    """Return the project's files without those that .gitignore names, nor those of the patterns."""
    return workspace.directory(place.directory, exclude=list(exclude), gitignore=True)


async def _read(workspace: dagger.Workspace, directory: str) -> tuple[dict[str, object], bool]:
    """Return the manifest in a directory, and whether there is a lock file beside it."""
    files = workspace.directory(directory, include=[MANIFEST, LOCK])
    return cargo_toml.read(await files.file(MANIFEST).contents()), await files.exists(LOCK)
