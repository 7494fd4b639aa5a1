"""A hostile registry, or somebody between it and us: each test is an attack by the answers that it sends."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest

from pipeline.errors import PublishError
from pipeline.oci.layout import INDEX, MANIFEST, Descriptor, Manifest, digest_of, parsed
from pipeline.registry import archive
from pipeline.registry.artifacts import joined
from pipeline.registry.authorization import token_of
from pipeline.registry.credentials import Login
from pipeline.registry.distribution import Repository
from pipeline.registry.retry import Retry
from pipeline.registry.transport import MAX_ANSWER_BYTES, Registry

pytestmark = pytest.mark.anyio

HOST = "registry.example"
SUBJECT = "sha256:" + "a" * 64
BLOB = Descriptor("x", digest_of(b"secret layer"), 12)
DEEP = b'{"manifests":' + b"[" * 100_000

Answer = Callable[[httpx.Request], httpx.Response]


class Wire:
    """What would go over the network: every request, and an answer for each."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.seen: list[httpx.Request] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.seen.append(request)
        return self.answer(request)


def repository(answer: Answer, *, plain_http: tuple[str, ...] = (), scheme: str = "https") -> Repository:
    wire = Wire(answer)
    client = httpx.AsyncClient(transport=httpx.MockTransport(wire))

    async def keychain(_: str) -> Login:
        return Login("me", "s3cret")

    base = httpx.URL(f"{scheme}://{HOST}/v2/")
    registry = Registry(client, HOST, base, keychain, Retry(attempts=1), print, plain_http)
    made = Repository(registry, "me/app")
    object.__setattr__(made, "wire", wire)
    return made


async def content() -> AsyncGenerator[bytes, None]:
    yield b"secret layer"


