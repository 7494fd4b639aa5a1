"""Test referrers with `oras`, in registries with and without the referrers API."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import gotools
import layouts
import pytest
from faulty import proxy

from engine import registry
from pipeline.oci.layout import INDEX, Layout, walk
from pipeline.registry import chunks
from pipeline.registry.address import destinations
from pipeline.registry.artifacts import Layer, artifact
from pipeline.registry.dial import registries
from pipeline.registry.distribution import Repository, fallback_tag
from pipeline.registry.pushing import push
from pipeline.registry.receipt import Receipt

pytestmark = pytest.mark.anyio

SBOM, PROVENANCE = "application/spdx+json", "application/vnd.in-toto+json"


@pytest.fixture(scope="module", params=["fallback", "subject", "silent"])
def host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a registry: docker-registry has no referrers API; of the two others, one does not announce it."""
    if request.param == "fallback":
        with registry.throwaway() as made:
            yield made.address
    else:
        with gotools.referrers_registry(request.param, tmp_path_factory.mktemp("registry")) as address:
            yield address


def kind(request: pytest.FixtureRequest) -> str:
    return request.node.callspec.params["host"]


async def pushed(path: Path, address: str) -> tuple[Layout, Receipt]:
    """Push the sample with an SBOM of its first variant, and an SBOM and a provenance of its index."""
    layout = await Layout.open(path)
    variant = (await walk(layout))[0].descriptor
    artifacts = [
        artifact(layout.root, SBOM, (Layer(SBOM, b'{"of":"index"}'),), {"made": "by a test"}),
        artifact(layout.root, PROVENANCE, (Layer(PROVENANCE, b'{"of":"index"}'),)),
        artifact(variant, SBOM, (Layer(SBOM, b'{"of":"variant"}'),)),
    ]
    async with registries() as all_of_them:
        receipt = await push(layout, destinations([address]), all_of_them, artifacts=artifacts)
    return layout, receipt


def oras(*arguments: str) -> str:
    """Run oras, which must succeed; return its output."""
    command = [gotools.client("oras"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def discover(address: str) -> list[dict]:
    """Return the referrers that oras finds."""
    found = json.loads(oras("discover", "--plain-http", "--format", "json", address))
    return found.get("referrers") or []


async def test_every_registry_lists_them(host: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    layout, receipt = await pushed(layouts.sample(tmp_path), f"{host}/referred:x")
    found = {entry["digest"]: entry for entry in discover(f"{host}/referred:x")}
    assert set(found) == set(receipt.referrers[:2])
    sbom = found[receipt.referrers[0]]
    (of_variant,) = discover(f"{host}/referred@{receipt.platforms[0].digest}")
    assert of_variant["digest"] == receipt.referrers[2]
    async with registries() as all_of_them:
        repository = Repository(await all_of_them.registry(host), "referred")
        listed = await repository.referrers(layout.root.digest)
        assert {entry.digest for entry in listed} == set(receipt.referrers[:2])
        # go-containerregistry 0.20 lists no annotations, and the config's media type for the artifact's.
        if kind(request) != "silent":
            assert {entry.artifact_type for entry in listed} == {SBOM, PROVENANCE}
            assert sbom["artifactType"] == SBOM and sbom["annotations"] == {"made": "by a test"}
        index = await repository.manifest("x")
        assert index
        entries = json.loads(index.body)["manifests"]
        assert [entry["platform"]["architecture"] for entry in entries] == ["amd64", "arm64"]


async def test_the_fallback_tag_is_only_where_it_is_needed(
    host: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    layout, receipt = await pushed(layouts.sample(tmp_path, "tag"), f"{host}/tagged:x")
    async with registries() as all_of_them:
        repository = Repository(await all_of_them.registry(host), "tagged")
        found = await repository.manifest(fallback_tag(layout.root.digest))
    if kind(request) != "fallback":
        assert found is None
        return
    assert found and found.descriptor.media_type == INDEX
    assert [m["digest"] for m in json.loads(found.body)["manifests"]] == list(receipt.referrers[:2])


async def test_every_registry_takes_mounts_and_chunks(
    host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 65536)
    monkeypatch.setattr(chunks, "SMALLEST_BYTES", 1024)
    layout = await Layout.open(layouts.sample(tmp_path, "chunks"))
    with proxy(host, limit=50_000) as small:
        async with registries() as all_of_them:
            to = destinations([f"{small.address}/chunks/one:x", f"{small.address}/chunks/two:x"])
            receipt = await push(layout, to, all_of_them)
        patches = [seen.body_bytes for seen in small.seen if seen.method == "PATCH" and seen.status < 300]
    one, two = receipt.deliveries
    # In go-containerregistry's, each repository has the blobs of all.
    assert (one.uploaded_blobs, two.mounted_blobs + two.present_blobs) == (5, 5)
    assert max(patches) == 32768 and sum(patches) > 300_000
    oras("copy", "--from-plain-http", "--to-oci-layout", f"{host}/chunks/two:x", f"{tmp_path}/back:x")


async def test_pushing_them_again_adds_nothing(host: str, tmp_path: Path) -> None:
    path = layouts.sample(tmp_path, "again")
    first = (await pushed(path, f"{host}/again:x"))[1]
    again = (await pushed(path, f"{host}/again:x"))[1]
    assert again.referrers == first.referrers
    assert again.deliveries[0].uploaded_blobs == 0
    assert len(discover(f"{host}/again:x")) == 2


async def test_an_artifact_is_whole(host: str, tmp_path: Path) -> None:
    _, receipt = await pushed(layouts.sample(tmp_path, "whole"), f"{host}/whole:x")
    manifest = json.loads(oras("manifest", "fetch", "--plain-http", f"{host}/whole@{receipt.referrers[2]}"))
    assert manifest["subject"]["digest"] == receipt.platforms[0].digest
    blob = f"{host}/whole@{manifest['layers'][0]['digest']}"
    assert oras("blob", "fetch", "--plain-http", "--output", "-", blob) == '{"of":"variant"}'
