"""Image addresses: their grammar, and where one image is to go."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipeline.errors import InvalidAddress

DOCKER_HUB = "docker.io"
DOCKER_HUB_NAMES = frozenset({"index.docker.io", "registry-1.docker.io"})
"""Other hosts of Docker Hub, which are found in old addresses and logins."""

# The grammar of github.com/distribution/reference: [domain[:port]/]path[:tag][@digest].
_HOST = (
    r"(?:localhost|[a-zA-Z0-9-]+(?:\.[a-zA-Z0-9-]+)+|[a-zA-Z0-9-]+(?=:))(?::\d+)?|\[[0-9a-fA-F:]+\](?::\d+)?"
)
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_TAG = r"[\w][\w.-]{0,127}"
_DIGEST = r"sha256:[0-9a-f]{64}"
_ADDRESS = re.compile(
    rf"(?:(?P<host>{_HOST})/)?(?P<path>{_COMPONENT}(?:/{_COMPONENT})*)(?::(?P<tag>{_TAG}))?", re.ASCII
)
LAST_PORT = 65535
_EXAMPLE = "write it as host/name:tag, for example ghcr.io/me/app:1.2.3"


@dataclass(frozen=True)
class Address:
    """A parsed image address; `digest` is empty where none was written."""

    host: str
    repository: str
    tag: str
    digest: str = ""

    @property
    def reference(self) -> str:
        """What a registry is asked for: the digest, which is exact, before the tag."""
        return self.digest or self.tag

    @property
    def name(self) -> str:
        """Host and repository."""
        return f"{self.host}/{self.repository}"

    def __str__(self) -> str:
        return f"{self.name}@{self.digest}" if self.digest else f"{self.name}:{self.tag}"


@dataclass(frozen=True)
class Destination:
    """One repository, and the tags that an image gets there."""

    host: str
    repository: str
    tags: tuple[str, ...]

    @property
    def name(self) -> str:
        """Host and repository, as an address starts."""
        return f"{self.host}/{self.repository}"


def known_host(host: str) -> str:
    """A registry's host by the name that it has in addresses: Docker Hub has several."""
    return DOCKER_HUB if host in DOCKER_HUB_NAMES else host


def parse_address(address: str) -> Address:
    """An image address taken apart; without a host it means Docker Hub, without a tag `latest`.

    Raises:
        InvalidAddress: the registry would refuse it; the message names the character at fault.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None:
        if (lower := lowered(address)) != address and _ADDRESS.fullmatch(lower):
            raise InvalidAddress(
                f"{address!r} has capitals in it, and repository names are lowercase",
                where="address",
                fix=f"write {lower}",
            )
        raise InvalidAddress(
            f"{address!r} is not an image address: {_fault(address)}", where="address", fix=_EXAMPLE
        )
    port = re.search(r":(\d+)$", match["host"] or "", re.ASCII)
    if port and not (len(port[1]) <= 5 and 0 < int(port[1]) <= LAST_PORT):
        raise InvalidAddress(f"{port[1]} is not a port", where=address, fix=f"use 1 to {LAST_PORT}")
    return Address(known_host(match["host"] or DOCKER_HUB), match["path"], match["tag"] or "latest")


def lowered(address: str) -> str:
    """Return an address with its repository in lower case; host and tag stay as they are."""
    host = re.match(rf"{_HOST}/", address, re.ASCII)
    start = host.end() if host else 0
    name, colon, tag = address[start:].partition(":")
    return address[:start] + name.lower() + colon + tag


def parse_source(address: str) -> Address:
    """The address of an image that exists, which a digest may name: `host/name[:tag][@sha256:…]`.

    Raises:
        InvalidAddress: it is none.
    """
    name, at, digest = address.partition("@")
    if at and not re.fullmatch(_DIGEST, digest):
        raise InvalidAddress(
            f"{digest!r} is not a digest: sha256: and 64 digits or letters a to f",
            where=address,
            fix="copy the digest from the output of the push",
        )
    parsed = parse_address(name)
    return Address(parsed.host, parsed.repository, parsed.tag, digest)


def parse_tag(tag: str) -> str:
    """A tag, as it is.

    Raises:
        InvalidAddress: no registry takes it; the message names the character at fault.
    """
    if re.fullmatch(_TAG, tag, re.ASCII):
        return tag
    strange = re.search(r"^[^\w]|[^\w.-]", tag, re.ASCII)
    fault = (
        f"character {strange.start() + 1} ({strange[0]!r})" if strange else f"it has {len(tag)} characters"
    )
    raise InvalidAddress(
        f"{tag!r} is not a tag: {fault}",
        where="tag",
        fix="use up to 128 letters, digits, '_', '.' and '-', the first of them no '.' or '-'",
    )


def destinations(addresses: Iterable[str], tags: Sequence[str] = ()) -> tuple[Destination, ...]:
    """Where an image goes: each repository once, with every tag that an address or `tags` gives it.

    Args:
        addresses: image addresses; several of one repository add up.
        tags: further tags, for every repository.

    Raises:
        InvalidAddress: an address or a tag is none, or there is no address.
    """
    more = [parse_tag(tag) for tag in tags]
    found: dict[tuple[str, str], dict[str, None]] = {}
    for address in map(parse_address, addresses):
        found.setdefault((address.host, address.repository), {})[address.tag] = None
    if not found:
        raise InvalidAddress("there is no address to push to", where="address", fix=_EXAMPLE)
    return tuple(
        Destination(host, repository, tuple({**own, **dict.fromkeys(more)}))
        for (host, repository), own in found.items()
    )


def open_to_tags(address: str) -> bool:
    """Whether an address has the form of one and no tag."""
    match = _ADDRESS.fullmatch(address)
    return match is not None and match["tag"] is None


def tagged(addresses: Iterable[str], tags: Sequence[str]) -> list[str]:
    """The addresses, those without a tag once with each of the tags; all as they are where there are none."""
    found = []
    for address in addresses:
        found += [f"{address}:{tag}" for tag in tags] if tags and open_to_tags(address) else [address]
    return found


BINARY = "{bin}"
"""What stands for the binary's name in an address."""


def named(address: str, binary: str) -> str:
    """The address of one binary's image: `{bin}` in it stands for the binary's name.

    A binary may have a name that no repository may have; what is in the way becomes `-`.
    """
    return address.replace(BINARY, re.sub(r"[^a-z0-9._-]", "-", binary.lower()).strip("._-"))


def named_somehow(addresses: Iterable[str]) -> list[str]:
    """Addresses with some name for the binary's, to look at their form and hosts before it is known."""
    return [named(address, "bin") for address in addresses]


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
