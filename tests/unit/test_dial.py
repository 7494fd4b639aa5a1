import pytest

from pipeline.registry import dial

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("host", "here"),
    [("127.0.0.1", True), ("127.8.8.8:5000", True), ("[::1]:5000", True), ("localhost:1", True),
     ("10.0.0.1", False), ("localhost.example", False), ("ghcr.io", False)],
)  # fmt: skip
def test_loopback(host: str, here: bool) -> None:
    assert dial.is_loopback(host) is here


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
