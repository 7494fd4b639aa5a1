"""Connect to registries: address, scheme and certificates of each host, and one connection pool.

Connections use TLS. Plain HTTP is allowed only for loopback addresses and hosts named by an option.

A module's function runs in a container of the engine, with a separate loopback interface. There, a loopback
registry is reached through a Dagger service passed by the caller, so that a container can reach only what its
caller allows; `via` has the service's address.
"""

from __future__ import annotations

import ssl
import urllib.request
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import certifi
import httpx

from pipeline.printable import say
from pipeline.registry.address import DOCKER_HUB
from pipeline.registry.credentials import Keychain, anonymous
from pipeline.registry.retry import Retry
from pipeline.registry.transport import TIMEOUT, USER_AGENT, Registry, Say, is_loopback_name, is_named

DOCKER_HUB_API = "registry-1.docker.io"
PROBE_SECONDS = 5.0


@dataclass
class Registries:
    """The registries of a push, with at most one login each."""

    client: httpx.AsyncClient
    keychain: Keychain
    plain_http: Collection[str]
    retry: Retry
    say: Say
    _known: dict[str, Registry] = field(default_factory=dict)
    _dialling: anyio.Lock = field(default_factory=anyio.Lock)

    async def registry(self, host: str) -> Registry:
        """Return the registry of a host, named as in image addresses."""
        async with self._dialling:
            if host not in self._known:
                base = await self._base(host)
                self._known[host] = Registry(
                    self.client, host, base, self.keychain, self.retry, self.say, self.plain_http
                )
            return self._known[host]

    async def _base(self, host: str) -> httpx.URL:
        if host == DOCKER_HUB:
            return httpx.URL(f"https://{DOCKER_HUB_API}/v2/")
        base = httpx.URL(f"https://{host}/v2/")
        plain = is_named(host, self.plain_http)
        if is_loopback(host):
            plain = plain or not await self._speaks_tls(base)
        return base.copy_with(scheme="http") if plain else base

    async def _speaks_tls(self, base: httpx.URL) -> bool:
        """Return True if a loopback address uses TLS, even with an unknown certificate."""
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
    via: Mapping[str, str] | None = None,
    retry: Retry | None = None,
    certificates: Path | None = None,
    say: Say = say,
) -> AsyncIterator[Registries]:
    """Yield the registry connections, and close them after the block.

    Args:
        keychain: looks up the credentials of a host.
        plain_http: hosts (with their port) to use plain HTTP for.
        via: other addresses (host and port) to connect to, by the host in image addresses.
        retry: the retry policy.
        certificates: a file of authorities to trust besides this system's.
        say: called with a line for every retry.
    """
    context = trusted(certificates)
    # A mount takes precedence over the environment's proxies only for its own host or scheme.
    mounts: dict[str, httpx.AsyncBaseTransport] = {
        scheme: Proxied(context, proxy) for scheme, proxy in proxies(urllib.request.getproxies()).items()
    }
    mounts |= {f"all://{host}": Redialled(context, to) for host, to in (via or {}).items()}
    headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
    async with httpx.AsyncClient(verify=context, mounts=mounts, headers=headers, timeout=TIMEOUT) as client:
        yield Registries(client, keychain, plain_http, retry or Retry(), say)


class Redialled(httpx.AsyncBaseTransport):
    """A transport that connects to another address; host names and certificates are still the host's."""

    def __init__(self, context: ssl.SSLContext, to: str) -> None:
        self._transport = httpx.AsyncHTTPTransport(verify=context)
        self._to = httpx.URL(f"//{to}")

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a copy of a request to the other address; the original keeps its URL."""
        sent = httpx.Request(
            request.method,
            request.url.copy_with(host=self._to.host, port=self._to.port),
            headers=request.headers,
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": request.url.host},
        )
        return await self._transport.handle_async_request(sent)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()


class Proxied(httpx.AsyncBaseTransport):
    """A transport that uses a proxy, except for loopback addresses, like docker.

    httpx also uses a proxy for loopback addresses, which would then be the proxy's machine.
    """

    def __init__(self, context: ssl.SSLContext, proxy: str) -> None:
        self._direct = httpx.AsyncHTTPTransport(verify=context)
        self._proxied = httpx.AsyncHTTPTransport(verify=context, proxy=proxy)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, directly or through the proxy."""
        transport = self._direct if is_loopback_name(request.url.host) else self._proxied
        return await transport.handle_async_request(request)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._direct.aclose()
        await self._proxied.aclose()


def proxies(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the proxies that httpx reads from the environment, by their URL pattern.

    Args:
        environment: the output of `urllib.request.getproxies`; httpx handles the exceptions in `no`, except
            the one that disables all proxies.
    """
    if "*" in (host.strip() for host in environment.get("no", "").split(",")):
        return {}
    found = {f"{scheme}://": environment.get(scheme, "") for scheme in ("http", "https", "all")}
    return {
        scheme: proxy if "://" in proxy else f"http://{proxy}" for scheme, proxy in found.items() if proxy
    }


def is_loopback(host: str) -> bool:
    """Return True if a host, named as in image addresses, is this machine."""
    return is_loopback_name(httpx.URL(f"//{host}").host)


def trusted(certificates: Path | None = None) -> ssl.SSLContext:
    """Return a TLS context with this system's certificate authorities and those of a file."""
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
