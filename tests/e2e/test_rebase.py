"""Test `rebase` with a real registry and engine."""

import json
import os
import subprocess
import sys
from pathlib import Path

import crates
import dagger
import layouts
import pytest
from conftest import PLATFORMS
from dagger import dag
from test_bases import BASE
from test_publish import get

from pipeline import RustMultiarch, errors
from pipeline.oci.layout import Layout
from pipeline.registry import dial, pushing
from pipeline.registry.address import Destination

pytestmark = pytest.mark.anyio


def command(*words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the command line."""
    program = str(Path(sys.executable).with_name("rust-multiarch"))
    done = subprocess.run([program, *words], capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    return done


async def test_a_published_image_gets_another_base(
    session, loopback: str, mirror: str, tmp_path: Path
) -> None:
    name = f"rebase/{os.urandom(3).hex()}"
    address = f"{loopback}/{name}:1"
    module = RustMultiarch(
        source=crates.hello(),
        runtime_base=await _old_base(f"{loopback}/{name}/base:12"),
        runtime_env=["MINE=2"],
        platforms=PLATFORMS,
    )
    await module.publish(address, sbom=True, symbols=True)
    before, digest = get(loopback, f"{name}/manifests/1")

    await _refused(loopback, name, digest, tmp_path)

    done = command("rebase", address, "--onto", "debian:trixie-slim", "--json")
    receipt = json.loads(done.stdout)
    after, moved = get(loopback, f"{name}/manifests/1")
    assert receipt["digest"] == moved != digest
    assert after["annotations"][f"{BASE}name"] == "docker.io/library/debian:trixie-slim"
    assert "not kept: SBOM of linux/arm64" in done.stderr
    assert receipt["deliveries"][0]["uploaded_blobs"] <= 2 * len(PLATFORMS), "the base's layer and the config"
    bases, _ = get(mirror, "library/debian/manifests/trixie-slim")
    for old, new in zip(before["manifests"], after["manifests"], strict=True):
        assert new["platform"] == old["platform"]
        was, _ = get(loopback, f"{name}/manifests/{old['digest']}")
        now, _ = get(loopback, f"{name}/manifests/{new['digest']}")
        entry = next(
            e for e in bases["manifests"] if e["platform"]["architecture"] == new["platform"]["architecture"]
        )
        below, _ = get(mirror, f"library/debian/manifests/{entry['digest']}")
        assert now["layers"] == [*below["layers"], *was["layers"][2:]]
        assert now["annotations"][f"{BASE}digest"] == entry["digest"]
        tag = f"{name}/manifests/{new['digest'].replace(':', '-')}"
        kinds = [one["artifactType"] for one in get(loopback, tag)[0]["manifests"]]
        assert kinds == ["application/vnd.rust-multiarch.symbols.v1"]
    for platform in PLATFORMS:
        pulled = dag.container(platform=dagger.Platform(platform)).from_(f"{address}@{moved}")
        assert "arch=" in await pulled.with_exec([], use_entrypoint=True).stdout()
        assert "13" in (await pulled.file("/etc/debian_version").contents())
        assert await pulled.env_variable("MINE") == "2"


async def _old_base(address: str) -> str:
    """Publish a base that says it is Debian 12: a layer on Debian's image."""
    variants = [
        dag.container(platform=dagger.Platform(platform))
        .from_("debian:trixie-slim")
        .with_new_file("/etc/debian_version", "12.0\n")
        for platform in PLATFORMS
    ]
    await dag.container().publish(address, platform_variants=variants)
    return address


async def _refused(loopback: str, name: str, digest: str, folder: Path) -> None:
    """Check that a base on which the program cannot start is refused, and that the tag stays."""
    layout = await Layout.open(layouts.sample(folder))
    async with dial.registries() as registries:
        await pushing.push(layout, [Destination(loopback, f"{name}/empty", ("1",))], registries)
    words = ("rebase", f"{loopback}/{name}:1", "--onto", f"{loopback}/{name}/empty:1")
    done = command(*words, code=errors.VerificationError.exit_code)
    assert "hello" in done.stderr and "use a runtime base with glibc" in done.stderr
    assert get(loopback, f"{name}/manifests/1")[1] == digest


def test_a_base_without_a_platform(loopback: str, mirror: str) -> None:
    missing = f"{loopback}/rebase/none:1"
    done = command("rebase", missing, "--onto", "debian:trixie-slim", code=errors.NotMergeable.exit_code)
    assert "does not have this image" in done.stderr
