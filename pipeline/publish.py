"""Pushing an image: the address checked first, the registry's refusals told plainly."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import dagger
from dagger import dag

from pipeline.errors import InvalidAddress, PublishError, RegistryDenied, RegistryUnreachable

# The grammar of github.com/distribution/reference: [domain[:port]/]path[:tag][@digest].
_HOST = (
    r"(?:localhost|[a-zA-Z0-9-]+(?:\.[a-zA-Z0-9-]+)+|[a-zA-Z0-9-]+(?=:))(?::\d+)?|\[[0-9a-fA-F:]+\](?::\d+)?"
)
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_ADDRESS = re.compile(
    rf"(?:(?P<host>{_HOST})/)?(?P<path>{_COMPONENT}(?:/{_COMPONENT})*)(?::(?P<tag>[\w][\w.-]{{0,127}}))?",
    re.ASCII,
)


@dataclass(frozen=True)
class Address:
    """A parsed image address."""

    host: str
    repository: str
    tag: str


def parse_address(address: str) -> Address:
    """An image address taken apart; without a host it means Docker Hub, without a tag `latest`.

    Raises:
        InvalidAddress: the registry would refuse it; the message names the character at fault.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise InvalidAddress(
            f"{address!r} is not an image address: {_fault(address)}",
            where="address",
            fix="write it as host/name:tag, for example ghcr.io/me/app:1.2.3",
        )
    return Address(match["host"] or "docker.io", match["path"], match["tag"] or "latest")


def _fault(address: str) -> str:
    """The first character that no address has at its place, else the first that does not fit the rest."""
    host = re.match(rf"(?:{_HOST})/", address, re.ASCII)
    start = host.end() if host else 0
    strange = re.compile(r"[^a-z0-9._/:-]|(?<=:)[^\w]", re.ASCII).search(address, start)
    if ":" in address[start : strange.start() if strange else None]:
        strange = re.compile(r"[^\w.-]", re.ASCII).search(address, address.index(":", start) + 1)
    match = _ADDRESS.match(address)
    end = strange.start() if strange else match.end() if match else 0
    return f"character {end + 1} ({address[end]!r})" if end < len(address) else "it is empty"


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
