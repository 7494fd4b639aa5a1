"""Implement `--load`: load a platform's image into docker or podman."""

from __future__ import annotations

import platform
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from engine import choice
from pipeline.errors import InvalidArgument, RustMultiarchError
from pipeline.targets import BY_MACHINE, select

if TYPE_CHECKING:
    from pipeline.image import Image


_TRIED = "version"
_INSTEAD = "replace --load by --output image.tar"


def check(
    platforms: Sequence[str],
    option: str = "--load",
    instead: str = _INSTEAD,
) -> None:
    """Check before a build that its image can be loaded.

    Args:
        platforms: the platforms of the build.
        option: the option that loads, for messages.
        instead: what to do without a program, for messages.

    Raises:
        InvalidArgument: see `tool` and `loaded_platform`.
    """
    tool(option, instead)
    loaded_platform([target.platform for target in select(platforms)], option)


def tool(option: str = "--load", instead: str = _INSTEAD) -> str:
    """Return the program to load images with: the first of docker and podman that works.

    Raises:
        InvalidArgument: neither docker nor podman works.
    """
    found = choice.container_tool(_TRIED)
    if not found:
        tools = " or ".join(f"`{name} {_TRIED}`" for name in choice.CONTAINER_TOOLS)
        raise InvalidArgument(
            f"neither docker nor podman works: {tools} fails",
            where=option,
            fix=f"install or start one of them, or {instead}",
        )
    return found


def loaded_platform(platforms: Sequence[str], option: str = "--load") -> str:
    """Return the platform to load: this machine's, else the only one.

    Raises:
        InvalidArgument: there are several platforms, none of them this machine's.
    """
    row = BY_MACHINE.get(platform.machine())
    here = row.platform if row else ""
    if here in platforms:
        return here
    if len(platforms) == 1:
        return platforms[0]
    raise InvalidArgument(
        f"the image has no variant for this machine's platform ({here or platform.machine()})",
        where=option,
        fix="choose a platform to load with --platform",
    )


def chosen(image: Image, option: str = "--load") -> str:
    """Return the platform of an image to load; see `loaded_platform`."""
    return loaded_platform([variant.platform for variant in image.variants], option)


async def write(image: Image, tags: Sequence[str], path: str) -> None:
    """Write this machine's variant as a Docker archive with its tags."""
    archive = await image.docker_archive(chosen(image), list(tags))
    await archive.export(path)


async def load(image: Image, tags: Sequence[str]) -> str:
    """Load this machine's variant with its tags; return the first tag, or else the image's ID."""
    with tempfile.TemporaryDirectory() as folder:
        archive = str(Path(folder) / "image.tar")
        await write(image, tags, archive)
        said = await _run([tool(), "load", "--input", archive])
    return tags[0] if tags else said.strip().splitlines()[-1].rpartition(": ")[2]


async def _run(command: list[str]) -> str:
    done = await anyio.run_process(command, check=False, stderr=subprocess.STDOUT)
    said = done.stdout.decode(errors="replace")
    if done.returncode:
        raise RustMultiarchError(
            f"{command[0]} cannot load the image",
            where=" ".join(command),
            fix=f"check that {command[0]} works, or write an archive with --output image.tar",
            output=said,
        )
    return said
