"""Push an image: everything by digest to every registry, then the tags.

    1. check   read the current tags; `--no-clobber` fails here, before anything is sent
    2. send    push blobs, manifests, the index and its referrers by digest, everywhere
    3. tag     check again, then set one tag after the other; if one fails, restore the others; see `tagging`

So a tag always points to a complete image, and a push that fails in 1 or 2 has moved no tag.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import anyio

from pipeline.errors import first
from pipeline.oci.layout import Descriptor, Manifest, Store, pieces, platforms, walk
from pipeline.registry.address import Destination
from pipeline.registry.artifacts import Artifact, joined
from pipeline.registry.dial import Registries
from pipeline.registry.distribution import Fetched, Open, Repository
from pipeline.registry.receipt import Attached, Delivery, Receipt, Transfer
from pipeline.registry.tagging import Tag, set_tags

CONCURRENT = 4
"""The maximum number of concurrent blob transfers, over all registries."""


@dataclass
class PushTarget:
    """The state of a push to one destination."""

    destination: Destination
    repository: Repository
    tags: tuple[Tag, ...]
    transfers: list[Transfer] = field(default_factory=list)
    attached: list[Attached] = field(default_factory=list)
    seconds: float = 0.0


async def push(
    store: Store,
    destinations: Sequence[Destination],
    registries: Registries,
    *,
    clobber: bool = True,
    artifacts: Sequence[Artifact] = (),
) -> Receipt:
    """Push one image to every destination under every tag.

    Args:
        store: the content of the image, for example `Layout.open(directory)`.
        destinations: repositories and tags; see `address.destinations`.
        registries: the registry connections; see `dial.registries`.
        clobber: whether a tag may be moved from another image.
        artifacts: the referrers of the image, pushed before any tag.

    Raises:
        TagExists: a tag points to another image and `clobber` is false; no tag was moved, and nothing was
            sent unless the tag appeared during the push.
        TagRefused: a registry refused a tag; the others were restored as far as the registries support it.
        RegistryDenied, RegistryUnreachable, RegistryFailed, PublishError: no tag was moved.
    """
    began = time.monotonic()
    manifests = await walk(store)
    targets = [
        _target(where, Repository(await registries.registry(where.host), where.repository))
        for where in destinations
    ]
    try:
        await _look_everywhere(targets, store.root.digest, clobber)
        limit = anyio.CapacityLimiter(CONCURRENT)
        async with anyio.create_task_group() as group:
            for host in dict.fromkeys(target.destination.host for target in targets):
                same = [target for target in targets if target.destination.host == host]
                group.start_soon(_send_to_host, store, manifests, artifacts, same, limit)
        # Sending may take long, and the tags may have changed during that time.
        await _look_everywhere(targets, store.root.digest, clobber)
    except BaseExceptionGroup as error:
        raise first(error) from None
    await set_tags([tag for target in targets for tag in target.tags], manifests[-1], clobber)
    attached = {one.digest: one for target in targets for one in target.attached}
    return Receipt(
        digest=store.root.digest,
        media_type=store.root.media_type,
        platforms=await platforms(store, manifests),
        referrers=tuple(attached),
        deliveries=tuple(
            Delivery.of(t.destination.name, t.destination.tags, t.transfers, t.seconds) for t in targets
        ),
        attached=tuple(attached.values()),
        seconds=round(time.monotonic() - began, 3),
    )


def _target(where: Destination, repository: Repository) -> PushTarget:
    tags = tuple(Tag(repository, tag, f"{where.name}:{tag}") for tag in where.tags)
    return PushTarget(where, repository, tags)


async def _look_everywhere(targets: Sequence[PushTarget], digest: str, clobber: bool) -> None:
    async with anyio.create_task_group() as group:
        for target in targets:
            group.start_soon(_look, target, digest, clobber)


async def _look(target: PushTarget, digest: str, clobber: bool) -> None:
    for tag in target.tags:
        await tag.look(digest, clobber)


async def _send_to_host(
    store: Store,
    manifests: Sequence[Manifest],
    artifacts: Sequence[Artifact],
    targets: Sequence[PushTarget],
    limit: anyio.CapacityLimiter,
) -> None:
    """Send everything to the repositories of one registry; later ones mount blobs of the first."""
    done = ""
    for target in targets:
        began = time.monotonic()
        await _send_blobs(store, manifests, target, done, limit)
        for manifest in manifests:
            named = manifest.descriptor
            await target.repository.put_manifest(named.digest, named.media_type, manifest.body)
        for artifact in artifacts:
            await _send_artifact(target, artifact, done)
        target.seconds = time.monotonic() - began
        done = target.repository.path


async def _send_blobs(
    store: Store, manifests: Sequence[Manifest], target: PushTarget, done: str, limit: anyio.CapacityLimiter
) -> None:
    async def send(blob: Descriptor) -> None:
        async with limit:
            mount_from = done or store.repository(target.destination.host, blob.digest)
            await _send_blob(target, blob, lambda: store.blob(blob), mount_from)

    async with anyio.create_task_group() as group:
        for blob in {blob.digest: blob for manifest in manifests for blob in manifest.blobs}.values():
            group.start_soon(send, blob)


async def _send_blob(target: PushTarget, blob: Descriptor, content: Open, mount_from: str) -> None:
    began = time.monotonic()
    way = await target.repository.upload(blob, content, mount_from)
    target.transfers.append(Transfer(way, blob.size, time.monotonic() - began))


async def _send_artifact(target: PushTarget, artifact: Artifact, done: str) -> None:
    for blob, content in artifact.blobs:
        opened = content if callable(content) else partial(pieces, content)
        await _send_blob(target, blob, opened, done)
    if artifact.tag:
        artifact = await _with_others(target.repository, artifact)
    await target.repository.add_referrer(artifact.subject, artifact.descriptor, artifact.body)
    named, size = artifact.descriptor, sum(blob.size for blob, _ in artifact.blobs)
    target.attached.append(Attached(named.digest, artifact.subject, named.artifact_type, size))


async def _with_others(repository: Repository, artifact: Artifact) -> Artifact:
    """Add an artifact to those of other clients at its tag; return the artifact of all."""
    both = artifact

    def add(found: Fetched | None) -> tuple[str, bytes]:
        nonlocal both
        both = joined(artifact, found.body) if found else artifact
        return both.descriptor.media_type, both.body

    await repository.change_tag(artifact.tag, add)
    return both
