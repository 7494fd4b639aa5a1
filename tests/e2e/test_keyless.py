"""Test keyless signing: by the services of the unit tests, and by a real Fulcio and Rekor with cosign."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path

import crates
import gotools
import layouts
import private_sigstore
import pytest
import sigstore_services
from private_sigstore import IDENTITY, PrivateSigstore
from sigstore_services import Sigstore, jwt
from test_cli import run
from test_signing import NEW, OLD, cosign, pushed

from engine import registry
from pipeline.attestation import attest, keyless, signing
from pipeline.attestation.attest import AttachmentOptions
from pipeline.attestation.keyless import KeylessOptions, KeylessSigner
from pipeline.errors import (
    NoIdentityToken,
    NotMergeable,
    RustMultiarchError,
    SigstoreRefused,
    SigstoreUnreachable,
)
from pipeline.oci.layout import INDEX, Descriptor, Layout, digest_of
from pipeline.registry.address import destinations
from pipeline.registry.dial import registries
from pipeline.registry.distribution import Repository
from pipeline.registry.pushing import push

pytestmark = [
    pytest.mark.anyio,
    # The certificate authority that Fulcio makes for tests is in the country "USA".
    pytest.mark.filterwarnings("ignore:Attribute's length"),
]

FLAGS = {NEW: (), OLD: ("--new-bundle-format", "--use-signed-timestamps")}
"""The options with which each version of cosign reads a bundle with an entry of Rekor 2."""

CERTIFICATES, ENTRIES = "/api/v2/signingCert", "/api/v1/log/entries"


@pytest.fixture(scope="module")
def host() -> Iterator[str]:
    with registry.throwaway() as made:
        yield made.address


@pytest.fixture
def services() -> Iterator[Sigstore]:
    with sigstore_services.running() as made:
        yield made


async def parts(path: Path, name: str, signer: KeylessSigner | None) -> list[str]:
    """Push an image of each platform, signed if there is a signer; return their addresses."""
    addresses = []
    for platform in layouts.PLATFORMS:
        place = path / platform.replace("/", "-")
        place.mkdir(parents=True)
        layout = await Layout.open(layouts.layout(place, layouts.image(place, platform, [b"program"])))
        artifacts = await attest.signatures(layout.root, name, [], AttachmentOptions(signer=signer))
        addresses.append(f"{name}:{platform.rpartition('/')[2]}")
        async with registries() as every:
            await push(layout, destinations(addresses[-1:]), every, artifacts=artifacts)
    return addresses


async def tagged(address: str) -> bool:
    """Return whether a tag exists."""
    name, _, tag = address.rpartition(":")
    host, _, path = name.partition("/")
    async with registries() as every:
        return await Repository(await every.registry(host), path).manifest(tag) is not None


class Token:
    """An identity token as a secret."""

    def __init__(self, text: str) -> None:
        self.text = text

    async def plaintext(self) -> str:
        return self.text


def job(services: Sigstore | PrivateSigstore) -> dict[str, str]:
    """Return the variables of a job of GitHub with an identity token."""
    return {"SIGSTORE_ID_TOKEN": "", **services.variables()}


@pytest.mark.parametrize(
    ("faults", "variables", "error", "message"),
    [
        (
            {ENTRIES: [(400, '{"code": 400, "message": "canary"}')]},
            {},
            SigstoreRefused,
            "refused: 400 canary",
        ),
        ({ENTRIES: [(503, "")] * 9}, {}, SigstoreUnreachable, "fails: 503"),
        ({CERTIFICATES: [(403, '{"message": "canary"}')]}, {}, SigstoreRefused, "refused: 403 canary"),
        ({}, {"ACTIONS_ID_TOKEN_REQUEST_URL": ""}, NoIdentityToken, "permissions: id-token: write"),
        ({}, {"GITHUB_ACTIONS": ""}, NoIdentityToken, "there is no identity token"),
    ],
)
async def test_nothing_is_pushed_that_cannot_be_signed(
    services: Sigstore,
    host: str,
    tmp_path: Path,
    faults: dict[str, list[tuple[int, str]]],
    variables: dict[str, str],
    error: type[RustMultiarchError],
    message: str,
) -> None:
    name, trust = f"{host}/refused-{time.time_ns()}", tmp_path / "trust.json"
    trust.write_text(services.trust)
    signer = await keyless.signer(KeylessOptions(Token(jwt()), services.trust))
    sources = await parts(tmp_path, name, signer)
    services.faults.update(faults)
    words = ("merge", *sources, "--tag", f"{name}:x", "--sign-keyless", "--sigstore-config", trust)
    done = run(*words, cwd=tmp_path, code=error.exit_code, **{**job(services), **variables})
    assert message in done.stderr
    assert not await tagged(f"{name}:x")


async def test_the_parts_of_an_index_are_signed_by_its_identity(
    services: Sigstore, host: str, tmp_path: Path
) -> None:
    name, trust = f"{host}/parts-{time.time_ns()}", tmp_path / "trust.json"
    trust.write_text(services.trust)
    signer = await keyless.signer(KeylessOptions(Token(jwt()), services.trust))
    sources = await parts(tmp_path / "signed", name, signer)
    options = ("--tag", f"{name}:x", "--sign-keyless", "--sigstore-config", trust, "--json")
    with_token = (*options, "--identity-token", "env:TOKEN")
    refused = run(
        "merge",
        *sources,
        *with_token,
        cwd=tmp_path,
        code=NotMergeable.exit_code,
        TOKEN=jwt(sub="https://other"),
    )
    assert "is not signed by https://other" in refused.stderr
    assert not await tagged(f"{name}:x")
    receipt = json.loads(run("merge", *sources, *options, cwd=tmp_path, **job(services)).stdout)
    assert receipt["digest"] in receipt["signed"]
    unsigned = await parts(tmp_path / "unsigned", f"{name}-unsigned", None)
    refused = run("merge", *unsigned, *options, cwd=tmp_path, code=NotMergeable.exit_code, **job(services))
    assert "publish it with --sign-keyless" in refused.stderr


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateSigstore]:
    with private_sigstore.running(tmp_path_factory.mktemp("sigstore")) as made:
        yield made


@pytest.fixture(scope="module", params=["fallback", "subject"])
def either(
    request: pytest.FixtureRequest, host: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Return a registry without the referrers API, or with it."""
    if request.param == "fallback":
        yield host
    else:
        with gotools.referrers_registry(request.param, tmp_path_factory.mktemp("registry")) as address:
            yield address


