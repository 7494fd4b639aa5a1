import base64
import hashlib
import json

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_public_key,
)
from nacl.secret import SecretBox

from pipeline import errors
from pipeline.attestation import provenance, signing
from pipeline.oci.layout import INDEX, Descriptor, digest_of
from pipeline.registry.artifacts import Artifact

KEY = ec.derive_private_key(0xC0FFEE, ec.SECP256R1())
SUBJECT = Descriptor(INDEX, digest_of(b"index"), 5)
PASSWORD = "canary-of-a-password"


def pem(key: object = KEY, format: PrivateFormat = PrivateFormat.PKCS8, password: str = "") -> str:
    encryption = BestAvailableEncryption(password.encode()) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, format, encryption).decode()  # type: ignore[attr-defined]


def cosigns(key: object = KEY, name: str = "SIGSTORE", **changes: object) -> str:
    """Wrap a key like cosign, with its format's weakest parameters."""
    salt, nonce = bytes(32), bytes(24)
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())  # type: ignore[attr-defined]
    secret = hashlib.scrypt(PASSWORD.encode(), salt=salt, dklen=32, n=1024, r=8, p=1)
    document = {
        "kdf": {"name": "scrypt", "params": {"N": 1024, "r": 8, "p": 1}, "salt": encoded(salt)},
        "cipher": {"name": "nacl/secretbox", "nonce": encoded(nonce)},
        "ciphertext": encoded(SecretBox(secret).encrypt(der, nonce).ciphertext),
    } | changes
    body = encoded(json.dumps(document).encode())
    lines = "\n".join(body[start : start + 64] for start in range(0, len(body), 64))
    return (
        f"-----BEGIN ENCRYPTED {name} PRIVATE KEY-----\n{lines}\n-----END ENCRYPTED {name} PRIVATE KEY-----\n"
    )


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def verify(content: bytes, signature: str, key: ec.EllipticCurvePrivateKey = KEY) -> None:
    key.public_key().verify(base64.b64decode(signature), content, ec.ECDSA(hashes.SHA256()))


PARAMETERS = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
"""The curve's name, which `openssl ecparam -genkey` writes before the key."""


@pytest.mark.parametrize(
    ("text", "password"),
    [
        (pem(), ""),
        (PARAMETERS + pem(format=PrivateFormat.TraditionalOpenSSL), ""),
        (PARAMETERS + pem(format=PrivateFormat.TraditionalOpenSSL, password=PASSWORD), PASSWORD),
        (pem(), "not needed"),
        (pem(format=PrivateFormat.TraditionalOpenSSL), ""),
        (pem(password=PASSWORD), PASSWORD),
        (pem(format=PrivateFormat.TraditionalOpenSSL, password=PASSWORD), PASSWORD),
        (cosigns(), PASSWORD),
        (cosigns(name="COSIGN"), PASSWORD),
    ],
)
def test_loads_keys_in_every_format(text: str, password: str) -> None:
    signer = signing.load(text, password)
    verify(b"content", signer.sign(b"content"))
    public = load_pem_public_key(signer.public.encode())
    assert public == KEY.public_key()


@pytest.mark.parametrize("text", [cosigns(), pem(password=PASSWORD)])
@pytest.mark.parametrize("password", ["", "wrong"])
def test_a_wrong_password_is_refused(text: str, password: str) -> None:
    with pytest.raises(errors.WrongKeyPassword) as raised:
        signing.load(text, password)
    assert raised.value.__cause__ is None, "messages of the library are not shown"


RSA = rsa.generate_private_key(65537, 2048)
PUBLIC = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
DAMAGED = "-----BEGIN {0} KEY-----\nY2FuYXJ5\n-----END {0} KEY-----\n"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not in PEM form"),
        ("canary", "not in PEM form"),
        (PUBLIC, "it is a public key"),
        ("-----BEGIN CERTIFICATE-----\n", "it is a certificate"),
        (PARAMETERS, "it is a ec parameters"),
        (PARAMETERS + PUBLIC, "it is a public key"),
        (PARAMETERS + DAMAGED.format("EC PRIVATE"), "cannot be read"),
        (pem(RSA), "it is RSA, not"),
        (pem(ed25519.Ed25519PrivateKey.generate()), "it is Ed25519, not"),
        (pem(ec.generate_private_key(ec.SECP384R1())), "on secp384r1, not ECDSA on P-256"),
        (cosigns(RSA), "it is RSA, not"),
        (DAMAGED.format("PRIVATE"), "cannot be read"),
        (DAMAGED.format("EC PRIVATE"), "cannot be read"),
        (DAMAGED.format("ENCRYPTED SIGSTORE PRIVATE"), "damaged"),
        (cosigns(ciphertext="canary!"), "damaged"),
        (cosigns(kdf={"name": "argon2"}), "encrypted with argon2"),
        (cosigns(cipher={}), "damaged"),
    ],
)
def test_unusable_keys_are_refused(text: str, why: str) -> None:
    with pytest.raises(errors.UnusableKey) as raised:
        signing.load(text, PASSWORD)
    assert why in str(raised.value)
    assert "canary" not in raised.value.render()
    assert raised.value.where == "--sign-key"


