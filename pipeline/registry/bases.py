"""Read base images in their registries by digest, and find the repositories that have their layers.

The engine pulls a base; this module reads the same manifest and config, so that an image can list the
base's layers as its registry has them. A function of a module runs in a container, which may not reach the
registry that the engine uses: the embedded engine has stand-ins for Docker Hub on a loopback address. Then
the engine fetches the same documents.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

import anyio

from pipeline import upload
from pipeline.errors import RustMultiarchError
from pipeline.host_files import cache_root
from pipeline.oci.base import ENGINE, REGISTRY, RegistryBase, chosen, contents
from pipeline.oci.layout import Descriptor, Layout, Manifest, damaged, digest_of
from pipeline.registry import credentials, dial
from pipeline.registry.address import DOCKER_HUB, Address, Destination, parse_source
from pipeline.registry.dial import Registries
from pipeline.registry.distribution import Repository
from pipeline.registry.retry import Retry
from pipeline.sdk import dag, dagger

STAND_INS = tuple(f"127.0.0.1:{port}" for port in range(500, 504))
"""Addresses of the embedded engine's stand-ins for Docker Hub, the usual one first."""

RETRY = Retry(attempts=2)
"""The retry policy for reading a base, which can do without the registry."""

REMEMBERED = 1000
"""The maximum number of layers whose repositories are remembered."""


class Source(Protocol):
    """A repository with a base image."""

    async def manifest(self, digest: str) -> bytes | None:
        """Return a manifest or an index; None if the repository does not have it."""
        ...

    async def config(self, blob: Descriptor) -> bytes:
        """Return a config."""
        ...


@dataclass(frozen=True)
class FromRegistry:
    """A repository that this process reaches."""

    repository: Repository
    _seen: dict[str, bytes | None] = field(default_factory=dict)

    async def manifest(self, digest: str) -> bytes | None:
        """Return a manifest or an index; None if the repository does not have it."""
        # Every platform needs the index, and Docker Hub limits the number of requests.
        if digest not in self._seen:
            found = await self.repository.manifest(digest)
            self._seen[digest] = found.body if found else None
        return self._seen[digest]

    async def config(self, blob: Descriptor) -> bytes:
        """Return a config."""
        return await self.repository.small_blob(blob)


@dataclass(frozen=True)
class ThroughEngine:
    """A repository of the stand-ins, which serve their manifests as blobs too: the engine sends no Accept."""

    host: str
    repository: str

    async def manifest(self, digest: str) -> bytes | None:
        """Return a manifest or an index; None if the repository does not have it."""
        try:
            return (await self.blob(digest).contents()).encode()
        except dagger.QueryError:
            return None

    async def config(self, blob: Descriptor) -> bytes:
        """Return a config."""
        body = (await self.blob(blob.digest).contents()).encode()
        if digest_of(body) != blob.digest:
            raise damaged("the content does not have the digest it is stored under", blob.digest)
        return body

    def blob(self, digest: str) -> dagger.File:
        """Return a blob as a file of the engine, which checks its digest."""
        url = f"http://{self.host}/v2/{self.repository}/blobs/{digest}"
        return dag.http(url, checksum=digest, permissions=0o644)


async def read(
    references: Mapping[str, str], mirrors: Mapping[str, str] | None = None
) -> dict[str, RegistryBase]:
    """Read the base of each platform in its registry.

    Args:
        references: the full name of each platform's base, with its digest.
        mirrors: addresses of mirrors, by the host in names.

    Returns:
        The bases that could be read, by platform.
    """
    found: dict[str, RegistryBase] = {}
    async with dial.registries(credentials.from_docker(), retry=RETRY, say=lambda _: None) as registries:
        for reference in dict.fromkeys(references.values()):
            of = [platform for platform, each in references.items() if each == reference]
            async for place in _places(registries, parse_source(reference), mirrors or {}):
                # A registry may be unreachable for this process, which can do without it.
                with suppress(RustMultiarchError):
                    for platform in of:
                        if platform not in found and (base := await described(place, reference, platform)):
                            found[platform] = base
                if set(of) <= set(found):
                    break
    return found


@dataclass(frozen=True)
class Place:
    """A repository that may have a base, and how it is read."""

    source: Source
    way: str
    host: str
    repository: str


async def _places(
    registries: Registries, address: Address, mirrors: Mapping[str, str]
) -> AsyncIterator[Place]:
    """Yield the repositories that may have a base, the nearest first."""
    path = path_of(address)
    for host in filter(None, (mirrors.get(address.host), address.host)):
        repository = Repository(await registries.registry(host), path, actions="pull")
        yield Place(FromRegistry(repository), REGISTRY, host, path)
    for host in STAND_INS if address.host == DOCKER_HUB else ():
        yield Place(ThroughEngine(host, path), ENGINE, host, path)


def path_of(address: Address) -> str:
    """Return a repository's path at its registry; Docker Hub's official images have a namespace."""
    official = address.host == DOCKER_HUB and "/" not in address.repository
    return f"library/{address.repository}" if official else address.repository


async def described(place: Place, reference: str, platform: str) -> RegistryBase | None:
    """Return a platform of a base, given the base's full name with its digest; None if it is not there.

    Raises:
        RustMultiarchError: the registry cannot be read, or its content is damaged.
    """
    name, _, digest = reference.partition("@")
    manifest = await _manifest(place.source, digest)
    if manifest is not None and manifest.children:
        child = chosen(manifest.children, platform)
        manifest = await _manifest(place.source, child.digest) if child else None
    if manifest is None or not manifest.blobs:
        return None
    fields = contents(manifest, await place.source.config(manifest.blobs[0]))
    own = manifest.descriptor.digest
    return RegistryBase(name, own, place.way, place.host, place.repository, **fields)


