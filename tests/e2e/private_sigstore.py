"""Run a private Sigstore on loopback: Fulcio, its CT log TesseraCT, Rekor v2, and two small servers.

Fulcio and the logs are the real programs, built from their Go modules. The issuer of identity tokens is a
small one, with the interface of GitHub's runners. Timestamps are from `openssl ts`: Sigstore's own server
has a port for metrics that cannot be changed. Fulcio has one too, on all addresses, at a port that is free.
"""

from __future__ import annotations

import base64
import json
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import gotools
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from sigstore_services import (
    REQUEST_TOKEN,
    authority,
    client_trust_config,
    log_instance,
    service,
    trusted_root,
    usage,
)
from small_server import Answer, serving

from engine import registry

ORIGIN, CT_ORIGIN = "127.0.0.1", "ct.private"
WORKFLOW = "me/app/.github/workflows/release.yml@refs/tags/v1"
IDENTITY = f"https://github.com/{WORKFLOW}"
GITHUB = {
    "default-template-values": {"url": "https://github.com"},
    "extension-templates": {
        "github-workflow-trigger": "event_name",
        "source-repository-uri": "{{ .url }}/{{ .repository }}",
        "source-repository-ref": "ref",
        "build-signer-uri": "{{ .url }}/{{ .job_workflow_ref }}",
    },
    "subject-alternative-name-template": "{{ .url }}/{{ .job_workflow_ref }}",
}
"""What Fulcio makes of the claims in a token of GitHub: a part of the configuration of the public service."""

TSA = """[me]
serial = {directory}/serial
crypto_device = builtin
signer_digest = sha256
default_policy = 1.3.6.1.4.1.57264.2
digests = sha256
ess_cert_id_alg = sha256
"""


@dataclass(frozen=True)
class PrivateSigstore:
    """The services.

    Attributes:
        issuer: the address of the issuer of identity tokens.
        trust: the file with the client trust configuration.
        root: the file with the trusted root alone, for cosign.
        token: makes an identity token; its argument replaces claims.
    """

    issuer: str
    trust: Path
    root: Path
    token: Callable[..., str]

    def variables(self) -> dict[str, str]:
        """Return the variables of a job of GitHub with `id-token: write`."""
        return {
            "GITHUB_ACTIONS": "true",
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{self.issuer}/token?api-version=2",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": REQUEST_TOKEN,
        }


@contextmanager
def running(directory: Path) -> Iterator[PrivateSigstore]:
    """Run all services; their logs are in a directory."""
    programs = {name: gotools.client(name) for name in ("fulcio", "rekor", "tesseract")}
    with ExitStack() as stack:
        key = rsa.generate_private_key(65537, 2048)
        issuer = stack.enter_context(serving(lambda url: _issuer(key, url)))
        stamping, chain = _timestamps(directory)
        stamps = stack.enter_context(serving(lambda _: stamping))
        fulcio, ct, rekor = (registry.address_of(registry.free_port()) for _ in range(3))
        stack.enter_context(
            _program(directory, "fulcio", _fulcio(programs["fulcio"], directory, fulcio, ct, issuer))
        )
        bundle = json.loads(_fetched(f"http://{fulcio}/api/v2/trustBundle"))
        pems = bundle["chains"][0]["certificates"]
        (directory / "roots.pem").write_text("".join(pems))
        ct_key = ec.generate_private_key(ec.SECP256R1())
        stack.enter_context(
            _program(directory, "tesseract", _tesseract(programs["tesseract"], directory, ct, ct_key))
        )
        rekor_key = ed25519.Ed25519PrivateKey.generate()
        stack.enter_context(
            _program(directory, "rekor", _rekor(programs["rekor"], directory, rekor, rekor_key))
        )
        for address in (ct, rekor):
            _fetched(f"http://{address}/healthz")
        raw = rekor_key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        rekor_id = sha256(f"{ORIGIN}\n".encode() + b"\x01" + raw).digest()
        ct_public = _public(ct_key)
        root = trusted_root(
            tlogs=[log_instance(f"http://{rekor}", _public(rekor_key), "PKIX_ED25519", rekor_id)],
            ctlogs=[
                log_instance(f"http://{ct}", ct_public, "PKIX_ECDSA_P256_SHA_256", sha256(ct_public).digest())
            ],
            certificateAuthorities=[
                authority(f"http://{fulcio}", [x509.load_pem_x509_certificate(pem.encode()) for pem in pems])
            ],
            timestampAuthorities=[authority(stamps, chain)],
        )
        trust = client_trust_config(
            root,
            caUrls=service(f"http://{fulcio}"),
            rekorTlogUrls=service(f"http://{rekor}", 2),
            tsaUrls=service(f"{stamps}/timestamp"),
        )
        files = {"trust.json": trust, "trusted_root.json": root}
        for name, document in files.items():
            (directory / name).write_text(json.dumps(document))
        yield PrivateSigstore(
            issuer,
            directory / "trust.json",
            directory / "trusted_root.json",
            lambda **claims: _token(key, issuer, **claims),
        )


