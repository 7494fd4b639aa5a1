from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import httpx
import pytest

from pipeline.registry import dial

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("host", "here"),
    [("127.0.0.1", True), ("127.8.8.8:5000", True), ("[::1]:5000", True), ("localhost:1", True),
     ("10.0.0.1", False), ("localhost.example", False), ("ghcr.io", False)],
)  # fmt: skip
def test_loopback(host: str, here: bool) -> None:
    assert dial.is_loopback(host) is here


@pytest.mark.parametrize(
    ("host", "base"),
    [
        ("docker.io", "https://registry-1.docker.io/v2/"),
        ("ghcr.io", "https://ghcr.io/v2/"),
        ("registry.example:5000", "https://registry.example:5000/v2/"),
        ("plain.example:5000", "http://plain.example:5000/v2/"),
    ],
)
async def test_tls_unless_a_host_is_named(host: str, base: str) -> None:
    async with dial.registries(plain_http=["plain.example:5000"]) as registries:
        registry = await registries.registry(host)
        assert str(registry.base) == base
        assert await registries.registry(host) is registry


@dataclass
class Server:
    """A server on this machine that answers everything, and its recorded requests."""

    port: int = 0
    asked: list[str] = field(default_factory=list)


@contextmanager
def server() -> Iterator[Server]:
    made = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_CONNECT(self) -> None:
            made.asked.append(self.path)
            self.send_error(502)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        made.port = running.server_port
        Thread(target=running.serve_forever, args=(0.01,)).start()
        try:
            yield made
        finally:
            running.shutdown()


@pytest.fixture
def proxied(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Run a proxy, set in the environment for all requests."""
    for name in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name.upper()}_PROXY", raising=False)
    with server() as proxy:
        for name in ("HTTP_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        yield proxy


async def attempt(client: httpx.AsyncClient, url: str) -> None:
    """Send a request that needs no response, to see where it arrives."""
    with suppress(httpx.TransportError):
        await client.get(url, timeout=1)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_registry_of_this_machine_is_reached_without_a_proxy(proxied: Server, host: str) -> None:
    with server() as here:
        async with dial.registries() as registries:
            registry = await registries.registry(f"{host}:{here.port}")
            answer = await registries.client.get(registry.base)
    assert answer.status_code == 200
    assert (here.asked, proxied.asked) == (["/v2/"], [])


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "localhost", "LOCALHOST", "[::1]"])
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("names", [("HTTP_PROXY", "HTTPS_PROXY"), ("ALL_PROXY",)])
async def test_no_loopback_address_is_asked_of_a_proxy(
    proxied: Server, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...], scheme: str, host: str
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name)
    for name in names:
        monkeypatch.setenv(name, f"127.0.0.1:{proxied.port}")
    async with dial.registries() as registries:
        await attempt(registries.client, f"{scheme}://{host}:1/v2/")
    assert proxied.asked == []


@pytest.mark.parametrize(
    ("url", "asked"),
    [("http://registry.invalid/v2/", "http://registry.invalid/v2/"),
     ("https://registry.invalid/v2/", "registry.invalid:443"),
     ("http://localhost.invalid/v2/", "http://localhost.invalid/v2/")],
)  # fmt: skip
async def test_others_are_asked_of_the_proxy(proxied: Server, url: str, asked: str) -> None:
    async with dial.registries() as registries:
        await attempt(registries.client, url)
    assert proxied.asked == [asked]


@pytest.mark.parametrize("excepted", ["*", "example, *", "example,0.0.0.0"])
async def test_what_the_environment_excepts_stays_excepted(
    proxied: Server, monkeypatch: pytest.MonkeyPatch, excepted: str
) -> None:
    monkeypatch.setenv("NO_PROXY", excepted)
    with server() as here:
        async with dial.registries() as registries:
            # No loopback address by its number, and yet one that needs no network.
            await registries.client.get(f"http://0.0.0.0:{here.port}/v2/")
    assert (here.asked, proxied.asked) == (["/v2/"], [])


async def test_a_host_that_answers_elsewhere_does_so_despite_a_proxy(proxied: Server) -> None:
    with server() as here:
        async with dial.registries(via={"127.0.0.1:1": f"127.0.0.1:{here.port}"}) as registries:
            await registries.client.get("http://127.0.0.1:1/v2/")
    assert (here.asked, proxied.asked) == (["/v2/"], [])
