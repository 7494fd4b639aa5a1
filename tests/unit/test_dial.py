import socket
from pathlib import Path

import pytest

from pipeline import dial

pytestmark = pytest.mark.anyio

ROUTES = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth1\t0000710A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
eth1\t00000000\t0100710A\t0003\t0\t0\t0\t00000000\t0\t0\t0
"""


def test_the_gateway_of_the_default_route() -> None:
    assert dial.gateway(ROUTES) == "10.113.0.1"
    assert dial.gateway("\n".join(ROUTES.splitlines()[:2])) == ""


@pytest.mark.parametrize(
    ("host", "here"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True), ("10.0.0.1", False),
     ("localhost.example", False), ("ghcr.io", False)],
)  # fmt: skip
def test_loopback(host: str, here: bool) -> None:
    assert dial.is_loopback(host) is here


async def test_a_loopback_port_is_elsewhere_only_inside_an_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    routes, init = tmp_path / "route", tmp_path / "init"
    routes.write_text(ROUTES)
    monkeypatch.setattr(dial, "ROUTES", routes)
    monkeypatch.setattr(dial, "ENGINE_INIT", init)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        assert await dial.machine("127.0.0.1", port) == "", "no engine"
        init.touch()
        assert await dial.machine("127.0.0.1", port) == "10.113.0.1"
        listening.listen()
        assert await dial.machine("127.0.0.1", port) == "", "something answers here"


@pytest.mark.parametrize(
    ("host", "base"),
    [
        ("docker.io", "https://registry-1.docker.io/v2/"),
        ("ghcr.io", "https://ghcr.io/v2/"),
        ("registry.example:5000", "https://registry.example:5000/v2/"),
        ("plain.example:5000", "http://plain.example:5000/v2/"),
    ],
)
async def test_tls_unless_a_host_is_named(host: str, base: str) -> None:
    async with dial.registries(plain_http=["plain.example:5000"]) as registries:
        registry = await registries.registry(host)
        assert str(registry.base) == base
        assert await registries.registry(host) is registry