async def _manifest(source: Source, digest: str) -> Manifest | None:
    body = await source.manifest(digest)
    return None if body is None else Manifest.parse(Descriptor("", digest, len(body)), body)


async def resolve(address: Address, registries: Registries, mirrors: Mapping[str, str]) -> str:
    """Return the full name of an image with the digest that its tag names now; "" if it cannot be read."""
    name = f"{address.name.replace(address.repository, path_of(address))}:{address.tag}"
    if address.digest:
        return f"{name}@{address.digest}"
    async for place in _places(registries, address, mirrors):
        if isinstance(place.source, FromRegistry):
            with suppress(RustMultiarchError):
                if found := await place.source.repository.manifest(address.tag):
                    return f"{name}@{found.descriptor.digest}"
    return ""


async def why_missing(address: Address, registries: Registries) -> str:
    """Return why an image cannot be read in its own registry; "" if it can."""
    repository = Repository(await registries.registry(address.host), path_of(address), actions="pull")
    try:
        found = await repository.manifest(address.reference)
    except RustMultiarchError as error:
        return error.what
    return "" if found else f"{address.host} has no {path_of(address)} with {address.reference}"


async def fetched(base: RegistryBase, digests: Sequence[str], folder: Path) -> dagger.Directory:
    """Return some layers of a base as files named by their digests, for a layout.

    Args:
        base: the base.
        digests: the digests of the layers.
        folder: an empty directory, to be kept until the result was used.
    """
    found = dag.directory()
    if base.way == ENGINE:
        source = ThroughEngine(base.host, base.repository)
        for digest in digests:
            found = found.with_file(digest.partition(":")[2], source.blob(digest))
        return found
    async with dial.registries(credentials.from_docker()) as registries:
        repository = Repository(await registries.registry(base.host), base.repository, actions="pull")
        for digest in digests:
            await keep(repository, digest, folder)
    return await upload.directory(folder).sync()


async def keep(repository: Repository, digest: str, folder: Path) -> Path:
    """Return a file of a directory with a blob, named by its digest.

    Raises:
        PublishError: the registry failed, or returned other bytes.
    """
    await repository.registry.persist(partial(_download, repository, digest, folder))
    return folder / digest.partition(":")[2]


async def _download(repository: Repository, digest: str, folder: Path) -> None:
    content = hashlib.sha256()
    path = folder / digest.partition(":")[2]
    async with repository.blob(digest) as pieces, await anyio.open_file(path, "wb") as file:
        async for piece in pieces:
            content.update(piece)
            await file.write(piece)
    if f"sha256:{content.hexdigest()}" != digest:
        raise damaged("the registry returned other bytes than the digest's", f"{repository.path}@{digest}")


def known_place(
    owners: Mapping[str, Repository], places: Mapping[tuple[str, str], str], host: str, digest: str
) -> str:
    """Return a repository of a registry that has a blob; "" if none is known.

    Args:
        owners: a repository with each blob, by digest.
        places: more repositories, see `remembered`.
        host: the registry.
        digest: the blob.
    """
    owner = owners.get(digest)
    if owner is not None and owner.registry.host == host:
        return owner.path
    return places.get((host, digest), "")


@dataclass(frozen=True)
class OnBases:
    """An image whose layers of bases may be in registries instead of its directory."""

    own: Layout
    owners: Mapping[str, Repository]
    places: Mapping[tuple[str, str], str]

    @property
    def root(self) -> Descriptor:
        """Return the index, or the manifest of an image with one platform."""
        return self.own.root

    async def manifest(self, descriptor: Descriptor) -> bytes:
        """Return the bytes of a manifest or an index."""
        return await self.own.manifest(descriptor)

    async def blob(self, descriptor: Descriptor) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of a config or a layer, from the directory or else from its base's registry."""
        owner = self.owners.get(descriptor.digest)
        if owner is None or self.own.has(descriptor):
            async for piece in self.own.blob(descriptor):
                yield piece
            return
        async with owner.blob(descriptor.digest) as pieces:
            async for piece in pieces:
                yield piece

    def repository(self, host: str, digest: str) -> str:
        """Return a repository of a registry that has this blob; "" if none is known."""
        return known_place(self.owners, self.places, host, digest)


async def on_bases(own: Layout, bases: Sequence[RegistryBase], registries: Registries) -> OnBases:
    """Return an image with the repositories that have the layers of its bases."""
    owners: dict[str, Repository] = {}
    for base in bases:
        if base.way == REGISTRY:
            repository = Repository(await registries.registry(base.host), base.repository, actions="pull")
            owners |= {blob.digest: repository for blob in base.blobs}
    return OnBases(own, owners, remembered())


def _memory() -> Path:
    return cache_root() / "layers.json"


def remembered() -> dict[tuple[str, str], str]:
    """Return repositories that layers of bases were pushed to, by host and digest.

    A registry mounts a layer only from a repository that the client names. If the repository no longer has
    the layer, the registry refuses the mount and the layer is uploaded.
    """
    try:
        rows = json.loads(_memory().read_text())
        return {(str(host), str(digest)): str(repository) for host, digest, repository in rows}
    except (OSError, ValueError, TypeError):
        return {}


def remember(bases: Sequence[RegistryBase], pushed: Sequence[Destination]) -> None:
    """Keep the repositories that the layers of bases were pushed to."""
    digests = [blob.digest for base in bases for blob in base.blobs]
    now = {(to.host, digest): to.repository for to in pushed for digest in digests}
    rows = [[*key, repository] for key, repository in {**remembered(), **now}.items()][-REMEMBERED:]
    # Only a convenience: a push must not fail because of it.
    with suppress(OSError):
        path = _memory()
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f"{path.name}.{os.getpid()}")
        new.write_text(json.dumps(rows))
        new.replace(path)
