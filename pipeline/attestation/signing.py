"""Sign images with a cosign key or a plain one so that `cosign verify` accepts the signature.

cosign 3 writes and looks for Sigstore bundles, one referrer each: a signature is an in-toto statement without
a predicate in a DSSE envelope (cosign's cmd/cosign/cli/sign/sign.go, `signDigestBundle`; the proto file of
bundles in sigstore/protobuf-specs). The former form has one manifest of all signatures at the tag
`sha256-….sig`, and one of all attestations at `sha256-….att` (cosign's specs/SIGNATURE_SPEC.md and
specs/ATTESTATION_SPEC.md).

Other formats: DSSE (github.com/secure-systems-lab/dsse protocol.md); cosign's encrypted keys (scrypt and
NaCl's secret box, as go-securesystemslib writes them). Signatures are deterministic (RFC 6979), so signing
again gives the same bytes, which are not uploaded twice. The key stays in this process, and cosign is not
needed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from pipeline.errors import UnusableKey, WrongKeyPassword
from pipeline.oci.layout import Descriptor, parsed
from pipeline.registry.artifacts import Artifact, Layer, artifact

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

SIGNATURE = "dev.cosignproject.cosign/signature"
PAYLOAD_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json"
ENVELOPE_TYPE = "application/vnd.dsse.envelope.v1+json"
STATEMENT_TYPE = "application/vnd.in-toto+json"
ARTIFACT_TYPE = "application/vnd.dev.cosign.artifact.{}.v1+json"

BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
BUNDLE_CONTENT, BUNDLE_PREDICATE = "dev.sigstore.bundle.content", "dev.sigstore.bundle.predicateType"
SIGNED = "https://sigstore.dev/cosign/sign/v1"
"""Predicate type of a signature in a bundle."""

WRAPPED = ("ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY")
"""PEM labels of cosign's keys, current and former."""

PARAMETERS = "EC PARAMETERS"
"""PEM block that may precede a key."""

OPTION = "--sign-key"
_MAKE_ONE = "make a key with `cosign generate-key-pair`, or `openssl genpkey` with an EC key on P-256"
_MEMORY = 1 << 28  # memory limit for key derivation: twice the need of cosign's strongest parameters


class BundleSigner(Protocol):
    """What signs statements as Sigstore bundles: a key, or an identity token."""

    @property
    def option(self) -> str:
        """Return the option that it comes from."""
        ...

    @property
    def how(self) -> str:
        """Return the end of a sentence about signed images."""
        ...

    async def bundles(self, statements: Sequence[bytes]) -> list[bytes]:
        """Return a bundle of each in-toto statement."""
        ...

    def verified(self, content: bytes) -> bytes | None:
        """Return the statement in a bundle that was signed in this way; None for other bundles."""
        ...


@dataclass(frozen=True, repr=False)
class Signer:
    """An ECDSA P-256 key with SHA-256, as cosign makes them."""

    key: EllipticCurvePrivateKey

    @property
    def option(self) -> str:
        """Return the option that the key comes from."""
        return OPTION

    @property
    def how(self) -> str:
        """Return the end of a sentence about signed images."""
        return "with this key"

    async def bundles(self, statements: Sequence[bytes]) -> list[bytes]:
        """Return a bundle of each in-toto statement."""
        return [self.bundle(one) for one in statements]

    def bundle(self, statement: bytes) -> bytes:
        """Return an in-toto statement in a Sigstore bundle."""
        document = {
            "mediaType": BUNDLE,
            "verificationMaterial": {"publicKey": {"hint": self.hint}},
            "dsseEnvelope": {
                "payload": base64.b64encode(statement).decode(),
                "payloadType": STATEMENT_TYPE,
                "signatures": [{"sig": self.sign(encoding(statement))}],
            },
        }
        return json.dumps(document, separators=(",", ":")).encode()

    def verified(self, content: bytes) -> bytes | None:
        """Return the statement in a bundle that this key signed; None for other bundles."""
        payload, signatures = enclosed(parsed(content).get("dsseEnvelope"))
        return payload if any(self.signed(encoding(payload), one) for one in signatures) else None

    def sign(self, content: bytes) -> str:
        """Return a deterministic signature of some bytes, in base64."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec

        made = self.key.sign(content, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
        return base64.b64encode(made).decode()

    @property
    def public(self) -> str:
        """Return the public key, for `cosign verify --key`."""
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        public = self.key.public_key()
        return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    @property
    def hint(self) -> str:
        """Return the digest of the public key, by which a bundle names it."""
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        public = self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return base64.b64encode(hashlib.sha256(public).digest()).decode()

    def signed(self, content: bytes, signature: str) -> bool:
        """Return True if a signature in base64 is one of this key for some bytes."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec

        try:
            made = base64.b64decode(signature, validate=True)
            self.key.public_key().verify(made, content, ec.ECDSA(hashes.SHA256()))
        except (InvalidSignature, ValueError):
            return False
        return True


