"""Name the inputs of a build besides its source and its crates, for the provenance.

Most of them are containers, files and directories in the engine. They are examined only if provenance is
pushed, since each takes a call of the engine.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline import programs
from pipeline.attestation import sbom
from pipeline.git.metadata import Base
from pipeline.native import dpkg
from pipeline.releases import DEFAULT
from pipeline.sdk import dag, dagger
from pipeline.toolchain import zig

DIGEST = "attestation/digest.sh"
"""The shell program that prints the digest of a file or a directory."""


@dataclass(frozen=True)
class Material:
    """An input of a build: what it is called, and its digest as `algorithm:value` if one is known."""

    uri: str = ""
    name: str = ""
    digest: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the input as an in-toto resource descriptor, without empty fields."""
        algorithm, _, value = self.digest.partition(":")
        found = {"uri": self.uri, "name": self.name, "digest": {algorithm: value} if value else {}}
        return {name: value for name, value in found.items() if value}


@dataclass(frozen=True)
class Inputs:
    """Inputs of a build in the engine.

    Attributes:
        native: the builder as it was pulled or passed.
        builder: the builder in which cargo ran, with its Debian packages.
        archive: the archive of compiled state that the build could start from.
        files: the files that were added to the image.
    """

    native: dagger.Container | None = None
    builder: dagger.Container | None = None
    archive: dagger.File | None = None
    files: dagger.Directory | None = None


def image(base: Base) -> Material:
    """Return an image as a material."""
    return Material(uri=f"oci://{base.name}" if base.name else "", digest=base.digest)


async def builder(container: dagger.Container) -> Material:
    """Return the compiler's image; a custom builder that is no image is named by the engine's digest."""
    try:
        return image(Base.of(await container.image_ref()))
    except dagger.QueryError:
        digest = await container.rootfs().digest()
        return Material(name="the builder", digest=f"dagger:{digest.replace(':', '-')}")


def wheels(platform: str) -> list[Material]:
    """Return the wheels of zig for the platform that the compiler runs on."""
    machine = platform.split("/")[1]
    return [
        Material(f"pkg:pypi/{wheel.name}@{wheel.version}", digest=f"sha256:{wheel.hashes[machine]}")
        for wheel in zig.WHEELS
    ]


def added(before: dpkg.OperatingSystem, after: dpkg.OperatingSystem) -> list[Material]:
    """Return the Debian packages that were added to an image, or have another version in it."""
    present = set(before.packages)
    return [
        Material(sbom.package_purl(package, after)) for package in after.packages if package not in present
    ]


async def examine(
    inputs: Inputs, images: Iterable[tuple[dagger.Container | None, dagger.Container]]
) -> list[Material]:
    """Return what is known of inputs in the engine, without duplicates.

    Args:
        inputs: the inputs.
        images: each platform's image, after its base; None for an empty base.
    """
    found = []
    if inputs.archive is not None:
        container = dag.container().from_(DEFAULT.base).with_mounted_file("/input", inputs.archive)
        found.append(Material(name="compiled state", digest=await _digest(container)))
    if inputs.files is not None:
        container = dag.container().from_(DEFAULT.base).with_mounted_directory("/input", inputs.files)
        found.append(Material(name="files", digest=await _digest(container)))
    pairs: Sequence[tuple[dagger.Container | None, dagger.Container]] = [*images]
    if inputs.builder is not None:
        pairs = [(inputs.native, inputs.builder), *pairs]
    for before, after in pairs:
        present = await dpkg.read(before) if before is not None else dpkg.OperatingSystem()
        found += added(present, await dpkg.read(after))
    return list(dict.fromkeys(found))


async def _digest(container: dagger.Container) -> str:
    """Return the digest of the container's /input."""
    return (await container.with_exec(programs.command(DIGEST, "/input")).stdout()).strip()
