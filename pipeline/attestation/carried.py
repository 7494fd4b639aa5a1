"""Check the attachments of images that are merged, carry them along, and make those of the merged index.

An image that another runner published has its SBOM, provenance and signatures as referrers. They stay valid,
since the index names the same manifest; in another repository they have to be pushed again. The index is new:
its provenance is that of its images, and its signature is made here.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Any

from pipeline.attestation import attest, keyless, provenance, referrers, sbom, signing
from pipeline.attestation.attest import AttachmentOptions
from pipeline.attestation.provenance import StatementSubject
from pipeline.attestation.signing import BundleSigner, Signer
from pipeline.concurrent import each
from pipeline.errors import NotMergeable, PublishError
from pipeline.git.ci import Event
from pipeline.oci.layout import Descriptor, Manifest, parsed
from pipeline.printable import say
from pipeline.registry.artifacts import Artifact
from pipeline.registry.distribution import Repository
from pipeline.registry.merge import MergedIndex, SourceImage

AT_ONCE = 4
"""Number of images whose attachments are read in parallel."""

MAX_BYTES = 64 << 20
"""The maximum size of a document that is read."""

LEGACY = {signing.ARTIFACT_TYPE.format(suffix): suffix for suffix in ("sig", "att")}
"""The suffixes of the tags of signatures in the former form, by artifact type."""

BILLS = frozenset(one.media_type for one in sbom.FORMATS.values())

STATEMENTS = frozenset({provenance.MEDIA_TYPE, signing.BUNDLE, *LEGACY, *BILLS})
"""Artifact types with statements or signatures."""


@dataclass(frozen=True)
class Referrer:
    """An artifact that refers to an image, in the repository of the image."""

    descriptor: Descriptor
    body: bytes
    repository: Repository

    @property
    def kind(self) -> str:
        """Return its artifact type; in lists without one, it is the type of the config."""
        document = parsed(self.body)
        return self.descriptor.artifact_type or str(document.get("artifactType") or "")

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """Return its config and its layers."""
        return Manifest.parse(self.descriptor, self.body).blobs

    async def read(self, blob: Descriptor) -> bytes:
        """Return a document.

        Raises:
            PublishError: it is too large, or the registry does not have it.
        """
        content = b""
        async with self.repository.blob(blob.digest) as pieces:
            async for piece in pieces:
                content += piece
                if len(content) > MAX_BYTES:
                    raise PublishError(
                        f"an attachment has more than {MAX_BYTES >> 20} MiB",
                        where=f"{self.repository.registry.host}/{self.repository.path}@{blob.digest}",
                        fix="remove it from the registry, and publish the image again",
                    )
        return content

    def open(self, blob: Descriptor) -> Callable[[], AsyncGenerator[bytes, None]]:
        """Return a function that streams a blob, from the start each time it is called."""

        async def stream() -> AsyncGenerator[bytes, None]:
            async with self.repository.blob(blob.digest) as pieces:
                async for piece in pieces:
                    yield piece

        return stream


@dataclass(frozen=True)
class Statement:
    """An in-toto statement about an image; `signed` if it is signed by the key or the identity."""

    document: dict[str, Any]
    signed: bool = False

    @property
    def kind(self) -> str:
        """Return its predicate type."""
        return str(self.document.get("predicateType", ""))

    @property
    def digests(self) -> set[str]:
        """Return the digests of its subjects."""
        subjects = self.document.get("subject")
        found = subjects if isinstance(subjects, list) else []
        named = [
            one["digest"] for one in found if isinstance(one, dict) and isinstance(one.get("digest"), dict)
        ]
        return {f"{algorithm}:{value}" for digest in named for algorithm, value in digest.items()}


@dataclass(frozen=True)
class PartReferrers:
    """An image to merge, with its referrers and the statements in them."""

    part: SourceImage
    referrers: tuple[Referrer, ...]
    statements: tuple[Statement, ...]

    @property
    def is_signed(self) -> bool:
        """Return True if the image has a signature, of whichever key."""
        kinds = {one.kind for one in self.referrers}
        return signing.SIGNED in {one.kind for one in self.statements} or bool(kinds & LEGACY.keys())

    def provenance(self, signer: BundleSigner | None) -> dict[str, Any]:
        """Return the provenance predicate; of signed statements if they must be. {} without one."""
        found = [one for one in self.statements if one.kind == provenance.PREDICATE_TYPE]
        usable = [one for one in found if one.signed or signer is None]
        predicate = usable[0].document.get("predicate") if usable else {}
        return predicate if isinstance(predicate, dict) else {}


async def attach(
    merged: MergedIndex, options: AttachmentOptions, name: str, event: Event | None = None
) -> list[Artifact]:
    """Return the attachments to push with a merged index: those of its images, and its own.

    Args:
        merged: the index.
        options: the attachments that each image must have, and who must have signed them.
        name: host and repository, used in statements.
        event: the run that merges.

    Raises:
        NotMergeable: an image lacks an attachment, or one is about another image; or the images were built
            from different commits.
        PublishError: an attachment cannot be read.
        NoIdentityToken, SigstoreRefused, SigstoreUnreachable: see `KeylessSigner.bundles`.
    """

    async def read(part: SourceImage) -> PartReferrers:
        return await _read(part, options.signer)

    parts = await each([merged.parts[digest] for digest in merged.order], read, AT_ONCE)
    for part in parts:
        _check(part, options)
    made = [carried(one, of.part) for of in parts for one in of.referrers if _refers(one, of.part)]
    predicates = [(str(one.part.address), one.provenance(options.signer)) for one in parts]
    statements: list[bytes] = []
    if all(predicate for _, predicate in predicates):
        predicate = provenance.merged(predicates, event or Event())
        subjects = [StatementSubject(name, digest) for digest in (merged.root.digest, *merged.order)]
        statements = [provenance.statement(subjects, provenance.PREDICATE_TYPE, predicate)]
        made += [referrers.of_provenance(merged.root, statement) for statement in statements]
    if options.signer is None and any(part.is_signed for part in parts):
        options_of = f"{signing.OPTION} or {keyless.OPTION}"
        say(f"warning: the images are signed, and the index is not; pass {options_of} to sign it")
    return [*made, *await attest.signatures(merged.root, name, statements, options)]


def carried(referrer: Referrer, part: SourceImage) -> Artifact:
    """Return an image's referrer for another repository; its blobs are streamed."""
    suffix = LEGACY.get(referrer.kind, "")
    digest = part.descriptor.digest
    return Artifact(
        referrer.descriptor,
        digest,
        referrer.body,
        tuple((blob, referrer.open(blob)) for blob in referrer.blobs),
        tag=signing.tag(digest, suffix) if suffix else "",
    )


