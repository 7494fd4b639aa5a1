"""A push in bad luck, with a real registry: killed, a registry that is killed, a full disk, two at once."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
import unlucky

from engine import process, registry
from pipeline.cli import caching
from pipeline.errors import RegistryFailed, RegistryUnreachable
from pipeline.oci import normalize
from pipeline.registry import archive, credentials, dial
from pipeline.registry.address import parse_source

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not shutil.which("docker-registry"), reason="needs docker-registry"),
]


def get(host: str, path: str) -> bytes | None:
    headers = {"Accept": normalize.MANIFEST}
    request = urllib.request.Request(f"http://{host}/v2/me/app/{path}", headers=headers)
    try:
        with urllib.request.urlopen(request) as answer:
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        error.close()
        return None


def whole(host: str, tag: str) -> str:
    """Return the digest of a tag, "" if none exists; everything that it names must be there."""
    body = get(host, f"manifests/{tag}")
    if body is None:
        return ""
    manifest = json.loads(body)
    for blob in (manifest["config"], *manifest["layers"]):
        content = get(host, f"blobs/{blob['digest']}")
        assert content is not None and f"sha256:{hashlib.sha256(content).hexdigest()}" == blob["digest"]
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


@pytest.fixture
def host() -> Iterator[str]:
    with registry.throwaway() as made:
        yield made.address


def test_a_push_that_is_killed_leaves_no_half_image_and_is_repeated(host: str, tmp_path: Path) -> None:
    command = [sys.executable, Path(unlucky.__file__), host, tmp_path]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    codes = [int(line.split()[1]) for line in ran.stdout.splitlines()]
    assert len(codes) > 8 and codes == [*[-signal.SIGKILL] * (len(codes) - 1), 0], "in each phase"
    for number in range(1, len(codes) + 1):
        assert whole(host, f"k{number}") or number < len(codes)
        pushed = anyio.run(unlucky.push, tmp_path / str(number), host, f"k{number}")
        assert whole(host, f"k{number}") == pushed


@pytest.mark.parametrize("number", range(1, 10))
async def test_a_registry_that_is_killed_and_started_again(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with registry.throwaway(directory=tmp_path) as made:
        config = next(tmp_path.glob("registry-*/config.json"))
        port = int(made.address.rpartition(":")[2])

        def kill() -> None:
            process.send(process.find([str(config)]), signal.SIGKILL)
            process.wait_gone([str(config)], 10)
            registry._start(config, port, config.with_name("log"))

        monkeypatch.setattr("httpx.AsyncHTTPTransport.handle_async_request", unlucky.acting(number, kill))
        image = unlucky.image(tmp_path / "image", os.urandom(2000))
        try:
            await unlucky.push(image, made.address, "1")
        except (RegistryFailed, RegistryUnreachable):
            assert whole(made.address, "1") == ""
        assert await unlucky.push(image, made.address, "1") == whole(made.address, "1")


async def test_a_registry_that_was_killed_while_it_stored_a_blob(tmp_path: Path) -> None:
    """Regression: it answered 500 to each question for the blob, and the push failed each time."""
    image = unlucky.image(tmp_path / "image", os.urandom(2000))
    with registry.throwaway(directory=tmp_path) as made:
        await unlucky.push(image, made.address, "1")
        (link, *_) = tmp_path.glob("registry-*/storage/docker/registry/v2/repositories/**/_layers/*/*/link")
        link.write_text("")
        pushed = await unlucky.push(image, made.address, "2")
        assert pushed == whole(made.address, "2") and link.read_text().startswith("sha256:")


async def test_two_pushes_to_one_tag(host: str, tmp_path: Path) -> None:
    images = [unlucky.image(tmp_path / name, name.encode() * 1000) for name in ("one", "two")]
    pushed: list[str] = []

    async def push(folder: Path) -> None:
        pushed.append(await unlucky.push(folder, host, "1"))

    async with anyio.create_task_group() as group:
        for folder in (*images, *images):
            group.start_soon(push, folder)
    assert whole(host, "1") in pushed and len(set(pushed)) == 2


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this machine does not allow mounts")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


async def test_a_registry_with_a_full_disk(disk: Path, tmp_path: Path) -> None:
    with registry.throwaway(directory=disk) as made:
        image = unlucky.image(tmp_path / "image", os.urandom(3 << 20))
        with pytest.raises(RegistryFailed):
            await unlucky.push(image, made.address, "1", attempts=2)
        assert whole(made.address, "1") == ""
        subprocess.run(["mount", "-o", "remount,size=20m", str(disk)], check=True)
        assert await unlucky.push(image, made.address, "1") == whole(made.address, "1")


async def test_no_space_for_compiled_state_is_only_a_warning(
    disk: Path, tmp_path: Path, host: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Regression: a traceback, before anything was built."""
    state = tmp_path / "state"
    state.write_bytes(os.urandom(3 << 20))
    address = parse_source(f"{host}/me/app:buildcache")
    async with dial.registries(credentials.from_secrets({}), plain_http=[host]) as registries:
        await archive.push(state, address, registries)
    caches = caching.Caches(source=address, plain_http=[host])
    assert await caches._brought(disk / "state") is None
    assert "warning: no compiled state from" in capsys.readouterr().err
    assert await caches._brought(tmp_path / "brought") == tmp_path / "brought"
