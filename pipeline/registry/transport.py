"""Send requests to one registry, with authentication and a limited number of retries."""

from __future__ import annotations

import ipaddress
import os
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import anyio
import httpx

from pipeline.errors import PublishError, RegistryFailed, RegistryUnreachable
from pipeline.registry.authorization import basic, parse_challenge, token_of, token_request
from pipeline.registry.credentials import Keychain
from pipeline.registry.locations import resolved
from pipeline.registry.refusals import explain
from pipeline.registry.retry import PASSING, Retry, TransientError, rate_limit, retry_after

USER_AGENT = "rust-multiarch (+https://github.com/rust-multiarch/rust-multiarch)"
TIMEOUT = httpx.Timeout(60, connect=15, pool=None)
"""Time limit in seconds without a byte; a registry may take long to store an upload."""

MAX_ANSWER_BYTES = 4 << 20
"""The maximum size of a response in memory: registries need not accept larger manifests."""

MAX_REDIRECTS = 10

NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"})
"""OpenSSL's reasons for a response without TLS, of several versions."""

T = TypeVar("T")
Body = Callable[[], AsyncGenerator[bytes, None]]
Say = Callable[[str], None]


@dataclass
class Registry:
    """A connection to one registry, with what its responses required so far.

    Attributes:
        client: the connections.
        host: the host as in image addresses.
        base: the URL of its API.
        keychain: looks up its credentials.
        retry: the retry policy.
        say: called with a line for every retry.
        plain_http: hosts to use plain HTTP for.
        contacted: whether it responded.
        chunk_bytes: the size of chunks that it accepts; 0 for whole blobs.
        refused_mounts: pairs of repositories between which it refuses to mount blobs.
    """

    client: httpx.AsyncClient
    host: str
    base: httpx.URL
    keychain: Keychain
    retry: Retry
    say: Say
    plain_http: Collection[str] = ()
    contacted: bool = False
    chunk_bytes: int = 0
    refused_mounts: set[tuple[str, str]] = field(default_factory=set)
    _tokens: dict[str, str] = field(default_factory=dict, repr=False)
    _signing_in: anyio.Lock = field(default_factory=anyio.Lock)

    async def persist(self, action: Callable[[], Awaitable[T]]) -> T:
        """Return the result of an action, retried after transient errors.

        Raises:
            RegistryUnreachable: no attempt got a connection.
            RegistryFailed: every attempt failed.
        """
        failures = 0
        while True:
            try:
                return await action()
            except TransientError as error:
                failures += 1
                wait = self.retry.wait(failures, error.after)
                if wait is None:
                    raise self._given_up(error, failures) from error
                self.say(f"{self.host}: {error}; trying again in {wait:g} s")
            await anyio.sleep(wait)

    def _given_up(self, error: TransientError, failures: int) -> PublishError:
        if not error.contact and not self.contacted:
            return RegistryUnreachable(
                f"the registry cannot be reached: {error}",
                where=self.host,
                fix="check the host and port, and that this network reaches it" + _service(),
            )
        asked = f", and asks to wait {error.after:g} s" if error.after else ""
        return RegistryFailed(
            f"the registry failed {failures} times; the last error: {error}{asked}",
            where=self.host,
            fix="run the same command again later; what arrived is not sent again"
            + ("; with many requests, log in as a user with a higher limit" * error.limited),
        )

    async def send(
        self,
        method: str,
        url: str,
        *,
        scope: str,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        accept: frozenset[int] = frozenset({200}),
    ) -> httpx.Response:
        """Send a request and return its response, with retries after transient errors.

        Args:
            method: HTTP method.
            url: path below the registry's address, or a location from a response.
            scope: the scope that a token needs, for example `repository:me/app:pull,push`.
            headers: the request's headers.
            content: the request's body.
            accept: the expected statuses; others are errors.

        Raises:
            RegistryDenied, RegistryUnreachable, RegistryFailed, PublishError: the last attempt failed.
        """
        return await self.persist(
            lambda: self.send_once(method, url, scope=scope, headers=headers, content=content, accept=accept)
        )

    async def send_once(
        self,
        method: str,
        url: str,
        *,
        scope: str,
        headers: Mapping[str, str] | None = None,
        content: bytes | Body | None = None,
        accept: frozenset[int] = frozenset({200}),
    ) -> httpx.Response:
        """Send a request once, with a new body; raise `TransientError` if `send` should retry."""
        for last in (False, True):
            used = self._tokens.get(scope, "")
            response = await self._redirected(method, url, used, headers, content)
            # Another host that an upload or a redirect led to does not get this one's credentials.
            if response.status_code != 401 or last or not self._is_own(response.request.url):
                break
            await self._sign_in(response, scope, used)
        return self._judged(response, accept)

    async def _redirected(
        self,
        method: str,
        url: str,
        token: str,
        headers: Mapping[str, str] | None,
        content: bytes | Body | None,
    ) -> httpx.Response:
        """Return the response to a request after redirects that keep its method and body."""
        for _ in range(MAX_REDIRECTS):
            async with _made(content) as body:
                response = await self._exchange(self._request(method, url, token, headers, body))
            if response.status_code not in (307, 308) or "Location" not in response.headers:
                return response
            url = self.location(response)
        raise self._hostile(f"more than {MAX_REDIRECTS} redirects")

    def location(self, response: httpx.Response) -> str:
        """Return the URL in a response's Location; it may be relative.

        Raises:
            PublishError: it is not a URL.
        """
        return str(resolved(response.request.url, response.headers.get("Location", "")))

    def _is_own(self, url: httpx.URL) -> bool:
        return (url.scheme, url.host, url.port) == (self.base.scheme, self.base.host, self.base.port)

    @asynccontextmanager
    async def stream(self, url: str, *, scope: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """Stream a body that may be too large for memory; authenticate with a separate request."""
        await self.send("HEAD", url, scope=scope)
        request = self._request("GET", url, self._tokens.get(scope, ""), None, None)
        response = await self._exchange(request, stream=True)
        try:
            self._judged(response, frozenset({200}))
            yield self._pieces(response)
        finally:
            await response.aclose()

    async def _pieces(self, response: httpx.Response) -> AsyncIterator[bytes]:
        try:
            async for piece in response.aiter_raw():
                yield piece
        except httpx.TransportError as error:
            raise TransientError(f"{self.host}: {_told(error)}") from error

    def _request(
        self,
        method: str,
        url: str,
        token: str,
        headers: Mapping[str, str] | None,
        content: bytes | AsyncGenerator[bytes, None] | None,
    ) -> httpx.Request:
        target = resolved(self.base, url)
        self._check_secure(target)
        sent = dict(headers or {})
        # An upload may be redirected to another host, which must not get this one's credentials.
        if token and self._is_own(target):
            sent["Authorization"] = token
        return self.client.build_request(method, target, headers=sent, content=content)

    def _check_secure(self, target: httpx.URL) -> None:
        """Reject a URL without TLS, unless it is at this registry or its host may use plain HTTP.

        A registry over plain HTTP may also lead to a loopback address.

        Raises:
            PublishError: a registry returned or redirected to such a URL.
        """
        netloc = target.netloc.decode("ascii", "replace")
        here = self.base.scheme == target.scheme == "http" and is_loopback_name(target.host)
        if target.scheme == "https" or self._is_own(target) or here or is_named(netloc, self.plain_http):
            return
        raise PublishError(
            f"the registry leads to an address without TLS: {target.scheme}://{netloc}",
            where=self.host,
            fix="have the registry's operator correct the address that it sends (X-Forwarded-Proto behind a "
            f"proxy), or pass --plain-http {netloc} where what is sent may be read on the way",
        )

    async def _exchange(self, request: httpx.Request, stream: bool = False) -> httpx.Response:
        """Return the response to a request after redirects, with its body unless it is streamed.

        Raises:
            PublishError: the response is too long or encoded, or there are too many redirects, or one to a
                URL without TLS.
        """
        response = await self._sent(request)
        for _ in range(MAX_REDIRECTS):
            following = response.next_request if request.method in ("GET", "HEAD") else None
            if following is None:
                break
            await response.aclose()
            self._check_secure(following.url)
            # httpx removes the credentials from a request to another host.
            response = await self._sent(following)
        else:
            await response.aclose()
            raise self._hostile(f"more than {MAX_REDIRECTS} redirects")
        try:
            if response.headers.get("Content-Encoding", "identity") != "identity":
                raise self._hostile("an answer with an encoding that was not requested")
            return response if stream else await self._whole(response)
        except BaseException:
            await response.aclose()
            raise

    async def _whole(self, response: httpx.Response) -> httpx.Response:
        """Read a response's body, up to a maximum size."""
        if response.is_stream_consumed:  # made in memory
            return response
        body = bytearray()
        async for piece in self._pieces(response):
            body += piece
            if len(body) > MAX_ANSWER_BYTES:
                raise self._hostile(f"an answer of more than {MAX_ANSWER_BYTES} bytes")
        await response.aclose()
        return httpx.Response(
            response.status_code,
            headers=response.headers,
            content=bytes(body),
            request=response.request,
            extensions=response.extensions,
        )

    def _hostile(self, what: str) -> PublishError:
        fix = "ask the registry's operator, or push elsewhere; nothing was tagged"
        return PublishError(f"the registry sent {what}", where=self.host, fix=fix)

    async def _sent(self, request: httpx.Request) -> httpx.Response:
        try:
            response = await self.client.send(request, stream=True)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            if fault := _tls_fault(error):
                raise RegistryUnreachable(fault.what, where=self.host, fix=fault.fix) from error
            raise TransientError(_told(error), contact=False) from error
        except httpx.TransportError as error:
            raise TransientError(_told(error)) from error
        self.contacted = True
        return response

    def _judged(self, response: httpx.Response, accept: frozenset[int]) -> httpx.Response:
        status = response.status_code
        if status in accept:
            return response
        now = time.time()
        limit = rate_limit(status, response.headers, now)
        if status in PASSING or limit:
            used = f" ({limit.what})" if limit and limit.what else ""
            after = (
                limit.seconds if limit else retry_after(response.headers.get("Retry-After", ""), time.time())
            )
            raise TransientError(
                f"it answered {status} {response.reason_phrase}{used}", after=after, limited=bool(limit)
            )
        raise self.refusal(response)

    def refusal(self, response: httpx.Response) -> PublishError:
        """Return the error for a response."""
        # A streamed response has not been read; only blobs are streamed, and their errors have no details.
        said = response.text if response.is_stream_consumed else ""
        where = f"{self.host}{response.request.url.path}"
        signed = "Authorization" in response.request.headers
        return explain(response.status_code, response.reason_phrase, said, where=where, signed=signed)

    async def _sign_in(self, refused: httpx.Response, scope: str, used: str) -> None:
        """Get the credentials or token that a 401 requires, once for all waiting requests."""
        async with self._signing_in:
            if self._tokens.get(scope, "") != used:
                return
            challenge = parse_challenge(refused.headers.get_list("WWW-Authenticate"))
            login = await self.keychain(self.host)
            if challenge.scheme == "basic":
                if login:
                    self._tokens[scope] = basic(login)
            elif challenge.scheme == "bearer":
                request = token_request(self.client, self.base, challenge, scope, login)
                self._check_secure(request.url)
                answer = self._judged(await self._exchange(request), frozenset({200}))
                self._tokens[scope] = f"Bearer {token_of(answer)}"


@asynccontextmanager
async def _made(content: bytes | Body | None) -> AsyncIterator[bytes | AsyncGenerator[bytes, None] | None]:
    """Yield a request's body, and close its file when the request ends."""
    if not callable(content):
        yield content
        return
    async with aclosing(content()) as body:
        yield body


def _told(error: Exception) -> str:
    return str(error) or type(error).__name__


@dataclass(frozen=True)
class _TlsFault:
    what: str
    fix: str


def _tls_fault(error: BaseException | None) -> _TlsFault | None:
    """Return the TLS problem that caused an error, which a retry would not fix; None for other causes."""
    while error:
        if isinstance(error, ssl.SSLCertVerificationError):
            return _TlsFault(
                f"the registry's certificate is not trusted: {error.verify_message or error}",
                "add its authority to this system's certificates, or name its file in SSL_CERT_FILE",
            )
        if isinstance(error, ssl.SSLError) and error.reason in NO_TLS:
            return _TlsFault(
                "the registry does not speak TLS", "give it a certificate, or allow plain HTTP for this host"
            )
        error = error.__cause__ or error.__context__
    return None


def is_named(host: str, hosts: Collection[str]) -> bool:
    """Return True if a host with its port is one of several; port 80 is the default."""
    return _normal(host) in {_normal(one) for one in hosts}


def _normal(host: str) -> str:
    try:
        return httpx.URL(f"http://{host}").netloc.decode()
    except (httpx.InvalidURL, ValueError):
        return host


def is_loopback_name(name: str) -> bool:
    """Return True if a host, without port and brackets, is this machine."""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def _service() -> str:
    """Return the next step for a registry of the caller's machine, if this is a module in an engine."""
    if "DAGGER_MAIN_OBJECT" not in os.environ:
        return ""
    return "; pass a registry of your machine as a service, --registry tcp://127.0.0.1:5000"
