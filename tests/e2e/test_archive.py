"""Test compiled state in a real registry, without an engine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import layouts
import pytest
from faulty import Fault, Proxy
from test_distribution import inspect, skopeo

from engine import registry
from pipeline import errors
from pipeline.oci.layout import READ_BYTES, Layout
from pipeline.registry import archive
from pipeline.registry.address import destinations, parse_address, parse_source
from pipeline.registry.dial import Registries, registries
from pipeline.registry.pushing import push
from pipeline.registry.retry import Retry

pytestmark = pytest.mark.anyio

CONTENT = bytes(range(256)) * (READ_BYTES // 100)
"""More bytes than are read into memory at a time."""


@pytest.fixture
async def reached() -> AsyncIterator[Registries]:
    async with registries(retry=Retry(attempts=3, first_seconds=0.02, longest_seconds=1)) as all_of_them:
        yield all_of_them


@pytest.fixture
def state(tmp_path: Path) -> Path:
    path = tmp_path / "state.tar.zst"
    path.write_bytes(CONTENT)
    return path


async def test_what_is_pushed_can_be_pulled(
    plain: registry.Throwaway, reached: Registries, state: Path, tmp_path: Path
) -> None:
    address = f"{plain.address}/app:state"
    digest = await archive.push(state, parse_address(address), reached)
    manifest = inspect(address)
    assert manifest["artifactType"] == "application/vnd.rust-multiarch.state.v1"
    assert [layer["size"] for layer in manifest["layers"]] == [len(CONTENT)]
    for name in (address, f"{plain.address}/app@{digest}"):
        came = tmp_path / "came"
        assert await archive.pull(parse_source(name), came, reached)
        assert came.read_bytes() == CONTENT
        came.unlink()


async def test_a_later_state_takes_the_place_of_an_earlier_one(
    plain: registry.Throwaway, reached: Registries, state: Path, tmp_path: Path
) -> None:
    address = parse_address(f"{plain.address}/later:state")
    first = await archive.push(state, address, reached)
    assert await archive.push(state, address, reached) == first
    state.write_bytes(b"new")
    assert await archive.push(state, address, reached) != first
    assert await archive.pull(address, tmp_path / "came", reached)
    assert (tmp_path / "came").read_bytes() == b"new"


async def test_no_archive_exists_before_the_first_push(
    plain: registry.Throwaway, reached: Registries, tmp_path: Path
) -> None:
    assert not await archive.pull(parse_address(f"{plain.address}/none:state"), tmp_path / "came", reached)
    assert not (tmp_path / "came").exists()


async def test_an_image_is_neither_read_nor_overwritten(
    plain: registry.Throwaway, reached: Registries, state: Path, tmp_path: Path
) -> None:
    address = f"{plain.address}/image:1"
    layout = await Layout.open(layouts.sample(tmp_path / "layout", salt="archive", size=100))
    receipt = await push(layout, destinations([address], ()), reached)
    with pytest.raises(errors.TagExists, match="compiled state"):
        await archive.push(state, parse_address(address), reached)
    with pytest.raises(errors.PublishError, match="compiled state"):
        await archive.pull(parse_address(address), tmp_path / "came", reached)
    assert not (tmp_path / "came").exists()
    assert receipt.digest == layout.root.digest
    raw = skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{address}")
    assert len(raw) == layout.root.size


async def test_a_download_that_breaks_off_is_taken_up_again(
    plain: registry.Throwaway, faulty: Proxy, reached: Registries, state: Path, tmp_path: Path
) -> None:
    address = f"{faulty.address}/broken:state"
    await archive.push(state, parse_address(address), reached)
    faulty.faults = [Fault("GET", r"/blobs/")]
    assert await archive.pull(parse_address(address), tmp_path / "came", reached)
    assert (tmp_path / "came").read_bytes() == CONTENT
    assert not faulty.faults[0].times


async def test_other_bytes_than_the_digest_names_are_refused(
    plain: registry.Throwaway, reached: Registries, state: Path, tmp_path: Path
) -> None:
    address = parse_address(f"{plain.address}/damaged:state")
    state.write_bytes(CONTENT + b"of this test alone")
    await archive.push(state, address, reached)
    layer = (await archive.Archive.of(state)).layer.digest.removeprefix("sha256:")
    (data,) = plain.storage.rglob(f"{layer}/data")
    data.write_bytes(CONTENT[::-1])
    with pytest.raises(errors.PublishError, match="bytes with the digest"):
        await archive.pull(address, tmp_path / "came", reached)
