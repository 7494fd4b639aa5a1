"""`publish --engine X --engine Y`: the same publish, its platforms spread over several engines."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import anyio

from pipeline import fleet, settings
from pipeline.cli import session
from pipeline.cli.merge import FromEnvironment, named_by_git
from pipeline.registry.address import destinations, tagged
from pipeline.registry.publish import join
from pipeline.registry.receipt import Receipt
from pipeline.settings import Settings
from pipeline.targets import select


def publish(
    asked: Settings,
    *,
    source: Path,
    files: Path | None,
    tag: Sequence[str],
    engine: Sequence[str],
    username: str,
    password: str,
    no_clobber: bool,
    plain_http: Sequence[str],
    json: bool,
) -> str:
    """Build every platform on some engine, join them under every tag; the address, or the receipt.

    Raises:
        NoEngineLeft, RustMultiarchError: see `fleet.spread`.
    """
    platforms = [target.platform for target in select(asked.platforms)]
    to = destinations(tagged(tag, named_by_git(asked.tag_rules, source, os.environ)), [])
    login = {to[0].host: (username, FromEnvironment(password))} if password else {}
    command = leg(source, files, to[0].name, username, password, plain_http)
    legs = fleet.Legs(command, settings.to_environment(asked), session.say)

    async def run() -> Receipt:
        found = await fleet.spread(platforms, engine, legs.run, session.say)
        return await join(list(found.values()), to, login, clobber=not no_clobber, plain_http=plain_http)

    receipt = anyio.run(run)
    return receipt.as_json() if json else receipt.references[0]


def leg(
    source: Path,
    files: Path | None,
    repository: str,
    username: str,
    password: str,
    plain_http: Sequence[str],
) -> tuple[str, ...]:
    """The command that builds one platform and pushes it by digest."""
    words = ["publish", str(source), "--by-digest", "--tag", repository]
    words += ["--files", str(files)] if files else []
    words += ["--username", username] if username else []
    words += ["--password", password] if password else []
    for host in plain_http:
        words += ["--plain-http", host]
    return fleet.by_itself(*words)
