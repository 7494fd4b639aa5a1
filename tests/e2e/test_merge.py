"""Test merging images of single platforms in real registries into an index."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import anyio
import gotools
import layouts
import pytest
from faulty import Fault, Proxy

from engine import registry
from pipeline import errors
from pipeline.oci.layout import Descriptor, Layout
from pipeline.registry.address import destinations
from pipeline.registry.artifacts import Artifact, Layer, artifact
from pipeline.registry.credentials import Keychain, Login, anonymous
from pipeline.registry.dial import registries
from pipeline.registry.merge import MergedIndex, merge
from pipeline.registry.pushing import push
from pipeline.registry.receipt import Receipt
from pipeline.registry.retry import Retry

pytestmark = pytest.mark.anyio

QUICK = Retry(attempts=3, first_seconds=0.01)
BASE = b"shared base " * 20_000
SHARED = layouts.digest_of(layouts.packed(BASE))
TITLE = {"org.opencontainers.image.title": "app"}


async def built(
    path: Path,
    platform: str,
    address: str,
    annotations: dict[str, str] | None = None,
    keychain: Keychain = anonymous,
) -> Receipt:
    """Push one platform's image to a registry, like a separate runner."""
    path = path / platform.replace("/", "-")
    image = layouts.image(path, platform, [BASE, f"program of {platform}".encode()])
    root = layouts.index(path, [image], annotations) if annotations else image
    async with registries(keychain, retry=QUICK) as all_of_them:
        layout = await Layout.open(layouts.layout(path, root))
        return await push(layout, destinations([address]), all_of_them)


async def merged(sources: list[str], *addresses: str, **options: object) -> Receipt:
    async with registries(retry=QUICK) as all_of_them:
        return await merge(sources, destinations(addresses), all_of_them, **options)  # type: ignore[arg-type]


