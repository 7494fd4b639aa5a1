import pytest

from pipeline import publish
from pipeline.errors import PublishError, RegistryDenied, RegistryUnreachable


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
