"""The account files of a final image; a base is a dict of files here."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.oci import runtime

pytestmark = pytest.mark.anyio

OWN = {path: own for path, (_, own) in runtime.ACCOUNTS.items()}
ROOT = {path: root for path, (root, _) in runtime.ACCOUNTS.items()}


class Base(dict[str, str]):
    """A container, as far as its files are asked for."""

    async def exists(self, path: str) -> bool:
        return path in self

    def file(self, path: str) -> Any:
        async def contents() -> str:
            return self[path]

        return SimpleNamespace(contents=contents)


class Laid(dict[str, str]):
    """A directory, as far as files are put into it."""

    def with_new_file(self, path: str, contents: str, permissions: int) -> Laid:
        return Laid({**self, path: contents})


@pytest.mark.parametrize(
    ("present", "before"),
    [
        ({}, ROOT),
        (ROOT, ROOT),
        ({path: text.rstrip("\n") for path, text in ROOT.items()}, ROOT),
        (dict.fromkeys(ROOT, ""), dict.fromkeys(ROOT, "")),
    ],
)
async def test_our_user_has_a_line_of_its_own(present: dict[str, str], before: dict[str, str]) -> None:
    """Found with a base whose last line had no newline: two accounts became one that was neither."""
    laid: Any = await runtime._with_accounts(Laid(), Base(present))  # type: ignore[arg-type]
    assert laid == {path: before[path] + OWN[path] for path in OWN}
