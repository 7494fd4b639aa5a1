"""Test the published images in a real registry, by its API."""

import json
import os
import subprocess
import tarfile
import urllib.error
import urllib.request
from pathlib import Path

import crates
import dagger
import pytest
from conftest import PLATFORMS
from dagger import dag

from pipeline import RustMultiarch, errors

pytestmark = pytest.mark.anyio

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def get(host: str, path: str, accept: str = f"{INDEX}, {MANIFEST}") -> tuple[dict, str]:
    """Return a document of a registry and its digest."""
    request = urllib.request.Request(f"http://{host}/v2/{path}", headers={"Accept": accept})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer), answer.headers.get("Docker-Content-Digest", "")


def exists(host: str, path: str) -> bool:
    try:
        get(host, path)
    except urllib.error.HTTPError:
        return False
    return True


def layer_times(url: str) -> set[float]:
    """Return the times in a layer, in seconds since 1970."""
    with urllib.request.urlopen(url) as answer, tarfile.open(fileobj=answer, mode="r|gz") as tar:
        return {member.mtime for member in tar}


async def test_one_index_with_exactly_the_asked_platforms(service_image, loopback: str) -> None:
    address = await service_image.publish(f"{loopback}/e2e/service:both")
    index, digest = get(loopback, "e2e/service/manifests/both")
    assert address == f"{loopback}/e2e/service:both@{digest}"
    assert index["mediaType"] == INDEX
    platforms = [(m["platform"]["os"], m["platform"]["architecture"]) for m in index["manifests"]]
    assert platforms == [("linux", "amd64"), ("linux", "arm64")]
    assert [m["mediaType"] for m in index["manifests"]] == [MANIFEST, MANIFEST]


async def test_each_variants_config(service_image, loopback: str) -> None:
    await service_image.publish(f"{loopback}/e2e/service:config")
    index, _ = get(loopback, "e2e/service/manifests/config")
    for entry in index["manifests"]:
        manifest, _ = get(loopback, f"e2e/service/manifests/{entry['digest']}", MANIFEST)
        document, _ = get(loopback, f"e2e/service/blobs/{manifest['config']['digest']}")
        config = document["config"]
        assert document["architecture"] == entry["platform"]["architecture"]
        assert config["Entrypoint"] == ["/usr/local/bin/service"]
        assert config["User"] == "10001:10001"
        assert config["ExposedPorts"] == {"8080/tcp": {}}
        assert config["Labels"]["org.opencontainers.image.title"] == "service"
        assert config["Labels"]["org.opencontainers.image.version"] == "0.1.0"
        assert len(document["rootfs"]["diff_ids"]) == 3, "base, system, programs"


async def test_the_report_says_what_was_published(service_image, loopback: str) -> None:
    await service_image.publish(f"{loopback}/e2e/service:report")
    index, _ = get(loopback, "e2e/service/manifests/report")
    rows = json.loads(await service_image.report(as_json=True))["variants"]
    assert [row["digest"] for row in rows] == [m["digest"] for m in index["manifests"]]
    for row in rows:
        manifest, _ = get(loopback, f"e2e/service/manifests/{row['digest']}", MANIFEST)
        assert row["image_bytes"] == sum(layer["size"] for layer in manifest["layers"])
        assert 100_000 < row["binary_bytes"] < 30_000_000
    table = await service_image.report()
    assert [line.split()[0] for line in table.splitlines()] == ["PLATFORM", "linux/amd64", "linux/arm64"]


async def test_one_platform_is_a_plain_manifest_or_an_index_of_one(loopback: str, session) -> None:
    module = RustMultiarch(source=crates.hello(), platforms=["linux/arm64"])
    receipt = json.loads(await module.publish(f"{loopback}/e2e/one:x", as_json=True))
    manifest, digest = get(loopback, "e2e/one/manifests/x")
    assert manifest["mediaType"] == MANIFEST
    assert [(one["platform"], one["digest"]) for one in receipt["platforms"]] == [("linux/arm64", digest)]
    module.index = True
    await module.publish(f"{loopback}/e2e/one:x")
    index, _ = get(loopback, "e2e/one/manifests/x")
    assert index["mediaType"] == INDEX
    (entry,) = index["manifests"]
    assert entry["platform"]["architecture"] == "arm64"


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_what_was_published_is_pulled_and_runs(loopback: str, session, platform: str) -> None:
    """It is pulled by its digest from the registry, like on any other machine."""
    main = 'fn main() { println!("{}", std::env::consts::ARCH); }\n'
    module = RustMultiarch(source=crates.hello(main=main), platforms=PLATFORMS)
    published = await module.publish(f"{loopback}/e2e/pulled:x")
    pulled = dag.container(platform=dagger.Platform(platform)).from_(published)
    arch = {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}[platform]
    assert await pulled.with_exec([], use_entrypoint=True).stdout() == f"{arch}\n"