def _fulcio(program: str, directory: Path, address: str, ct: str, issuer: str) -> list[str]:
    described = {"issuer-url": issuer, "client-id": "sigstore", "type": "ci-provider"}
    config = {
        "oidc-issuers": {issuer: {**described, "ci-provider": "github-workflow"}},
        "ci-issuer-metadata": {"github-workflow": GITHUB},
    }
    # With the comment it is YAML; JSON has other names for the same settings.
    (directory / "fulcio.yaml").write_text(f"# YAML\n{json.dumps(config)}\n")
    host, _, port = address.rpartition(":")
    return [
        program, "serve", "--ca=ephemeralca", f"--ct-log-url=http://{ct}", f"--ct-log-origin={CT_ORIGIN}",
        f"--host={host}", f"--port={port}", f"--grpc-host={host}",
        f"--grpc-port={registry.free_port()}", "--metrics-port=0",
        f"--config-path={directory}/fulcio.yaml", f"--legacy-unix-domain-socket={directory}/fulcio.sock",
    ]  # fmt: skip


def _tesseract(program: str, directory: Path, address: str, key: ec.EllipticCurvePrivateKey) -> list[str]:
    (directory / "ct.pem").write_bytes(_pem(key, PrivateFormat.TraditionalOpenSSL))
    return [
        program, f"--private_key={directory}/ct.pem", f"--origin={CT_ORIGIN}", f"--http_endpoint={address}",
        f"--storage_dir={directory}/ct", f"--roots_pem_file={directory}/roots.pem",
        "--ext_key_usages=CodeSigning", "--checkpoint_interval=200ms",
    ]  # fmt: skip


def _rekor(program: str, directory: Path, address: str, key: ed25519.Ed25519PrivateKey) -> list[str]:
    (directory / "rekor.pem").write_bytes(_pem(key))
    host, _, port = address.rpartition(":")
    return [
        program, "serve", f"--hostname={ORIGIN}", f"--storage-dir={directory}/rekor",
        f"--signer-filepath={directory}/rekor.pem", f"--http-address={host}", f"--http-port={port}",
        f"--grpc-address={host}", f"--grpc-port={registry.free_port()}",
        f"--http-metrics-port={registry.free_port()}", "--checkpoint-interval=200ms",
    ]  # fmt: skip