def upload_to(location: str) -> Answer:
    """A registry that has nothing yet, wants a name and a password, and sends uploads to an address."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == HOST and "Authorization" not in request.headers:
            return httpx.Response(401, headers={"WWW-Authenticate": 'Basic realm="x"'})
        status = {"HEAD": 404, "POST": 202, "PUT": 201}[request.method]
        return httpx.Response(status, headers={"Location": location} if request.method == "POST" else {})

    return answer


@pytest.mark.parametrize(
    "location", ["http://registry.example/v2/u", "http://elsewhere.example/u", "ftp://x/u"]
)
async def test_an_upload_does_not_leave_tls(location: str) -> None:
    """Four blobs went in the clear where a proxy forgot that it speaks TLS."""
    at = repository(upload_to(location))
    with pytest.raises(PublishError, match="without TLS") as raised:
        await at.upload(BLOB, content)
    assert "--plain-http" in raised.value.fix
    assert all(request.url.scheme == "https" for request in at.wire.seen)  # type: ignore[attr-defined]


async def test_an_upload_may_go_where_plain_http_was_allowed() -> None:
    at = repository(upload_to("http://elsewhere.example:81/u"), plain_http=("elsewhere.example:81",))
    assert await at.upload(BLOB, content) == "uploaded"
    own = repository(upload_to(f"http://{HOST}/v2/u"), scheme="http")
    assert await own.upload(BLOB, content) == "uploaded"


async def test_a_registry_with_tls_does_not_lead_to_this_machine() -> None:
    at = repository(upload_to("http://127.0.0.1:8080/admin"))
    with pytest.raises(PublishError, match="without TLS"):
        await at.upload(BLOB, content)


async def test_an_upload_elsewhere_has_no_credentials() -> None:
    at = repository(upload_to("https://storage.example/u?signed"))
    await at.upload(BLOB, content)
    put = at.wire.seen[-1]  # type: ignore[attr-defined]
    assert put.url.host == "storage.example" and "Authorization" not in put.headers


def redirecting(to: str) -> Answer:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == HOST and "Authorization" not in request.headers:
            return httpx.Response(401, headers={"WWW-Authenticate": 'Basic realm="x"'})
        if request.url.host == HOST:
            return httpx.Response(307, headers={"Location": to})
        return httpx.Response(200, json={})

    return answer


async def test_a_redirect_does_not_leave_tls() -> None:
    at = repository(redirecting("http://169.254.169.254/latest/meta-data"))
    with pytest.raises(PublishError, match="without TLS"):
        await at.manifest("x")
    assert {request.url.host for request in at.wire.seen} == {HOST}  # type: ignore[attr-defined]


async def test_a_redirect_to_another_host_has_no_credentials() -> None:
    at = repository(redirecting("https://storage.example/blob"))
    assert await at.manifest("x")
    last = at.wire.seen[-1]  # type: ignore[attr-defined]
    assert last.url.host == "storage.example" and "Authorization" not in last.headers


async def test_redirects_end() -> None:
    at = repository(lambda request: httpx.Response(307, headers={"Location": f"{request.url}x"}))
    with pytest.raises(PublishError, match="more than 10 redirects"):
        await at.manifest("x")


async def test_a_long_answer_is_not_read_to_its_end() -> None:
    """0.6 MB of gzip became 629 MB, and 1.3 GB of memory."""
    given = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal given
        while True:
            given += 1 << 20
            yield bytes(1 << 20)

    for status in (200, 404, 500):
        given = 0
        at = repository(lambda _, status=status: httpx.Response(status, content=endless()))  # type: ignore[misc]
        with pytest.raises(PublishError, match=f"more than {MAX_ANSWER_BYTES} bytes"):
            await at.manifest("x")
        assert given <= MAX_ANSWER_BYTES + (2 << 20)


async def test_an_encoding_that_was_not_requested_is_refused() -> None:
    bomb = gzip.compress(bytes(1 << 20))
    at = repository(lambda _: httpx.Response(200, headers={"Content-Encoding": "gzip"}, content=bomb))
    with pytest.raises(PublishError, match="encoding that was not requested"):
        await at.manifest("x")
    with pytest.raises(PublishError, match="encoding that was not requested"):
        async with at.blob(BLOB.digest) as pieces:
            assert [piece async for piece in pieces] == []


@pytest.mark.parametrize(
    ("link", "what"),
    [
        ('</v2/me/app/referrers/x?again>; rel="next"', "more than 100 pages"),
        ('<https://elsewhere.example/v2/>; rel="next"', "another host: elsewhere.example"),
        ('<http://registry.example/v2/>; rel="next"', "another host: registry.example"),
    ],
)
async def test_pages_end_and_stay_at_the_registry(link: str, what: str) -> None:
    """A loop of `next` never ended."""
    at = repository(lambda _: httpx.Response(200, headers={"Link": link}, json={"manifests": []}))
    with pytest.raises(PublishError, match=what):
        await at.referrers(SUBJECT)
    assert len(at.wire.seen) <= 100  # type: ignore[attr-defined]


ODD = (b"", b"\xff", DEEP, b"[]", b"null", b'"text"', b"7", b"NaN", b'{"manifests":7}', b'{"manifests":[7]}')


@pytest.mark.parametrize("body", ODD, ids=lambda body: body[:20].decode("latin-1"))
async def test_odd_and_deep_documents_are_errors_of_the_error_tree(body: bytes) -> None:
    """Both were tracebacks: RecursionError and AttributeError."""
    at = repository(lambda _: httpx.Response(200, content=body))
    with pytest.raises(PublishError):
        await at.referrers(SUBJECT)
    with pytest.raises(PublishError):
        await at.fallback(SUBJECT)
    with pytest.raises(PublishError):
        Manifest.parse(Descriptor(INDEX, digest_of(body), len(body)), body)
    with pytest.raises(PublishError):
        token_of(httpx.Response(200, content=body, request=httpx.Request("GET", "https://x")))


ENTRY = {"mediaType": MANIFEST, "digest": SUBJECT, "size": 1}


@pytest.mark.parametrize(
    "change",
    [
        {"digest": "sha256:../../etc/passwd"},
        {"digest": "sha512:" + "a" * 128},
        {"digest": 7},
        {"size": -1},
        {"size": True},
        {"size": "1"},
        {"platform": "linux"},
        {"annotations": ["x"]},
        {"annotations": {"x": 7}},
        {"mediaType": 7},
        {"artifactType": {"x": 1}},
    ],
    ids=str,
)
def test_odd_descriptors_are_errors_of_the_error_tree(change: dict[str, object]) -> None:
    for document in ({"manifests": [ENTRY | change]}, {"config": ENTRY, "layers": [ENTRY | change]}):
        body = json.dumps(document).encode()
        with pytest.raises(PublishError):
            Manifest.parse(Descriptor("", digest_of(body), len(body)), body)


@pytest.mark.parametrize("token", ["a\r\nX-Evil: 1", "", "späť", "a b", 7, None, ["x"]])
def test_a_token_cannot_be_more_than_a_header(token: object) -> None:
    answer = httpx.Response(200, json={"token": token}, request=httpx.Request("GET", "https://x"))
    with pytest.raises(PublishError, match="token"):
        token_of(answer)


async def test_a_documents_declared_size_holds() -> None:
    at = repository(lambda _: httpx.Response(200, content=b"{} "))
    with pytest.raises(PublishError, match="3 bytes where 2 are named"):
        await at.small_blob(Descriptor("x", digest_of(b"{} "), 2))


def test_parsed_takes_objects_alone() -> None:
    assert parsed(b'{"a": [1]}') == {"a": [1]}
    for body in (b"[]", DEEP, b"{"):
        with pytest.raises(PublishError, match="JSON document"):
            parsed(body)


def test_signatures_of_others_are_objects() -> None:
    with pytest.raises(PublishError):
        joined(None, b"[]")  # type: ignore[arg-type]


async def test_an_archive_is_not_longer_than_its_size(tmp_path: Path) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(1 << 20)

    at = repository(lambda asked: httpx.Response(200, content=endless() if asked.method == "GET" else b""))
    with pytest.raises(PublishError, match="more came than the 12 bytes"):
        await archive._download(at, BLOB, tmp_path / "state")
    assert (tmp_path / "state").stat().st_size <= BLOB.size


async def test_a_plain_registry_does_not_send_credentials_on_without_tls() -> None:
    """Only its own host was allowed to be read on the way."""

    def answer(request: httpx.Request) -> httpx.Response:
        realm = 'Bearer realm="http://elsewhere.example/token"'
        if request.url.host == HOST:
            return httpx.Response(401, headers={"WWW-Authenticate": realm})
        return httpx.Response(200, json={"token": "x"})

    plain = repository(answer, scheme="http")
    with pytest.raises(PublishError, match=r"without TLS: http://elsewhere\.example"):
        await plain.manifest("1")
    assert [request.url.host for request in plain.wire.seen] == [HOST]  # type: ignore[attr-defined]
    named = repository(answer, scheme="http", plain_http=("elsewhere.example",))
    with pytest.raises(PublishError):
        await named.manifest("1")
    assert "elsewhere.example" in [request.url.host for request in named.wire.seen]  # type: ignore[attr-defined]
