import pytest

from pipeline import publish
from pipeline.errors import InvalidAddress, PublishError, RegistryDenied, RegistryUnreachable
from pipeline.publish import Address, parse_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("app", Address("docker.io", "app", "latest")),
        ("me/app:1.2", Address("docker.io", "me/app", "1.2")),
        ("ghcr.io/me/app:v1", Address("ghcr.io", "me/app", "v1")),
        ("localhost:5000/app", Address("localhost:5000", "app", "latest")),
        ("127.0.0.1:5000/a/b_c:dev-1", Address("127.0.0.1:5000", "a/b_c", "dev-1")),
        ("registry:5000/app:x", Address("registry:5000", "app", "x")),
        ("[::1]:5000/app", Address("[::1]:5000", "app", "latest")),
    ],
)
def test_parse_address(text: str, address: Address) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "empty"),
        ("ghcr.io/Me/app", "character 9 ('M')"),
        ("ghcr.io/me/app:", "character 15 (':')"),
        ("ghcr.io/me/app:v 1", "character 17 (' ')"),
        ("https://ghcr.io/me", "character 7 ('/')"),
    ],
)
def test_an_invalid_address_names_the_character(text: str, fault: str) -> None:
    with pytest.raises(InvalidAddress) as raised:
        parse_address(text)
    assert fault in str(raised.value)


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ("unexpected status from HEAD request: 401 Unauthorized", RegistryDenied),
        ("push access denied: insufficient_scope", RegistryDenied),
        ("dial tcp 127.0.0.1:1: connect: connection refused", RegistryUnreachable),
        ("lookup nowhere.example: no such host", RegistryUnreachable),
        ("unexpected status: 500 Internal Server Error", PublishError),
    ],
)
def test_explain(message: str, error: type[PublishError]) -> None:
    found = publish.explain(message, "reg/app:1")
    assert type(found) is error
    assert found.where == "reg/app:1"
    assert found.output == message
    assert found.fix
