import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import layouts
import pytest

from engine import registry
from pipeline.oci.base import ENGINE, REGISTRY, RegistryBase
from pipeline.oci.layout import Layout
from pipeline.registry import bases, dial, pushing
from pipeline.registry.address import Destination
from pipeline.registry.dial import Registries
from pipeline.registry.distribution import Repository

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def host():
    """Run a registry."""
    with registry.throwaway() as made:
        yield made.address


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Remember the repositories of layers in a new directory."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@asynccontextmanager
async def connected() -> AsyncIterator[Registries]:
    async with dial.registries() as registries:
        yield registries


async def pushed(path: Path, host: str, name: str, salt: str = "") -> str:
    """Push a layout of two platforms; return its full name with the digest."""
    layout = await Layout.open(layouts.sample(path, salt, size=1000))
    async with connected() as registries:
        receipt = await pushing.push(layout, [Destination(host, name, ("1",))], registries)
    return receipt.references[0]


async def test_a_base_is_read_by_its_digest(tmp_path: Path, host: str) -> None:
    reference = await pushed(tmp_path, host, "me/base")
    found = await bases.read(dict.fromkeys(layouts.PLATFORMS, reference))
    assert list(found) == list(layouts.PLATFORMS)
    for platform, base in found.items():
        assert (base.name, base.way, base.host) == (f"{host}/me/base:1", REGISTRY, host)
        body = (tmp_path / "blobs" / base.digest.replace(":", "/")).read_bytes()
        assert json.loads(base.layers) == json.loads(body)["layers"]
        entry = next(e for e in json.loads(_index(tmp_path))["manifests"] if e["digest"] == base.digest)
        assert f"{entry['platform']['os']}/{entry['platform']['architecture']}" == platform


def _index(layout: Path) -> bytes:
    (top,) = json.loads((layout / "index.json").read_text())["manifests"]
    return (layout / "blobs" / top["digest"].replace(":", "/")).read_bytes()


async def test_a_mirror_is_asked_first(tmp_path: Path, host: str) -> None:
    """A base of Docker Hub is read at the mirror, where its official images have a namespace too."""
    reference = await pushed(tmp_path, host, "library/thing")
    digest = reference.partition("@")[2]
    found = await bases.read({"linux/amd64": f"docker.io/library/thing:1@{digest}"}, {"docker.io": host})
    assert (found["linux/amd64"].host, found["linux/amd64"].name) == (host, "docker.io/library/thing:1")


async def test_a_base_that_no_registry_has(host: str) -> None:
    missing = f"{host}/me/none:1@sha256:{'0' * 64}"
    nowhere = f"127.0.0.1:1/me/none:1@sha256:{'0' * 64}"
    assert await bases.read({"linux/amd64": missing, "linux/arm64": nowhere}) == {}


async def test_a_platform_that_a_base_lacks(tmp_path: Path, host: str) -> None:
    reference = await pushed(tmp_path, host, "me/base")
    assert list(await bases.read({"linux/s390x": reference, "linux/arm64": reference})) == ["linux/arm64"]


async def without(path: Path, base: RegistryBase) -> Layout:
    """Remove the layers of a base from a layout."""
    for blob in base.blobs:
        (path / "blobs" / blob.digest.replace(":", "/")).unlink()
    return await Layout.open(path)


async def images(tmp_path: Path, host: str) -> tuple[Layout, RegistryBase]:
    """Return an image without its first layer, and a base with that layer at a registry."""
    reference = await pushed(tmp_path / "base", host, "me/base")
    base = (await bases.read({"linux/amd64": reference}))["linux/amd64"]
    shared = replace(base, layers=json.dumps(json.loads(base.layers)[:1]), diff_ids=base.diff_ids[:1])
    return await without(layouts.sample(tmp_path / "image", size=1000), shared), shared


async def test_layers_are_mounted_in_a_registry(tmp_path: Path, host: str) -> None:
    layout, base = await images(tmp_path, host)
    async with connected() as registries:
        store = await bases.on_bases(layout, [base], registries)
        receipt = await pushing.push(store, [Destination(host, "me/app", ("1",))], registries)
    (delivery,) = receipt.deliveries
    assert (delivery.mounted_blobs, delivery.uploaded_blobs) == (1, 4)


async def test_layers_are_copied_from_another_registry(tmp_path: Path, host: str) -> None:
    layout, base = await images(tmp_path, host)
    with registry.throwaway() as other:
        async with connected() as registries:
            store = await bases.on_bases(layout, [base], registries)
            receipt = await pushing.push(store, [Destination(other.address, "me/app", ("1",))], registries)
            copied = Repository(await registries.registry(other.address), "me/app")
            assert await copied.small_blob(base.blobs[0]), "it has the bytes of the digest"
    assert receipt.deliveries[0].uploaded_blobs == 5


async def test_layers_are_mounted_from_the_repository_of_an_earlier_push(tmp_path: Path, host: str) -> None:
    layout, base = await images(tmp_path, host)
    elsewhere = replace(base, host="127.0.0.1:1")
    bases.remember([elsewhere], [Destination(host, "me/base", ())])
    async with connected() as registries:
        store = await bases.on_bases(layout, [elsewhere], registries)
        receipt = await pushing.push(store, [Destination(host, "me/second", ("1",))], registries)
    assert receipt.deliveries[0].mounted_blobs == 1


@pytest.mark.parametrize("remembered", ["me/gone", "Not a name"])
async def test_a_refused_mount_becomes_an_upload(tmp_path: Path, host: str, remembered: str) -> None:
    path = layouts.sample(tmp_path / "image", salt=remembered, size=1000)
    layout = await Layout.open(path)
    entries = json.loads(_index(path))["manifests"]
    body = (path / "blobs" / entries[0]["digest"].replace(":", "/")).read_bytes()
    layer = json.loads(body)["layers"][0]
    async with connected() as registries:
        store = bases.OnBases(layout, {}, {(host, layer["digest"]): remembered})
        receipt = await pushing.push(store, [Destination(host, "me/refused", ("1",))], registries)
    assert (receipt.deliveries[0].uploaded_blobs, receipt.deliveries[0].mounted_blobs) == (5, 0)


def test_what_is_remembered_is_limited_and_survives_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bases, "REMEMBERED", 2)
    for number in range(3):
        layer = {"digest": f"sha256:{str(number) * 64}", "size": 1}
        base = RegistryBase("n", "d", ENGINE, "h", "r", json.dumps([layer]), ("x",))
        bases.remember([base], [Destination("host", f"me/{number}", ())])
    assert set(bases.remembered().values()) == {"me/1", "me/2"}
    bases._memory().write_text("[1]")
    assert bases.remembered() == {}


async def test_layers_that_the_engine_lacks_are_downloaded(tmp_path: Path, host: str) -> None:
    _, base = await images(tmp_path, host)
    folder = tmp_path / "blobs"
    folder.mkdir()
    (layer,) = base.blobs
    async with connected() as registries:
        source = Repository(await registries.registry(host), base.repository, actions="pull")
        file = await bases.keep(source, layer.digest, folder)
    assert file.read_bytes() == layouts.packed((b"base" * 1000)[:1000])


def test_the_stand_ins_are_looked_for_at_the_first_ports_of_the_engine() -> None:
    first = list(registry.PRIVILEGED)[: len(bases.STAND_INS)]
    assert tuple(registry.address_of(port) for port in first) == bases.STAND_INS
