"""Test how the documents that refer to an image are read; tests/e2e has real registries."""

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from pipeline.attestation import carried, provenance, signing
from pipeline.oci.layout import MANIFEST, Descriptor, digest_of

SIGNER = signing.Signer(ec.derive_private_key(0xC0FFEE, ec.SECP256R1()))
OTHER = signing.Signer(ec.derive_private_key(0xBEEF, ec.SECP256R1()))
SUBJECT = Descriptor(MANIFEST, digest_of(b"image"), 5)
STATEMENT = provenance.statement(
    [provenance.StatementSubject("x", SUBJECT.digest)], provenance.PREDICATE_TYPE, {"a": 1}
)


def read(kind: str, content: bytes, signer: signing.Signer | None = SIGNER, **layer: Any) -> Any:
    found = Descriptor(layer.pop("media_type", kind), digest_of(content), len(content), **layer)
    return carried._statements(kind, content, found, signer)


def bundle(signer: signing.Signer = SIGNER) -> dict[str, Any]:
    return json.loads(signer.bundle(STATEMENT))


@pytest.mark.parametrize(("key", "signed"), [(SIGNER, True), (OTHER, False), (None, False)])
def test_a_bundle_is_signed_by_its_key_only(key: signing.Signer | None, signed: bool) -> None:
    (found,) = read(signing.BUNDLE, json.dumps(bundle()).encode(), key)
    assert (found.kind, found.digests) == (provenance.PREDICATE_TYPE, {SUBJECT.digest})
    assert found.signed is signed


def test_a_changed_payload_is_not_signed() -> None:
    changed = bundle()
    payload = STATEMENT.replace(b'"a":1', b'"a":2')
    changed["dsseEnvelope"]["payload"] = base64.b64encode(payload).decode()
    (found,) = read(signing.BUNDLE, json.dumps(changed).encode())
    assert found.document["predicate"] == {"a": 2} and not found.signed


@pytest.mark.parametrize(("key", "signed"), [(SIGNER, True), (OTHER, False)])
def test_the_former_form(key: signing.Signer, signed: bool) -> None:
    made = signing.signature(SUBJECT, "x", SIGNER)
    layer = Descriptor.parse(json.loads(made.body)["layers"][0])
    kind = signing.ARTIFACT_TYPE.format("sig")
    (found,) = carried._statements(kind, made.blobs[-1][1], layer, key)  # type: ignore[arg-type]
    assert (found.kind, found.digests, found.signed) == (signing.SIGNED, {SUBJECT.digest}, signed)
    attested = signing.envelope(STATEMENT, SIGNER)
    (found,) = read(signing.ARTIFACT_TYPE.format("att"), attested, key)
    assert (found.kind, found.signed) == (provenance.PREDICATE_TYPE, signed)


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"dsseEnvelope": None},
        {"dsseEnvelope": {"payload": "e30=", "signatures": [{}]}},
        {"dsseEnvelope": {"payload": "no base64", "signatures": []}},
        {"messageSignature": {"signature": "x"}},
    ],
)
def test_bundles_of_other_forms_have_no_statement(document: dict[str, Any]) -> None:
    assert read(signing.BUNDLE, json.dumps(document).encode()) == []


@pytest.mark.parametrize("subject", [None, [], [{"name": "pkg:cargo/x"}], [1], [{"digest": []}]])
def test_a_statement_about_no_image_has_no_digest(subject: object) -> None:
    (found,) = read(provenance.MEDIA_TYPE, json.dumps({"subject": subject}).encode())
    assert found.digests == set()
