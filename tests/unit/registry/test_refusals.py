import pytest

from pipeline.errors import PublishError, RegistryDenied
from pipeline.registry.refusals import REFUSALS, explain

DENIED = '{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}'
NO_NAME = '{"errors":[{"code":"NAME_UNKNOWN","message":"repository name not known to registry"}]}'
IMMUTABLE = '{"errors":[{"code":"TAG_INVALID","message":"The image tag 1 already exists and is immutable"}]}'


@pytest.mark.parametrize(
    ("status", "text", "signed", "error", "what"),
    [
        (401, "", False, RegistryDenied, "requires credentials"),
        (401, "", True, RegistryDenied, "refused the credentials"),
        (403, DENIED, True, RegistryDenied, "does not allow"),
        (403, DENIED, False, RegistryDenied, "does not allow"),
        (404, NO_NAME, True, PublishError, "no such repository"),
        (413, "<html>", True, PublishError, "this large"),
        (400, '{"errors":[{"code":"DIGEST_INVALID"}]}', True, PublishError, "does not match its digest"),
        (400, IMMUTABLE, True, PublishError, "immutable"),
        (412, "cannot overwrite", True, PublishError, "immutable"),
        (418, "", True, PublishError, "returned 418 I'm a teapot"),
        (404, "", True, PublishError, "returned 404"),
    ],
)
def test_explain(status: int, text: str, signed: bool, error: type, what: str) -> None:
    found = explain(status, "I'm a teapot" if status == 418 else "", text, where="reg/app", signed=signed)
    assert type(found) is error
    assert what in found.what and str(status) in found.what
    assert found.where == "reg/app" and found.output == text and found.fix


def test_every_row_has_a_hint() -> None:
    assert all(row.fix and row.what and row.statuses for row in REFUSALS)
