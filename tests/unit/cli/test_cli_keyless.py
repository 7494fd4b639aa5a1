"""Test the options of keyless signing, with small services in place of Sigstore's."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
import sigstore_services
from repositories import repository
from sigstore_services import WORKFLOW, Sigstore, jwt

from pipeline import errors, rebasing
from pipeline.attestation.keyless import KeylessSigner
from pipeline.cli import keyless, rebase
from pipeline.cli import merge as command
from pipeline.cli.publish_options import PublishOptions
from pipeline.publishing import PublishRequest
from pipeline.registry import publish
from pipeline.registry.receipt import Delivery, Receipt

ADDRESS = "a.example/x:1"


@pytest.fixture
def services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sigstore]:
    """Run the services; their configuration is trust.json, and a token is in TOKEN."""
    monkeypatch.chdir(repository(tmp_path))
    monkeypatch.setenv("TOKEN", jwt())
    with sigstore_services.running() as made:
        Path("trust.json").write_text(made.trust)
        yield made


def test_the_options_reach_a_merge(services: Sigstore, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []

    async def join(*_: object, attach: functools.partial[object], **__: object) -> Receipt:
        seen.append(attach.keywords["options"].signer)
        return Receipt("sha256:1", "", (), (), (Delivery("a.example/x", ("1",)),))

    monkeypatch.setattr(publish, "join", join)
    command.merge(
        [ADDRESS], tag=[ADDRESS], sign_keyless=True, identity_token="env:TOKEN", sigstore_config="trust.json"
    )
    (signer,) = seen
    assert isinstance(signer, KeylessSigner) and signer.identity == WORKFLOW


def test_the_options_reach_a_rebase(services: Sigstore, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[PublishRequest] = []

    async def platforms(_: str, request: PublishRequest) -> list[str]:
        seen.append(request)
        raise errors.NotMergeable("stop")

    monkeypatch.setattr(rebasing, "platforms", platforms)
    with pytest.raises(errors.NotMergeable, match="stop"):
        rebase.rebase(
            ADDRESS,
            onto="debian",
            sign_keyless=True,
            identity_token="env:TOKEN",
            sigstore_config="trust.json",
        )
    signer = seen[0].attachments.signer
    assert isinstance(signer, KeylessSigner) and signer.identity == WORKFLOW


def test_a_variable_and_a_file(services: Sigstore) -> None:
    found = keyless.check(True, "env:TOKEN", "trust.json", key="", legacy_signatures=False)
    assert found is not None and found.token is not None and found.config == services.trust
    assert anyio.run(found.token.plaintext) == os.environ["TOKEN"]
    assert keyless.variable("env://TOKEN") == "TOKEN"
    assert keyless.check(False, "", "", key="k", legacy_signatures=True) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sign_keyless": True, "sign_key": "cosign.key"}, "with a key or without one"),
        ({"sign_keyless": True, "legacy_signatures": True}, "needs a key"),
        ({"sign_keyless": True, "identity_token": "env:RM_NOT_SET"}, "RM_NOT_SET is not set"),
        ({"sign_keyless": True, "identity_token": "canary"}, "not of the form env:VARIABLE"),
        ({"sign_keyless": True, "identity_token": "env:"}, "not of the form env:VARIABLE"),
        ({"sign_keyless": True, "sigstore_config": "nowhere.json"}, "no such file"),
        ({"identity_token": "env:HOME"}, "--identity-token has no use"),
        ({"sigstore_config": "trust.json"}, "--sigstore-config has no use"),
    ],
)
def test_wrong_options_are_refused_before_there_is_an_engine(
    options: dict[str, object], message: str
) -> None:
    with pytest.raises(errors.InvalidArgument, match=message) as raised:
        PublishOptions([ADDRESS], **options).check()  # type: ignore[arg-type]
    assert "canary" not in str(raised.value)
    with pytest.raises(errors.InvalidArgument, match=message):
        command.merge([ADDRESS], tag=[ADDRESS], **options)  # type: ignore[arg-type]


def test_without_the_extra_nothing_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(errors.KeylessUnavailable):
        PublishOptions([ADDRESS], sign_keyless=True).check()
