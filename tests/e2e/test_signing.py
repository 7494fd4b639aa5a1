"""Test that cosign verifies signatures and attestations, in registries with and without referrers."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import gotools
import layouts
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from engine import registry
from pipeline.attestation import provenance, sbom, signing
from pipeline.attestation.signing import Signer
from pipeline.oci.layout import Descriptor, Layout, walk
from pipeline.registry.address import destinations
from pipeline.registry.dial import registries
from pipeline.registry.pushing import push

pytestmark = [pytest.mark.anyio, pytest.mark.peers]

PASSWORD = "canary-of-a-password"


def cosign(*arguments: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """Run cosign without the transparency log, which needs internet access."""
    env = {**os.environ, "COSIGN_PASSWORD": PASSWORD}
    command = [gotools.client("cosign"), *arguments]
    return subprocess.run(command, cwd=directory, env=env, capture_output=True, text=True, timeout=60)


@dataclass(frozen=True)
class Keys:
    """A key pair made by cosign."""

    directory: Path

    @property
    def signer(self) -> Signer:
        return signing.load((self.directory / "cosign.key").read_text(), PASSWORD)

    def verified(self, *arguments: str) -> list[dict]:
        """Verify with cosign and the public key, which must succeed; return the result."""
        done = self.verify(*arguments)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines() if line.startswith(("[", "{"))]

    def verify(self, what: str, *arguments: str, key: str = "cosign.pub") -> subprocess.CompletedProcess[str]:
        flags = ["--key", key, "--insecure-ignore-tlog", "--allow-http-registry"]
        return cosign(what, *flags, *arguments, directory=self.directory)


def pair(directory: Path) -> Keys:
    done = cosign("generate-key-pair", directory=directory)
    assert done.returncode == 0, done.stderr
    return Keys(directory)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return pair(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module", params=["fallback", "subject"])
def host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if request.param == "fallback":
        with registry.throwaway() as made:
            yield made.address
    else:
        with gotools.referrers_registry(request.param, tmp_path_factory.mktemp("registry")) as address:
            yield address


async def pushed(layout: Layout, name: str, signer: Signer) -> list[Descriptor]:
    """Push with every manifest signed and the index attested; return index and variants."""
    manifests = [manifest.descriptor for manifest in await walk(layout)]
    subject = provenance.StatementSubject(name, layout.root.digest)
    predicates = {
        provenance.PREDICATE_TYPE: provenance.provenance(provenance.Build({"profile": "release"})),
        sbom.PREDICATE_TYPE: {"bomFormat": "CycloneDX", "specVersion": "1.6"},
    }
    statements = [provenance.statement([subject], kind, each) for kind, each in predicates.items()]
    artifacts = [signing.signature(manifest, name, signer) for manifest in manifests]
    artifacts.append(signing.attestations(layout.root, statements, signer))
    async with registries() as all_of_them:
        await push(layout, destinations([f"{name}:x"]), all_of_them, artifacts=artifacts)
    return manifests


@pytest.fixture
async def layout(tmp_path: Path) -> Layout:
    return await Layout.open(layouts.sample(tmp_path / "layout"))


async def test_cosign_verifies_the_index_and_every_variant(host: str, keys: Keys, layout: Layout) -> None:
    name = f"{host}/signed/all"
    for manifest in await pushed(layout, name, keys.signer):
        ((found,),) = keys.verified("verify", f"{name}@{manifest.digest}")
        assert found["critical"]["image"]["docker-manifest-digest"] == manifest.digest
        assert found["critical"]["identity"]["docker-reference"] == name
    ((by_tag,),) = keys.verified("verify", f"{name}:x")
    assert by_tag["critical"]["image"]["docker-manifest-digest"] == layout.root.digest


async def test_cosign_finds_the_signature_among_the_referrers(
    host: str, keys: Keys, layout: Layout, request: pytest.FixtureRequest
) -> None:
    name = f"{host}/signed/referrers"
    await pushed(layout, name, keys.signer)
    assert keys.verified("verify", "--experimental-oci11", f"{name}:x")


async def test_cosign_verifies_the_attestations(host: str, keys: Keys, layout: Layout) -> None:
    name = f"{host}/signed/attested"
    await pushed(layout, name, keys.signer)
    for kind, predicate in {"slsaprovenance1": "buildDefinition", "cyclonedx": "bomFormat"}.items():
        (envelope,) = keys.verified("verify-attestation", "--type", kind, f"{name}:x")
        statement = json.loads(base64.b64decode(envelope["payload"]))
        assert predicate in statement["predicate"]
    assert keys.verify("verify-attestation", "--type", "spdx", f"{name}:x").returncode


async def test_another_key_does_not_verify(host: str, keys: Keys, layout: Layout, tmp_path: Path) -> None:
    name = f"{host}/signed/other"
    await pushed(layout, name, keys.signer)
    other = pair(tmp_path)
    assert other.verify("verify", f"{name}:x").returncode
    assert other.verify("verify-attestation", "--type", "cyclonedx", f"{name}:x").returncode


async def test_signatures_of_others_stay(host: str, keys: Keys, layout: Layout, tmp_path: Path) -> None:
    name = f"{host}/signed/both"
    await pushed(layout, name, keys.signer)
    other = pair(tmp_path)
    flags = ["--key", "cosign.key", "--tlog-upload=false", "--allow-http-registry", "--yes"]
    done = cosign("sign", *flags, f"{name}@{layout.root.digest}", directory=tmp_path)
    assert done.returncode == 0, done.stderr
    for _ in range(2):
        assert len(keys.verified("verify", f"{name}:x")[0]) == 1
        assert len(other.verified("verify", f"{name}:x")[0]) == 1
        await pushed(layout, name, keys.signer)


async def test_a_plain_key(host: str, keys: Keys, layout: Layout, tmp_path: Path) -> None:
    name = f"{host}/signed/plain"
    private = ec.generate_private_key(ec.SECP256R1())
    signer = signing.load(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())
    await pushed(layout, name, signer)
    (tmp_path / "plain.pub").write_text(signer.public)
    done = keys.verify("verify", f"{name}:x", key=str(tmp_path / "plain.pub"))
    assert done.returncode == 0, done.stderr
