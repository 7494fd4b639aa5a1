"""Test that cosign 2 and 3 verify signatures and attestations, in registries with and without referrers."""

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
from pipeline.attestation import attest, provenance, sbom, signing
from pipeline.attestation.attest import AttachmentOptions
from pipeline.attestation.signing import Signer
from pipeline.oci.layout import Descriptor, Layout, walk
from pipeline.registry.address import destinations
from pipeline.registry.dial import registries
from pipeline.registry.pushing import push

pytestmark = [pytest.mark.anyio, pytest.mark.peers]

PASSWORD = "canary-of-a-password"


OLD, NEW = "cosign2", "cosign"
FLAGS = {
    # It would download the trusted root, which a key does not need.
    (OLD, "bundles"): ("--new-bundle-format", "--trusted-root=trusted_root.json"),
    (OLD, "tags"): (),
    (NEW, "bundles"): (),
    (NEW, "tags"): ("--new-bundle-format=false",),
}
"""The options with which each version reads each form."""


def cosign(*arguments: str, directory: Path, client: str = NEW) -> subprocess.CompletedProcess[str]:
    """Run cosign without the transparency log, which needs internet access."""
    env = {**os.environ, "COSIGN_PASSWORD": PASSWORD}
    command = [gotools.client(client), *arguments]
    return subprocess.run(command, cwd=directory, env=env, capture_output=True, text=True, timeout=60)


@dataclass(frozen=True)
class Keys:
    """A key pair made by cosign."""

    directory: Path

    @property
    def signer(self) -> Signer:
        return signing.load((self.directory / "cosign.key").read_text(), PASSWORD)

    def verified(self, *arguments: str, client: str = NEW) -> list[dict]:
        """Verify with cosign and the public key, which must succeed; return the result."""
        done = self.verify(*arguments, client=client)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines() if line.startswith(("[", "{"))]

    def verify(
        self, what: str, *arguments: str, key: str = "cosign.pub", client: str = NEW
    ) -> subprocess.CompletedProcess[str]:
        flags = ["--key", key, "--insecure-ignore-tlog", "--allow-http-registry"]
        return cosign(what, *flags, *arguments, directory=self.directory, client=client)


def pair(directory: Path) -> Keys:
    done = cosign("generate-key-pair", directory=directory)
    assert done.returncode == 0, done.stderr
    root = {"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1"}
    (directory / "trusted_root.json").write_text(json.dumps(root))
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


async def pushed(layout: Layout, name: str, signer: Signer, form: str = "bundles") -> list[Descriptor]:
    """Push with every manifest signed and the index attested; return index and variants."""
    manifests = [manifest.descriptor for manifest in await walk(layout)]
    subject = provenance.StatementSubject(name, layout.root.digest)
    predicates = {
        provenance.PREDICATE_TYPE: provenance.provenance(provenance.Build({"profile": "release"})),
        sbom.FORMATS["cyclonedx"].predicate_type: {"bomFormat": "CycloneDX", "specVersion": "1.6"},
        sbom.FORMATS["spdx"].predicate_type: {"spdxVersion": "SPDX-2.3"},
    }
    statements = [provenance.statement([subject], kind, each) for kind, each in predicates.items()]
    options = AttachmentOptions(signer=signer, tags=form == "tags")
    artifacts = []
    for manifest in manifests:
        about = statements if manifest.digest == layout.root.digest else []
        artifacts += await attest.signatures(manifest, name, about, options)
    if form == "tags":  # alone, as an earlier version wrote it
        artifacts = [one for one in artifacts if one.tag]
    async with registries() as all_of_them:
        await push(layout, destinations([f"{name}:x"]), all_of_them, artifacts=artifacts)
    return manifests


@pytest.fixture
async def layout(tmp_path: Path) -> Layout:
    return await Layout.open(layouts.sample(tmp_path / "layout"))


BOTH = pytest.mark.parametrize(("client", "form"), FLAGS)


@BOTH
async def test_cosign_verifies_the_index_and_every_variant(
    host: str, keys: Keys, layout: Layout, client: str, form: str
) -> None:
    name, flags = f"{host}/signed/{client}-{form}", FLAGS[client, form]
    for manifest in await pushed(layout, name, keys.signer, form):
        found = keys.verified("verify", *flags, f"{name}@{manifest.digest}", client=client)[0][0]
        if (client, form) != (OLD, "bundles"):  # which prints empty fields
            assert found["critical"]["image"]["docker-manifest-digest"] == manifest.digest
    assert keys.verified("verify", *flags, f"{name}:x", client=client)


