"""`publish --engine X --engine Y`: the same publish, its platforms spread over several engines."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio

from pipeline import fleet
from pipeline.attestation import signing
from pipeline.attestation.signing import Signer
from pipeline.cli import access, session
from pipeline.cli.merge import FromEnvironment, goals
from pipeline.config import settings
from pipeline.config.request import listed
from pipeline.config.settings import Settings
from pipeline.errors import InvalidArgument, UnusableKey
from pipeline.oci.layout import Descriptor
from pipeline.registry.address import BINARY, named
from pipeline.registry.artifacts import Artifact
from pipeline.registry.publish import join
from pipeline.registry.receipt import Receipt
from pipeline.targets import select


def publish(
    asked: Settings,
    *,
    source: Path,
    files: Path | None,
    include_ignored: bool,
    opened: Mapping[str, Any],
    tag: Sequence[str],
    engine: Sequence[str],
    username: str,
    password: str,
    no_clobber: bool,
    plain_http: Sequence[str],
    json: bool,
    sbom: bool,
    symbols: bool,
    sign_key: str,
    sign_password: str,
) -> str:
    """Build every platform on some engine, join them under every tag; the address, or the receipt.

    What is attached to a platform's image comes from its engine; the index is signed here.

    Raises:
        InvalidArgument: attachments for several repositories, where the parts are in one; see `addresses`.
        UnusableKey, WrongKeyPassword: see `signing.load`.
        NoEngineLeft, RustMultiarchError: see `fleet.spread`.
    """
    platforms = [target.platform for target in select(asked.platforms)]
    to = goals(addresses(tag, listed(asked.bin)), asked.tag_rules, source, asked.ref)
    attached = [f"--{name}" for name, wanted in (("sbom", sbom), ("symbols", symbols)) if wanted]
    attached += ["--sign-key", sign_key] if sign_key else []
    attached += ["--sign-password", sign_password] if sign_password else []
    if attached and len(to) > 1:
        raise InvalidArgument(
            "what is attached to the parts is in one repository",
            where="--tag",
            fix="with several engines and attachments, name tags of one repository",
        )
    signer = _signer(sign_key, sign_password) if sign_key else None

    def sign(index: Descriptor) -> list[Artifact]:
        return [signing.signature(index, to[0].name, signer)] if signer else []

    login = {to[0].host: (username, FromEnvironment(password))} if password else {}
    further = [*attached, *access.words(**opened)]
    command = leg(source, files, include_ignored, to[0].name, username, password, plain_http, further)
    legs = fleet.Legs(command, settings.to_environment(asked), session.say)

    async def run() -> Receipt:
        found = await fleet.spread(platforms, engine, legs.run, session.say)
        return await join(
            list(found.values()), to, login, clobber=not no_clobber, plain_http=plain_http, attach=sign
        )

    receipt = anyio.run(run)
    return receipt.as_json() if json else receipt.references[0]


def addresses(tag: Sequence[str], binaries: Sequence[str]) -> list[str]:
    """The addresses with the binary's name in them, where they ask for it.

    Raises:
        InvalidArgument: one does, and the settings do not name one binary; only an engine finds out more.
    """
    if len(binaries) != 1 and any(BINARY in one for one in tag):
        raise InvalidArgument(
            "which binary {bin} stands for is not known before an engine reads the project",
            where="--tag",
            fix="with several engines, choose the binary with --bin, or write its name in the address",
        )
    return [named(one, "".join(binaries)) for one in tag]


def leg(
    source: Path,
    files: Path | None,
    include_ignored: bool,
    repository: str,
    username: str,
    password: str,
    plain_http: Sequence[str],
    further: Sequence[str] = (),
) -> tuple[str, ...]:
    """The command that builds one platform and pushes it by digest."""
    words = ["publish", str(source), "--by-digest", "--tag", repository]
    words += ["--files", str(files)] if files else []
    words += ["--include-ignored"] if include_ignored else []
    words += ["--username", username] if username else []
    words += ["--password", password] if password else []
    for host in plain_http:
        words += ["--plain-http", host]
    return fleet.by_itself(*words, *further)


def _signer(key: str, password: str) -> Signer:
    """The signer of a key that is in a file or a variable, and of a password in a variable."""
    scheme, _, place = key.rpartition("://")
    sources = {"": "file", "file": "file", "env": "env"}
    try:
        text = os.environ[place] if sources[scheme] == "env" else Path(place).read_text()
        return signing.load(text, os.environ[password] if password else "")
    except (KeyError, OSError) as error:
        raise UnusableKey(
            f"the signing key or its password cannot be read: {error}",
            where=signing.OPTION,
            fix="with several engines, the key is in a file or in env://NAME, and its password in a variable",
        ) from None
