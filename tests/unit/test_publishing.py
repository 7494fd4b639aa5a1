"""Test that each argument of a push is in the request."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any

import pytest

from pipeline.attestation import keyless
from pipeline.attestation.attest import AttachmentOptions
from pipeline.attestation.keyless import KeylessOptions
from pipeline.cli.publish_options import PublishOptions
from pipeline.errors import InvalidAddress, InvalidArgument
from pipeline.publishing import PublishRequest, publishes, requested
from pipeline.registry.address import Destination
from pipeline.registry.receipt import Delivery, Receipt

pytestmark = pytest.mark.anyio

ADDRESS = "a.example/x:1"
PLAIN = PublishRequest((ADDRESS,))
SECRET: Any = object()
SERVICE: Any = object()


@pytest.mark.parametrize(
    ("arguments", "changes"),
    [
        ({}, {}),
        ({"tags": ["2"]}, {"tags": ("2",)}),
        ({"also": ["b.example/y"]}, {"addresses": (ADDRESS, "b.example/y")}),
        ({"username": "me", "password": SECRET}, {"logins": {"a.example": ("me", SECRET)}}),
        ({"no_clobber": True}, {"clobber": False}),
        ({"plain_http": ["a.example"]}, {"plain_http": ("a.example",)}),
        ({"registry": SERVICE}, {"service": SERVICE}),
        ({"sbom": True}, {"attachments": AttachmentOptions(sbom="cyclonedx")}),
        ({"sbom_format": "spdx"}, {"attachments": AttachmentOptions(sbom="spdx")}),
        ({"legacy_signatures": True}, {"attachments": AttachmentOptions(tags=True)}),
        ({"provenance": True}, {"attachments": AttachmentOptions(provenance=True)}),
        ({"symbols": True}, {"attachments": AttachmentOptions(symbols=True)}),
        ({"as_json": True}, {"as_json": True}),
        ({"by_digest": True}, {"by_digest": True}),
    ],
)
async def test_each_argument_is_in_the_request(arguments: dict[str, Any], changes: dict[str, Any]) -> None:
    assert await requested(ADDRESS, **arguments) == replace(PLAIN, **changes)


class File:
    async def contents(self) -> str:
        return "{}"


async def test_signing_without_a_key_is_in_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    async def signer(options: KeylessOptions) -> object:
        seen.append(options)
        return SERVICE

    monkeypatch.setattr(keyless, "signer", signer)
    more: dict[str, Any] = {"identity_token": SECRET, "sigstore_config": File()}
    for arguments in ({}, more):
        request = await requested(ADDRESS, sign_keyless=True, **arguments)
        assert request.attachments == AttachmentOptions(signer=SERVICE)
    assert seen == [KeylessOptions(), KeylessOptions(SECRET, "{}")]


@pytest.mark.parametrize(
    "arguments",
    [
        {"sign_keyless": True, "sign_key": SECRET},
        {"sign_keyless": True, "legacy_signatures": True},
        {"identity_token": SECRET},
        {"sigstore_config": File()},
    ],
)
async def test_options_of_signatures_that_do_not_belong_together(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        await requested(ADDRESS, **arguments)


async def test_the_options_of_the_command_line_give_the_same_request() -> None:
    options = PublishOptions(
        [ADDRESS, "b.example/y"], no_clobber=True, plain_http=["a.example"],
        sbom=True, provenance=True, symbols=True,
    )  # fmt: skip
    wanted = PublishRequest(
        (ADDRESS, "b.example/y"),
        clobber=False,
        plain_http=("a.example",),
        attachments=AttachmentOptions(sbom="cyclonedx", provenance=True, symbols=True),
    )
    assert await options.request() == wanted
    assert await options.request(by_digest=True) == replace(wanted, by_digest=True)


def test_destinations() -> None:
    request = PublishRequest(("a.example/{bin}", "b.example/y:1"), tags=("3",))
    assert request.lacks_tags and request.destinations("app", ["2"]) == (
        Destination("a.example", "app", ("2", "3")),
        Destination("b.example", "y", ("1", "3")),
    )
    apart = replace(request, by_digest=True)
    assert not apart.lacks_tags and {to.tags for to in apart.destinations("app", ["2"])} == {()}
    with pytest.raises(InvalidAddress):
        request.destinations()


async def test_a_function_has_the_flat_arguments_and_gets_the_request(
    capsys: pytest.CaptureFixture[str],
) -> None:
    receipt = Receipt("sha256:1", "", (), (), (Delivery("a.example/x", ("1",)),))
    seen = []

    class Module:
        @publishes
        async def publish(self, request: PublishRequest) -> Receipt:
            """Publish."""
            seen.append(request)
            return receipt

    assert await Module().publish(ADDRESS, tags=["2"]) == "a.example/x:1@sha256:1"
    assert capsys.readouterr().err == receipt.as_text() + "\n"
    assert await Module().publish(address=ADDRESS, as_json=True) == receipt.as_json()
    assert seen == [replace(PLAIN, tags=("2",)), replace(PLAIN, as_json=True)]
    own, *rest = inspect.signature(Module.publish).parameters.values()
    assert own.name == "self" and rest == list(
        inspect.signature(requested, eval_str=True).parameters.values()
    )
