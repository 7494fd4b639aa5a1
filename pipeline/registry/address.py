"""Parse image addresses, and determine the destinations of an image."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipeline.errors import InvalidAddress

DOCKER_HUB = "docker.io"
DOCKER_HUB_NAMES = frozenset({"index.docker.io", "registry-1.docker.io"})
"""Other hosts of Docker Hub, in old addresses and logins."""

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
    """A parsed image address; `digest` is empty if it has none."""

    host: str
    repository: str
    tag: str
    digest: str = ""

    @property
    def reference(self) -> str:
        """Return the digest, or the tag if there is no digest."""
        return self.digest or self.tag

    @property
    def name(self) -> str:
        """Return host and repository."""
        return f"{self.host}/{self.repository}"

    def __str__(self) -> str:
        return f"{self.name}@{self.digest}" if self.digest else f"{self.name}:{self.tag}"


@dataclass(frozen=True)
class Destination:
    """A repository, and the tags of an image there."""

    host: str
    repository: str
    tags: tuple[str, ...]

    @property
    def name(self) -> str:
        """Return host and repository, the start of an address."""
        return f"{self.host}/{self.repository}"


def known_host(host: str) -> str:
    """Return a registry's host as in addresses: Docker Hub has several names."""
    return DOCKER_HUB if host in DOCKER_HUB_NAMES else host


def parse_address(address: str) -> Address:
    """Parse an image address; the default host is Docker Hub, the default tag `latest`.

    Raises:
        InvalidAddress: the address is invalid; the message has the first invalid character.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None:
        if (lower := lowered(address)) != address and _ADDRESS.fullmatch(lower):
            raise InvalidAddress(
                f"{address!r} has capitals in it, and repository names are lowercase",
                where=address,
                fix=f"write {lower}",
            )
        if _ADDRESS.fullmatch(bare := address.partition("://")[2]):
            raise InvalidAddress(
                f"{address!r} is a URL; the address of an image has no scheme",
                where=address,
                fix=f"write {bare}",
            )
        raise InvalidAddress(
            f"{address!r} is not an image address: {_fault(address)}", where=address, fix=_EXAMPLE
        )
    host = match["host"] or ""
    if host.startswith("[") and not _is_ipv6(host[1:].partition("]")[0]):
        raise InvalidAddress(
            f"{host} is not an IPv6 address", where=address, fix="write it as in [2001:db8::1]:5000/me/app"
        )
    port = re.search(r":(\d+)$", host, re.ASCII)
    if port and not (len(port[1]) <= 5 and 0 < int(port[1]) <= LAST_PORT):
        raise InvalidAddress(f"{port[1]} is not a port", where=address, fix=f"use 1 to {LAST_PORT}")
    return Address(known_host(match["host"] or DOCKER_HUB), match["path"], match["tag"] or "latest")


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def lowered(address: str) -> str:
    """Return an address with its repository in lower case; host and tag are unchanged."""
    host = re.match(rf"{_HOST}/", address, re.ASCII)
    start = host.end() if host else 0
    name, colon, tag = address[start:].partition(":")
    return address[:start] + name.lower() + colon + tag


def parse_source(address: str) -> Address:
    """Parse the address of an existing image, possibly with a digest: `host/name[:tag][@sha256:…]`.

    Raises:
        InvalidAddress: the address is invalid.
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
    """Check and return a tag.

    Raises:
        InvalidAddress: the tag is invalid; the message has the first invalid character.
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
    """Return an image's destinations: each repository once, with the tags of its addresses and of `tags`.

    Args:
        addresses: image addresses; those of the same repository are merged.
        tags: additional tags, for every repository.

    Raises:
        InvalidAddress: an address or a tag is invalid, or there is no address.
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
    """Return True if an address is valid and has no tag."""
    match = _ADDRESS.fullmatch(address)
    return match is not None and match["tag"] is None


def untagged(address: str) -> str:
    """Return an address without its tag."""
    name, _, tag = address.rpartition(":")
    return name if name and "/" not in tag else address


def tagged(addresses: Iterable[str], tags: Sequence[str]) -> list[str]:
    """Return the addresses, with each tag added to those without a tag; unchanged if there are no tags."""
    found = []
    for address in addresses:
        found += [f"{address}:{tag}" for tag in tags] if tags and open_to_tags(address) else [address]
    return found


BINARY = "{bin}"
"""The placeholder for the binary's name in an address."""


def named(address: str, binary: str) -> str:
    """Return the address of one binary's image; `{bin}` in it is replaced by the binary's name.

    Characters that are invalid in a repository's name become `-`.
    """
    return address.replace(BINARY, re.sub(r"[^a-z0-9._-]", "-", binary.lower()).strip("._-"))


def named_somehow(addresses: Iterable[str]) -> list[str]:
    """Return addresses with an example of a binary's name, to check them before the name is known."""
    return [named(address, "bin") for address in addresses]


def _fault(address: str) -> str:
    """Return the first character that is invalid in any address, else the first that does not match here."""
    host = re.match(rf"(?:{_HOST})/", address, re.ASCII)
    start = host.end() if host else 0
    strange = re.compile(r"[^a-z0-9._/:-]|(?<=:)[^\w]", re.ASCII).search(address, start)
    if ":" in address[start : strange.start() if strange else None]:
        strange = re.compile(r"[^\w.-]", re.ASCII).search(address, address.index(":", start) + 1)
    match = _ADDRESS.match(address)
    end = strange.start() if strange else match.end() if match else 0
    return f"character {end + 1} ({address[end]!r})" if end < len(address) else "it is empty"
