"""Merge images that were pushed separately, one per platform, into one index.

No image is pulled as a whole. Blobs are mounted within a registry; missing blobs of another registry are
streamed through.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from pipeline.errors import DuplicatePlatform, MalformedPlatform, NotMergeable, UnsupportedPlatform
from pipeline.oci.layout import (
    INDEX,
    MANIFEST,
    Descriptor,
    Manifest,
    compact,
    damaged,
    digest_of,
    parsed,
    platform_name,
)
from pipeline.registry.address import Address, Destination, parse_source
from pipeline.registry.artifacts import Artifact
from pipeline.registry.dial import Registries
from pipeline.registry.distribution import Fetched, Repository
from pipeline.registry.pushing import push
from pipeline.registry.receipt import Receipt
from pipeline.targets import parse

UNKNOWN_FIX = (
    "build it without attestations in the index (for docker buildx: --provenance=false --sbom=false)"
)


@dataclass(frozen=True)
class SourceImage:
    """The pushed image of one platform, the address it was given by, and the digest of its index, if any."""

    descriptor: Descriptor
    body: bytes
    address: Address
    repository: Repository
    parent: str = ""


@dataclass(frozen=True)
class MergedIndex:
    """An index of several images, whose content stays in their repositories."""

    root: Descriptor
    body: bytes
    parts: Mapping[str, SourceImage]
    owners: Mapping[str, Sequence[Repository]]

    @property
    def order(self) -> tuple[str, ...]:
        """Return the digests of the images, in the order of the index."""
        return tuple(self.parts)

    async def manifest(self, descriptor: Descriptor) -> bytes:
        """Return the bytes of the index or of an image's manifest."""
        return self.body if descriptor.digest == self.root.digest else self.parts[descriptor.digest].body

    async def blob(self, descriptor: Descriptor) -> AsyncGenerator[bytes, None]:
        """Stream a config or a layer from its registry."""
        async with self.owners[descriptor.digest][0].blob(descriptor.digest) as pieces:
            async for piece in pieces:
                yield piece

    def repository(self, host: str, digest: str) -> str:
        """Return a repository at this host that has the blob, or ""."""
        return next((owner.path for owner in self.owners[digest] if owner.registry.host == host), "")


AttachMerged = Callable[[MergedIndex], Awaitable[Sequence[Artifact]]]
"""Make the artifacts of a merged index."""


async def merge(
    sources: Sequence[str],
    destinations: Sequence[Destination],
    registries: Registries,
    *,
    clobber: bool = True,
    annotations: Mapping[str, str] | None = None,
    attach: AttachMerged | None = None,
) -> Receipt:
    """Push one index of pushed images under every tag.

    The index lists its platforms in alphabetical order, so the digest does not depend on the order of the
    sources. It gets the annotations that are equal in all sources.

    Args:
        sources: addresses with a tag or a digest, each of a manifest or an index.
        destinations: repositories and tags; see `address.destinations`.
        registries: the registry connections.
        clobber: whether a tag may be moved from another image.
        annotations: annotations of the index; they take precedence over those of the sources.
        attach: makes the artifacts to push with the index.

    Raises:
        NotMergeable: a source is missing, or its platform is unknown; or see `attach`.
        DuplicatePlatform: two sources have an image for one platform.
        PublishError: as `pushing.push`.
    """
    parts: list[SourceImage] = []
    shared: list[Mapping[str, str]] = []
    for source in sources:
        found, own = await parts_of(parse_source(source), registries)
        parts += found
        shared += [own] if own is not None else []
    merged = join(parts, {**common(shared), **(annotations or {})})
    began = time.monotonic()
    artifacts = await attach(merged) if attach else ()
    seconds = round(time.monotonic() - began, 3)
    receipt = await push(merged, destinations, registries, clobber=clobber, artifacts=artifacts)
    return replace(receipt, attaching_seconds=seconds)


