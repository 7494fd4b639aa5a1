"""Test each behaviour of a registry in the table of docs/registries.md that needs no real registry.

The registry is a server on the loopback interface that behaves so; see `strict_registry`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import layouts
import pytest
import strict_registry
from strict_registry import Quirks, StrictRegistry

from pipeline import errors
from pipeline.oci.layout import INDEX, MANIFEST, Layout
from pipeline.registry import chunks
from pipeline.registry.address import destinations
from pipeline.registry.artifacts import Artifact, Layer, artifact
from pipeline.registry.credentials import Login
from pipeline.registry.dial import registries
from pipeline.registry.distribution import Repository, fallback_tag
from pipeline.registry.pushing import push
from pipeline.registry.receipt import Receipt
from pipeline.registry.retry import Retry, rate_limit

pytestmark = pytest.mark.anyio

QUICK = Retry(attempts=4, first_seconds=0.01, longest_seconds=3)
LARGE = 100_000
SBOM = "application/vnd.example.sbom"


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    return layouts.sample(tmp_path / "layout", size=LARGE)


async def keychain(_: str) -> Login:
    return Login("me", "s3cret-canary")


async def pushed(
    sample: Path,
    *addresses: str,
    said: list[str] | None = None,
    artifacts: Callable[[Layout], list[Artifact]] = lambda layout: [],
    plain_http: tuple[str, ...] = (),
    retry: Retry = QUICK,
) -> Receipt:
    layout = await Layout.open(sample)
    say = said.append if said is not None else print
    async with registries(keychain, plain_http=plain_http, retry=retry, say=say) as all_of_them:
        return await push(layout, destinations(addresses), all_of_them, artifacts=artifacts(layout))


def sbom(layout: Layout) -> list[Artifact]:
    return [artifact(layout.root, SBOM, (Layer(SBOM, b"{}"),), {"made": "here"})]


def credentials_in(server: StrictRegistry) -> list[str]:
    return [seen.line for seen in server.seen if "Authorization" in seen.headers]


# Requests are those of the specification.


@pytest.mark.parametrize(
    "quirks", [Quirks(), Quirks(absolute=True), Quirks(referrers=False), Quirks(etags=True)], ids=str
)
async def test_every_request_is_one_of_the_specification(sample: Path, quirks: Quirks) -> None:
    with strict_registry.running(quirks) as server:
        one, two = f"{server.address}/a/one:x", f"{server.address}/two:y"
        receipt = await pushed(sample, one, two, artifacts=sbom)
        again = await pushed(sample, one, artifacts=sbom)
        assert server.wrong == []
        assert server.tags("a/one")["x"] == server.tags("two")["y"] == receipt.digest == again.digest
        assert (fallback_tag(receipt.digest) in server.tags("two")) is not quirks.referrers
        assert again.deliveries[0].uploaded_blobs == 0 and receipt.deliveries[1].uploaded_blobs == 0


async def test_a_registry_at_an_ipv6_address(sample: Path) -> None:
    with strict_registry.running(host="::1") as server:
        assert server.address.startswith("[::1]:")
        receipt = await pushed(sample, f"{server.address}/app:x")
        assert server.tags("app") == {"x": receipt.digest} and server.wrong == []


# Authentication.

BEARER = 'Bearer realm="{}/token?client=docker&account=a%2Fb",service="",scope="repository:x:pull"'


async def test_several_challenges_in_one_header(sample: Path) -> None:
    quirks = Quirks(challenges=(f'Negotiate, Basic realm="a, b", {BEARER}',))
    with strict_registry.running(quirks) as server:
        receipt = await pushed(sample, f"{server.address}/app:x")
        assert server.tags("app") == {"x": receipt.digest}
        (asked,) = [seen for seen in server.seen if seen.path == "/token"]
        assert asked.headers["Authorization"].startswith("Basic ")


async def test_the_realms_query_is_kept_and_an_empty_service_left_out(sample: Path) -> None:
    with strict_registry.running(Quirks(challenges=(BEARER,))) as server:
        await pushed(sample, f"{server.address}/app:x")
        (asked,) = [seen.query for seen in server.seen if seen.path == "/token"]
    assert asked == (("client", "docker"), ("account", "a/b"), ("scope", "repository:app:pull,push"))


async def test_a_tag_is_deleted_with_the_scope_delete(sample: Path) -> None:
    quirks = Quirks(challenges=(BEARER,), first=[("PUT /v2/app/manifests/two$", 409, {})])
    with strict_registry.running(quirks) as server:
        with pytest.raises(errors.TagRefused) as raised:
            await pushed(sample, f"{server.address}/app:one", f"{server.address}/app:two")
        assert server.tags("app") == {} and "could not be put back" not in raised.value.fix
        scopes = [dict(seen.query)["scope"] for seen in server.seen if seen.path == "/token"]
    assert scopes == ["repository:app:pull,push", "repository:app:pull,push,delete"]


async def test_credentials_do_not_follow_the_challenge_of_another_host(sample: Path) -> None:
    """Regression: the host that an upload was redirected to got user name and password."""
    with strict_registry.running(Quirks(challenges=('Basic realm="x"',))) as thief:
        quirks = Quirks(challenges=(BEARER,), redirects={"/v2/app/blobs/uploads/": f"http://{thief.address}"})
        with strict_registry.running(quirks) as server, pytest.raises(errors.RegistryDenied):
            await pushed(sample, f"{server.address}/app:x")
        assert thief.seen and credentials_in(thief) == []


# Mounts.


@pytest.mark.parametrize("status", [202, 400, 401, 403, 404, 405, 500])
async def test_a_refused_mount_is_an_upload(sample: Path, status: int) -> None:
    with strict_registry.running(Quirks(mounts=status)) as server:
        receipt = await pushed(sample, f"{server.address}/one:x", f"{server.address}/two:x")
        assert receipt.deliveries[1].uploaded_blobs == 5 and server.wrong == []
        assert server.tags("two") == {"x": receipt.digest}
        asked = [seen for seen in server.seen if "mount" in dict(seen.query)]
        assert len(asked) == 5 or status != 202, "at most one for each of the concurrent uploads"


async def test_a_token_service_that_refuses_the_scope_of_a_mount(sample: Path) -> None:
    quirks = Quirks(challenges=(BEARER,), tokens={"repository:one:pull": 403})
    with strict_registry.running(quirks) as server:
        receipt = await pushed(sample, f"{server.address}/one:x", f"{server.address}/two:x")
        assert receipt.deliveries[1].uploaded_blobs == 5 and server.tags("two") == {"x": receipt.digest}


# Redirects and locations.


@pytest.mark.parametrize("prefix", ["blobs/", "manifests/"])
async def test_redirects_are_followed_without_credentials(sample: Path, prefix: str) -> None:
    """Regression: 307 was followed for reading alone, and is also sent for POST and PUT."""
    with strict_registry.running() as storage:
        quirks = Quirks(challenges=(BEARER,), redirects={f"/v2/app/{prefix}": f"http://{storage.address}"})
        with strict_registry.running(quirks) as server:
            storage.blobs, storage.manifests = server.blobs, server.manifests
            receipt = await pushed(sample, f"{server.address}/app:x")
            assert server.tags("app") == {"x": receipt.digest} and storage.wrong == []
        assert any(seen.size for seen in storage.seen) and credentials_in(storage) == []


@pytest.mark.parametrize("location", ["http://[::1", "http://x:99999/", "https://x:port/"])
async def test_an_invalid_location(sample: Path, location: str) -> None:
    """Regression: a traceback."""
    quirks = Quirks(first=[("POST", 202, {"Location": location})] * 5)
    with (
        strict_registry.running(quirks) as server,
        pytest.raises(errors.PublishError, match="an invalid address"),
    ):
        await pushed(sample, f"{server.address}/app:x")


async def test_an_invalid_realm(sample: Path) -> None:
    quirks = Quirks(challenges=('Bearer realm="http://x:99999/"',))
    with (
        strict_registry.running(quirks) as server,
        pytest.raises(errors.PublishError, match="an invalid address"),
    ):
        await pushed(sample, f"{server.address}/app:x")


@pytest.mark.parametrize(
    ("named", "host"),
    [("x.example", "x.example:80"), ("x.example:80", "x.example"), ("X.example:81", "x.example:81")],
)
async def test_plain_http_names_a_host_with_or_without_the_default_port(named: str, host: str) -> None:
    async with registries(plain_http=[named]) as all_of_them:
        assert (await all_of_them.registry(host)).base.scheme == "http"
        assert (await all_of_them.registry("x.example:82")).base.scheme == "https"


# Uploads in chunks.


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 65536)
    monkeypatch.setattr(chunks, "SMALLEST_BYTES", 1024)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize(
    ("limit", "least", "largest"), [(20_000, 0, 16384), (70_000, 0, 65536), (33_000, 20_000, 32768)]
)
async def test_chunks_for_a_registry_that_limits_a_requests_size(
    sample: Path, limit: int, least: int, largest: int
) -> None:
    """A proxy such as nginx or Cloudflare answers 413 to larger requests."""
    with strict_registry.running(Quirks(limit=limit, least=least)) as server:
        receipt = await pushed(sample, f"{server.address}/app:x")
        assert server.tags("app") == {"x": receipt.digest} and server.wrong == []
        assert (
            max(seen.size for seen in server.seen if seen.method == "PATCH" and seen.size <= limit) == largest
        )
        server.seen.clear()
        other = layouts.sample(sample.parent / "other", salt="other", size=LARGE)
        layout = await Layout.open(other)
        async with registries() as all_of_them:
            registry = await all_of_them.registry(server.address)
            registry.chunk_bytes = largest
            await push(layout, destinations([f"{server.address}/app:y"]), all_of_them)
        assert all(seen.size <= limit for seen in server.seen), "the limit is known now"
        assert server.tags("app")["y"] == layout.root.digest and server.wrong == []


@pytest.mark.usefixtures("small_chunks")
async def test_a_limit_below_the_smallest_chunk_is_an_error(sample: Path) -> None:
    with strict_registry.running(Quirks(limit=900)) as server:
        with pytest.raises(errors.PublishError, match="uploads this large") as raised:
            await pushed(sample, f"{server.address}/app:x")
        assert "client_max_body_size" in raised.value.fix and server.tags("app") == {}


@pytest.mark.usefixtures("small_chunks")
async def test_a_registry_that_kept_only_a_part_of_a_chunk_gets_all_again(sample: Path) -> None:
    said: list[str] = []
    with strict_registry.running(Quirks(limit=70_000, keeps=10)) as server:
        receipt = await pushed(sample, f"{server.address}/app:x", said=said)
        assert server.tags("app") == {"x": receipt.digest}
    assert any("it kept '0-65525'" in line for line in said)


# Referrers.

OTHERS = {
    "mediaType": MANIFEST,
    "digest": "sha512:" + "b" * 128,
    "size": 7,
    "data": "e30=",
    "urls": ["https://elsewhere.example/x"],
    "artifactType": "application/vnd.theirs",
    "platform": {
        "os": "linux",
        "architecture": "arm",
        "variant": "v7",
        "os.version": "1",
        "os.features": ["x"],
    },
    "annotations": {"b": "1", "a": "2"},
    "x-unknown": {"kept": True},
}


async def test_the_fallback_tag_keeps_what_others_wrote(sample: Path) -> None:
    """Regression: `data`, `urls` and unknown fields were lost, and an entry in sha512 was an error."""
    layout = await Layout.open(sample)
    tag = fallback_tag(layout.root.digest)
    before = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [OTHERS], "annotations": {"mine": "yes"}}
    with strict_registry.running(Quirks(referrers=False)) as server:
        server.manifests["app", tag] = INDEX, json.dumps(before).encode()
        receipt = await pushed(sample, f"{server.address}/app:x", artifacts=sbom)
        after = json.loads(server.manifests["app", tag][1])
        assert after["manifests"][0] == OTHERS and after["annotations"] == {"mine": "yes"}
        assert [entry["digest"] for entry in after["manifests"][1:]] == list(receipt.referrers)
        async with registries() as all_of_them:
            repository = Repository(await all_of_them.registry(server.address), "app")
            listed = await repository.referrers(layout.root.digest)
        assert [entry.digest for entry in listed] == [OTHERS["digest"], *receipt.referrers]


@pytest.mark.parametrize("etags", [True, False])
async def test_clients_that_change_the_fallback_tag_at_once_lose_nothing(
    sample: Path, etags: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = await Layout.open(sample)
    tag = fallback_tag(layout.root.digest)
    mine, theirs = (artifact(layout.root, SBOM, (Layer(SBOM, text),)).descriptor for text in (b"1", b"2"))
    entries = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [theirs.as_json()]}
    real: Callable[..., Awaitable[str]] = Repository.put_manifest
    calls = []
    with strict_registry.running(Quirks(referrers=False, etags=etags)) as server:

        def write() -> None:
            server.manifests["app", tag] = INDEX, json.dumps(entries).encode()

        async def put(*given: object) -> str:
            """Let the other client, which read the same, write before the first request, or after it."""
            calls.append(given)
            if len(calls) > 1:
                return await real(*given)
            if etags:
                write()
            answer = await real(*given)
            write()
            return answer

        monkeypatch.setattr(Repository, "put_manifest", put)
        async with registries() as all_of_them:
            repository = Repository(await all_of_them.registry(server.address), "app")
            await repository.add_fallback(layout.root.digest, mine)
        found = json.loads(server.manifests["app", tag][1])["manifests"]
    assert [entry["digest"] for entry in found] == [theirs.digest, mine.digest] and len(calls) == 2


async def test_an_image_at_the_fallback_tag_is_not_overwritten(sample: Path) -> None:
    layout = await Layout.open(sample)
    tag = fallback_tag(layout.root.digest)
    image = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": {}, "layers": []}).encode()
    with strict_registry.running(Quirks(referrers=False)) as server:
        server.manifests["app", tag] = MANIFEST, image
        with pytest.raises(errors.PublishError, match="no list"):
            await pushed(sample, f"{server.address}/app:x", artifacts=sbom)
        assert server.manifests["app", tag] == (MANIFEST, image)


# Rate limits.

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (429, {"Retry-After": "7"}, 7),
        (429, {"Retry-After": "Fri, 15 Jan 2027 08:00:09 GMT"}, 9),
        (429, {}, None),
        # GitHub's primary and secondary limits.
        (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1800000030"}, 30),
        (429, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1800000030"}, 30),
        (403, {"retry-after": "60"}, 60),
        (429, {"x-ratelimit-remaining": "12", "x-ratelimit-reset": "1800000030"}, None),
        # Docker Hub's limit of downloads, of its API, and what that sent before.
        (429, {"ratelimit-limit": "100;w=21600", "ratelimit-remaining": "0;w=21600"}, 21600),
        (429, {"Retry-After": "5", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1800000099"}, 5),
        (429, {"X-Retry-After": "1800000012"}, 12),
        # GitLab's, as a time, and the draft of the IETF, in seconds.
        (429, {"RateLimit-Remaining": "0", "RateLimit-Reset": "1800000020"}, 20),
        (429, {"RateLimit-Remaining": "0", "RateLimit-Reset": "20"}, 20),
        (429, {"RateLimit-Remaining": "0", "RateLimit-Reset": "soon"}, None),
    ],
)  # fmt: skip
def test_each_registrys_headers_of_a_rate_limit(
    status: int, headers: dict[str, str], seconds: float | None
) -> None:
    found = rate_limit(status, httpx.Headers(headers), NOW)
    assert found and found.seconds == seconds


def test_other_responses_are_no_rate_limit() -> None:
    assert rate_limit(403, httpx.Headers({}), NOW) is None
    assert rate_limit(403, httpx.Headers({"x-ratelimit-remaining": "55"}), NOW) is None
    assert rate_limit(503, httpx.Headers({"Retry-After": "5"}), NOW) is None


async def test_a_rate_limit_of_github_is_waited_for(sample: Path) -> None:
    """Regression: 403 is also its answer to too many requests, and was taken for missing rights."""
    said: list[str] = []
    reset = {
        "x-ratelimit-remaining": "0",
        "x-ratelimit-limit": "60",
        "x-ratelimit-reset": str(int(time.time())),
    }
    with strict_registry.running(Quirks(first=[("PUT", 403, reset)])) as server:
        receipt = await pushed(sample, f"{server.address}/app:x", said=said)
        assert server.tags("app") == {"x": receipt.digest}
    assert any("403" in line and "the limit of 60 requests is used up" in line for line in said)


async def test_a_rate_limit_of_docker_hub_is_named(sample: Path) -> None:
    headers = {"ratelimit-limit": "100;w=21600", "ratelimit-remaining": "0;w=21600"}
    with strict_registry.running(Quirks(first=[("GET /v2/app", 429, headers)] * 4)) as server:
        with pytest.raises(errors.RegistryFailed, match="limit of 100 requests in 6 h is used up") as raised:
            await pushed(sample, f"{server.address}/app:x")
        assert len(server.lines("/v2/app")) == 1, "no retries, since each would count"
    assert "log in" in raised.value.fix