def test_a_signer_does_not_show_its_key() -> None:
    assert "PrivateKey" not in repr(signing.load(pem()))


def signed(signer: signing.Signer) -> Artifact:
    statement = signing.statement_of(SUBJECT)
    return signing.bundled(SUBJECT, statement, signer.bundle(statement))


def only_layer(artifact: Artifact) -> tuple[dict, bytes]:
    (layer,) = json.loads(artifact.body)["layers"]
    return layer, artifact.blobs[-1][1]


def test_image_signature() -> None:
    made = signing.signature(SUBJECT, "ghcr.io/me/app", signing.load(pem()))
    layer, content = only_layer(made)
    assert json.loads(content) == {
        "critical": {
            "identity": {"docker-reference": "ghcr.io/me/app"},
            "image": {"docker-manifest-digest": SUBJECT.digest},
            "type": "cosign container image signature",
        },
        "optional": None,
    }
    assert layer["mediaType"] == "application/vnd.dev.cosign.simplesigning.v1+json"
    verify(content, layer["annotations"]["dev.cosignproject.cosign/signature"])
    assert made.tag == SUBJECT.digest.replace("sha256:", "sha256-") + ".sig"
    assert made.subject == SUBJECT.digest


def test_signatures_are_deterministic() -> None:
    one, two = (signing.signature(SUBJECT, "x", signing.load(pem())) for _ in range(2))
    assert one == two


def test_a_bundle_is_what_cosign_3_writes() -> None:
    signer = signing.load(pem())
    made = signed(signer)
    layer, content = only_layer(made)
    bundle, manifest = json.loads(content), json.loads(made.body)
    kind = "application/vnd.dev.sigstore.bundle.v0.3+json"
    assert layer["mediaType"] == manifest["artifactType"] == bundle["mediaType"] == kind
    assert manifest["annotations"] == {
        "dev.sigstore.bundle.content": "dsse-envelope",
        "dev.sigstore.bundle.predicateType": "https://sigstore.dev/cosign/sign/v1",
    }
    assert bundle.keys() == {"mediaType", "verificationMaterial", "dsseEnvelope"}
    assert bundle["verificationMaterial"].keys() == {"publicKey"}
    envelope = bundle["dsseEnvelope"]
    statement = base64.b64decode(envelope["payload"])
    assert json.loads(statement) == {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"digest": {"sha256": SUBJECT.digest.removeprefix("sha256:")}}],
        "predicateType": "https://sigstore.dev/cosign/sign/v1",
        "predicate": {},
    }
    (signature,) = envelope["signatures"]
    assert signature.keys() == {"sig"}
    verify(signing.encoding(statement), signature["sig"])
    assert made.tag == "" and made == signed(signer)


def test_a_signer_knows_its_signatures() -> None:
    signer = signing.load(pem())
    signature = signer.sign(b"text")
    assert signer.signed(b"text", signature)
    assert not signer.signed(b"other", signature) and not signer.signed(b"text", "no base64!")
    other = signing.load(pem(ec.generate_private_key(ec.SECP256R1())))
    assert not other.signed(b"text", signature) and other.hint != signer.hint


def test_signed_statements() -> None:
    statements = [provenance.statement([], kind, {"a": kind}) for kind in ("https://one", "https://two")]
    made = signing.attestations(SUBJECT, statements, signing.load(pem()))
    layers = json.loads(made.body)["layers"]
    assert [layer["annotations"]["predicateType"] for layer in layers] == ["https://one", "https://two"]
    assert {layer["mediaType"] for layer in layers} == {"application/vnd.dsse.envelope.v1+json"}
    assert made.tag.endswith(".att")
    for statement, (_, content) in zip(statements, made.blobs[1:], strict=True):
        envelope = json.loads(content)
        assert base64.b64decode(envelope["payload"]) == statement
        signed = f"DSSEv1 28 application/vnd.in-toto+json {len(statement)} ".encode() + statement
        verify(signed, envelope["signatures"][0]["sig"])
