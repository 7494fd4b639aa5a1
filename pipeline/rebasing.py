"""Rebase a published image: check its programs on the new base, then push and move the tags.

Only the image's own layers are downloaded, for the check; they are mounted or copied as they are on the push.
"""

from __future__ import annotations

import stat
import tarfile
import tempfile
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import anyio

from pipeline import upload
from pipeline.abi import verify as gate
from pipeline.attestation import attest, provenance, referrers, sbom, signing
from pipeline.attestation.attest import AttachmentOptions
from pipeline.errors import NotRebasable, VerificationError
from pipeline.oci import rebase, runtime
from pipeline.oci.base import RegistryBase
from pipeline.oci.layout import Descriptor, Manifest, digest_of, parsed
from pipeline.oci.rebase import PublishedPlatform
from pipeline.printable import say
from pipeline.progress import events
from pipeline.publishing import PublishRequest
from pipeline.registry import bases, merge, pushing
from pipeline.registry.address import Address, parse_source
from pipeline.registry.artifacts import Artifact, Layer, artifact
from pipeline.registry.dial import Registries
from pipeline.registry.distribution import Repository
from pipeline.registry.publish import connected
from pipeline.registry.receipt import BaseLayers, Receipt
from pipeline.targets import parse

MAX_LAYER_BYTES = 4 << 30
"""The maximum size of an unpacked layer."""

ELF = b"\x7fELF"

KINDS = {
    **{each.media_type: "SBOM" for each in sbom.FORMATS.values()},
    provenance.MEDIA_TYPE: "provenance",
    referrers.SYMBOLS: "debug symbols",
    signing.BUNDLE: "signature",
    signing.ARTIFACT_TYPE.format("sig"): "signature",
    signing.ARTIFACT_TYPE.format("att"): "signed attestations",
}
"""The names of attachments, by artifact type."""


@dataclass(frozen=True)
class Published:
    """A published image.

    Attributes:
        repository: its repository.
        root: its index, or its only manifest.
        parts: its platforms, by the digests of their manifests.
    """

    repository: Repository
    root: Manifest
    parts: Mapping[str, PublishedPlatform]

    @property
    def platforms(self) -> list[str]:
        """Return its platforms, in order."""
        return [part.platform for part in self.parts.values()]