@contextmanager
def _program(directory: Path, name: str, command: list[str]) -> Iterator[None]:
    with (directory / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=directory, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _fetched(url: str) -> bytes:
    """Return what a service answers, once it runs."""
    end = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return bytes(answer.read())
        except (urllib.error.URLError, OSError):
            assert time.monotonic() < end, f"{url} does not answer"
            time.sleep(0.2)


def _issuer(key: rsa.RSAPrivateKey, url: str) -> Answer:
    numbers = key.public_key().public_numbers()
    jwk = {"kty": "RSA", "kid": "1", "use": "sig", "alg": "RS256"}
    jwk |= {"n": _number(numbers.n), "e": _number(numbers.e)}
    documents = {
        "/.well-known/openid-configuration": {
            "issuer": url,
            "jwks_uri": f"{url}/keys",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        },
        "/keys": {"keys": [jwk]},
    }

    def answer(path: str, headers: Mapping[str, str], _body: bytes) -> tuple[int, bytes]:
        place = urlsplit(path).path
        if place == "/token" and headers["Authorization"] == f"bearer {REQUEST_TOKEN}":
            audience = parse_qs(urlsplit(path).query)["audience"][0]
            return 200, json.dumps({"value": _token(key, url, aud=audience)}).encode()
        return (200, json.dumps(documents[place]).encode()) if place in documents else (404, b"")

    return answer


def _token(key: rsa.RSAPrivateKey, issuer: str, **claims: Any) -> str:
    """Return an identity token with claims as GitHub makes them."""
    now = int(time.time())
    own = {"iss": issuer, "aud": "sigstore", "iat": now, "nbf": now, "exp": now + 600}
    own |= {"sub": "repo:me/app:ref:refs/tags/v1", "job_workflow_ref": WORKFLOW, "repository": "me/app"}
    own |= {"ref": "refs/tags/v1", "event_name": "push"}
    parts = [_url(json.dumps(part).encode()) for part in ({"alg": "RS256", "kid": "1"}, own | claims)]
    signature = key.sign(".".join(parts).encode(), padding.PKCS1v15(), hashes.SHA256())
    return ".".join([*parts, _url(signature)])


def _url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _number(number: int) -> str:
    return _url(number.to_bytes((number.bit_length() + 7) // 8, "big"))


def _timestamps(directory: Path) -> tuple[Answer, list[x509.Certificate]]:
    """Return a timestamp authority, and its certificates."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("root", "timestamps")]
    now = datetime.now(UTC)

    def builder(number: int) -> x509.CertificateBuilder:
        return x509.CertificateBuilder(
            names[0], names[number], keys[number].public_key(), x509.random_serial_number(),
            now - timedelta(hours=1), now + timedelta(days=1),
        ).add_extension(
            x509.SubjectKeyIdentifier.from_public_key(keys[number].public_key()), critical=False
        ).add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(keys[0].public_key()), critical=False
        )  # fmt: skip

    root = builder(0).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    root = root.add_extension(usage("key_cert_sign"), critical=True)
    leaf = builder(1).add_extension(usage("digital_signature"), critical=True)
    leaf = leaf.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), critical=True)
    chain = [one.sign(keys[0], hashes.SHA256()) for one in (leaf, root)]
    place = directory / "timestamps"
    place.mkdir()
    (place / "config").write_text(TSA.format(directory=place))
    (place / "serial").write_text("01\n")
    (place / "certificate.pem").write_bytes(chain[0].public_bytes(Encoding.PEM))
    (place / "key.pem").write_bytes(_pem(keys[1]))
    lock = threading.Lock()

    def answer(_path: str, _headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        command = ["openssl", "ts", "-reply", "-config", "config", "-section", "me", "-queryfile", "query"]
        command += ["-signer", "certificate.pem", "-inkey", "key.pem", "-out", "reply"]
        with lock:
            (place / "query").write_bytes(body)
            subprocess.run(command, cwd=place, check=True, capture_output=True)
            return 200, (place / "reply").read_bytes()

    return answer, chain


def _pem(key: Any, form: PrivateFormat = PrivateFormat.PKCS8) -> bytes:
    return bytes(key.private_bytes(Encoding.PEM, form, NoEncryption()))


def _public(key: Any) -> bytes:
    return bytes(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