@BOTH
async def test_cosign_verifies_the_attestations(
    host: str, keys: Keys, layout: Layout, client: str, form: str
) -> None:
    name, flags = f"{host}/attested/{client}-{form}", FLAGS[client, form]
    await pushed(layout, name, keys.signer, form)
    kinds = {"slsaprovenance1": "buildDefinition", "cyclonedx": "bomFormat", "spdxjson": "spdxVersion"}
    for kind, predicate in kinds.items():
        (envelope,) = keys.verified("verify-attestation", *flags, "--type", kind, f"{name}:x", client=client)
        statement = json.loads(base64.b64decode(envelope["payload"]))
        assert predicate in statement["predicate"]
    refused = keys.verify("verify-attestation", *flags, "--type", "vuln", f"{name}:x", client=client)
    assert refused.returncode


@pytest.mark.parametrize("form", ["bundles", "tags"])
async def test_another_key_does_not_verify(
    host: str, keys: Keys, layout: Layout, tmp_path: Path, form: str
) -> None:
    name, flags = f"{host}/other/{form}", FLAGS[NEW, form]
    await pushed(layout, name, keys.signer, form)
    other = pair(tmp_path)
    assert other.verify("verify", *flags, f"{name}:x").returncode
    assert other.verify("verify-attestation", *flags, "--type", "cyclonedx", f"{name}:x").returncode


@BOTH
async def test_signatures_of_others_stay(
    host: str, keys: Keys, layout: Layout, tmp_path: Path, client: str, form: str
) -> None:
    """cosign signs with another key; both verify, also after another push."""
    name, flags = f"{host}/both/{client}-{form}", FLAGS[client, form]
    await pushed(layout, name, keys.signer, form)
    other = pair(tmp_path)
    signs = NEW if form == "bundles" else client
    sign = ["--key", "cosign.key", "--tlog-upload=false", "--allow-http-registry", "--yes"]
    sign += ["--use-signing-config=false"] if signs == NEW else []
    sign += FLAGS[signs, form]
    done = cosign("sign", *sign, f"{name}@{layout.root.digest}", directory=tmp_path, client=signs)
    assert done.returncode == 0, done.stderr
    for _ in range(2):
        assert keys.verified("verify", *flags, f"{name}:x", client=client)[0]
        assert other.verified("verify", *flags, f"{name}:x", client=client)[0]
        await pushed(layout, name, keys.signer, form)


async def test_a_bundle_is_the_one_that_cosign_writes(keys: Keys, layout: Layout, host: str) -> None:
    name = f"{host}/compared"
    await pushed(layout, name, keys.signer)
    sign = [
        "--key",
        "cosign.key",
        "--tlog-upload=false",
        "--use-signing-config=false",
        "--allow-http-registry",
    ]
    image = f"{name}@{layout.root.digest}"
    done = cosign("sign", *sign, "--yes", "--bundle", "its.json", image, directory=keys.directory)
    assert done.returncode == 0, done.stderr
    its = json.loads((keys.directory / "its.json").read_text())
    ours = json.loads(keys.signer.bundle(signing.statement_of(layout.root)))
    statements = []
    for bundle in (its, ours):
        (signature,) = bundle["dsseEnvelope"]["signatures"]
        assert set(signature) == {"sig"}
        statement = json.loads(base64.b64decode(bundle["dsseEnvelope"].pop("payload")))
        statement["subject"][0].pop("annotations", None)
        statements.append(statement)
        del signature["sig"]
    assert its == ours and statements[0] == statements[1]


async def test_a_plain_key(host: str, keys: Keys, layout: Layout, tmp_path: Path) -> None:
    name = f"{host}/signed/plain"
    private = ec.generate_private_key(ec.SECP256R1())
    signer = signing.load(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())
    await pushed(layout, name, signer)
    (tmp_path / "plain.pub").write_text(signer.public)
    done = keys.verify("verify", f"{name}:x", key=str(tmp_path / "plain.pub"))
    assert done.returncode == 0, done.stderr