def load(pem: str, password: str = "") -> Signer:
    """Load a private key in PEM: encrypted by cosign, or PKCS#8 or SEC 1, encrypted or not.

    Raises:
        UnusableKey: it is not a private key, is damaged, or is not ECDSA on P-256.
        WrongKeyPassword: the password does not decrypt it.
    """
    # Imported here because they take longer to load than the rest of the module.
    from cryptography.hazmat.primitives.asymmetric import ec

    # `openssl ecparam -genkey` writes the curve's parameters before the key.
    blocks = list(re.finditer(r"-----BEGIN ([A-Z0-9 ]+)-----", pem))
    if not blocks:
        raise _unusable("it is not in PEM form")
    block = next((block for block in blocks if block[1] != PARAMETERS), blocks[0])
    if "PRIVATE" not in block[1]:
        raise _unusable(f"it is a {block[1].lower()}")
    key = (_cosign if block[1] in WRAPPED else _plain)(pem[block.start() :], password)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        name = type(key).__name__.removesuffix("PrivateKey").strip("_")
        curve = f" on {key.curve.name}" if isinstance(key, ec.EllipticCurvePrivateKey) else ""
        raise _unusable(f"it is {name}{curve}, not ECDSA on P-256")
    return Signer(key)


def _plain(pem: str, password: str) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    encrypted = "ENCRYPTED" in pem
    try:
        # A password that a key does not need is allowed: it may be set for all keys of a pipeline.
        return load_pem_private_key(pem.encode(), password.encode() if encrypted and password else None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        if encrypted:
            raise _wrong_password() from None
        raise _unusable("it cannot be read") from None


def _cosign(pem: str, password: str) -> Any:
    """Decrypt a key in cosign's format: JSON with the parameters of scrypt and of a secret box."""
    from cryptography.hazmat.primitives.serialization import load_der_private_key
    from nacl.exceptions import CryptoError
    from nacl.secret import SecretBox

    try:
        body = re.sub(r"-----[^-]+-----|\s", "", pem)
        document = json.loads(base64.b64decode(body, validate=True))
        kdf, cipher = document["kdf"], document["cipher"]
        if (kdf["name"], cipher["name"]) != ("scrypt", "nacl/secretbox"):
            raise _unusable(f"it is encrypted with {kdf['name']} and {cipher['name']}")
        cost = {name.lower(): kdf["params"][name] for name in ("N", "r", "p")}
        salt, nonce = (base64.b64decode(text) for text in (kdf["salt"], cipher["nonce"]))
        secret = hashlib.scrypt(password.encode(), salt=salt, dklen=32, maxmem=_MEMORY, **cost)
        opened = SecretBox(secret).decrypt(base64.b64decode(document["ciphertext"]), nonce)
        return load_der_private_key(opened, None)
    except CryptoError:
        raise _wrong_password() from None
    except (binascii.Error, ValueError, KeyError, TypeError):
        raise _unusable("it is damaged") from None


def _unusable(why: str) -> UnusableKey:
    return UnusableKey(f"the signing key cannot be used: {why}", where=OPTION, fix=_MAKE_ONE)


def _wrong_password() -> WrongKeyPassword:
    return WrongKeyPassword(
        "the password does not decrypt the signing key",
        where=OPTION,
        fix="pass the password that the key was made with",
    )


def payload(name: str, digest: str) -> bytes:
    """Return the signed payload: an image's name and the digest of its index or manifest."""
    critical = {
        "identity": {"docker-reference": name},
        "image": {"docker-manifest-digest": digest},
        "type": "cosign container image signature",
    }
    return json.dumps({"critical": critical, "optional": None}, separators=(",", ":")).encode()


def signature(subject: Descriptor, name: str, signer: Signer) -> Artifact:
    """Sign an index or a manifest, at the tag `sha256-….sig` that cosign reads.

    Args:
        subject: the index or manifest.
        name: host and repository.
        signer: the key.
    """
    content = payload(name, subject.digest)
    layer = Layer(PAYLOAD_TYPE, content, {SIGNATURE: signer.sign(content)})
    return artifact(subject, ARTIFACT_TYPE.format("sig"), (layer,), tag=tag(subject.digest, "sig"))


def encoding(statement: bytes) -> bytes:
    """Return the bytes that are signed for a statement: DSSE's pre-authentication encoding."""
    return b"DSSEv1 %d %s %d %s" % (len(STATEMENT_TYPE), STATEMENT_TYPE.encode(), len(statement), statement)


def envelope(statement: bytes, signer: Signer) -> bytes:
    """Return an in-toto statement in a signed DSSE envelope."""
    document = {
        "payloadType": STATEMENT_TYPE,
        "payload": base64.b64encode(statement).decode(),
        "signatures": [{"keyid": "", "sig": signer.sign(encoding(statement))}],
    }
    return json.dumps(document, separators=(",", ":")).encode()


def enclosed(envelope: object) -> tuple[bytes, list[str]]:
    """Return the payload of a DSSE envelope and its signatures; none if it is no envelope."""
    try:
        payload = base64.b64decode(envelope["payload"], validate=True)  # type: ignore[index]
        return payload, [str(one["sig"]) for one in envelope["signatures"]]  # type: ignore[index]
    except (KeyError, TypeError, binascii.Error):
        return b"", []


def bundled(subject: Descriptor, statement: bytes, bundle: bytes) -> Artifact:
    """Attach a Sigstore bundle to an index or a manifest.

    Args:
        subject: the index or manifest.
        statement: the in-toto statement in the bundle.
        bundle: the bundle.
    """
    kind = json.loads(statement)["predicateType"]
    annotations = {BUNDLE_CONTENT: "dsse-envelope", BUNDLE_PREDICATE: kind}
    return artifact(subject, BUNDLE, (Layer(BUNDLE, bundle),), annotations)


def statement_of(subject: Descriptor) -> bytes:
    """Return the statement that signs an index or a manifest; the repository is not part of it."""
    algorithm, _, value = subject.digest.partition(":")
    document = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"digest": {algorithm: value}}],
        "predicateType": SIGNED,
        "predicate": {},
    }
    return json.dumps(document, separators=(",", ":")).encode()


def attestations(subject: Descriptor, statements: Sequence[bytes], signer: Signer) -> Artifact:
    """Sign statements about an index or a manifest, at the tag `sha256-….att` that cosign reads.

    Args:
        subject: the index or manifest.
        statements: in-toto statements, see `provenance.statement`.
        signer: the key.
    """
    layers = []
    for statement in statements:
        kind = json.loads(statement)["predicateType"]
        # cosign reads the signature in the envelope; the annotation must exist and be empty.
        layers.append(
            Layer(ENVELOPE_TYPE, envelope(statement, signer), {SIGNATURE: "", "predicateType": kind})
        )
    return artifact(subject, ARTIFACT_TYPE.format("att"), tuple(layers), tag=tag(subject.digest, "att"))


def tag(digest: str, suffix: str) -> str:
    """Return cosign's tag for a digest: `sha256-<hexadecimal>.<suffix>`."""
    return f"{digest.replace(':', '-')}.{suffix}"