async def test_tags_more_addresses_and_the_receipt(service_image, loopback: str) -> None:
    first, second = f"{loopback}/e2e/many:1.2.3", f"{loopback}/e2e/more:x"
    receipt = json.loads(
        await service_image.publish(first, tags=["1.2", "latest"], also=[second], as_json=True)
    )
    names = [
        "e2e/many:1.2.3",
        "e2e/many:1.2",
        "e2e/many:latest",
        "e2e/more:x",
        "e2e/more:1.2",
        "e2e/more:latest",
    ]
    assert receipt["references"] == [f"{loopback}/{name}@{receipt['digest']}" for name in names]
    for name in names:
        repository, tag = name.split(":")
        assert get(loopback, f"{repository}/manifests/{tag}")[1] == receipt["digest"]
    again = json.loads(await service_image.publish(first, also=[second], as_json=True))
    assert [d["uploaded_bytes"] for d in again["deliveries"]] == [0, 0], "unchanged content uploads nothing"


async def test_no_clobber_moves_no_tag(service_image, loopback: str, session) -> None:
    address = f"{loopback}/e2e/fixed:1.0.0"
    await service_image.publish(address)
    _, before = get(loopback, "e2e/fixed/manifests/1.0.0")
    await service_image.publish(address, no_clobber=True)
    other = RustMultiarch(source=crates.hello(), platforms=["linux/amd64"])
    with pytest.raises(errors.TagExists):
        await other.publish(address, no_clobber=True)
    assert get(loopback, "e2e/fixed/manifests/1.0.0")[1] == before
    await other.publish(address)
    assert get(loopback, "e2e/fixed/manifests/1.0.0")[1] != before


async def test_the_time_given_is_the_time_of_everything(loopback: str, session) -> None:
    module = RustMultiarch(source=crates.hello(), platforms=["linux/amd64"], source_date_epoch=86400)
    await module.publish(f"{loopback}/e2e/time:x")
    manifest, _ = get(loopback, "e2e/time/manifests/x")
    config, _ = get(loopback, f"e2e/time/blobs/{manifest['config']['digest']}")
    assert config["created"] == "1970-01-02T00:00:00Z"
    for layer in manifest["layers"][1:]:
        assert layer_times(f"http://{loopback}/v2/e2e/time/blobs/{layer['digest']}") == {86400}
    with pytest.raises(errors.InvalidArgument):
        await RustMultiarch(source=crates.hello(), source_date_epoch=-1).build()


async def test_tags_labels_and_the_time_come_from_git(loopback: str, session, tmp_path: Path) -> None:
    await crates.hello().export(str(tmp_path))
    commit = tagged_repository(tmp_path, "v1.2.3")
    checkout = dag.host().directory(str(tmp_path))
    chosen = {"platforms": ["linux/amd64"], "labels": ["org.opencontainers.image.vendor=me"]}
    module = RustMultiarch(source=checkout, repository=checkout, ref="refs/tags/v1.2.3", **chosen)
    await module.publish(f"{loopback}/e2e/git")
    tags, _ = get(loopback, "e2e/git/tags/list")
    assert set(tags["tags"]) == {"1.2.3", "1.2", "1", "latest", f"sha-{commit[:7]}"}
    manifest, _ = get(loopback, "e2e/git/manifests/1.2.3")
    config, _ = get(loopback, f"e2e/git/blobs/{manifest['config']['digest']}")
    labels = config["config"]["Labels"]
    assert labels == manifest["annotations"]
    names = ("revision", "version", "created", "vendor", "title", "base.name")
    assert [labels[f"org.opencontainers.image.{name}"] for name in names] == [
        commit, "1.2.3", "1970-01-02T00:00:00Z", "me", "hello", "docker.io/library/debian:trixie-slim",
    ]  # fmt: skip
    assert labels["org.opencontainers.image.base.digest"].startswith("sha256:")
    assert config["created"] == "1970-01-02T00:00:00Z"

    (tmp_path / "src/main.rs").write_text("fn main() {}")
    dirty = dag.host().directory(str(tmp_path), no_cache=True)
    chosen |= {"tag_rules": ["type=sha,prefix=c-"]}
    module = RustMultiarch(source=dirty, repository=dirty, require_clean=True, **chosen)
    with pytest.raises(errors.DirtyTree):
        await module.publish(f"{loopback}/e2e/git")
    module.require_clean = False
    assert (await module.build()).tags == [f"c-{commit[:7]}-dirty"]


