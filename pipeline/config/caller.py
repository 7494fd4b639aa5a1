"""Find the cargo project around the directory that a Dagger function is called from."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence

from pipeline.config.project_files import upward
from pipeline.config.workspace import MANIFEST
from pipeline.errors import NotACargoProject
from pipeline.sdk import dagger


async def manifest_path(workspace: dagger.Workspace) -> str:
    """Return the path of the nearest Cargo.toml, from the root of the caller's workspace.

    Raises:
        NotACargoProject: neither the caller's directory nor a parent has a Cargo.toml.
    """
    found = await workspace.find_up(MANIFEST)
    if not found:
        raise NotACargoProject(
            f"there is no {MANIFEST} in the caller's directory or its parents",
            where="the caller's workspace",
            fix="call from a directory of the cargo project, or pass it: --source path/to/project",
        )
    return found.lstrip("/")


def source(workspace: dagger.Workspace, manifest: str, exclude: Sequence[str]) -> dagger.Directory:
    """Return the workspace's files, without those in .gitignore or matching the patterns.

    Args:
        workspace: the caller's workspace.
        manifest: the path of the project's Cargo.toml; `target` beside it or above it is cargo's output.
        exclude: patterns of files to leave out.
    """
    output = [posixpath.join(folder, "target") for folder in upward(posixpath.dirname(manifest))]
    return workspace.directory("/", exclude=[*exclude, *output], gitignore=True)


async def check(source: dagger.Directory, manifest: str) -> None:
    """Check that the files of a workspace include the Cargo.toml that was found in it.

    Raises:
        NotACargoProject: git ignores it.
    """
    if not await source.exists(manifest):
        raise NotACargoProject(
            f"git ignores {manifest}, and only files that it does not ignore are taken from a workspace",
            where="the caller's workspace",
            fix="pass the project as a directory: --source path/to/project",
        )
