"""Test that images have the layers of their bases as the bases' registry has them."""

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import crates
import dagger
import pytest
from conftest import PLATFORMS, ROOT
from test_publish import get

from pipeline import RustMultiarch, image
from pipeline.oci.base import ENGINE, REGISTRY, REWRITTEN
from pipeline.registry import bases

pytestmark = pytest.mark.anyio

BASE = "org.opencontainers.image.base."


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Remember the repositories of layers in a new directory, in this process alone."""
    monkeypatch.setattr("pipeline.registry.bases._memory", lambda: tmp_path / "layers.json")


def base_manifest(mirror: str, architecture: str) -> tuple[dict, str]:
    """Return the manifest of the default base for a platform and its digest, from its registry."""
    index, _ = get(mirror, "library/debian/manifests/trixie-slim")
    entry = next(e for e in index["manifests"] if e["platform"]["architecture"] == architecture)
    return get(mirror, f"library/debian/manifests/{entry['digest']}")


async def test_the_first_layers_are_the_bases_and_ours_follow(
    service_image, loopback: str, mirror: str
) -> None:
    receipt = json.loads(await service_image.publish(f"{loopback}/bases/first:x", as_json=True))
    index, _ = get(loopback, "bases/first/manifests/x")
    assert f"{BASE}digest" not in index["annotations"], (
        "platforms of the base that we do not use do not matter"
    )
    for entry, said in zip(index["manifests"], receipt["bases"], strict=True):
        below, digest = base_manifest(mirror, entry["platform"]["architecture"])
        manifest, _ = get(loopback, f"bases/first/manifests/{entry['digest']}")
        document, _ = get(loopback, f"bases/first/blobs/{manifest['config']['digest']}")
        many = len(below["layers"])
        assert manifest["layers"][:many] == below["layers"]
        assert len(manifest["layers"]) == many + 2, "certificates and accounts, programs"
        made = [line["created_by"] for line in document["history"]]
        assert made[many:] == [
            "rust-multiarch: certificates, accounts and libraries",
            "rust-multiarch: programs service",
        ]
        assert len(document["rootfs"]["diff_ids"]) == len(made) == many + 2
        assert manifest["annotations"][f"{BASE}digest"] == digest
        assert document["config"]["Labels"][f"{BASE}digest"] == digest
        assert said["digest"] == digest and said["layers"] in (REGISTRY, ENGINE)


async def test_the_second_image_of_a_base_uploads_only_its_own_layers(service_image, loopback: str) -> None:
    name = os.urandom(4).hex()
    await service_image.publish(f"{loopback}/bases/{name}/one:x")
    module = RustMultiarch(source=crates.hello(), platforms=PLATFORMS)
    receipt = json.loads(await module.publish(f"{loopback}/bases/{name}/two:x", as_json=True))
    (delivery,) = receipt["deliveries"]
    assert delivery["mounted_blobs"] == 2, "the base's layer of each platform"
    assert delivery["uploaded_bytes"] < 1_500_000 * len(PLATFORMS), "programs, certificates and configs"


async def test_layouts_have_the_bases_layers(service_image, tmp_path: Path, mirror: str) -> None:
    await (await service_image.layout()).export(str(tmp_path))
    for architecture in ("amd64", "arm64"):
        for layer in base_manifest(mirror, architecture)[0]["layers"]:
            path = tmp_path / "blobs" / layer["digest"].replace(":", "/")
            assert f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}" == layer["digest"]


def test_the_command_line_and_the_module_give_one_digest(loopback: str, mirror: str, tmp_path: Path) -> None:
    """The command line reads the stand-ins at their address, and the module's function through the engine."""
    project = crates.written(tmp_path)
    command = [str(Path(sys.executable).with_name("rust-multiarch")), "publish", str(project), "--json"]
    named = ["--platform", "linux/amd64", "-t", f"{loopback}/bases/both:cli"]
    printed = subprocess.run([*command, *named], check=True, capture_output=True).stdout
    by_command = json.loads(printed)
    dagger = [os.environ.get("_EXPERIMENTAL_DAGGER_CLI_BIN", "dagger"), "call", "--source", str(project)]
    publish = ["--platforms", "linux/amd64", "publish", "--address", f"{loopback}/bases/both:module"]
    service = ["--registry", f"tcp://{loopback}", "--as-json"]
    called = subprocess.run([*dagger, *publish, *service], check=True, cwd=ROOT, capture_output=True).stdout
    by_call = json.loads(called)
    assert by_call["digest"] == by_command["digest"]
    ways = [receipt["bases"][0]["layers"] for receipt in (by_command, by_call)]
    assert ways == [REGISTRY, ENGINE]


async def test_a_custom_container_is_packed_again(session, loopback: str) -> None:
    base = session.container().from_("debian:trixie-slim").with_new_file("/etc/company", "ours")
    module = RustMultiarch(source=crates.hello(), platforms=["linux/amd64"])
    module = await module.with_runtime("linux/amd64", base)
    receipt = json.loads(await module.publish(f"{loopback}/bases/custom:x", as_json=True))
    assert [(one["name"], one["layers"]) for one in receipt["bases"]] == [("", REWRITTEN)]


async def test_a_changed_container_keeps_the_bases_layers(service_image, loopback: str, mirror: str) -> None:
    """A container made from a variant has the variant's base; one made from another has not."""
    variant = service_image.variant("linux/amd64").container.with_new_file("/etc/company", "ours")
    changed = await service_image.with_variant("linux/amd64", variant)
    receipt = json.loads(await changed.publish(f"{loopback}/bases/changed:x", as_json=True))
    assert [one["layers"] for one in receipt["bases"]] == [ENGINE, ENGINE]
    index, _ = get(loopback, "bases/changed/manifests/x")
    manifest, _ = get(loopback, f"bases/changed/manifests/{index['manifests'][0]['digest']}")
    below, _ = base_manifest(mirror, "amd64")
    assert manifest["layers"][: len(below["layers"])] == below["layers"]


@pytest.mark.parametrize("way", [REGISTRY, ENGINE])
async def test_layers_that_the_engine_does_not_export_unchanged_are_read_in_the_registry(
    session, mirror: str, way: str
) -> None:
    """After a restart, the engine packs the layers of a base again; here it exports another platform's."""
    container = session.container(platform=dagger.Platform("linux/amd64")).from_("debian:trixie-slim")
    reference = await container.image_ref()
    base = (await bases.read({"linux/arm64": reference}, {"docker.io": mirror}))["linux/arm64"]
    assert base.way == REGISTRY and base.host == mirror
    layers = await image._layers(replace(base, way=way), container)
    for layer in base_manifest(mirror, "arm64")[0]["layers"]:
        name = layer["digest"].removeprefix("sha256:")
        assert await layers.file(name).size() == layer["size"]
        summing = session.container().from_("debian:trixie-slim").with_file("/layer", layers.file(name))
        assert (await summing.with_exec(["sha256sum", "/layer"]).stdout()).startswith(name)