def _refers(referrer: Referrer, part: SourceImage) -> bool:
    """Return True if a referrer's subject is the image, not the index that the image came in."""
    subject = parsed(referrer.body).get("subject")
    return isinstance(subject, dict) and subject.get("digest") == part.descriptor.digest


async def _read(part: SourceImage, signer: BundleSigner | None) -> PartReferrers:
    found: list[Referrer] = []
    for digest in dict.fromkeys(filter(None, (part.descriptor.digest, part.parent))):
        for descriptor in await part.repository.referrers(digest):
            manifest = await part.repository.manifest(descriptor.digest)
            if manifest is not None:
                found.append(Referrer(descriptor, manifest.body, part.repository))
    statements: list[Statement] = []
    for referrer in found:
        if referrer.kind in STATEMENTS:
            for layer in referrer.blobs[1:]:
                statements += _statements(referrer.kind, await referrer.read(layer), layer, signer)
    # Statements of other tools may be about packages, without a digest.
    return PartReferrers(part, tuple(found), tuple(one for one in statements if one.digests))


def _statements(kind: str, content: bytes, layer: Descriptor, signer: BundleSigner | None) -> list[Statement]:
    """Return the statement in a document, if there is one."""
    document = parsed(content)
    if kind == provenance.MEDIA_TYPE:
        return [Statement(document)]
    if kind in BILLS:
        digest = sbom.described(document)
        return [_about(digest, kind)] if digest else []
    # Only keys sign in the former form.
    key = signer if isinstance(signer, Signer) else None
    if kind in LEGACY and layer.media_type == signing.PAYLOAD_TYPE:
        return [_payload(document, content, layer, key)]
    if kind == signing.BUNDLE and signer is not None and (verified := signer.verified(content)) is not None:
        return [Statement(parsed(verified), True)]
    payload, signatures = signing.enclosed(
        document.get("dsseEnvelope") if kind == signing.BUNDLE else document
    )
    if not payload:
        return []
    signed = key is not None and any(key.signed(signing.encoding(payload), one) for one in signatures)
    return [Statement(parsed(payload), signed)]


def _payload(document: dict[str, Any], content: bytes, layer: Descriptor, signer: Signer | None) -> Statement:
    """Return a signature in the former form as a statement."""
    critical = document.get("critical")
    image = critical.get("image") if isinstance(critical, dict) else None
    digest = str(image.get("docker-manifest-digest", "")) if isinstance(image, dict) else ""
    signed = signer is not None and signer.signed(content, layer.annotations.get(signing.SIGNATURE, ""))
    return _about(digest, signing.SIGNED, signed)


def _about(digest: str, kind: str, signed: bool = False) -> Statement:
    algorithm, _, value = digest.partition(":")
    return Statement({"predicateType": kind, "subject": [{"digest": {algorithm: value}}]}, signed)


def _check(found: PartReferrers, options: AttachmentOptions) -> None:
    """Check the attachments of an image.

    Raises:
        NotMergeable: see `attach`.
    """
    part, platform = found.part, found.part.descriptor.platform
    own = {part.descriptor.digest, part.parent}

    def lacks(what: str, option: str) -> NotMergeable:
        return NotMergeable(
            f"the image for {platform} {what}",
            where=str(part.address),
            fix=f"publish it with {option}, or merge without {option}",
        )

    for statement in found.statements:
        if not statement.digests & own:
            raise NotMergeable(
                f"an attestation of the image for {platform} is about another image: {statement.kind}",
                where=str(part.address),
                fix="remove it from the registry, and publish the image again",
            )
    if options.signer is not None:
        if not any(one.signed and one.kind == signing.SIGNED for one in found.statements):
            raise lacks(f"is not signed {options.signer.how}", options.signer.option)
        unsigned = [
            one for one in found.statements if one.kind == provenance.PREDICATE_TYPE and not one.signed
        ]
        if unsigned and not found.provenance(options.signer):
            raise lacks(f"has provenance that is not signed {options.signer.how}", options.signer.option)
    if options.provenance and not found.provenance(options.signer):
        raise lacks("has no provenance", "--provenance")
    media_type = sbom.FORMATS[options.sbom].media_type if options.sbom else ""
    if media_type and not any(one.kind == media_type for one in found.referrers):
        raise lacks(f"has no SBOM in the format {options.sbom}", "--sbom")
