"""Test the account files of the final image; a base is a dict of files here."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.errors import InvalidArgument
from pipeline.oci import accounts, runtime

pytestmark = pytest.mark.anyio

OWN = {path: own for path, (_, own) in accounts.FILES.items()}
ROOT = {path: root for path, (root, _) in accounts.FILES.items()}


class Base(dict[str, str]):
    """A fake container with files."""

    async def exists(self, path: str) -> bool:
        return path in self

    def file(self, path: str) -> Any:
        async def contents() -> str:
            return self[path]

        return SimpleNamespace(contents=contents)


class Laid(dict[str, str]):
    """A fake directory that files are added to."""

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
async def test_the_account_is_added_on_a_new_line(present: dict[str, str], before: dict[str, str]) -> None:
    """With a base whose last line had no newline, the two last accounts were joined into one line."""
    laid: Any = await runtime._with_accounts(Laid(), Base(present))  # type: ignore[arg-type]
    assert laid == {path: before[path] + OWN[path] for path in OWN}


PASSWD = ROOT[accounts.PASSWD] + "nobody:x:65534:65534::/:/bin/false\ntoor:x:0:0::/:/bin/sh\nodd:x:many\n"
FILES = {accounts.PASSWD: PASSWD, accounts.GROUP: "root:x:0:\nwww-data:x:33:\n"}


@pytest.mark.parametrize(
    ("user", "number"),
    [
        ("10001:10001", "10001:10001"),
        ("1000", "1000"),
        ("007:08", "7:8"),
        ("nobody", "65534"),
        ("nobody:www-data", "65534:33"),
        ("1000:www-data", "1000:33"),
        ("root", "0"),
        ("toor", "0"),
        (":5", "0:5"),
        ("nobody:", "65534"),
    ],
)
def test_a_user_is_written_as_a_number(user: str, number: str) -> None:
    """Kubernetes cannot check that a named user is not root, and does not start such an image (case 30)."""
    assert accounts.numeric(user, FILES) == number


@pytest.mark.parametrize(
    ("user", "what"),
    [
        ("somebody", "no user 'somebody' in /etc/passwd"),
        ("nobody:users", "no group 'users' in /etc/group"),
        ("odd", "no user 'odd'"),
        ("4294967295", "too high for a user"),
        ("-1", "no user '-1'"),
    ],
)
def test_an_unknown_user_is_refused(user: str, what: str) -> None:
    with pytest.raises(InvalidArgument, match=what):
        accounts.numeric(user, FILES)
    with pytest.raises(InvalidArgument):
        accounts.numeric("nobody", {})


@pytest.mark.parametrize(
    ("user", "root"),
    [
        *(
            dict.fromkeys(
                ("", "root", "0", "00", "+0", "-0", "0:0", "root:app", "0:10001", ":5"), True
            ).items()
        ),
        *(dict.fromkeys((accounts.USER, "app", "1000", "10:0", "rooty", "100"), False).items()),
    ],
)
def test_root_is_recognized_in_any_spelling(user: str, root: bool) -> None:
    assert accounts.is_root(user) is root
