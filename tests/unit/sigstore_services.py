"""Run the services of a small Sigstore on loopback: tokens of a CI system, Fulcio with a CT log, Rekor v1.

The library `sigstore` accepts what they answer, signatures and proofs included. But they do not check the
identity token; tests/e2e/test_keyless.py has the real Fulcio and Rekor.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID
from small_server import serving

START = "2020-01-01T00:00:00Z"
WORKFLOW = "https://github.com/me/app/.github/workflows/release.yml@refs/tags/v1"
ISSUER = "https://token.actions.example"
REQUEST_TOKEN = "canary-of-a-request-token"


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def jwt(**claims: Any) -> str:
    """Return an identity token; its signature is not one, which only a real Fulcio notices."""
    now = int(datetime.now(UTC).timestamp())
    claims = {"aud": "sigstore", "iss": ISSUER, "sub": WORKFLOW, "iat": now, "exp": now + 600} | claims
    parts = [json.dumps(part).encode() for part in ({"alg": "RS256", "typ": "JWT"}, claims)]
    texts = [base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (*parts, b"signature")]
    return ".".join(texts)


USES = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
    "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip


def usage(name: str) -> x509.KeyUsage:
    """Return the extension with one use of a key."""
    return x509.KeyUsage(**{use: use == name for use in USES})


def public(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def log_instance(url: str, key: bytes, details: str, key_id: bytes) -> dict[str, Any]:
    """Return a log in a trusted root."""
    described = {"rawBytes": encoded(key), "keyDetails": details, "validFor": {"start": START}}
    return {
        "baseUrl": url,
        "hashAlgorithm": "SHA2_256",
        "publicKey": described,
        "logId": {"keyId": encoded(key_id)},
    }


def authority(url: str, chain: list[x509.Certificate]) -> dict[str, Any]:
    """Return a certificate authority, or a timestamp authority, in a trusted root."""
    certificates = [{"rawBytes": encoded(one.public_bytes(Encoding.DER))} for one in chain]
    return {
        "subject": {"organization": "me", "commonName": "sigstore"},
        "uri": url,
        "certChain": {"certificates": certificates},
        "validFor": {"start": START},
    }


def service(url: str, version: int = 1) -> list[dict[str, Any]]:
    """Return a service in a signing configuration."""
    return [{"url": url, "majorApiVersion": version, "validFor": {"start": START}, "operator": "me"}]


def trusted_root(**parts: Any) -> dict[str, Any]:
    return {"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1", **parts}


def client_trust_config(root: Mapping[str, Any], **services: Any) -> dict[str, Any]:
    signing = {
        "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
        "rekorTlogConfig": {"selector": "ANY"},
        "tsaConfig": {"selector": "ANY"},
        **services,
    }
    return {
        "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
        "trustedRoot": root,
        "signingConfig": signing,
    }


@dataclass
class Sigstore:
    """The services, and what they were asked.

    Attributes:
        url: the address of all of them.
        minutes: how long a certificate is valid.
        faults: by path, the next answers instead of the right ones: status and text.
        requests: the paths of all requests.
    """

    url: str = ""
    minutes: int = 10
    faults: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.authority, self.ct, self.rekor = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sigstore")])
        self.root = (
            self._certificate(self.authority.public_key(), name, name, timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(usage("key_cert_sign"), critical=True)
            .sign(self.authority, hashes.SHA256())
        )

    @property
    def trust(self) -> str:
        """Return the client trust configuration."""
        details = "PKIX_ECDSA_P256_SHA_256"
        keys = [public(key) for key in (self.rekor, self.ct)]
        tlog, ctlog = (log_instance(self.url, key, details, hashlib.sha256(key).digest()) for key in keys)
        root = trusted_root(
            tlogs=[tlog], ctlogs=[ctlog], certificateAuthorities=[authority(self.url, [self.root])]
        )
        made = client_trust_config(root, caUrls=service(self.url), rekorTlogUrls=service(self.url))
        return json.dumps(made)

    def variables(self, **more: str) -> dict[str, str]:
        """Return the variables of a job of GitHub with `id-token: write`."""
        return {
            "GITHUB_ACTIONS": "true",
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{self.url}/token?api-version=2",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": REQUEST_TOKEN,
            **more,
        }

    def answer(self, path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, str]:
        """Answer a request with a status and a text."""
        place, query = urlsplit(path).path, parse_qs(urlsplit(path).query)
        self.requests.append(place)
        if self.faults.get(place):
            return self.faults[place].pop(0)
        bearer = headers.get("Authorization", "").partition(" ")[2]
        if place == "/token" and bearer == REQUEST_TOKEN and query["api-version"] == ["2"]:
            return 200, json.dumps({"value": jwt(aud=query["audience"][0])})
        if place == "/api/v2/signingCert":
            return 201, json.dumps(self._issued(bearer, json.loads(body)))
        if place == "/api/v1/log/entries":
            return 201, json.dumps(self._logged(json.loads(body)))
        return 404, "{}"

    def _certificate(
        self, key: Any, subject: x509.Name, issuer: x509.Name, valid: timedelta
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return x509.CertificateBuilder(
            issuer, subject, key, x509.random_serial_number(), now - timedelta(seconds=5), now + valid
        )

    def _issued(self, token: str, request: Mapping[str, str]) -> dict[str, Any]:
        """Return a certificate for a token's subject, with a timestamp of the CT log in it."""
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        csr = x509.load_pem_x509_csr(base64.b64decode(request["certificateSigningRequest"]))
        issuer = claims["iss"].encode()
        extension = x509.UnrecognizedExtension(
            x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.8"), bytes([12, len(issuer)]) + issuer
        )
        former = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.1"), issuer)
        builder = (
            self._certificate(
                csr.public_key(), x509.Name([]), self.root.subject, timedelta(minutes=self.minutes)
            )
            .add_extension(
                x509.SubjectAlternativeName([x509.UniformResourceIdentifier(claims["sub"])]), critical=True
            )
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
            .add_extension(usage("digital_signature"), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.authority.public_key()),
                critical=False,
            )
            .add_extension(extension, critical=False)
            .add_extension(former, critical=False)
        )
        unlogged = builder.sign(self.authority, hashes.SHA256())
        timestamps = x509.UnrecognizedExtension(
            ExtensionOID.PRECERT_SIGNED_CERTIFICATE_TIMESTAMPS, self._timestamps(unlogged)
        )
        made = builder.add_extension(timestamps, critical=False).sign(self.authority, hashes.SHA256())
        chain = [one.public_bytes(Encoding.PEM).decode() for one in (made, self.root)]
        return {"signedCertificateEmbeddedSct": {"chain": {"certificates": chain}}}

    def _timestamps(self, unlogged: x509.Certificate) -> bytes:
        """Return the extension with one signed certificate timestamp (RFC 6962, 3.2 and 3.3)."""
        tbs = unlogged.tbs_certificate_bytes
        milliseconds = int(datetime.now(UTC).timestamp() * 1000)
        issuer = hashlib.sha256(public(self.authority)).digest()
        signed = struct.pack("!BBQH", 0, 0, milliseconds, 1) + issuer
        signed += struct.pack("!I", len(tbs))[1:] + tbs + struct.pack("!H", 0)
        signature = self.ct.sign(signed, ec.ECDSA(hashes.SHA256()))
        log = hashlib.sha256(public(self.ct)).digest()
        one = struct.pack("!B", 0) + log + struct.pack("!QHBBH", milliseconds, 0, 4, 3, len(signature))
        one += signature
        listed = struct.pack("!HH", len(one) + 2, len(one)) + one
        assert len(listed) < 256
        return (bytes([4, len(listed)]) if len(listed) < 128 else bytes([4, 0x81, len(listed)])) + listed

    def _logged(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return an entry of type dsse 0.0.1, in a log that has no other entry."""
        content = request["spec"]["proposedContent"]
        envelope = json.loads(content["envelope"])
        (signature,) = envelope["signatures"]
        digests = {
            "envelopeHash": content["envelope"].encode(),
            "payloadHash": base64.b64decode(envelope["payload"]),
        }
        spec: dict[str, Any] = {
            name: {"algorithm": "sha256", "value": hashlib.sha256(of).hexdigest()}
            for name, of in digests.items()
        }
        spec["signatures"] = [{"signature": signature["sig"], "verifier": content["verifiers"][0]}]
        entry = {"apiVersion": "0.0.1", "kind": "dsse", "spec": spec}
        body = json.dumps(entry, separators=(",", ":"), sort_keys=True).encode()
        log = hashlib.sha256(public(self.rekor)).digest()
        root = hashlib.sha256(b"\0" + body).digest()
        note = f"sigstore\n1\n{encoded(root)}\n"
        signed = log[:4] + self._sign(note.encode())
        facts = {
            "body": encoded(body),
            "integratedTime": int(datetime.now(UTC).timestamp()),
            "logID": log.hex(),
            "logIndex": 0,
        }
        promise = self._sign(json.dumps(facts, separators=(",", ":"), sort_keys=True).encode())
        proof = {
            "checkpoint": f"{note}\n\N{EM DASH} sigstore {encoded(signed)}\n",
            "hashes": [],
            "logIndex": 0,
            "rootHash": root.hex(),
            "treeSize": 1,
        }
        verification = {"inclusionProof": proof, "signedEntryTimestamp": encoded(promise)}
        return {root.hex(): {**facts, "verification": verification}}

    def _sign(self, content: bytes) -> bytes:
        return self.rekor.sign(content, ec.ECDSA(hashes.SHA256()))


@contextmanager
def running() -> Iterator[Sigstore]:
    """Run the services."""
    made = Sigstore()

    def answer(path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        status, text = made.answer(path, headers, body)
        return status, text.encode()

    with serving(lambda _: answer) as made.url:
        yield made