async def test_a_shallow_clone_matters_where_git_is_to_name_the_image(
    loopback: str, session, tmp_path: Path
) -> None:
    """A release job on a checkout of one commit may have the image's tag in the address."""
    await crates.hello().export(str(tmp_path / "whole"))
    tagged_repository(tmp_path / "whole", "v1.2.3")
    clone = ["git", "clone", "-q", "--depth=1", "--branch=v1.2.3", f"file://{tmp_path}/whole", "clone"]
    subprocess.run(clone, cwd=tmp_path, check=True, capture_output=True)
    checkout = dag.host().directory(str(tmp_path / "clone"))
    module = RustMultiarch(
        source=checkout, repository=checkout, ref="refs/tags/v1.2.3", platforms=["linux/amd64"]
    )
    image = await module.build()
    assert (await image.publish(f"{loopback}/e2e/shallow:1.2.3")).startswith(f"{loopback}/e2e/shallow:1.2.3@")
    with pytest.raises(errors.ShallowClone, match="fetch-depth"):
        await image.publish(f"{loopback}/e2e/shallow")
    assert "@sha256:" in await image.publish(f"{loopback}/e2e/shallow", by_digest=True)
    addresses = [f"{loopback}/e2e/shallow:1.2.3"]
    assert addresses[0] in await module.plan(tags=addresses)
    merged = await module.merge(addresses, f"{loopback}/e2e/shallow:merged")
    assert merged.startswith(f"{loopback}/e2e/shallow:merged@")
    with pytest.raises(errors.ShallowClone):
        await module.merge(addresses, f"{loopback}/e2e/shallow")


async def test_rules_that_give_no_tag_do_not_move_latest(loopback: str, session, tmp_path: Path) -> None:
    await crates.hello().export(str(tmp_path))
    tagged_repository(tmp_path, "v1.2.3")
    source = dag.host().directory(str(tmp_path))
    module = RustMultiarch(
        source=source, repository=source, platforms=["linux/amd64"], tag_rules=["type=ref,event=pr"]
    )
    image, address = await module.build(), f"{loopback}/e2e/unruled"
    for wrong in (
        image.publish(address),
        module.merge([f"{address}:x"], address),
        module.plan(tags=[address]),
    ):
        with pytest.raises(errors.InvalidArgument, match="the tag rules give no tag"):
            await wrong
    assert (await image.publish(f"{address}:x")).startswith(f"{address}:x@")
    assert json.loads(await module.plan(as_json=True))["tags"] == []
    assert not exists(loopback, "e2e/unruled/manifests/latest")


def tagged_repository(path: Path, tag: str) -> str:
    """Commit the files in a directory, a day after the epoch, and tag it; return the commit."""
    date = {"GIT_AUTHOR_DATE": "@86400 +0000", "GIT_COMMITTER_DATE": "@86400 +0000"}
    author = ["-c", "user.name=me", "-c", "user.email=me@example.com"]
    for command in (["init", "-q"], ["add", "."], [*author, "commit", "-qm", "x"], ["tag", tag]):
        subprocess.run(["git", *command], cwd=path, env=os.environ | date, check=True)
    found = subprocess.run(["git", "rev-parse", "HEAD"], cwd=path, check=True, capture_output=True, text=True)
    return found.stdout.strip()


async def test_wrong_and_right_credentials(private_registry, session) -> None:
    module = RustMultiarch(source=crates.hello(), platforms=["linux/amd64"])
    address = f"{private_registry.address}/e2e/private:x"
    with pytest.raises(errors.RegistryDenied) as raised:
        await module.publish(address)
    assert raised.value.where.startswith(f"{private_registry.address}/")
    with pytest.raises(errors.RegistryDenied):
        await module.publish(address, username="me", password=dag.set_secret("wrong", "wr0ng-canary"))
    published = await module.publish(address, username="me", password=dag.set_secret("right", "s3cret"))
    assert published.startswith(f"{address}@sha256:")
    image = (await module.build()).with_registry_auth(
        private_registry.address, "me", dag.set_secret("right", "s3cret")
    )
    assert await image.publish(address) == published


async def test_an_unreachable_registry(session) -> None:
    module = RustMultiarch(source=crates.hello(), platforms=["linux/amd64"])
    with pytest.raises(errors.RegistryUnreachable):
        await module.publish("127.0.0.1:9/e2e/x:y")


async def test_nothing_is_published_when_the_build_fails(loopback: str, session) -> None:
    module = RustMultiarch(source=crates.hello(main="fn main() { broken }"))
    with pytest.raises(errors.CompileError):
        await module.publish(f"{loopback}/e2e/broken:x")
    assert not exists(loopback, "e2e/broken/tags/list")


async def test_an_address_is_checked_before_anything_is_built(session) -> None:
    with pytest.raises(errors.InvalidAddress):
        await RustMultiarch(source=crates.directory({})).publish("UPPER/case")