@dataclass(frozen=True)
class Rebased:
    """An image on a new base: its documents, and the repositories with its layers."""

    root: Descriptor
    documents: Mapping[str, bytes]
    owners: Mapping[str, Repository]
    places: Mapping[tuple[str, str], str]

    async def manifest(self, descriptor: Descriptor) -> bytes:
        """Return the bytes of a manifest or an index."""
        return self.documents[descriptor.digest]

    async def blob(self, descriptor: Descriptor) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of a config, or those of a layer from its registry."""
        if descriptor.digest in self.documents:
            yield self.documents[descriptor.digest]
            return
        async with self.owners[descriptor.digest].blob(descriptor.digest) as pieces:
            async for piece in pieces:
                yield piece

    def repository(self, host: str, digest: str) -> str:
        """Return a repository of a registry that has this blob; "" if none is known."""
        return bases.known_place(self.owners, self.places, host, digest)


async def platforms(image: str, request: PublishRequest) -> list[str]:
    """Return the platforms of a published image.

    Raises:
        NotMergeable, NotRebasable, PublishError: see `read`.
    """
    async with connected(request.logins, request.plain_http) as registries:
        return (await read(parse_source(image), registries)).platforms


async def run(image: str, onto: str, request: PublishRequest, mirrors: Mapping[str, str]) -> Receipt:
    """Put a new base under a published image, and push it.

    Args:
        image: the image, with a tag or a digest.
        onto: the new base, with a tag or a digest.
        request: the addresses, credentials and the signing key of the push.
        mirrors: addresses of mirrors of registries, by host.

    Raises:
        NotRebasable: the image's own layers are unknown, or the new base lacks a platform.
        VerificationError: a program does not fit the new base; nothing was pushed.
        PublishError: see `pushing.push`.
    """
    async with connected(request.logins, request.plain_http) as registries:
        published = await read(parse_source(image), registries)
        new = await new_base(onto, published.platforms, registries, mirrors)
        events.enter("verifying")
        with tempfile.TemporaryDirectory(prefix="rust-multiarch-") as folder:
            await check(published, new, Path(folder))
        store = await made(published, new, registries, mirrors)
        with tempfile.TemporaryDirectory(prefix="rust-multiarch-") as folder:
            name = request.destinations()[0].name
            kept = await attachments(published, store, name, request.attachments, Path(folder))
            events.enter("pushing")
            receipt = await pushing.push(
                store, request.destinations(), registries, clobber=request.clobber, artifacts=kept
            )
        bases.remember(list(new.values()), request.destinations())
        layers = [BaseLayers(name, base.name, base.digest, base.way) for name, base in new.items()]
        return replace(receipt, bases=tuple(layers))


async def read(address: Address, registries: Registries) -> Published:
    """Read a published image.

    Raises:
        NotMergeable: the registry does not have it, or a platform is unknown.
        NotRebasable: see `rebase.parse`.
    """
    repository = Repository(await registries.registry(address.host), address.repository, actions="pull")
    found = await merge.fetch(repository, address, address.reference)
    root = Manifest.parse(found.descriptor, found.body)
    parts, _ = await merge.parts_in(found, address, repository)
    read = {}
    for part in parts:
        manifest = Manifest.parse(part.descriptor, part.body)
        config = await repository.small_blob(manifest.blobs[0])
        read[part.descriptor.digest] = rebase.parse(part.descriptor.platform, manifest, config)
    return Published(repository, root, read)


async def new_base(
    onto: str, platforms: Sequence[str], registries: Registries, mirrors: Mapping[str, str]
) -> dict[str, RegistryBase]:
    """Read the new base in its registry, by the digest that its tag names now.

    Raises:
        NotRebasable: it cannot be read, it lacks a platform, or it is `scratch`.
    """
    where = f"--onto {onto}"
    if onto == runtime.SCRATCH:
        raise NotRebasable(
            "scratch is no image, and the new base must be one in a registry",
            where=where,
            fix="build the image again with --runtime-base scratch",
        )
    address = parse_source(onto)
    reference = await bases.resolve(address, registries, mirrors)
    known = await bases.read(dict.fromkeys(platforms, reference), mirrors) if reference else {}
    lacking = [name for name in platforms if name not in known]
    why = await bases.why_missing(address, registries) if lacking and not known else ""
    if why:
        raise NotRebasable(
            f"the base cannot be read: {why}",
            where=where,
            fix="check its name, the network and your login at its registry",
        )
    if lacking:
        raise NotRebasable(
            f"the base has no image for {', '.join(lacking)}",
            where=where,
            fix="choose a base with all platforms of the image",
        )
    return {name: known[name] for name in platforms}


async def check(published: Published, new: Mapping[str, RegistryBase], folder: Path) -> None:
    """Check the programs of an image against the root filesystem on the new base.

    Raises:
        VerificationError: a program does not fit, or the image's own layers have no program.
    """
    requests = []
    for number, part in enumerate(published.parts.values()):
        base, root = new[part.platform], folder / str(number)
        root.mkdir()
        for layer in part.layers:
            file = await bases.keep(published.repository, layer.digest, folder)
            await anyio.to_thread.run_sync(unpack, file, root)
            file.unlink()
        found = programs(part, root)
        if not found:
            raise VerificationError(
                f"{part.platform}: the image's own layers have no program",
                where=part.manifest.descriptor.digest,
                fix="build the image again on the new base with --runtime-base",
            )
        target = parse(part.platform)
        container = await runtime.base_image(f"{base.name}@{base.digest}", target)
        container = container.with_directory("/", upload.directory(root))
        requests.append(gate.VerifyRequest(container, target, gate.Requirements(found, base.name)))
    say(gate.as_text(await gate.verify(requests)))


def unpack(layer: Path, root: Path) -> None:
    """Unpack the files, directories and links of a layer, for the ABI check.

    Raises:
        NotRebasable: the layer is too large, or is no archive.
    """
    size = 0
    try:
        with tarfile.open(layer, mode="r:gz") as tar:
            for member in tar:
                size += member.size
                if size > MAX_LAYER_BYTES:
                    raise _unreadable(layer, f"it has more than {MAX_LAYER_BYTES} bytes")
                if member.isreg() or member.isdir() or member.issym() or member.islnk():
                    member.mode = (member.mode | stat.S_IRUSR | stat.S_IWUSR) & 0o777
                    tar.extract(member, root, set_attrs=False, filter="tar")
    except (tarfile.TarError, OSError, EOFError) as error:
        raise _unreadable(layer, str(error)) from error


def _unreadable(layer: Path, why: str) -> NotRebasable:
    fix = "publish the image again on the new base with --runtime-base"
    return NotRebasable(f"a layer cannot be read: {why}", where=f"sha256:{layer.name}", fix=fix)


def programs(part: PublishedPlatform, root: Path) -> tuple[str, ...]:
    """Return the paths of the programs in an image's own layers: on PATH, and its entrypoint."""
    entrypoint = ((part.config.get("config") or {}).get("Entrypoint") or [""])[0]
    paths = [f"{runtime.PROGRAMS}/{path.name}" for path in sorted((root / runtime.PROGRAMS[1:]).glob("*"))]
    candidates = dict.fromkeys([*paths, *([entrypoint] if entrypoint.startswith("/") else [])])
    return tuple(path for path in candidates if _is_program(root, path))