def crane(*arguments: str) -> str:
    command = [gotools.client("crane"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_two_manifests_of_one_repository(tmp_path: Path, faulty: Proxy) -> None:
    name = f"{faulty.address}/one"
    arm = await built(tmp_path, "linux/arm64", f"{name}:arm")
    amd = await built(tmp_path, "linux/amd64", f"{name}:amd")
    faulty.forget()
    receipt = await merged([f"{name}:arm", f"{name}@{amd.digest}"], f"{name}:both")
    assert [(p.platform, p.digest) for p in receipt.platforms] == [
        ("linux/amd64", amd.digest),
        ("linux/arm64", arm.digest),
    ]
    assert faulty.uploads() == [] and receipt.deliveries[0].present_blobs == 5
    layers = [SHARED]
    assert not [s for s in faulty.seen if s.method == "GET" and any(d in s.path for d in layers)]
    found = json.loads(crane("manifest", f"{name}:both"))
    assert [entry["platform"]["architecture"] for entry in found["manifests"]] == ["amd64", "arm64"]
    assert crane("validate", "--remote", f"{name}:both")


async def test_the_order_of_the_sources_does_not_matter(tmp_path: Path, plain: registry.Throwaway) -> None:
    name = f"{plain.address}/order"
    sources = [f"{name}:amd64", f"{name}:arm64"]
    for source, platform in zip(sources, layouts.PLATFORMS, strict=True):
        await built(tmp_path, platform, source)
    one = await merged(sources, f"{name}:x")
    two = await merged(sources[::-1], f"{name}:y")
    assert one.digest == two.digest


async def test_another_repository_of_the_registry_gets_mounts(tmp_path: Path, faulty: Proxy) -> None:
    name = f"{faulty.address}/parts"
    for platform in layouts.PLATFORMS:
        await built(tmp_path, platform, f"{name}/{platform[-5:]}:x")
    faulty.forget()
    receipt = await merged([f"{name}/amd64:x", f"{name}/arm64:x"], f"{faulty.address}/whole:x")
    delivery = receipt.deliveries[0]
    assert (delivery.mounted_blobs, delivery.uploaded_blobs) == (5, 0) and faulty.uploads() == []
    assert crane("validate", "--remote", f"{faulty.address}/whole:x")


async def test_another_registry_gets_what_it_lacks(tmp_path: Path, faulty: Proxy) -> None:
    await built(tmp_path, "linux/amd64", f"{faulty.address}/far:amd")
    await built(tmp_path, "linux/arm64", f"{faulty.address}/far:arm")
    with registry.throwaway() as other:
        sources = [f"{faulty.address}/far:amd", f"{faulty.address}/far:arm"]
        faulty.faults = [Fault("GET", "/blobs/", status=502)]
        receipt = await merged(sources, f"{other.address}/near:x")
        assert receipt.deliveries[0].uploaded_blobs == 5
        fetched = [s.path for s in faulty.seen if s.method == "GET" and SHARED in s.path]
        assert len(fetched) == 1, "the layer that both share passes once"
        assert crane("validate", "--remote", f"{other.address}/near:x")
        again = await merged(sources, f"{other.address}/near:x")
        assert again.deliveries[0].uploaded_blobs == 0 and again.digest == receipt.digest


async def test_indexes_of_one_keep_shared_annotations(tmp_path: Path, plain: registry.Throwaway) -> None:
    name = f"{plain.address}/annotated"
    await built(tmp_path, "linux/amd64", f"{name}:amd", TITLE | {"runner": "1"})
    await built(tmp_path, "linux/arm64", f"{name}:arm", TITLE | {"runner": "2"})
    await merged([f"{name}:amd", f"{name}:arm"], f"{name}:x", annotations={"more": "yes"})
    found = json.loads(crane("manifest", f"{name}:x"))
    assert found["annotations"] == TITLE | {"more": "yes"}
    assert len(found["manifests"]) == 2


async def test_one_platform_twice(tmp_path: Path, plain: registry.Throwaway) -> None:
    name = f"{plain.address}/duplicate"
    await built(tmp_path, "linux/amd64", f"{name}:x")
    with pytest.raises(errors.DuplicatePlatform, match="linux/amd64") as raised:
        await merged([f"{name}:x", f"{name}:x"], f"{name}:both")
    assert raised.value.where == f"{name}:x and {name}:x"
    assert "both" not in crane("ls", name)


async def test_a_source_that_is_missing(tmp_path: Path, plain: registry.Throwaway) -> None:
    name = f"{plain.address}/missing"
    await built(tmp_path, "linux/amd64", f"{name}:x")
    with pytest.raises(errors.NotMergeable, match="does not have this image") as raised:
        await merged([f"{name}:x", f"{name}:y"], f"{name}:both")
    assert raised.value.where == f"{name}:y"
    with pytest.raises(errors.NotMergeable, match="no image to merge"):
        await merged([], f"{name}:both")


async def test_a_platform_nobody_knows(tmp_path: Path, plain: registry.Throwaway) -> None:
    """docker buildx puts an attestation into the index beside the image."""
    name = f"{plain.address}/unknown"
    real = layouts.image(tmp_path, "linux/amd64", [BASE])
    fake = layouts.image(tmp_path, "unknown/unknown", [b"attestation"])
    async with registries() as all_of_them:
        layout = layouts.layout(tmp_path, layouts.index(tmp_path, [real, fake]))
        await push(await Layout.open(layout), destinations([f"{name}:x"]), all_of_them)
    with pytest.raises(errors.NotMergeable, match="unknown/unknown") as raised:
        await merged([f"{name}:x"], f"{name}:both")
    assert fake.digest in raised.value.where and "--provenance=false" in raised.value.fix


async def test_an_index_of_indexes(tmp_path: Path, plain: registry.Throwaway) -> None:
    name = f"{plain.address}/nested"
    inner = layouts.index(tmp_path, [layouts.image(tmp_path, "linux/amd64", [BASE])])
    outer = layouts.index(tmp_path, [Descriptor(inner.media_type, inner.digest, inner.size, "linux/amd64")])
    async with registries() as all_of_them:
        layout = await Layout.open(layouts.layout(tmp_path, outer))
        await push(layout, destinations([f"{name}:x"]), all_of_them)
    with pytest.raises(errors.NotMergeable, match="is an index"):
        await merged([f"{name}:x"], f"{name}:both")


async def test_no_clobber(tmp_path: Path, plain: registry.Throwaway) -> None:
    name = f"{plain.address}/kept"
    await built(tmp_path, "linux/amd64", f"{name}:x")
    with pytest.raises(errors.TagExists):
        await merged([f"{name}:x"], f"{name}:x", clobber=False)


def command(
    *words: str, code: int = 0, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command line's `merge`, which needs no engine."""
    run = [sys.executable, "-c", "from pipeline.cli import main; main()", "merge", *words]
    done = subprocess.run(run, capture_output=True, text=True, timeout=60, env={**os.environ, **(env or {})})
    assert done.returncode == code, done.stderr
    return done


async def test_the_command_line(tmp_path: Path, plain: registry.Throwaway) -> None:
    name = f"{plain.address}/cli"
    sources = [f"{name}:amd64", f"{name}:arm64"]
    for source, platform in zip(sources, layouts.PLATFORMS, strict=True):
        await built(tmp_path, platform, source)
    done = command(*sources, "--tag", f"{name}:x", "-t", f"{name}-two:y", "--annotation", "a=b")
    assert json.loads(crane("manifest", f"{name}:x"))["annotations"] == {"a": "b"}
    digest = crane("digest", f"{name}:x").strip()
    assert done.stdout.strip() == f"{name}:x@{digest}"
    assert crane("digest", f"{name}-two:y").strip() == digest
    receipt = json.loads(command(*sources, "--tag", f"{name}:z", "--json").stdout)
    assert receipt["references"] == [f"{name}:z@{receipt['digest']}"]
    refused = command(*sources, "--tag", f"{name}:x", "--no-clobber", code=errors.TagExists.exit_code)
    assert "TagExists" in refused.stderr and "Traceback" not in refused.stderr
    twice = command(sources[0], sources[0], "-t", f"{name}:x", code=errors.DuplicatePlatform.exit_code)
    assert "linux/amd64" in twice.stderr


async def test_the_command_line_signs_in(tmp_path: Path) -> None:
    with registry.throwaway(users={"me": "s3cret-canary"}) as private:

        async def known(host: str) -> Login:
            return Login("me", "s3cret-canary")

        await built(tmp_path, "linux/amd64", f"{private.address}/in:amd64", keychain=known)
        words = [f"{private.address}/in:amd64", "--tag", f"{private.address}/in:x"]
        env = {"TOKEN": "s3cret-canary", "WRONG": "wr0ng-canary", "HOME": str(tmp_path)}
        signed = [*words, "--username", "me", "--password"]
        assert command(*signed, "TOKEN", env=env).stdout.startswith(f"{private.address}/in:x@sha256:")
        for wrong, error in (
            ([*signed, "WRONG"], errors.RegistryDenied),
            (words, errors.RegistryDenied),
            ([*signed, "MISSING"], errors.InvalidArgument),
        ):
            done = command(*wrong, env=env, code=error.exit_code)
            assert "canary" not in done.stdout + done.stderr


async def test_the_receipt_of_a_merge_has_what_is_attached(tmp_path: Path, faulty: Proxy) -> None:
    name, kind = f"{faulty.address}/attached", "application/vnd.example"
    await built(tmp_path, "linux/amd64", f"{name}:amd")
    await built(tmp_path, "linux/arm64", f"{name}:arm")

    async def attach(image: MergedIndex) -> list[Artifact]:
        await anyio.sleep(0.05)
        return [artifact(image.root, kind, (Layer(kind, b"{ }"),))]

    receipt = await merged([f"{name}:amd", f"{name}:arm"], f"{name}:both", attach=attach)
    (one,) = receipt.attached
    assert (one.digest,) == receipt.referrers and one.subject == receipt.digest
    assert (one.artifact_type, one.bytes) == (kind, 5), "and an empty config of two bytes"
    assert receipt.attaching_seconds >= 0.05 and receipt.seconds > 0
    assert receipt.deliveries[0].seconds > 0 and receipt.signed == ()
