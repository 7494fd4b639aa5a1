"""Implement `rust-multiarch rebase`: put a new base under a published image."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Annotated

import anyio
import typer

from engine.record import BaseImages
from pipeline.cli import engine_address, keyless, merge, options, session
from pipeline.cli.keyless import IdentityToken, SigstoreConfig
from pipeline.cli.variables import FromEnvironment
from pipeline.config import arguments
from pipeline.config.request import check_trusted
from pipeline.errors import InvalidAddress
from pipeline.progress.view import Mode
from pipeline.publishing import PublishRequest
from pipeline.registry.address import open_to_tags, parse_source


def rebase(
    image: Annotated[str, typer.Argument(help="The published image: host/name with a tag or a digest.")],
    *,
    onto: Annotated[
        str, typer.Option("--onto", help="The new base, for example debian:trixie-slim or name@sha256:….")
    ],
    tag: Annotated[
        list[str] | None,
        typer.Option("--tag", "-t", help="Address to push to; the image's own tag by default. Repeatable."),
    ] = None,
    username: Annotated[str, typer.Option(help=arguments.USERNAME.documentation)] = "",
    password: merge.Password = "",
    no_clobber: Annotated[
        bool, typer.Option("--no-clobber", help=arguments.NO_CLOBBER.documentation)
    ] = False,
    plain_http: Annotated[
        list[str] | None, typer.Option("--plain-http", help=arguments.PLAIN_HTTP.documentation)
    ] = None,
    sign_key: Annotated[
        str,
        typer.Option(help="Private key to sign the new image with: a file, or env://NAME for a variable."),
    ] = "",
    sign_password: merge.SignPassword = "",
    sign_keyless: Annotated[
        bool, typer.Option("--sign-keyless", help=arguments.SIGN_KEYLESS.documentation)
    ] = False,
    identity_token: IdentityToken = "",
    sigstore_config: SigstoreConfig = "",
    json: options.JSON = False,
    engine: options.Engine = "",
    progress: options.Progress = Mode.AUTO,
) -> None:
    """Put a new base under a published image, after a check of its programs; nothing is compiled."""
    from pipeline import rebasing
    from pipeline.attestation import attest
    from pipeline.attestation.attest import AttachmentOptions

    merge.check_passwords(password, sign_password)
    without_key = keyless.check(
        sign_keyless, identity_token, sigstore_config, key=sign_key, legacy_signatures=False
    )
    check_trusted(merge.asked()[1], "image")
    request = asked(image, tag or [], no_clobber, plain_http or [], json)
    request = request.with_login(username, FromEnvironment(password)) if password else request
    signer = anyio.run(attest.signer, *merge.key(sign_key, sign_password), without_key)
    request = dataclasses.replace(request, attachments=AttachmentOptions(signer=signer))
    if engine:
        session.use(engine_address.parse(engine))
    platforms = anyio.run(rebasing.platforms, image, request)

    async def run() -> str:
        return request.answer(await rebasing.run(image, onto, request, session.mirrors()))

    session.answer(BaseImages(platforms), run, [("rebase", "")], progress)


def asked(image: str, tags: list[str], no_clobber: bool, plain_http: list[str], json: bool) -> PublishRequest:
    """Return the request to push to the given addresses, or else to the image's own tag.

    Raises:
        InvalidAddress: the image or an address is invalid, or there is neither an address nor a tag.
    """
    address = parse_source(image)
    if not tags and open_to_tags(image.partition("@")[0]):
        raise InvalidAddress(
            "the image has no tag that could be moved",
            where=image,
            fix="pass --tag host/name:tag, or name the image by its tag",
        )
    addresses = tuple(tags) or (f"{address.name}:{address.tag}",)
    request = PublishRequest(addresses, clobber=not no_clobber, plain_http=tuple(plain_http), as_json=json)
    request.destinations()
    return request


COMMANDS: dict[str, Callable[..., None]] = {"rebase": rebase}
