"""A local user at the embedded engine's registries, with the real program."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from running_engine import record, running

from engine import lifecycle, oci, registry
from engine.paths import Paths

NAME, TAG = "library/debian", "trixie-slim"
HEADERS = {"Accept": f"{oci.INDEX}, {oci.MANIFEST}", "Content-Type": oci.INDEX}

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("docker-registry"), reason="needs root and docker-registry"
)


def image(folder: Path, text: str) -> oci.Image:
    folder.mkdir()
    tree = folder / "tree"
    tree.mkdir()
    (tree / "file").write_text(text)
    diff_id = oci.write_layer(tree, folder / "layer", 0)
    made = folder / "image"
    made.mkdir()
    oci.write_image(made, {"architecture": "amd64", "os": "linux"}, folder / "layer", diff_id)
    return oci.Image(made)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def port(cache: Path) -> Iterator[int]:
    found = registry.stand_ins_port(cache=cache)
    yield found
    registry.stop(found, cache=cache)


def ask(port: int, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        connection.request(method, f"/v2/{path}", body, HEADERS)
        answer = connection.getresponse()
        return answer.status, answer.read()


def listed(port: int) -> list[str]:
    """Return the digests in the index that a pull gets."""
    status, content = ask(port, "GET", f"{NAME}/manifests/{TAG}")
    assert status == 200
    return [entry["digest"] for entry in json.loads(content)["manifests"]]


def test_a_local_user_cannot_change_a_base_image(cache: Path, port: int, tmp_path: Path) -> None:
    """A push to `library/debian` was what root's next build started from."""
    first = image(tmp_path / "first", "one")
    assert oci.store(registry.stand_ins_storage(cache), NAME, TAG, [first])
    assert registry.ensure_stand_ins(cache=cache) == f"127.0.0.1:{port}"
    status, content = ask(port, "GET", f"{NAME}/manifests/{TAG}")
    assert status == 200 and json.loads(content)["manifests"][0]["digest"] == first.digest
    assert ask(port, "GET", f"{NAME}/manifests/{first.digest}") == (200, first.manifest)
    for descriptor in first.blobs:
        status, blob = ask(port, "GET", f"{NAME}/blobs/{descriptor['digest']}")
        assert (status, f"sha256:{hashlib.sha256(blob).hexdigest()}") == (200, descriptor["digest"])
    other = b'{"schemaVersion": 2, "manifests": []}'
    for method, path in (
        ("PUT", f"{NAME}/manifests/{TAG}"),
        ("DELETE", f"{NAME}/manifests/{first.digest}"),
        ("POST", f"{NAME}/blobs/uploads/"),
    ):
        assert ask(port, method, path, other)[0] in (404, 405), method
    assert ask(port, "GET", f"{NAME}/manifests/{TAG}") == (200, content)
    mode = stat.S_IMODE(registry.stand_ins_storage(cache).stat().st_mode)
    assert mode == 0o700


def test_another_user_cannot_take_the_port(port: int) -> None:
    if port >= int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()):
        pytest.skip("this machine lets every user listen at every port")
    code = f"import os, socket; os.setuid(65534); socket.create_server(('127.0.0.1', {port}))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "PermissionError" in ran.stderr


def test_a_new_image_is_served_at_once(cache: Path, port: int, tmp_path: Path) -> None:
    storage = registry.stand_ins_storage(cache)
    images = [image(tmp_path / "one", "one"), image(tmp_path / "two", "two")]
    assert oci.store(storage, NAME, TAG, images[:1])
    registry.ensure_stand_ins(cache=cache)
    assert not oci.store(storage, NAME, TAG, images[:1]), "it is there"
    assert oci.store(storage, NAME, TAG, images)
    assert listed(port) == [one.digest for one in images]


