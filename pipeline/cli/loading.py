"""Implement `--load`: load a platform's image into docker or podman."""

from __future__ import annotations

import platform
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from pipeline.errors import InvalidArgument, RustMultiarchError
from pipeline.targets import BY_MACHINE

if TYPE_CHECKING:
    from pipeline.image import Image, Variant

TOOLS = ("docker", "podman")


def tool(option: str = "--load", instead: str = "replace --load by --output image.tar") -> str:
    """Return the program to load images with.

    Args:
        option: the option that loads, for messages.
        instead: what to do without a program, for messages.

    Raises:
        InvalidArgument: neither docker nor podman is installed.
    """
    found = next(filter(shutil.which, TOOLS), None)
    if not found:
        raise InvalidArgument(
            "neither docker nor podman is on the PATH",
            where=option,
            fix=f"install one of them, or {instead}",
        )
    return found


def chosen(image: Image, option: str = "--load") -> Variant:
    """Return the variant to load: the one for this machine, else the only one.

    Raises:
        InvalidArgument: there are several variants, none of them for this machine.
    """
    row = BY_MACHINE.get(platform.machine())
    here = row.platform if row else ""
    for variant in image.variants:
        if variant.platform == here or len(image.variants) == 1:
            return variant
    raise InvalidArgument(
        f"the image has no variant for this machine's platform ({here or platform.machine()})",
        where="--load",
        fix="choose a platform to load with --platform",
    )


async def write(image: Image, tags: Sequence[str], path: str) -> None:
    """Write this machine's variant as a Docker archive with its tags."""
    archive = await image.docker_archive(chosen(image).platform, list(tags))
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
