"""Publishing an image that the engine holds: its sealed layout brought here, then pushed."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass

import dagger

from pipeline import credentials, dial, pushing
from pipeline.address import Destination
from pipeline.artifacts import Artifact
from pipeline.content import Layout
from pipeline.receipt import Receipt


@dataclass(frozen=True)
class RegistryLogin:
    """Credentials of one registry."""

    host: str
    username: str
    password: dagger.Secret


async def deliver(
    layout: dagger.Directory,
    destinations: Sequence[Destination],
    logins: Sequence[RegistryLogin] = (),
    *,
    clobber: bool = True,
    plain_http: Sequence[str] = (),
    service: dagger.Service | None = None,
    artifacts: Sequence[Artifact] = (),
) -> Receipt:
    """Push a layout to every destination; credentials not given are looked up where docker keeps its own.

    Args:
        layout: the sealed image.
        destinations: where to.
        logins: credentials by host.
        clobber: whether a tag that names another image may be moved.
        plain_http: hosts that are spoken to without TLS.
        service: what the first destination's registry is reached through.
        artifacts: what refers to the image.

    Raises:
        PublishError and its kin: see `pushing.push`.
    """
    given = credentials.from_secrets({login.host: (login.username, login.password) for login in logins})
    keychain = credentials.first_of(given, credentials.from_docker())
    with tempfile.TemporaryDirectory(prefix="rust-multiarch-") as folder:
        await layout.export(folder)
        via = {destinations[0].host: await _endpoint(service)} if service else {}
        async with dial.registries(keychain, plain_http=plain_http, via=via) as registries:
            return await pushing.push(
                await Layout.open(folder), destinations, registries, clobber=clobber, artifacts=artifacts
            )


async def _endpoint(service: dagger.Service) -> str:
    return await (await service.start()).endpoint()
