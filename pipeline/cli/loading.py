"""`--load`: one platform's image into the docker or podman of this machine."""

from __future__ import annotations

import platform
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import anyio

from pipeline.errors import InvalidArgument, RustMultiarchError
from pipeline.image import Image, Variant

TOOLS = ("docker", "podman")

# Python's `platform.machine()`, which is uname's, -> OCI platform. A 32-bit system on a 64-bit processor says
# `armv8l`; macOS says `arm64`.
MACHINES = {
    "x86_64": "linux/amd64",
    "aarch64": "linux/arm64",
    "arm64": "linux/arm64",
    "armv7l": "linux/arm/v7",
    "armv8l": "linux/arm/v7",
    "i386": "linux/386",
    "i586": "linux/386",
    "i686": "linux/386",
    "ppc64le": "linux/ppc64le",
    "s390x": "linux/s390x",
    "riscv64": "linux/riscv64",
}


def tool() -> str:
    """The program that an image is loaded with.

    Raises:
        InvalidArgument: neither docker nor podman is there.
    """
    found = next(filter(shutil.which, TOOLS), None)
    if not found:
        raise InvalidArgument(
            "neither docker nor podman is on the PATH",
            where="--load",
            fix="leave --load out and write an archive with --output image.tar",
        )
    return found


def chosen(image: Image) -> Variant:
    """The variant to load: this machine's own, else the only one.

    Raises:
        InvalidArgument: several variants, none of them this machine's.
    """
    here = MACHINES.get(platform.machine(), "")
    for variant in image.variants:
        if variant.platform == here or len(image.variants) == 1:
            return variant
    raise InvalidArgument(
        f"none of the platforms is this machine's own ({here or platform.machine()})",
        where="--load",
        fix="choose the one to load with --platform",
    )


async def write(image: Image, tags: Sequence[str], path: str) -> None:
    """Write the variant of this machine as a Docker archive that gives it its tags."""
    archive = await image.docker_archive(chosen(image).platform, list(tags))
    await archive.export(path)


async def load(image: Image, tags: Sequence[str]) -> str:
    """Load the variant of this machine under its tags; the first of them, or else its ID."""
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
            f"{command[0]} did not take the image",
            where=" ".join(command),
            fix=f"see that {command[0]} runs, or write an archive with --output image.tar",
            output=said,
        )
    return said
