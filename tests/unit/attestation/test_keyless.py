"""Test keyless signing by the real library, with small services on loopback; tests/e2e has the real ones."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sigstore_services
from sigstore.models import Bundle, ClientTrustConfig
from sigstore.verify import Verifier
from sigstore.verify.policy import Identity
from sigstore_services import ISSUER, WORKFLOW, Sigstore, jwt
from test_signing import KEY

from pipeline import errors
from pipeline.attestation import attest, carried, keyless, provenance, signing
from pipeline.attestation.attest import AttachmentOptions
from pipeline.attestation.keyless import KeylessOptions, KeylessSigner
from pipeline.oci.layout import INDEX, Descriptor, digest_of

pytestmark = pytest.mark.anyio

SUBJECT = Descriptor(INDEX, digest_of(b"index"), 5)
STATEMENT = provenance.statement(
    [provenance.StatementSubject("a.example/x", SUBJECT.digest)], provenance.PREDICATE_TYPE, {"a": 1}
)
CERTIFICATES, ENTRIES = "/api/v2/signingCert", "/api/v1/log/entries"


@pytest.fixture(scope="module")
def services() -> Iterator[Sigstore]:
    with sigstore_services.running() as made:
        yield made


@pytest.fixture
def sigstore(services: Sigstore, monkeypatch: pytest.MonkeyPatch) -> Sigstore:
    """Return the services, in an environment without a CI system and without pauses."""
    for name in os.environ:
        if name.startswith(("GITHUB_", "ACTIONS_", "GITLAB_", "CI_", "CIRCLE", "BUILDKITE", "SIGSTORE_")):
            monkeypatch.delenv(name)
    monkeypatch.setattr(keyless, "PAUSES", (0, 0))
    services.faults.clear()
    services.requests.clear()
    services.minutes = 10
    return services


class Token:
    """An identity token as a secret."""

    def __init__(self, text: str) -> None:
        self.text = text

    async def plaintext(self) -> str:
        return self.text


async def signer(sigstore: Sigstore, **claims: Any) -> KeylessSigner:
    return await keyless.signer(KeylessOptions(Token(jwt(**claims)), sigstore.trust))


async def test_an_index_and_its_statements_are_signed_with_one_certificate(sigstore: Sigstore) -> None:
    made = await attest.signatures(
        SUBJECT, "a.example/x", [STATEMENT], AttachmentOptions(signer=await signer(sigstore))
    )
    assert sigstore.requests == [CERTIFICATES, ENTRIES, ENTRIES]
    verifier = Verifier(trusted_root=ClientTrustConfig.from_json(sigstore.trust).trusted_root)
    kinds = []
    for artifact in made:
        assert artifact.subject == SUBJECT.digest and not artifact.tag
        manifest, content = json.loads(artifact.body), artifact.blobs[-1][1]
        assert isinstance(content, bytes)
        document = json.loads(content)
        assert manifest["artifactType"] == document["mediaType"] == signing.BUNDLE
        assert {"certificate", "tlogEntries"} <= document["verificationMaterial"].keys()
        found, payload = verifier.verify_dsse(
            Bundle.from_json(content), Identity(identity=WORKFLOW, issuer=ISSUER)
        )
        statement = json.loads(payload)
        assert found == signing.STATEMENT_TYPE
        assert f"sha256:{statement['subject'][0]['digest']['sha256']}" == SUBJECT.digest
        assert manifest["annotations"][signing.BUNDLE_PREDICATE] == statement["predicateType"]
        kinds.append(statement["predicateType"])
    assert kinds == [signing.SIGNED, provenance.PREDICATE_TYPE]


async def test_a_bundle_is_verified_for_its_identity_only(sigstore: Sigstore) -> None:
    one, same = await signer(sigstore), await signer(sigstore)
    (content,) = await one.bundles([STATEMENT])
    assert same.verified(content) == STATEMENT
    assert (one.identity, one.issuer, one.how) == (WORKFLOW, ISSUER, f"by {WORKFLOW}")
    layer = Descriptor(signing.BUNDLE, digest_of(content), len(content))
    (found,) = carried._statements(signing.BUNDLE, content, layer, same)
    assert found.signed and found.digests == {SUBJECT.digest}
    for claims in ({"sub": f"{WORKFLOW}2"}, {"iss": f"{ISSUER}2"}):
        other = await signer(sigstore, **claims)
        assert other.verified(content) is None
        (found,) = carried._statements(signing.BUNDLE, content, layer, other)
        assert not found.signed and found.digests == {SUBJECT.digest}
    document = json.loads(content)
    document["dsseEnvelope"]["payload"] = base64.b64encode(STATEMENT + b" ").decode()
    for changed in (json.dumps(document).encode(), b"{}", b"[]", signing.Signer(KEY).bundle(STATEMENT)):
        assert same.verified(changed) is None


async def test_a_certificate_is_renewed_before_it_expires(sigstore: Sigstore) -> None:
    sigstore.minutes = 1
    made = await signer(sigstore)
    await made.bundles([STATEMENT])
    sigstore.minutes = 10
    await made.bundles([STATEMENT])
    await made.bundles([STATEMENT])
    assert sigstore.requests.count(CERTIFICATES) == 3


async def test_the_token_of_github(
    sigstore: Sigstore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in sigstore.variables().items():
        monkeypatch.setenv(name, value)
    made = await keyless.signer(KeylessOptions(config=sigstore.trust))
    assert sigstore.requests == ["/token", CERTIFICATES] and made.identity == WORKFLOW
    assert capsys.readouterr().err == f"signing as {WORKFLOW}, whose token is from {ISSUER}\n"


async def test_the_token_in_a_variable(sigstore: Sigstore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITLAB_CI", "true")
    monkeypatch.setenv("SIGSTORE_ID_TOKEN", jwt(sub="https://gitlab.com/me/app"))
    made = await keyless.signer(KeylessOptions(config=sigstore.trust))
    assert made.identity == "https://gitlab.com/me/app"


PROGRAMS = {
    "buildkite": ("BUILDKITE", "buildkite-agent", "oidc request-token --audience sigstore"),
    "circleci": ("CIRCLECI", "circleci", 'run oidc get --claims {"aud": "sigstore"} --root-issuer'),
}


@pytest.mark.parametrize("system", PROGRAMS)
async def test_the_token_of_a_program(
    system: str, sigstore: Sigstore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker, program, arguments = PROGRAMS[system]
    path = tmp_path / program
    path.write_text(f"#!/bin/sh\n[ \"$*\" = '{arguments}' ] && echo '{jwt(sub='https://ci.example/me')}'\n")
    path.chmod(0o755)
    monkeypatch.setenv(marker, "true")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    made = await keyless.signer(KeylessOptions(config=sigstore.trust))
    assert made.identity == "https://ci.example/me"


@pytest.mark.parametrize(
    ("marker", "fix"),
    [
        ("GITHUB_ACTIONS", "permissions: id-token: write"),
        ("GITLAB_CI", "id_tokens: SIGSTORE_ID_TOKEN: aud: sigstore"),
        ("CIRCLECI", "the program `circleci`"),
        ("BUILDKITE", "the program `buildkite-agent`"),
        ("", "github: give the job `permissions: id-token: write`"),
    ],
)
async def test_without_a_token_each_system_has_a_next_step(
    marker: str, fix: str, sigstore: Sigstore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    if marker:
        monkeypatch.setenv(marker, "true")
    with pytest.raises(errors.NoIdentityToken) as raised:
        await keyless.signer(KeylessOptions(config=sigstore.trust))
    assert fix in raised.value.fix and "--identity-token" in raised.value.fix
    assert sigstore.requests == []


async def test_a_refused_request_for_a_token(sigstore: Sigstore, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in sigstore.variables(ACTIONS_ID_TOKEN_REQUEST_TOKEN="wrong").items():
        monkeypatch.setenv(name, value)
    with pytest.raises(errors.NoIdentityToken, match="code=404") as raised:
        await keyless.signer(KeylessOptions(config=sigstore.trust))
    assert "id-token: write" in raised.value.fix


@pytest.mark.parametrize("claims", [{"aud": "other"}, {"exp": 1}, {"sub": None}])
async def test_an_unusable_token(claims: dict[str, Any], sigstore: Sigstore) -> None:
    with pytest.raises(errors.NoIdentityToken, match="cannot be used"):
        await signer(sigstore, **claims)
    assert sigstore.requests == []


async def test_an_empty_token_is_not_replaced_by_that_of_the_system(
    sigstore: Sigstore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in sigstore.variables().items():
        monkeypatch.setenv(name, value)
    with pytest.raises(errors.NoIdentityToken, match="is empty"):
        await keyless.signer(KeylessOptions(Token("\n"), sigstore.trust))


async def test_a_token_that_expires_during_the_build(sigstore: Sigstore) -> None:
    sigstore.minutes = 1
    made = await signer(sigstore)
    made.token = jwt(exp=int(time.time()) - 60)
    with pytest.raises(errors.NoIdentityToken):
        await made.bundles([STATEMENT])


@pytest.mark.parametrize(
    ("path", "status", "text", "what"),
    [
        (CERTIFICATES, 400, '{"code": 3, "message": "wrong issuer"}', "400 wrong issuer"),
        (CERTIFICATES, 403, "no JSON", "403 Forbidden"),
        (CERTIFICATES, 201, "{}", "Fulcio response missing certificate chain"),
        (CERTIFICATES, 201, "no JSON", "cannot be used"),
        (ENTRIES, 400, '{"code": 400, "message": "no such type"}', "400 no such type"),
        (ENTRIES, 201, "{}", "cannot be used"),
    ],
)
async def test_a_refusal_is_not_repeated(
    path: str, status: int, text: str, what: str, sigstore: Sigstore
) -> None:
    sigstore.faults[path] = [(status, text)]
    with pytest.raises(errors.SigstoreRefused) as raised:
        await (await signer(sigstore)).bundles([STATEMENT])
    assert what in raised.value.what
    assert sigstore.requests.count(path) == 1


@pytest.mark.parametrize("path", [CERTIFICATES, ENTRIES])
@pytest.mark.parametrize("status", [429, 503])
async def test_what_fails_for_now_is_repeated(path: str, status: int, sigstore: Sigstore) -> None:
    sigstore.faults[path] = [(status, "later")] * 2
    assert await (await signer(sigstore)).bundles([STATEMENT])
    assert sigstore.requests.count(path) == 3
    sigstore.faults[path] = [(status, "later")] * 3
    with pytest.raises(errors.SigstoreUnreachable, match=str(status)) as raised:
        await (await signer(sigstore)).bundles([STATEMENT])
    assert raised.value.where == f"{sigstore.url}{path}"


async def test_a_service_that_is_not_there(sigstore: Sigstore) -> None:
    trust = sigstore.trust.replace(sigstore.url, "http://127.0.0.1:9")
    with pytest.raises(errors.SigstoreUnreachable, match="refused") as raised:
        await keyless.signer(KeylessOptions(Token(jwt()), trust))
    assert raised.value.where == f"http://127.0.0.1:9{CERTIFICATES}"


async def test_a_service_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyless, "LIMIT", 0.05)
    release = threading.Event()
    with pytest.raises(errors.SigstoreUnreachable, match="did not respond"):
        await keyless._request(lambda: release.wait(10))
    release.set()


async def test_keys_of_another_sigstore(sigstore: Sigstore) -> None:
    """A certificate that is in no known CT log is refused before anything is signed."""
    trust, other = json.loads(sigstore.trust), Sigstore(sigstore.url)
    trust["trustedRoot"]["ctlogs"] = json.loads(other.trust)["trustedRoot"]["ctlogs"]
    with pytest.raises(errors.SigstoreRefused, match="SCT") as raised:
        await keyless.signer(KeylessOptions(Token(jwt()), json.dumps(trust)))
    assert "--sigstore-config" in raised.value.fix


@pytest.mark.parametrize("change", [{"mediaType": "x"}, {"signingConfig": None}, {"trustedRoot": {}}])
async def test_a_configuration_that_lacks_a_part(change: dict[str, Any], sigstore: Sigstore) -> None:
    await refused(json.dumps(json.loads(sigstore.trust) | change))


@pytest.mark.parametrize("config", ["", "no JSON", "[]"])
async def test_a_configuration_that_is_not_one(config: str) -> None:
    """Also an empty file is not the public Sigstore, which would publish the names of a private project."""
    await refused(config)


async def refused(config: str) -> None:
    with pytest.raises(errors.InvalidArgument, match="no client trust configuration") as raised:
        await keyless.signer(KeylessOptions(Token(jwt()), config))
    assert raised.value.where == "--sigstore-config"


async def test_a_configuration_without_a_service(sigstore: Sigstore) -> None:
    config = json.loads(sigstore.trust)
    config["signingConfig"]["rekorTlogUrls"] = []
    with pytest.raises(errors.InvalidArgument, match="No valid Rekor"):
        await keyless.signer(KeylessOptions(Token(jwt()), json.dumps(config)))


NOT_TOGETHER = [
    ({"keyless": True, "key": True}, "with a key or without one"),
    ({"keyless": True, "key": False, "tags": True}, "needs a key"),
    ({"keyless": False, "key": True, "token": True}, "--identity-token has no use"),
    ({"keyless": False, "key": False, "config": True}, "--sigstore-config has no use"),
]


@pytest.mark.parametrize(("given", "why"), NOT_TOGETHER)
def test_options_that_do_not_belong_together(given: dict[str, bool], why: str) -> None:
    with pytest.raises(errors.InvalidArgument, match=why):
        keyless.check_options(**given)  # type: ignore[arg-type]


def test_options_that_belong_together() -> None:
    keyless.check_options(False, key=True, tags=True)
    keyless.check_options(True, key=False, token=True, config=True)


def test_without_the_extra_the_message_has_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.delenv(keyless.MODULE, raising=False)
    with pytest.raises(errors.KeylessUnavailable) as raised:
        keyless.check_options(True, key=False)
    assert raised.value.fix.startswith(f"run: {sys.executable} -m pip install ")
    for name in ("requests", "sigstore"):
        assert f"'{name}==" in raised.value.fix


def test_without_the_extra_a_module_names_other_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.setenv(keyless.MODULE, "rust-multiarch")
    with pytest.raises(errors.KeylessUnavailable, match="rust-multiarch publish"):
        keyless.check_options(True, key=False)


def test_the_library_is_imported_only_when_it_is_used() -> None:
    program = "import sys, pipeline.main, pipeline.cli.merge\nassert 'sigstore' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