def verified(
    private: PrivateSigstore,
    what: str,
    *arguments: str,
    identity: str = IDENTITY,
    code: int = 0,
    client: str = NEW,
) -> list[dict]:
    """Run `cosign verify` or `verify-attestation` for an identity; return what it prints."""
    flags = [f"--trusted-root={private.root}", f"--certificate-identity={identity}"]
    flags += [f"--certificate-oidc-issuer={private.issuer}"]
    flags += ["--allow-http-registry", *FLAGS[client]]
    done = cosign(what, *flags, *arguments, directory=private.root.parent, client=client)
    assert bool(done.returncode) == bool(code), done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith(("[", "{"))]


@pytest.mark.peers
@pytest.mark.parametrize("client", [NEW, OLD])
async def test_cosign_verifies_what_a_real_fulcio_and_rekor_signed(
    private: PrivateSigstore, either: str, tmp_path: Path, client: str
) -> None:
    name = f"{either}/real/{client}"
    signer = await keyless.signer(KeylessOptions(Token(private.token()), private.trust.read_text()))
    assert (signer.identity, signer.issuer) == (IDENTITY, private.issuer)
    manifests = await pushed(await Layout.open(layouts.sample(tmp_path / "layout")), name, signer)
    for manifest in manifests:
        found = verified(private, "verify", f"{name}@{manifest.digest}", client=client)[0][0]
        if client == NEW:  # the other prints empty fields
            assert found["critical"]["image"]["docker-manifest-digest"] == manifest.digest
    kinds = {"slsaprovenance1": "buildDefinition", "cyclonedx": "bomFormat", "spdxjson": "spdxVersion"}
    for kind, predicate in kinds.items():
        (envelope,) = verified(private, "verify-attestation", "--type", kind, f"{name}:x", client=client)
        assert predicate in json.loads(base64.b64decode(envelope["payload"]))["predicate"]
    verified(private, "verify", f"{name}:x", identity=f"{IDENTITY}2", code=1, client=client)
    verified(private, "verify-attestation", "--type", "vuln", f"{name}:x", code=1, client=client)


@pytest.mark.peers
async def test_a_real_fulcio_refuses_a_token(private: PrivateSigstore) -> None:
    forged = private.token().rpartition(".")[0] + "." + private.token(ref="other").rpartition(".")[2]
    for token in (private.token(iss="http://127.0.0.1:9"), forged):
        with pytest.raises(SigstoreRefused, match="refused: 400 There was an error") as raised:
            await keyless.signer(KeylessOptions(Token(token), private.trust.read_text()))
        assert raised.value.where.endswith(CERTIFICATES)


@pytest.mark.peers
async def test_a_timestamp_authority_that_is_not_there(
    private: PrivateSigstore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyless, "PAUSES", ())
    trust = json.loads(private.trust.read_text())
    trust["signingConfig"]["tsaUrls"][0]["url"] = "http://127.0.0.1:9"
    signer = await keyless.signer(KeylessOptions(Token(private.token()), json.dumps(trust)))
    with pytest.raises(SigstoreUnreachable, match="a timestamp or a log entry is missing"):
        await signer.bundles([signing.statement_of(Descriptor(INDEX, digest_of(b"index"), 5))])


@pytest.mark.peers
def test_a_publish_and_a_merge_by_the_command_line(
    private: PrivateSigstore, loopback: str, tmp_path: Path
) -> None:
    project = crates.written(tmp_path, "keyless")
    name = f"{loopback}/keyless-{time.time_ns()}"
    signed = ("--provenance", "--sign-keyless", "--sigstore-config", private.trust, "--json")
    sources = []
    for platform in layouts.PLATFORMS:
        words = ("publish", "--platform", platform, "--tag", name, "--by-digest", *signed)
        receipt = json.loads(run(*words, cwd=project, **job(private)).stdout)
        assert receipt["signed"] == [receipt["digest"]]
        sources.append(receipt["references"][0])
    receipt = json.loads(
        run("merge", *sources, "--tag", f"{name}:x", *signed, cwd=project, **job(private)).stdout
    )
    for reference in (*sources, f"{name}@{receipt['digest']}"):
        verified(private, "verify", reference)
        verified(private, "verify-attestation", "--type", "slsaprovenance1", reference)
