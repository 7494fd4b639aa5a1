"""Reaching registries: address, scheme and certificates of each host, one connection pool for all.

A module's function runs in a container of the engine, whose loopback is its own. There, a loopback
address means the engine's machine, which is the container's default gateway; the embedded engine lets
its containers reach its own registry that way, and nothing else.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import certifi
import httpx

from pipeline.address import DOCKER_HUB
from pipeline.credentials import Keychain, anonymous
from pipeline.retry import Retry
from pipeline.transport import TIMEOUT, USER_AGENT, Registry, Say

DOCKER_HUB_API = "registry-1.docker.io"
ENGINE_INIT = Path("/.init")
"""The engine's init process, which it mounts into every container it runs."""

ROUTES = Path("/proc/net/route")
PROBE_SECONDS = 5.0


def to_stderr(line: str) -> None:
    """A line of progress."""
    print(line, file=sys.stderr, flush=True)


@dataclass
class Registries:
    """Every registry of one push, each signed in to at most once."""

    client: httpx.AsyncClient
    keychain: Keychain
    plain_http: Collection[str]
    retry: Retry
    say: Say
    _known: dict[str, Registry] = field(default_factory=dict)
    _dialling: anyio.Lock = field(default_factory=anyio.Lock)

    async def registry(self, host: str) -> Registry:
        """The registry of a host as image addresses name it."""
        async with self._dialling:
            if host not in self._known:
                base = await self._base(host)
                self._known[host] = Registry(self.client, host, base, self.keychain, self.retry, self.say)
            return self._known[host]

    async def _base(self, host: str) -> httpx.URL:
        if host == DOCKER_HUB:
            return httpx.URL(f"https://{DOCKER_HUB_API}/v2/")
        base = httpx.URL(f"https://{host}/v2/")
        plain = host in self.plain_http
        if is_loopback(base.host):
            plain = plain or not await self._speaks_tls(base)
        return base.copy_with(scheme="http") if plain else base

    async def _speaks_tls(self, base: httpx.URL) -> bool:
        """Whether TLS is spoken at a loopback address. An unknown certificate is TLS, too."""
        try:
            await self.client.get(base, timeout=PROBE_SECONDS)
        except httpx.TransportError as error:
            return _is_certificate(error)
        return True


@asynccontextmanager
async def registries(
    keychain: Keychain = anonymous,
    *,
    plain_http: Collection[str] = (),
    retry: Retry | None = None,
    certificates: Path | None = None,
    say: Say = to_stderr,
) -> AsyncIterator[Registries]:
    """What reaches registries, for the length of the block.

    Args:
        keychain: who signs in where.
        plain_http: hosts (with their port) that may be spoken to without TLS.
        retry: how failures are met.
        certificates: a file of authorities to trust besides this system's.
        say: told of every retry.
    """
    context = trusted(certificates)
    # The proxies of the environment serve every host; a mount only stands before them for the loopback.
    mounts = {f"all://{name}": Redialled(context) for name in ("127.0.0.1", "localhost", "[::1]")}
    headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
    async with httpx.AsyncClient(verify=context, mounts=mounts, headers=headers, timeout=TIMEOUT) as client:
        yield Registries(client, keychain, plain_http, retry or Retry(), say)


class Redialled(httpx.AsyncBaseTransport):
    """Connections to loopback addresses, led to where the engine's machine really is."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._transport = httpx.AsyncHTTPTransport(verify=context)
        self._machines: dict[int | None, str] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; its Host header and the name its certificate must have stay as they were."""
        port = request.url.port or {"http": 80, "https": 443}[request.url.scheme]
        if port not in self._machines:
            self._machines[port] = await machine(request.url.host, port)
        if machine_host := self._machines[port]:
            # Another request, since what a registry names relative to the first belongs to the first.
            request = httpx.Request(
                request.method,
                request.url.copy_with(host=machine_host),
                headers=request.headers,
                stream=request.stream,
                extensions={**request.extensions, "sni_hostname": request.url.host},
            )
        return await self._transport.handle_async_request(request)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()


async def machine(host: str, port: int) -> str:
    """Where a loopback port is instead: the gateway, inside an engine, unless something answers here."""
    if not await anyio.Path(ENGINE_INIT).exists() or await _listens(host, port):
        return ""
    return gateway(await anyio.Path(ROUTES).read_text())


async def _listens(host: str, port: int) -> bool:
    try:
        with anyio.fail_after(PROBE_SECONDS):
            stream = await anyio.connect_tcp(host, port)
    except (OSError, TimeoutError):
        return False
    await stream.aclose()
    return True


def gateway(routes: str) -> str:
    """The default route's gateway in the text of /proc/net/route; empty without one."""
    for line in routes.splitlines()[1:]:
        _, destination, gate, flags, *_ = line.split()
        if destination == "00000000" and int(flags, 16) & 2:
            return socket.inet_ntoa(int(gate, 16).to_bytes(4, sys.byteorder))
    return ""


def is_loopback(host: str) -> bool:
    """Whether a host, without its port, is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def trusted(certificates: Path | None = None) -> ssl.SSLContext:
    """This system's certificate authorities, and those of a file."""
    context = ssl.create_default_context()
    paths = ssl.get_default_verify_paths()
    if not paths.cafile and not paths.capath:  # pragma: no cover - a system without any
        context.load_verify_locations(certifi.where())
    if certificates:
        context.load_verify_locations(certificates)
    return context


def _is_certificate(error: BaseException | None) -> bool:
    while error:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False
