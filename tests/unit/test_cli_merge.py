from pathlib import Path

import pytest

from pipeline import errors
from pipeline.cli.merge import FromEnvironment, named_by_git

pytestmark = pytest.mark.anyio


async def test_a_password_is_read_from_the_variable_of_its_name(monkeypatch) -> None:
    monkeypatch.setenv("TOKEN", "s3cret")
    assert await FromEnvironment("TOKEN").plaintext() == "s3cret"


async def test_a_password_in_place_of_a_name_is_not_repeated(monkeypatch) -> None:
    monkeypatch.delenv("s3cret", raising=False)
    with pytest.raises(errors.InvalidArgument) as raised:
        await FromEnvironment("s3cret").plaintext()
    assert "s3cret" not in str(raised.value)


def test_outside_of_a_repository_nothing_is_named(tmp_path: Path) -> None:
    assert named_by_git([], tmp_path, {}) == ()
