import base64
import json
from pathlib import Path

import anyio
from test_signing import KEY, pem

from pipeline.attestation import attest, provenance, referrers, sbom, signing
from pipeline.attestation.attest import AttachmentOptions, PlatformAttachments
from pipeline.oci.layout import INDEX, MANIFEST, Descriptor, digest_of
from pipeline.registry.artifacts import Artifact

ROOT = Descriptor(INDEX, digest_of(b"index"), 5)
AMD64 = Descriptor(MANIFEST, digest_of(b"amd64"), 5, "linux/amd64")
ARM64 = Descriptor(MANIFEST, digest_of(b"arm64"), 5, "linux/arm64")
VARIANTS = {"linux/amd64": AMD64, "linux/arm64": ARM64}
KNOWN = [
    PlatformAttachments(
        "linux/amd64", b'{"of":"amd64"}', {"app.debug": Path(__file__)}, {"app.debug": "c0ffee"}
    ),
    PlatformAttachments("linux/arm64", b'{"of":"arm64"}', {"app.debug": Path(__file__)}),
]
SIGNER = signing.load(pem(KEY))


def made(
    known: list[PlatformAttachments] | None = None, root: Descriptor = ROOT, **options: object
) -> list[Artifact]:
    variants = VARIANTS if root is ROOT else {"linux/amd64": root}
    predicate = {"buildDefinition": {}}
    return anyio.run(
        attest.attachments,
        "ghcr.io/me/app",
        root,
        variants,
        known or [],
        predicate,
        AttachmentOptions(**{"sbom": "cyclonedx", **options}),
    )  # type: ignore


def kinds(artifacts: list[Artifact]) -> list[tuple[str, str]]:
    return [(artifact.subject, artifact.descriptor.artifact_type) for artifact in artifacts]


def test_no_options_make_no_artifacts() -> None:
    assert made() == []


def test_provenance_covers_the_index_and_its_manifests() -> None:
    (only,) = made(provenance=True)
    assert kinds([only]) == [(ROOT.digest, provenance.MEDIA_TYPE)]
    statement = json.loads(only.blobs[-1][1])
    digests = [f"sha256:{subject['digest']['sha256']}" for subject in statement["subject"]]
    assert digests == [ROOT.digest, AMD64.digest, ARM64.digest]
    assert statement["predicate"] == {"buildDefinition": {}}
    assert {subject["name"] for subject in statement["subject"]} == {"ghcr.io/me/app"}


def test_sboms_and_symbols_refer_to_their_manifest() -> None:
    assert kinds(made(KNOWN)) == [
        (AMD64.digest, sbom.MEDIA_TYPE),
        (AMD64.digest, referrers.SYMBOLS),
        (ARM64.digest, sbom.MEDIA_TYPE),
        (ARM64.digest, referrers.SYMBOLS),
    ]
    layer = json.loads(made(KNOWN)[1].body)["layers"][0]
    assert layer["annotations"]["dev.rust-multiarch.build-id"] == "c0ffee"


SIGNED = "https://sigstore.dev/cosign/sign/v1"


def bundles(artifacts: list[Artifact]) -> dict[str, list[str]]:
    """Return the predicate types of bundles by subject; each must be about its subject."""
    found: dict[str, list[str]] = {}
    for one in artifacts:
        if one.descriptor.artifact_type == signing.BUNDLE:
            envelope = json.loads(one.blobs[-1][1])["dsseEnvelope"]
            statement = json.loads(base64.b64decode(envelope["payload"]))
            digests = [subject["digest"]["sha256"] for subject in statement["subject"]]
            assert one.subject.removeprefix("sha256:") in digests
            found.setdefault(one.subject, []).append(statement["predicateType"])
    return found


def test_every_manifest_is_signed() -> None:
    artifacts = made(signer=SIGNER)
    assert bundles(artifacts) == {one.digest: [SIGNED] for one in (ROOT, AMD64, ARM64)}
    assert not any(one.tag for one in artifacts)
    assert [(one.subject, one.tag[-4:]) for one in made(signer=SIGNER, tags=True) if one.tag] == [
        (ROOT.digest, ".sig"),
        (AMD64.digest, ".sig"),
        (ARM64.digest, ".sig"),
    ]


def test_every_attached_document_is_signed() -> None:
    both = [provenance.PREDICATE_TYPE, sbom.PREDICATE_TYPE]
    artifacts = made(KNOWN, provenance=True, signer=SIGNER)
    of_platform = [SIGNED, *both]
    assert bundles(artifacts) == {
        ROOT.digest: of_platform[:2],
        AMD64.digest: of_platform,
        ARM64.digest: of_platform,
    }


def test_an_sbom_has_the_type_of_its_format() -> None:
    artifacts = made(KNOWN[:1], sbom="spdx", signer=SIGNER)
    assert bundles(artifacts)[AMD64.digest] == [SIGNED, "https://spdx.dev/Document"]
    assert kinds(artifacts)[0] == (AMD64.digest, "application/spdx+json")


def test_the_former_form_has_every_document() -> None:
    every = made(KNOWN, provenance=True, signer=SIGNER, tags=True)
    signed = [a for a in every if a.tag.endswith(".att")]
    found = {}
    for artifact in signed:
        envelopes = [json.loads(content) for _, content in artifact.blobs[1:]]
        statements = [json.loads(base64.b64decode(envelope["payload"])) for envelope in envelopes]
        found[artifact.subject] = [statement["predicateType"] for statement in statements]
        assert all(
            artifact.subject.removeprefix("sha256:") in [s["digest"]["sha256"] for s in statement["subject"]]
            for statement in statements
        )
    both = [provenance.PREDICATE_TYPE, sbom.PREDICATE_TYPE]
    assert found == {ROOT.digest: both[:1], AMD64.digest: both, ARM64.digest: both}


def test_a_platform_without_attachments() -> None:
    assert made([PlatformAttachments("linux/arm64")]) == []


def test_an_image_of_one_platform_is_signed_once() -> None:
    assert bundles(made(root=AMD64, signer=SIGNER)) == {AMD64.digest: [SIGNED]}


def test_a_replaced_image_has_no_provenance_of_the_build() -> None:
    """It kept that of the image which it replaced; so did the index with it."""
    known = [PlatformAttachments("linux/amd64", replaced=True), PlatformAttachments("linux/arm64")]
    (only,) = made(known, provenance=True)
    assert kinds([only]) == [(ARM64.digest, provenance.MEDIA_TYPE)]
    statement = json.loads(only.blobs[-1][1])
    assert [f"sha256:{one['digest']['sha256']}" for one in statement["subject"]] == [ARM64.digest]
    signed = made(known, provenance=True, signer=SIGNER)
    of_build = [key for key, types in bundles(signed).items() if provenance.PREDICATE_TYPE in types]
    assert of_build == [ARM64.digest]
    alone = [PlatformAttachments("linux/amd64", replaced=True)]
    assert made(alone, root=AMD64, provenance=True) == []