def _is_program(root: Path, path: str) -> bool:
    file = root / path.lstrip("/")
    if not file.resolve().is_relative_to(root.resolve()) or not file.is_file():
        return False
    with file.open("rb") as content:
        return content.read(len(ELF)) == ELF


async def made(
    published: Published,
    new: Mapping[str, RegistryBase],
    registries: Registries,
    mirrors: Mapping[str, str],
) -> Rebased:
    """Return the image on the new base."""
    named = {part.platform: part.base for part in published.parts.values() if part.base}
    old = await bases.read(named, mirrors)
    documents: dict[str, bytes] = {}
    owners: dict[str, Repository] = {}
    manifests: dict[str, tuple[Descriptor, bytes]] = {}
    for digest, part in published.parts.items():
        base = new[part.platform]
        body, config = rebase.rebased(part, base, old.get(part.platform))
        media_type = part.manifest.descriptor.media_type
        descriptor = Descriptor(media_type, digest_of(body), len(body))
        manifests[digest] = descriptor, body
        documents |= {descriptor.digest: body, digest_of(config): config}
        source = Repository(await registries.registry(base.host), base.repository, actions="pull")
        owners |= {layer.digest: source for layer in base.blobs}
        owners |= {layer.digest: published.repository for layer in part.layers}
    if published.root.children:
        root, body = rebase.index_of(published.root, manifests, next(iter(new.values())).name)
        documents[root.digest] = body
    else:
        root = manifests[published.root.descriptor.digest][0]
    return Rebased(root, documents, owners, bases.remembered())


async def attachments(
    published: Published, store: Rebased, name: str, options: AttachmentOptions, folder: Path
) -> list[Artifact]:
    """Return the attachments of the image on the new base; print those that it does not keep.

    Debug symbols do not depend on the base. Signatures are made again with a key. An SBOM lists the packages
    of the old base, and provenance names it: these are left out.

    Args:
        published: the image on the old base.
        store: the image on the new base.
        name: host and repository, for signatures.
        options: the key to sign with.
        folder: an empty directory for the debug symbols.
    """
    before = [published.root.descriptor, *(part.manifest.descriptor for part in published.parts.values())]
    after = _subjects(store)
    platforms = {part.manifest.descriptor.digest: part.platform for part in published.parts.values()}
    kept: list[Artifact] = []
    dropped: list[str] = []
    for old, new in dict(zip([one.digest for one in before], after, strict=False)).items():
        for referrer in await published.repository.referrers(old):
            kind = KINDS.get(referrer.artifact_type, referrer.artifact_type or "attachment")
            if referrer.artifact_type == referrers.SYMBOLS:
                kept.append(await _moved(published.repository, referrer, new, folder))
            elif not (options.signer and kind == "signature"):
                dropped.append(f"{kind} of {platforms.get(old, 'the index')} ({referrer.digest})")
    for subject in {one.digest: one for one in after}.values():
        kept += await attest.signatures(subject, name, [], options)
    for each in dropped:
        say(f"not kept: {each}")
    return kept


def _subjects(store: Rebased) -> list[Descriptor]:
    """Return the root, and the manifests of its platforms in order."""
    root = Manifest.parse(store.root, store.documents[store.root.digest])
    return [store.root, *(root.children or [store.root])]


async def _moved(repository: Repository, referrer: Descriptor, subject: Descriptor, folder: Path) -> Artifact:
    """Return an artifact with another subject."""
    found = await repository.manifest(referrer.digest)
    assert found is not None, "the registry lists it"
    document = parsed(found.body, referrer.digest)
    layers = []
    for entry in map(Descriptor.parse, document["layers"]):
        file = await bases.keep(repository, entry.digest, folder)
        layers.append(Layer(entry.media_type, file, entry.annotations))
    return artifact(subject, referrer.artifact_type, tuple(layers), document.get("annotations"))
