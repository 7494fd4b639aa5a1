"""Resolve the image's user to a number, since clusters that refuse root check only the config."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pipeline.config.settings import USER
from pipeline.errors import InvalidArgument

ACCOUNT, UID = "app", USER.partition(":")[0]
"""Name and number of the account added to images."""

OWN = frozenset({USER, UID, ACCOUNT, f"{ACCOUNT}:{ACCOUNT}"})
"""The spellings of the added account."""

PASSWD, GROUP = "/etc/passwd", "/etc/group"

FILES = {
    PASSWD: (
        "root:x:0:0:root:/root:/usr/sbin/nologin\n",
        f"{ACCOUNT}:x:{UID}:{UID}::/nonexistent:/usr/sbin/nologin\n",
    ),
    GROUP: ("root:x:0:\n", f"{ACCOUNT}:x:{UID}:\n"),
}
"""Account files: root's line, for bases without the file, and the line of the added account."""

HIGHEST = 2**31 - 1
"""The highest user or group number that container runtimes accept."""

_NUMBER = re.compile(r"\+?\d+", re.ASCII)


def is_numeric(user: str) -> bool:
    """Return True if a user is numeric: `10001` or `10001:10001`."""
    return all(_NUMBER.fullmatch(part) for part in user.split(":", 1))


def numeric(user: str, files: Mapping[str, str]) -> str:
    """Return a user in numbers: `UID`, or `UID:GID` if a group is given.

    No group is added, because runtimes then use the groups of the account.

    Args:
        user: a name or a number, and after a colon a group; empty means root, as in an image's config.
        files: the contents of the image's account files, by path; a missing file has no accounts.

    Raises:
        InvalidArgument: the image has no such user or group, or a number is too high.
    """
    name, colon, group = user.partition(":")
    uid = _number(name or "0", files, PASSWD, "user")
    return f"{uid}:{_number(group, files, GROUP, 'group')}" if colon and group else uid


def _number(name: str, files: Mapping[str, str], path: str, kind: str) -> str:
    number = name if _NUMBER.fullmatch(name) else _looked_up(name, files.get(path, ""))
    if not number:
        raise InvalidArgument(
            f"the image has no {kind} {name!r} in {path}",
            where="--user",
            fix=f"write its number, add it to {path} with --files, or leave --user out for {USER}",
        )
    if int(number) > HIGHEST:
        raise InvalidArgument(
            f"{number} is too high for a {kind} number", where="--user", fix=f"use a number up to {HIGHEST}"
        )
    return str(int(number))


def _looked_up(name: str, text: str) -> str:
    """Look up a name's number in an account file; the first match is used, as in the C library."""
    rows = (line.split(":") for line in text.splitlines())
    found = next((row[2] for row in rows if row[0] == name and len(row) > 2), "")
    return found if _NUMBER.fullmatch(found) else ""


def is_root(user: str) -> bool:
    """Return True if a user is root in any spelling: `root`, `0`, `00:5`, `root:app`, or empty."""
    name = user.partition(":")[0]
    return name in ("", "root") or bool(re.fullmatch(r"[+-]?0+", name))


def extended(present: str, own: str) -> str:
    """Append a line to a file's text, whose last line may have no newline."""
    return present + ("\n" if present and not present.endswith("\n") else "") + own
