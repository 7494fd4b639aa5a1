"""Test pushes to real registries, some behind a faulty proxy, without an engine."""

from __future__ import annotations

import base64
import json
import subprocess
import tracemalloc
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import anyio
import layouts
import pytest
import tokens
from faulty import Fault, Proxy, proxy

from engine import registry
from pipeline import errors
from pipeline.oci.layout import Descriptor, Layout, digest_of
from pipeline.registry.address import destinations
from pipeline.registry.credentials import Keychain, Login, anonymous, from_docker
from pipeline.registry.dial import registries
from pipeline.registry.distribution import Repository
from pipeline.registry.pushing import push
from pipeline.registry.receipt import Receipt
from pipeline.registry.retry import Retry

pytestmark = pytest.mark.anyio

QUICK = Retry(attempts=4, first_seconds=0.02, longest_seconds=3)
SHARED_BYTES = 300_000
BLOB = r"/blobs/uploads/"


@pytest.fixture
def sample(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Make a layout that no other test pushes."""
    return layouts.sample(tmp_path / "layout", salt=request.node.name, size=SHARED_BYTES)


def signed_in(username: str, password: str) -> Keychain:
    async def look_up(host: str) -> Login:
        return Login(username, password)

    return look_up


async def pushed(
    layout: Path,
    *addresses: str,
    tags: tuple[str, ...] = (),
    clobber: bool = True,
    keychain: Keychain = anonymous,
    certificates: Path | None = None,
    said: list[str] | None = None,
    retry: Retry = QUICK,
) -> Receipt:
    say = said.append if said is not None else print
    async with registries(keychain, retry=retry, certificates=certificates, say=say) as all_of_them:
        return await push(
            await Layout.open(layout), destinations(addresses, tags), all_of_them, clobber=clobber
        )


def skopeo(*arguments: str) -> str:
    """Return an independent client's output; empty if it fails."""
    done = subprocess.run(["skopeo", *arguments], capture_output=True, text=True, timeout=60)
    return done.stdout if done.returncode == 0 else ""


def inspect(address: str) -> dict:
    """Return the manifest or index at an address, read by skopeo; empty if it does not exist."""
    found = skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{address}")
    return json.loads(found) if found else {}


async def test_an_index_and_all_it_names_arrive(sample: Path, plain: registry.Throwaway) -> None:
    receipt = await pushed(sample, f"{plain.address}/whole:1.2", tags=("1", "latest"))
    root = json.loads((sample / "index.json").read_text())["manifests"][0]["digest"]
    assert receipt.digest == root
    assert [p.platform for p in receipt.platforms] == list(layouts.PLATFORMS)
    assert receipt.deliveries[0].uploaded_blobs == 5, "one shared layer, two own, two configs"
    assert receipt.deliveries[0].uploaded_bytes > SHARED_BYTES
    assert receipt.references == tuple(
        f"{plain.address}/whole:{tag}@{root}" for tag in ("1.2", "1", "latest")
    )
    for tag in ("1.2", "1", "latest"):
        found = inspect(f"{plain.address}/whole:{tag}")
        assert [m["digest"] for m in found["manifests"]] == [p.digest for p in receipt.platforms]
        assert found["annotations"] == {"org.opencontainers.image.title": "sample"}


async def test_skopeo_copies_it_whole(sample: Path, plain: registry.Throwaway, tmp_path: Path) -> None:
    receipt = await pushed(sample, f"{plain.address}/copied:x")
    source = ["--src-tls-verify=false", f"docker://{plain.address}/copied:x"]
    assert skopeo("copy", "--all", "--preserve-digests", *source, f"oci:{tmp_path}/back:x")
    back = {path.name for path in (tmp_path / "back/blobs/sha256").iterdir()}
    assert back == {path.name for path in (sample / "blobs/sha256").iterdir()}
    assert receipt.digest.removeprefix("sha256:") in back


async def test_a_second_push_sends_nothing(sample: Path, faulty: Proxy) -> None:
    address = f"{faulty.address}/twice:x"
    first = await pushed(sample, address)
    faulty.forget()
    again = await pushed(sample, address)
    assert faulty.uploads() == []
    assert again.deliveries[0].present_blobs == 5 and again.deliveries[0].uploaded_bytes == 0
    assert again.deliveries[0].present_bytes == first.deliveries[0].uploaded_bytes


async def test_one_image_pushed_by_many_at_one_time(sample: Path, plain: registry.Throwaway) -> None:
    address, digests = f"{plain.address}/crowd:x", []

    async def one() -> None:
        # docker-registry answers 400 and 500 while another push writes the same tag.
        patient = Retry(attempts=10, first_seconds=0.05, longest_seconds=1)
        digests.append((await pushed(sample, address, retry=patient)).digest)

    async with anyio.create_task_group() as group:
        for _ in range(6):
            group.start_soon(one)
    assert len(digests) == 6 and len(set(digests)) == 1
    assert inspect(address)["manifests"]


async def test_several_registries_and_repositories(sample: Path, plain: registry.Throwaway) -> None:
    with registry.throwaway() as other:
        where = [
            f"{plain.address}/several/one:a",
            f"{plain.address}/several/two:b",
            f"{other.address}/three:c",
        ]
        receipt = await pushed(sample, *where, tags=("also",))
        assert [d.tags for d in receipt.deliveries] == [("a", "also"), ("b", "also"), ("c", "also")]
        one, two, three = receipt.deliveries
        assert (one.uploaded_blobs, one.mounted_blobs) == (5, 0)
        assert (two.uploaded_blobs, two.mounted_blobs) == (0, 5), "the same registry has them already"
        assert (three.uploaded_blobs, three.mounted_blobs) == (5, 0)
        for address in where:
            assert inspect(address)["manifests"]


async def test_an_image_of_one_platform(tmp_path: Path, plain: registry.Throwaway) -> None:
    one = layouts.image(tmp_path, "linux/arm64", [b"only layer"])
    receipt = await pushed(layouts.layout(tmp_path, one), f"{plain.address}/single:x")
    assert [(p.platform, p.digest) for p in receipt.platforms] == [("linux/arm64", one.digest)]
    assert json.loads(skopeo("inspect", "--tls-verify=false", "--override-arch=arm64",
                             f"docker://{plain.address}/single:x"))["Architecture"] == "arm64"  # fmt: skip


async def test_no_clobber(sample: Path, tmp_path: Path, faulty: Proxy) -> None:
    address = f"{faulty.address}/immutable:1"
    first = await pushed(sample, address, clobber=False)
    other = layouts.sample(tmp_path / "other", salt="other")
    faulty.forget()
    with pytest.raises(errors.TagExists) as raised:
        await pushed(other, f"{faulty.address}/immutable:new", address, clobber=False)
    assert first.digest in str(raised.value) and raised.value.where == address
    assert {seen.method for seen in faulty.seen} <= {"GET", "HEAD"}, "nothing was sent"
    assert (await pushed(sample, address, clobber=False)).digest == first.digest, "the same image is fine"
    moved = await pushed(other, address)
    assert moved.digest != first.digest
    assert inspect(address)["manifests"][0]["digest"] == moved.platforms[0].digest


async def test_500_twice_is_retried(sample: Path, faulty: Proxy) -> None:
    said: list[str] = []
    faulty.faults = [Fault("POST", BLOB, status=500, times=2), Fault("PUT", "/manifests/", status=503)]
    await pushed(sample, f"{faulty.address}/flaky:x", said=said)
    assert inspect(f"{faulty.address}/flaky:x")
    assert sum("500" in line for line in said) == 2 and sum("503" in line for line in said) == 1


async def test_500_in_every_try(sample: Path, faulty: Proxy) -> None:
    faulty.faults = [Fault("POST", BLOB, status=500, times=1000)]
    with pytest.raises(errors.RegistryFailed, match=r"failed 4 times.*500"):
        await pushed(sample, f"{faulty.address}/broken:x")
    posts = [seen for seen in faulty.seen if seen.method == "POST"]
    assert len(posts) <= QUICK.attempts * 4, "bounded: attempts for each of the four that run at once"
    assert not inspect(f"{faulty.address}/broken:x")


async def test_429_waits_as_long_as_asked(sample: Path, faulty: Proxy) -> None:
    said: list[str] = []
    faulty.faults = [Fault("PUT", BLOB, status=429, headers={"Retry-After": "1"})]
    await pushed(sample, f"{faulty.address}/throttled:x", said=said)
    assert any("429" in line and "in 1 s" in line for line in said)


async def test_429_for_too_long(sample: Path, faulty: Proxy) -> None:
    faulty.faults = [Fault("PUT", BLOB, status=429, headers={"Retry-After": "3600"}, times=1000)]
    with pytest.raises(errors.RegistryFailed, match="asks to wait 3600 s"):
        await pushed(sample, f"{faulty.address}/closed:x")


async def test_a_connection_dropped_in_mid_blob(sample: Path, faulty: Proxy) -> None:
    faulty.faults = [Fault("PUT", BLOB, after=20)]
    receipt = await pushed(sample, f"{faulty.address}/dropped:x")
    assert inspect(f"{faulty.address}/dropped:x")
    whole = [seen for seen in faulty.uploads() if seen.status == 201]
    assert len(whole) == 5 and sum(s.body_bytes for s in whole) == receipt.deliveries[0].uploaded_bytes


async def test_dropped_every_time_and_the_next_run_sends_the_rest(sample: Path, faulty: Proxy) -> None:
    address = f"{faulty.address}/resumed:x"
    faulty.faults = [Fault("PUT", BLOB, after=10, times=1000)]
    with pytest.raises(errors.RegistryFailed):
        await pushed(sample, address)
    assert not inspect(address)
    # Now the small blobs arrive, and the large one does not.
    large = layouts.largest(sample).name
    faulty.faults = [Fault("PUT", large, after=SHARED_BYTES // 2, times=1000)]
    with pytest.raises(errors.RegistryFailed):
        await pushed(sample, address)
    assert not inspect(address)
    arrived = [seen for seen in faulty.uploads() if seen.status == 201]
    assert arrived and all(large not in seen.path for seen in arrived)
    faulty.faults = []
    faulty.forget()
    receipt = await pushed(sample, address)
    delivery = receipt.deliveries[0]
    assert delivery.present_blobs >= len(arrived)
    assert sum(seen.body_bytes for seen in faulty.uploads()) == delivery.uploaded_bytes
    assert sum(large in seen.path for seen in faulty.uploads()) == 1
    assert inspect(address)


async def test_a_registry_that_dies_in_mid_push(sample: Path, faulty: Proxy) -> None:
    address = f"{faulty.address}/dies:x"
    large = layouts.largest(sample).name
    faulty.faults = [Fault("PUT", large, after=SHARED_BYTES // 2, dies=True)]
    with pytest.raises(errors.RegistryFailed) as raised:
        await pushed(sample, address)
    assert raised.value.where == faulty.address and "again" in raised.value.fix
    faulty.revive()
    assert not inspect(address)
    faulty.forget()
    receipt = await pushed(sample, address)
    assert sum(seen.body_bytes for seen in faulty.uploads()) == receipt.deliveries[0].uploaded_bytes
    assert inspect(address)


async def test_a_manifest_that_never_arrives_leaves_no_tag(sample: Path, faulty: Proxy) -> None:
    faulty.faults = [Fault("PUT", "/manifests/sha256", times=1000)]
    with pytest.raises(errors.RegistryFailed):
        await pushed(sample, f"{faulty.address}/partial:x")
    assert not inspect(f"{faulty.address}/partial:x")


async def test_a_refused_tag_puts_the_others_back(sample: Path, tmp_path: Path, faulty: Proxy) -> None:
    with registry.throwaway() as other:
        first = await pushed(sample, f"{other.address}/first:stable", f"{faulty.address}/second:stable")
        newer = layouts.sample(tmp_path / "newer", salt="newer")
        faulty.faults = [Fault("PUT", "/manifests/stable", status=409, times=1000)]
        addresses = [f"{other.address}/first:stable", f"{other.address}/first:new"]
        with pytest.raises(errors.TagRefused) as raised:
            await pushed(newer, *addresses, f"{faulty.address}/second:stable")
        assert raised.value.where == f"{faulty.address}/second:stable"
        assert raised.value.output == "the proxy says so"
        for address in (addresses[0], f"{faulty.address}/second:stable"):
            assert inspect(address)["manifests"][0]["digest"] == first.platforms[0].digest
        assert addresses[1] in raised.value.fix, "docker-registry cannot delete a tag: the message says so"


async def test_a_damaged_layout_is_refused_before_a_tag(sample: Path, plain: registry.Throwaway) -> None:
    large = layouts.largest(sample)
    large.write_bytes(b"x" * large.stat().st_size)
    with pytest.raises(errors.PublishError, match="400") as raised:
        await pushed(sample, f"{plain.address}/damaged:x")
    assert "DIGEST_INVALID" in raised.value.output
    assert not inspect(f"{plain.address}/damaged:x")


async def test_an_unreachable_registry(sample: Path) -> None:
    with pytest.raises(errors.RegistryUnreachable):
        await pushed(sample, f"127.0.0.1:{registry.free_port()}/x:y")


async def test_a_host_that_answers_elsewhere(sample: Path, plain: registry.Throwaway) -> None:
    """For a module, a loopback registry is a service with another name."""
    host = "127.0.0.1:1"
    async with registries(retry=QUICK, via={host: plain.address}) as all_of_them:
        layout = await Layout.open(sample)
        receipt = await push(layout, destinations([f"{host}/via:x"]), all_of_them)
    assert receipt.references == (f"{host}/via:x@{layout.root.digest}",)
    assert inspect(f"{plain.address}/via:x")["manifests"]


async def test_a_certificate_is_for_the_name_in_the_address(sample: Path) -> None:
    with registry.throwaway(tls=True) as secure:
        for host, fine in (("localhost:1", True), ("registry.example:1", False)):
            options = {"via": {host: secure.address}, "certificates": secure.certificate, "retry": QUICK}
            async with registries(**options) as all_of_them:
                sent = push(await Layout.open(sample), destinations([f"{host}/named:x"]), all_of_them)
                if fine:
                    assert (await sent).references
                    continue
                with pytest.raises(errors.RegistryUnreachable, match=r"certificate.*registry\.example"):
                    await sent


async def test_plain_http_only_where_it_is_named(sample: Path, plain: registry.Throwaway) -> None:
    host = "registry.example:1"
    for named, error in (((host,), None), ((), errors.RegistryUnreachable)):
        async with registries(retry=QUICK, via={host: plain.address}, plain_http=named) as all_of_them:
            sent = push(await Layout.open(sample), destinations([f"{host}/named:x"]), all_of_them)
            if error is None:
                assert (await sent).references
                continue
            with pytest.raises(error, match="does not speak TLS"):
                await sent


async def test_a_password_is_required_and_never_printed(sample: Path) -> None:
    with registry.throwaway(users={"me": "s3cret-canary"}) as private:
        address = f"{private.address}/private:x"
        with pytest.raises(errors.RegistryDenied, match="requires credentials"):
            await pushed(sample, address)
        with pytest.raises(errors.RegistryDenied, match="refused") as raised:
            await pushed(sample, address, keychain=signed_in("me", "wr0ng-canary"))
        assert "canary" not in raised.value.render()
        await pushed(sample, address, keychain=signed_in("me", "s3cret-canary"))
        assert skopeo(
            "inspect", "--raw", "--tls-verify=false", "--creds=me:s3cret-canary", f"docker://{address}"
        )


async def test_tls_with_a_certificate_authority_of_its_own(sample: Path) -> None:
    with registry.throwaway(tls=True) as secure:
        assert secure.certificate
        with pytest.raises(errors.RegistryUnreachable, match="certificate"):
            await pushed(sample, f"{secure.address}/secure:x")
        receipt = await pushed(sample, f"{secure.address}/secure:x", certificates=secure.certificate)
        assert receipt.deliveries[0].uploaded_blobs == 5
        assert inspect(f"{secure.address}/secure:x")["manifests"]


async def test_tokens_of_a_service(sample: Path, tmp_path: Path) -> None:
    with tokens.service(tmp_path) as service, registry.throwaway(auth=service.auth()) as private:
        one, two = f"{private.address}/token/one:x", f"{private.address}/token/two:x"
        with pytest.raises(errors.RegistryDenied, match="401"):
            await pushed(sample, one)
        with pytest.raises(errors.RegistryDenied) as raised:
            await pushed(sample, one, keychain=signed_in("me", "expired-canary"))
        assert "canary" not in raised.value.render()
        service.asked.clear()
        receipt = await pushed(sample, one, two, keychain=signed_in("me", "s3cret-canary"))
        assert receipt.deliveries[1].mounted_blobs == 5
        scopes = {" ".join(asked.scopes) for asked in service.asked}
        assert scopes == {
            "repository:token/one:pull,push",
            "repository:token/two:pull,push",
            "repository:token/two:pull,push repository:token/one:pull",
        }
        assert len(service.asked) == 3, "each token was requested once"


async def test_a_token_that_expires_is_renewed(sample: Path, tmp_path: Path) -> None:
    with tokens.service(tmp_path) as service, registry.throwaway(auth=service.auth()) as private:
        address = f"{private.address}/renewed:x"
        keychain = signed_in("me", "s3cret-canary")
        async with registries(keychain, retry=QUICK) as all_of_them:
            layout, where = await Layout.open(sample), destinations([address])
            await push(layout, where, all_of_them)
            repository = Repository(await all_of_them.registry(private.address), "renewed")
            repository.registry._tokens[repository.scope] = "Bearer " + yesterdays(service)
            found = await repository.manifest("x")
            assert found and found.descriptor.digest == layout.root.digest
            assert len(service.asked) == 2


def yesterdays(service: tokens.Tokens) -> str:
    service.expired = 1
    return service.token(["repository:renewed:pull,push"])


async def test_a_token_that_is_always_refused_ends_in_an_error(sample: Path, tmp_path: Path) -> None:
    with tokens.service(tmp_path) as service, registry.throwaway(auth=service.auth()) as private:
        service.expired = 1000
        with pytest.raises(errors.RegistryDenied, match="refused"):
            await pushed(sample, f"{private.address}/x:y", keychain=signed_in("me", "s3cret-canary"))
        assert len(service.asked) == 1


async def test_an_identity_token_of_a_credential_program(sample: Path, tmp_path: Path) -> None:
    async def look_up(host: str) -> Login:
        return Login(identity_token="identity-canary")

    with tokens.service(tmp_path) as service, registry.throwaway(auth=service.auth()) as private:
        await pushed(sample, f"{private.address}/identity:x", keychain=look_up)
        assert {asked.method for asked in service.asked} == {"POST"}


async def test_the_docker_configuration_signs_in(sample: Path, tmp_path: Path) -> None:
    with registry.throwaway(users={"me": "s3cret-canary"}) as private:
        entry = {"auth": base64.b64encode(b"me:s3cret-canary").decode()}
        (tmp_path / "config.json").write_text(json.dumps({"auths": {private.address: entry}}))
        keychain = from_docker({"DOCKER_CONFIG": str(tmp_path)})
        receipt = await pushed(sample, f"{private.address}/configured:x", keychain=keychain)
        assert receipt.deliveries[0].uploaded_blobs == 5


async def test_a_registry_that_denies_keeps_the_tags_of_the_others(
    sample: Path, plain: registry.Throwaway
) -> None:
    with registry.throwaway(users={"me": "s3cret"}) as private:
        with pytest.raises(errors.RegistryDenied):
            await pushed(sample, f"{plain.address}/half:x", f"{private.address}/half:x")
        assert not inspect(f"{plain.address}/half:x")


async def test_a_tag_that_appears_meanwhile_is_not_overwritten(
    sample: Path, tmp_path: Path, faulty: Proxy, plain: registry.Throwaway
) -> None:
    other = await Layout.open(layouts.sample(tmp_path / "other", salt="other"))

    class Interrupted(Layout):
        """A store during whose reading another client sets the tag."""

        async def blob(self, descriptor: Descriptor) -> AsyncIterator[bytes]:
            if descriptor.size > SHARED_BYTES:
                async with registries() as all_of_them:
                    await push(other, destinations([f"{plain.address}/race:x"]), all_of_them)
            async for piece in super().blob(descriptor):
                yield piece

    layout = await Layout.open(sample)
    async with registries(retry=QUICK) as all_of_them:
        with pytest.raises(errors.TagExists):
            where = destinations([f"{faulty.address}/race:x"])
            await push(Interrupted(layout.path, layout.root), where, all_of_them, clobber=False)
    kept = inspect(f"{plain.address}/race:x")["manifests"][0]["digest"]
    assert kept in (await other.manifest(other.root)).decode()


async def test_credentials_stay_with_their_host(sample: Path, faulty: Proxy) -> None:
    """A registry may redirect an upload or a download to another host, such as storage."""
    with registry.throwaway(users={"me": "s3cret"}) as private, proxy(private.address) as front:
        name = f"{front.address}/moved"
        elsewhere = f"http://{faulty.address}/v2/moved/blobs/uploads/"
        front.faults = [Fault("POST", BLOB, status=202, headers={"Location": elsewhere}, times=1000)]
        with pytest.raises(errors.PublishError):
            await pushed(sample, f"{name}:x", keychain=signed_in("me", "s3cret"))
        assert faulty.seen and all("Authorization" not in seen.headers for seen in faulty.seen)
        front.faults = [Fault("GET", "/manifests/x", status=307, headers={"Location": f"{elsewhere}x"})]
        faulty.forget()
        async with registries(signed_in("me", "s3cret"), retry=QUICK) as all_of_them:
            repository = Repository(await all_of_them.registry(front.address), "moved")
            await repository.manifest("other")
            assert await repository.manifest("x") is None
        (download,) = [seen for seen in faulty.seen if seen.method == "GET"]
        assert "Authorization" not in download.headers
        assert any("Authorization" in seen.headers for seen in front.seen)


async def test_what_was_being_sent_is_closed_when_the_connection_drops(faulty: Proxy) -> None:
    piece, count = bytes(1 << 16), 1 << 12
    blob = Descriptor("application/octet-stream", digest_of(b"never all of it"), len(piece) * count)
    sent: list[AsyncGenerator[bytes, None]] = []

    async def pieces() -> AsyncGenerator[bytes, None]:
        for _ in range(count):
            yield piece

    def opened() -> AsyncGenerator[bytes, None]:
        sent.append(pieces())
        return sent[-1]

    faulty.faults = [Fault("PUT", BLOB, after=1, times=1000)]
    async with registries(anonymous, retry=QUICK) as all_of_them:
        with pytest.raises(errors.PublishError):
            await Repository(await all_of_them.registry(faulty.address), "half").upload(blob, opened)
    assert sent and all(generator.ag_frame is None for generator in sent)


async def test_requests_have_a_user_agent(sample: Path, faulty: Proxy) -> None:
    await pushed(sample, f"{faulty.address}/named:x")
    assert {seen.headers["User-Agent"].split()[0] for seen in faulty.seen} == {"rust-multiarch"}


async def test_a_large_layer_is_streamed(tmp_path: Path, plain: registry.Throwaway) -> None:
    image = layouts.image(tmp_path, "linux/amd64", [b"x" * (96 << 20)])
    layout = layouts.layout(tmp_path, image)
    tracemalloc.start()
    try:
        receipt = await pushed(layout, f"{plain.address}/large:x")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert receipt.deliveries[0].uploaded_bytes > 96 << 20
    assert peak < 16 << 20
