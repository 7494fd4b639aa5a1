"""Publish an image from the engine: export its normalized layout, then push it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.oci.base import RegistryBase
from pipeline.oci.layout import Layout
from pipeline.progress import events
from pipeline.registry import credentials, dial, pushing
from pipeline.registry import merge as merging
from pipeline.registry.address import Destination, known_host
from pipeline.registry.artifacts import Artifact
from pipeline.registry.bases import on_bases, remember
from pipeline.registry.credentials import Secret
from pipeline.registry.receipt import Receipt
from pipeline.sdk import dagger

Logins = Mapping[str, tuple[str, Secret]]
"""User name and password by host."""


Attach = Callable[[Layout, Path], Awaitable[Sequence[Artifact]]]
"""Make the artifacts of an image from its layout; large files of them go to an empty directory."""


@dataclass(frozen=True)
class RegistryLogin:
    """Credentials of one registry."""

    host: str
    username: str
    password: dagger.Secret


def by_host(logins: Sequence[RegistryLogin]) -> Logins:
    """Return the credentials by host, named as in addresses; the last one of a host is used."""
    return {known_host(login.host): (login.username, login.password) for login in logins}


async def deliver(
    layout: dagger.Directory,
    destinations: Sequence[Destination],
    logins: Logins,
    *,
    clobber: bool = True,
    plain_http: Sequence[str] = (),
    service: dagger.Service | None = None,
    attach: Attach | None = None,
    bases: Mapping[str, RegistryBase] | None = None,
) -> Receipt:
    """Push a layout to every destination; other credentials are looked up in docker's configuration.

    Args:
        layout: the normalized layout of the image.
        destinations: repositories and tags; see `address.destinations`.
        logins: credentials by host.
        clobber: whether a tag may be moved from another image.
        plain_http: hosts to use plain HTTP for.
        service: the service through which the first destination's registry is reached.
        attach: makes the artifacts that refer to the image, from its digests.
        bases: the bases whose layers the layout may lack, by platform.

    Raises:
        PublishError and its subclasses: see `pushing.push`.
    """
    with tempfile.TemporaryDirectory(prefix="rust-multiarch-") as folder:
        image, attached = Path(folder) / "image", Path(folder) / "attached"
        await layout.export(str(image))
        attached.mkdir()
        opened = await Layout.open(image)
        began = time.monotonic()
        artifacts = await attach(opened, attached) if attach else ()
        seconds = round(time.monotonic() - began, 3)
        events.enter("pushing")
        below = list((bases or {}).values())
        async with connected(logins, plain_http, destinations[0].host, service) as registries:
            store = await on_bases(opened, below, registries)
            receipt = await pushing.push(
                store, destinations, registries, clobber=clobber, artifacts=artifacts
            )
    remember(below, destinations)
    return replace(receipt, attaching_seconds=seconds)


async def join(
    sources: Sequence[str],
    destinations: Sequence[Destination],
    logins: Logins | None = None,
    *,
    annotations: Mapping[str, str] | None = None,
    clobber: bool = True,
    plain_http: Sequence[str] = (),
    service: dagger.Service | None = None,
    attach: merging.AttachMerged | None = None,
) -> Receipt:
    """Push one index of published images; for the other arguments, see `merge.merge`.

    Raises:
        NotMergeable, DuplicatePlatform, PublishError: see `merge.merge`.
    """
    async with connected(logins or {}, plain_http, destinations[0].host, service) as registries:
        return await merging.merge(
            sources, destinations, registries, clobber=clobber, annotations=annotations, attach=attach
        )


@asynccontextmanager
async def connected(
    logins: Logins, plain_http: Sequence[str] = (), host: str = "", service: dagger.Service | None = None
) -> AsyncIterator[dial.Registries]:
    """Yield the registry connections, and close them after the block; docker's credentials are the default.

    Args:
        logins: see `Logins`.
        plain_http: hosts to use plain HTTP for.
        host: the host to reach through a service, if there is one.
        service: that service.
    """
    keychain = credentials.first_of(credentials.from_secrets(logins), credentials.from_docker())
    via = {host: await _endpoint(service)} if service else {}
    async with dial.registries(keychain, plain_http=plain_http, via=via) as registries:
        yield registries


async def _endpoint(service: dagger.Service) -> str:
    return await (await service.start()).endpoint()