def join(parts: Sequence[SourceImage], annotations: Mapping[str, str]) -> MergedIndex:
    """Make one index of images.

    Raises:
        NotMergeable: there are no images.
        DuplicatePlatform: two images are for the same platform.
    """
    if not parts:
        raise NotMergeable("there is no image to merge", where="sources", fix="name at least one address")
    by_platform: dict[str, SourceImage] = {}
    for part in parts:
        other = by_platform.setdefault(part.descriptor.platform, part)
        if other is not part:
            raise DuplicatePlatform(
                f"two images for {part.descriptor.platform}",
                where=f"{other.address} and {part.address}",
                fix="name each platform's image once",
            )
    ordered = [by_platform[name] for name in sorted(by_platform)]
    document = {
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [part.descriptor.as_json() for part in ordered],
        "annotations": dict(sorted(annotations.items())),
    }
    body = compact(document if annotations else {k: v for k, v in document.items() if k != "annotations"})
    owners: dict[str, list[Repository]] = {}
    for part in ordered:
        for blob in Manifest.parse(part.descriptor, part.body).blobs:
            owners.setdefault(blob.digest, []).append(part.repository)
    by_digest = {part.descriptor.digest: part for part in ordered}
    return MergedIndex(Descriptor(INDEX, digest_of(body), len(body)), body, by_digest, owners)


def common(documents: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Return the entries that are equal in all documents."""
    first, *rest = documents or [{}]
    return {key: value for key, value in first.items() if all(other.get(key) == value for other in rest)}


async def parts_of(
    address: Address, registries: Registries
) -> tuple[list[SourceImage], Mapping[str, str] | None]:
    """Return the images at an address, and its annotations; None for a manifest without annotations.

    Raises:
        NotMergeable: a source is missing, or its platform is unknown.
    """
    repository = Repository(await registries.registry(address.host), address.repository, actions="pull")
    return await parts_in(await fetch(repository, address, address.reference), address, repository)


async def parts_in(
    found: Fetched, address: Address, repository: Repository
) -> tuple[list[SourceImage], Mapping[str, str] | None]:
    """Return the images in a manifest or index that was read at an address, and its annotations.

    Raises:
        NotMergeable: see `parts_of`.
    """
    manifest = Manifest.parse(found.descriptor, found.body)
    if manifest.blobs:
        config = parsed(await repository.small_blob(manifest.blobs[0]))
        # A plain manifest is like an index of one image: its annotations are those of the index.
        own = _annotations(found) or None
        return [_part(found, platform_name(config), {}, address, repository)], own
    parts = []
    for entry in manifest.children:
        child = await fetch(repository, address, entry.digest)
        parent = found.descriptor.digest
        parts.append(_part(child, entry.platform, entry.annotations, address, repository, parent))
    return parts, _annotations(found)


def _annotations(found: Fetched) -> Mapping[str, str]:
    annotations = parsed(found.body).get("annotations") or {}
    if not isinstance(annotations, dict) or not all(isinstance(text, str) for text in annotations.values()):
        raise damaged("the annotations are no texts", found.descriptor.digest)
    return annotations


async def fetch(repository: Repository, address: Address, reference: str) -> Fetched:
    """Return a manifest of an image.

    Raises:
        NotMergeable: the repository does not have it.
    """
    found = await repository.manifest(reference)
    if not found:
        raise NotMergeable(
            f"the registry does not have this image: {reference}",
            where=str(address),
            fix="push it first, and pass the digest that the push printed",
        )
    return found


def _part(
    found: Fetched,
    platform: str,
    annotations: Mapping[str, str],
    address: Address,
    repository: Repository,
    parent: str = "",
) -> SourceImage:
    try:
        known = parse(platform).platform
    except (MalformedPlatform, UnsupportedPlatform) as error:
        raise NotMergeable(
            f"{platform or 'an empty platform'!r} is not a supported platform",
            where=f"{address}, {found.descriptor.digest}",
            fix=UNKNOWN_FIX,
        ) from error
    if not Manifest.parse(found.descriptor, found.body).blobs:
        raise NotMergeable(
            f"the entry for {platform} is an index",
            where=str(address),
            fix="name its images one by one",
        )
    media_type = found.descriptor.media_type or MANIFEST
    described = replace(found.descriptor, media_type=media_type, platform=known, annotations=annotations)
    return SourceImage(described, found.body, address, repository, parent)
