"""Store compiled state in a registry: an archive as an OCI artifact with one layer, under a separate tag.

Every registry that stores images accepts it. `docker pull` refuses it, since it is not an image.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

import anyio

from pipeline.errors import PublishError, TagExists
from pipeline.oci.layout import (
    MANIFEST,
    Descriptor,
    Manifest,
    compact,
    damaged,
    digest_of,
    digest_of_file,
    parsed,
    pieces,
)
from pipeline.registry import pushing
from pipeline.registry.address import Address, Destination
from pipeline.registry.artifacts import EMPTY, EMPTY_CONFIG
from pipeline.registry.dial import Registries
from pipeline.registry.distribution import Fetched, Repository

TYPE = "application/vnd.rust-multiarch.state.v1"
LAYER = f"{TYPE}.tar+zstd"


@dataclass(frozen=True)
class Archive:
    """A file as an artifact: a `content.Store` that can be pushed."""

    path: Path
    layer: Descriptor

    @classmethod
    async def of(cls, path: Path) -> Archive:
        """Make the artifact of a file, which is read once for its digest."""
        digest = await anyio.to_thread.run_sync(digest_of_file, path)
        return cls(path, Descriptor(LAYER, digest, (await anyio.Path(path).stat()).st_size))

    @property
    def body(self) -> bytes:
        """Return the manifest; equal files give equal bytes."""
        return compact(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "artifactType": TYPE,
                "config": EMPTY_CONFIG.as_json(),
                "layers": [self.layer.as_json()],
            }
        )

    @property
    def root(self) -> Descriptor:
        """Return the descriptor of the manifest."""
        return Descriptor(MANIFEST, digest_of(self.body), len(self.body), artifact_type=TYPE)

    async def manifest(self, descriptor: Descriptor) -> bytes:
        """Return the only manifest."""
        return self.body

    async def blob(self, descriptor: Descriptor) -> AsyncGenerator[bytes, None]:
        """Stream the file or the empty config."""
        content = EMPTY if descriptor.digest == EMPTY_CONFIG.digest else self.path
        async for piece in pieces(content):
            yield piece

    def repository(self, host: str, digest: str) -> str:
        """Return "", since a file has no repository to mount from."""
        return ""


async def push(path: Path, address: Address, registries: Registries) -> str:
    """Push an archive to a tag, replacing an earlier one; return its digest.

    Raises:
        TagExists: the tag names something other than an archive, such as an image; nothing was pushed.
        PublishError: see `pushing.push`.
    """
    repository = Repository(await registries.registry(address.host), address.repository)
    before = await repository.manifest(address.tag)
    if before and not _is_archive(before):
        raise TagExists(
            "the tag does not name compiled state",
            where=str(address),
            fix=f"use a repository for compiled state, for example {address.name}-buildcache:state",
        )
    archive = await Archive.of(path)
    await pushing.push(archive, [Destination(address.host, address.repository, (address.tag,))], registries)
    return archive.root.digest


async def pull(address: Address, path: Path, registries: Registries) -> bool:
    """Download the archive at an address to a file; return False if it does not exist.

    Raises:
        PublishError: the address names something else, or the content does not match its digest; the file
            must not be used then.
    """
    repository = Repository(await registries.registry(address.host), address.repository, actions="pull")
    found = await repository.manifest(address.reference)
    if found is None:
        return False
    if not _is_archive(found):
        raise PublishError(
            "this is not compiled state", where=str(address), fix="use the address given to --cache-to"
        )
    layer = Manifest.parse(found.descriptor, found.body).blobs[1]
    got = await repository.registry.persist(lambda: _download(repository, layer, path))
    if got != layer.digest:
        raise PublishError(
            f"the registry returned bytes with the digest {got}",
            where=f"{address.name}@{layer.digest}",
            fix="ask the registry's operator: the stored content is corrupt",
        )
    return True


async def _download(repository: Repository, blob: Descriptor, path: Path) -> str:
    """Write a blob to a file, at most as many bytes as its size; return the digest of the content."""
    got, left = hashlib.sha256(), blob.size
    async with repository.blob(blob.digest) as pieces, await anyio.open_file(path, "wb") as file:
        async for piece in pieces:
            left -= len(piece)
            if left < 0:
                raise damaged(f"more came than the {blob.size} bytes that are named", blob.digest)
            got.update(piece)
            await file.write(piece)
    return f"sha256:{got.hexdigest()}"


def _is_archive(found: Fetched) -> bool:
    return bool(parsed(found.body).get("artifactType") == TYPE)
