"""Signatures that `cosign verify` accepts, made with a key of cosign's or a plain one, without cosign.

Formats: cosign's specs/SIGNATURE_SPEC.md and specs/ATTESTATION_SPEC.md; the simple signing payload; DSSE
(github.com/secure-systems-lab/dsse protocol.md); cosign's encrypted keys (scrypt and NaCl's secret box, as
go-securesystemslib writes them). Signatures are deterministic (RFC 6979): what is signed again is the same
again, and is not sent twice. The key never leaves this process.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.errors import UnusableKey, WrongKeyPassword
from pipeline.oci.layout import Descriptor
from pipeline.registry.artifacts import Artifact, Layer, artifact

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

SIGNATURE = "dev.cosignproject.cosign/signature"
PAYLOAD_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json"
ENVELOPE_TYPE = "application/vnd.dsse.envelope.v1+json"
STATEMENT_TYPE = "application/vnd.in-toto+json"
ARTIFACT_TYPE = "application/vnd.dev.cosign.artifact.{}.v1+json"

WRAPPED = ("ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY")
"""What cosign calls its keys in PEM, now and before."""

PARAMETERS = "EC PARAMETERS"
"""What may stand before a key in PEM and is none."""

OPTION = "--sign-key"
_MAKE_ONE = "make a key with `cosign generate-key-pair`, or `openssl genpkey` with an EC key on P-256"
_MEMORY = 1 << 28  # bytes that deriving a key may take: twice what cosign's strongest parameters need


@dataclass(frozen=True, repr=False)
class Signer:
    """An ECDSA key on P-256, with SHA-256: the kind that cosign makes."""

    key: EllipticCurvePrivateKey

    def sign(self, content: bytes) -> str:
        """The signature of some bytes, in base64; the same each time."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec

        made = self.key.sign(content, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
        return base64.b64encode(made).decode()

    @property
    def public(self) -> str:
        """The public key, for `cosign verify --key`."""
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        public = self.key.public_key()
        return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def load(pem: str, password: str = "") -> Signer:
    """A signer from a private key in PEM: encrypted as cosign does, or PKCS#8 or SEC 1, encrypted or not.

    Raises:
        UnusableKey: it is none, is damaged, or is of another kind than ECDSA on P-256.
        WrongKeyPassword: it does not open with the password.
    """
    # Imported where they are used: together they take longer to load than the rest of the module.
    from cryptography.hazmat.primitives.asymmetric import ec

    # `openssl ecparam -genkey` writes the curve's parameters before the key, which names its curve again.
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
        # A password that a key does not need is not an error: it may be set for all keys of a pipeline.
        return load_pem_private_key(pem.encode(), password.encode() if encrypted and password else None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        if encrypted:
            raise _wrong_password() from None
        raise _unusable("it cannot be read") from None


def _cosign(pem: str, password: str) -> Any:
    """The key in cosign's own wrapping: JSON with the parameters of scrypt and of a secret box."""
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
        "the signing key does not open with this password",
        where=OPTION,
        fix="pass the password that the key was made with",
    )


def payload(name: str, digest: str) -> bytes:
    """What is signed of an image: its name and the digest of its index or manifest."""
    critical = {
        "identity": {"docker-reference": name},
        "image": {"docker-manifest-digest": digest},
        "type": "cosign container image signature",
    }
    return json.dumps({"critical": critical, "optional": None}, separators=(",", ":")).encode()


def signature(subject: Descriptor, name: str, signer: Signer) -> Artifact:
    """The signature of an index or a manifest, where every cosign looks: at the tag `sha256-….sig`.

    Args:
        subject: what is signed.
        name: host and repository it is pushed to.
        signer: with what.
    """
    content = payload(name, subject.digest)
    layer = Layer(PAYLOAD_TYPE, content, {SIGNATURE: signer.sign(content)})
    return artifact(subject, ARTIFACT_TYPE.format("sig"), (layer,), tag=tag(subject.digest, "sig"))


def envelope(statement: bytes, signer: Signer) -> bytes:
    """An in-toto statement in a signed DSSE envelope."""
    # PAE, the protocol's pre-authentication encoding.
    signed = b"DSSEv1 %d %s %d %s" % (len(STATEMENT_TYPE), STATEMENT_TYPE.encode(), len(statement), statement)
    document = {
        "payloadType": STATEMENT_TYPE,
        "payload": base64.b64encode(statement).decode(),
        "signatures": [{"keyid": "", "sig": signer.sign(signed)}],
    }
    return json.dumps(document, separators=(",", ":")).encode()


def attestations(subject: Descriptor, statements: Sequence[bytes], signer: Signer) -> Artifact:
    """Signed statements about an index or a manifest, where every cosign looks: at the tag `sha256-….att`.

    Args:
        subject: what they are about.
        statements: in-toto statements, see `provenance.statement`.
        signer: with what they are signed.
    """
    layers = []
    for statement in statements:
        kind = json.loads(statement)["predicateType"]
        # cosign reads the envelope's own signature; the annotation has to be there, and empty.
        layers.append(
            Layer(ENVELOPE_TYPE, envelope(statement, signer), {SIGNATURE: "", "predicateType": kind})
        )
    return artifact(subject, ARTIFACT_TYPE.format("att"), tuple(layers), tag=tag(subject.digest, "att"))


def tag(digest: str, suffix: str) -> str:
    """Where cosign keeps what belongs to a digest: `sha256-<hexadecimal>.<suffix>`."""
    return f"{digest.replace(':', '-')}.{suffix}"
