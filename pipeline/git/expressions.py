"""The expressions of tag rules: `{{branch}}`, `{{sha}}`, `{{commit_date 'YYYYMMDD'}}` and the like."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pipeline.errors import InvalidArgument
from pipeline.git.context import Situation

OPTION = "--tag-rule"


def invalid(what: str, fix: str) -> InvalidArgument:
    """The error for a rule that cannot be followed."""
    return InvalidArgument(what, where=OPTION, fix=fix)


_EXPRESSION = re.compile(
    r"""
    \{\{ \s* (?P<name>\w+)
    (?: \s+ (?P<quote>['"]) (?P<format>[^'"}]*) (?P=quote) )?
    (?: \s+ tz= (?P<mark>['"]) (?P<zone>[^'"}]*) (?P=mark) )?
    \s* \}\}
    """,
    re.VERBOSE,
)

# Longest first: MM would otherwise be taken out of MMM.
_DATE = {"YYYY": "%Y", "MM": "%m", "DD": "%d", "HH": "%H", "mm": "%M", "ss": "%S"}


def is_branch(at: Situation, name: str = "") -> bool:
    """Whether a branch is built; the default one where no name is given. No tag or request is a branch.

    Raises:
        InvalidArgument: the default branch is asked for and not known.
    """
    return bool(at.branch) and at.branch == (name or _default_branch(at))


def _default_branch(at: Situation) -> str:
    if not at.default_branch:
        # Said rather than guessed: `latest` or `edge` would be missing on every branch, and nobody told.
        raise invalid(
            "the default branch is not known: neither the CI system nor git's origin/HEAD names it",
            "name it, as in type=edge,branch=main, or run "
            "`git symbolic-ref refs/remotes/origin/HEAD refs/remotes/origin/main` with its name",
        )
    return at.default_branch


EXPRESSIONS: Mapping[str, Callable[[Situation], str]] = {
    "branch": lambda at: at.branch,
    "tag": lambda at: next(iter(at.tags), ""),
    "sha": lambda at: at.facts.short,
    "is_default_branch": lambda at: str(is_branch(at)).lower(),
}
"""What there is besides the commit's date."""


def filled(text: str, at: Situation) -> str:
    """Text with its expressions replaced.

    Raises:
        InvalidArgument: an expression that there is not; the message lists those there are. A time zone that
            there is not. Or the default branch is asked for and not known.
    """

    def value(match: re.Match[str]) -> str:
        name = match["name"]
        if name == "commit_date":
            when = datetime.fromtimestamp(at.facts.time, _zone(match["zone"] or "UTC"))
            template = match["format"] or "YYYYMMDD"
            return re.sub("|".join(_DATE), lambda part: when.strftime(_DATE[part[0]]), template)
        if name not in EXPRESSIONS:
            raise _unknown(match[0])
        return EXPRESSIONS[name](at)

    if left := re.search(r"\{\{.*", _EXPRESSION.sub("", text)):
        raise _unknown(left[0])
    return _EXPRESSION.sub(value, text)


def _unknown(expression: str) -> InvalidArgument:
    known = ", ".join([*EXPRESSIONS, "commit_date 'YYYYMMDD' tz='UTC'"])
    return invalid(f"there is no {expression}", f"use one of {known}")


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, ZoneInfoNotFoundError):
        raise invalid(f"there is no time zone {name!r}", "write it as in tz='Asia/Tokyo'") from None
