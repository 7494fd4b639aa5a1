"""Push an image: everything by digest to every registry, then the tags.

    1. check   read the current tags; `--no-clobber` fails here, before anything is sent
    2. send    push blobs, manifests, the index and its referrers by digest, everywhere
    3. tag     check again, then set one tag after the other; if one fails, restore the others

So a tag always points to a complete image, and a push that fails in 1 or 2 has moved no tag.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import anyio

from pipeline.errors import (
    PublishError,
    RegistryFailed,
    RegistryUnreachable,
    RustMultiarchError,
    TagExists,
    TagRefused,
    first,
)
from pipeline.oci.layout import Descriptor, Manifest, Store, pieces, platforms, walk
from pipeline.registry.address import Destination
from pipeline.registry.artifacts import Artifact, joined
from pipeline.registry.dial import Registries
from pipeline.registry.distribution import Fetched, Repository
from pipeline.registry.receipt import Delivery, Receipt

CONCURRENT = 4
"""The maximum number of concurrent blob transfers, over all registries."""

UNCLEAR = (RegistryFailed, RegistryUnreachable)
"""Errors after which a tag may be set nevertheless, since only the response may be lost."""

PUT_BACK_SECONDS = 10
"""Time limit in seconds to restore the tags of an interrupted push; the command line allows 20 in total."""


@dataclass
class PushTarget:
    """The state of a push to one destination."""

    destination: Destination
    repository: Repository
    before: dict[str, Fetched | None] = field(default_factory=dict)
    ways: list[tuple[str, int]] = field(default_factory=list)
    referrers: list[str] = field(default_factory=list)


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
    manifests = await walk(store)
    targets = [
        PushTarget(where, Repository(await registries.registry(where.host), where.repository))
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
    await _tag(targets, manifests[-1])
    return Receipt(
        digest=store.root.digest,
        media_type=store.root.media_type,
        platforms=await platforms(store, manifests),
        referrers=tuple(dict.fromkeys(digest for target in targets for digest in target.referrers)),
        deliveries=tuple(Delivery.of(t.destination.name, t.destination.tags, t.ways) for t in targets),
    )


async def _look_everywhere(targets: Sequence[PushTarget], digest: str, clobber: bool) -> None:
    async with anyio.create_task_group() as group:
        for target in targets:
            group.start_soon(_look, target, digest, clobber)


async def _look(target: PushTarget, digest: str, clobber: bool) -> None:
    for tag in target.destination.tags:
        found = await target.repository.manifest(tag)
        if found and found.descriptor.digest != digest and not clobber:
            raise TagExists(
                f"the tag {tag} names another image already: {found.descriptor.digest}",
                where=f"{target.destination.name}:{tag}",
                fix="choose a new tag, or leave --no-clobber out to move this one",
            )
        target.before[tag] = found


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
        await _send_blobs(store, manifests, target, done, limit)
        for manifest in manifests:
            named = manifest.descriptor
            await target.repository.put_manifest(named.digest, named.media_type, manifest.body)
        for artifact in artifacts:
            await _send_artifact(target, artifact, done)
        done = target.repository.path


async def _send_blobs(
    store: Store, manifests: Sequence[Manifest], target: PushTarget, done: str, limit: anyio.CapacityLimiter
) -> None:
    async def send(blob: Descriptor) -> None:
        async with limit:
            mount_from = done or store.repository(target.destination.host, blob.digest)
            way = await target.repository.upload(blob, lambda: store.blob(blob), mount_from)
            target.ways.append((way, blob.size))

    async with anyio.create_task_group() as group:
        for blob in {blob.digest: blob for manifest in manifests for blob in manifest.blobs}.values():
            group.start_soon(send, blob)


async def _send_artifact(target: PushTarget, artifact: Artifact, done: str) -> None:
    for blob, content in artifact.blobs:
        way = await target.repository.upload(blob, partial(pieces, content), done)
        target.ways.append((way, blob.size))
    if artifact.tag:
        there = await target.repository.manifest(artifact.tag)
        artifact = joined(artifact, there.body) if there else artifact
    await target.repository.add_referrer(artifact.subject, artifact.descriptor, artifact.body)
    target.referrers.append(artifact.descriptor.digest)
    if artifact.tag:
        await target.repository.put_manifest(artifact.tag, artifact.descriptor.media_type, artifact.body)


async def _tag(targets: Sequence[PushTarget], root: Manifest) -> None:
    touched: list[tuple[PushTarget, str]] = []
    try:
        for target in targets:
            for tag, before in target.before.items():
                if not before or before.descriptor.digest != root.descriptor.digest:
                    touched.append((target, tag))
                    await _set(target, tag, root, touched)
    except anyio.get_cancelled_exc_class():
        await _interrupted(touched)
        raise


async def _set(
    target: PushTarget, tag: str, root: Manifest, touched: Sequence[tuple[PushTarget, str]]
) -> None:
    """Set the last of the touched tags; if that fails, restore all of them."""
    try:
        await target.repository.put_manifest(tag, root.descriptor.media_type, root.body)
    except PublishError as error:
        moved = touched if isinstance(error, UNCLEAR) else touched[:-1]
        raise await _refused(target, tag, error, moved) from error


async def _interrupted(touched: Sequence[tuple[PushTarget, str]]) -> None:
    """Restore the tags of an interrupted push within a time limit, and print those that may be left."""
    left = [_address(target, tag) for target, tag in touched]
    with anyio.move_on_after(PUT_BACK_SECONDS, shield=True):
        left = await _put_all_back(touched)
    if left:
        say = touched[0][0].repository.registry.say
        say(f"interrupted; these tags may name the new image and could not be put back: {', '.join(left)}")


async def _refused(
    target: PushTarget, tag: str, error: PublishError, moved: Sequence[tuple[PushTarget, str]]
) -> PublishError:
    """Restore the moved tags, and return the error for a tag that could not be set."""
    left = await _put_all_back(moved)
    fix = f"let the registry take the tag {tag}, or choose another; what was sent is not sent again"
    if left:
        fix = f"these tags may name the new image and could not be put back: {', '.join(left)}; {fix}"
    # If the connection was lost, the registry did not refuse the tag.
    kind = type(error) if type(error) is not PublishError else TagRefused
    return kind(
        f"the image arrived, but its tag {tag} was not set: {error.what}",
        where=f"{target.destination.name}:{tag}",
        fix=fix,
        output=error.output,
    )


async def _put_all_back(moved: Sequence[tuple[PushTarget, str]]) -> list[str]:
    """Restore tags; return the names of those that could not be restored."""
    return [name for target, tag in moved if (name := await _put_back(target, tag))]


async def _put_back(target: PushTarget, tag: str) -> str:
    """Restore a tag; return its name if that failed."""
    before = target.before[tag]
    try:
        if before:
            await target.repository.put_manifest(tag, before.descriptor.media_type, before.body)
            return ""
        # A registry also refuses to delete a tag that does not exist.
        if await target.repository.delete_tag(tag) or await target.repository.manifest(tag) is None:
            return ""
    except RustMultiarchError:
        pass
    return _address(target, tag)


def _address(target: PushTarget, tag: str) -> str:
    return f"{target.destination.name}:{tag}"