def test_manifests_are_served_as_blobs_too(cache: Path, port: int, tmp_path: Path) -> None:
    """A module's function reads them through the engine, whose requests have no Accept header."""
    storage, one = registry.stand_ins_storage(cache), image(tmp_path / "one", "one")
    oci.store(storage, NAME, TAG, [one])
    registry.ensure_stand_ins(cache=cache)
    index = ask(port, "GET", f"{NAME}/manifests/{TAG}")[1]
    digests = [one.digest, f"sha256:{hashlib.sha256(index).hexdigest()}"]
    assert [ask(port, "GET", f"{NAME}/blobs/{each}") for each in digests] == [
        (200, one.manifest),
        (200, index),
    ]
    # The storage of an earlier version has no such links.
    for each in digests:
        folder = storage / "docker/registry/v2/repositories" / NAME / "_layers" / each.replace(":", "/")
        (folder / "link").unlink()
        assert ask(port, "GET", f"{NAME}/blobs/{each}")[0] == 404
    assert not oci.store(storage, NAME, TAG, [one])
    assert [ask(port, "GET", f"{NAME}/blobs/{each}")[0] for each in digests] == [200, 200]


@pytest.mark.parametrize("end", range(1, 15))
def test_an_interrupted_store_leaves_the_old_image(
    cache: Path, port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: int
) -> None:
    storage = registry.stand_ins_storage(cache)
    one, two = image(tmp_path / "one", "one"), image(tmp_path / "two", "two")
    oci.store(storage, NAME, TAG, [one])
    steps = iter(range(1, 100))
    real = oci._put

    def put(path: Path, content: bytes | Path) -> None:
        if next(steps) == end:
            raise KeyboardInterrupt
        real(path, content)

    monkeypatch.setattr(oci, "_put", put)
    try:
        oci.store(storage, NAME, TAG, [two])
        served = two
    except KeyboardInterrupt:
        served = one
    monkeypatch.setattr(oci, "_put", real)
    registry.ensure_stand_ins(cache=cache)
    assert listed(port) == [served.digest]
    assert oci.store(storage, NAME, TAG, [two]) == (served is one)
    assert listed(port) == [two.digest]


def test_another_program_at_the_port_is_left_alone(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: many machines have a registry at port 5000, and no command had the choice of the advice."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        monkeypatch.setattr(registry, "PORT", taken)
        port = registry.publishing_port(cache=cache)
        assert port != taken
        registry.ensure(port, cache=cache)
        try:
            assert ask(port, "GET", "")[0] == 200
            assert registry.publishing_port(cache=cache) == port, "it is running"
        finally:
            registry.stop(port, cache=cache)
    assert registry.publishing_port(cache=cache) == port, "images were published at this address"


def test_the_port_of_the_registry_to_publish_to(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = registry.free_port()
    monkeypatch.setattr(registry, "PORT", free)
    assert registry.publishing_port(cache=cache) == free
    with socket.create_server(("127.0.0.1", free)):
        assert registry.publishing_port(cache=cache) != free, "another program took it"


def test_an_engine_that_reaches_docker_hub_has_one_too(tmp_path: Path) -> None:
    """Regression: only an engine with stand-ins had one, and `make build` failed on the other."""
    paths = Paths(tmp_path / "cache")
    address = lifecycle.publishing_registry(paths=paths)
    port = int(address.rpartition(":")[2])
    try:
        assert ask(port, "GET", "")[0] == 200
        assert lifecycle.publishing_registry(paths=paths) == address
        other = registry.free_port()
        assert lifecycle.publishing_registry(paths=paths, port=other) == registry.address_of(other)
        assert registry.stop(other, cache=paths.root)
    finally:
        registry.stop(port, cache=paths.root)


def test_a_running_engine_keeps_its_registry(tmp_path: Path) -> None:
    """Another port is another configuration, and the engine would be started again for it."""
    paths, port = Paths(tmp_path / "cache"), registry.free_port()
    address = registry.address_of(port)
    with running(paths, record(paths, mirror=False, registry=address, registry_port=port)):
        try:
            assert lifecycle.publishing_registry(paths=paths) == address
        finally:
            registry.stop(port, cache=paths.root)
