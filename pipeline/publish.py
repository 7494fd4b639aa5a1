"""Pushing an image: the address checked first, the registry's refusals told plainly."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import dagger
from dagger import dag

from pipeline.address import parse_address
from pipeline.errors import PublishError, RegistryDenied, RegistryUnreachable


@dataclass(frozen=True)
class Refusal:
    """What a registry's answer means."""

    pattern: str
    error: type[PublishError]
    what: str
    fix: str


# fmt: off
REFUSALS: tuple[Refusal, ...] = (
    Refusal(r"\b40[13]\b|unauthorized|denied|no basic auth|authorization failed|insufficient_scope",
            RegistryDenied, "the registry refused the credentials",
            "pass --username and --password, or log in with `docker login`"),
    Refusal(r"connection refused|no such host|i/o timeout|network is unreachable|connection reset"
            r"|server misbehaving|deadline exceeded|\bEOF\b|certificate|HTTP response to HTTPS",
            RegistryUnreachable, "the registry cannot be reached",
            "check the host and port, and that the engine's own network reaches it"),
)
# fmt: on


def explain(message: str, address: str) -> PublishError:
    """The error that an engine's message about a failed push means."""
    for refusal in REFUSALS:
        if re.search(refusal.pattern, message):
            return refusal.error(refusal.what, where=address, fix=refusal.fix, output=message)
    return PublishError(
        "the registry did not take the image",
        where=address,
        fix="read the registry's answer above; nothing was tagged",
        output=message,
    )


async def push(
    variants: Sequence[dagger.Container],
    address: str,
    username: str = "",
    password: dagger.Secret | None = None,
) -> str:
    """Push one OCI index with exactly these variants; the address with the index's digest.

    Raises:
        InvalidAddress, RegistryDenied, RegistryUnreachable, PublishError: nothing was tagged.
    """
    host = parse_address(address).host
    container = dag.container()
    if password is not None:
        container = container.with_registry_auth(host, username, password)
    try:
        return await container.publish(address, platform_variants=list(variants))
    except dagger.QueryError as error:
        raise explain(str(error), address) from error
