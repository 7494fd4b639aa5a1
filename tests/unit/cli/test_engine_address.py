"""Test engine addresses with real sockets."""

from pathlib import Path

import anyio
import anyio.abc
import pytest

from pipeline import errors
from pipeline.cli import engine_address

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("scheme", ["unix", "tcp"])
async def test_an_engine_that_listens_is_told_from_one_that_does_not(scheme: str, tmp_path: Path) -> None:
    if scheme == "unix":
        address = f"unix://{tmp_path}/s"
        listener = await anyio.create_unix_listener(tmp_path / "s")
    else:
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        address = f"tcp://127.0.0.1:{listener.extra(anyio.abc.SocketAttribute.local_port)}"
    async with listener:
        await engine_address.reach(address)
    with pytest.raises(errors.EngineUnreachable, match=f"no engine responds at {address}"):
        await engine_address.reach(address)


async def test_other_schemes_are_left_to_dagger() -> None:
    await engine_address.reach("ssh://nobody@nowhere")


@pytest.mark.parametrize(
    "address",
    [
        "unix:///run/engine.sock",
        "tcp://host:1234",
        "kube-pod://name?namespace=ci",
        "ssh://me@host",
        "docker-container://engine",
    ],
)
def test_addresses_that_dagger_takes(address: str) -> None:
    assert engine_address.parse(address) == address


@pytest.mark.parametrize("address", ["there", "http://x", "unix://", "://x"])
def test_text_that_is_no_address(address: str) -> None:
    with pytest.raises(errors.InvalidArgument, match="is not the address of an engine"):
        engine_address.parse(address)
