"""Expand the expressions of tag rules, such as `{{branch}}` and `{{commit_date 'YYYYMMDD'}}`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pipeline.errors import InvalidArgument
from pipeline.git.context import BuildContext

OPTION = "--tag-rule"


def invalid(what: str, fix: str) -> InvalidArgument:
    """Return the error for an invalid rule."""
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

# Longest first, or MM would match in MMM.
_DATE = {"YYYY": "%Y", "MM": "%m", "DD": "%d", "HH": "%H", "mm": "%M", "ss": "%S"}


def is_branch(at: BuildContext, name: str = "") -> bool:
    """Check whether a branch is being built, by default the default branch; tags and pull requests are not.

    Raises:
        InvalidArgument: the default branch is required and unknown.
    """
    return bool(at.branch) and at.branch == (name or _default_branch(at))


def _default_branch(at: BuildContext) -> str:
    if not at.default_branch:
        # An error and not a guess: otherwise `latest` or `edge` would silently be missing.
        raise invalid(
            "the default branch is not known: neither the CI system nor git's origin/HEAD names it",
            "name it, as in type=edge,branch=main, or run "
            "`git symbolic-ref refs/remotes/origin/HEAD refs/remotes/origin/main` with its name",
        )
    return at.default_branch


EXPRESSIONS: Mapping[str, Callable[[BuildContext], str]] = {
    "branch": lambda at: at.branch,
    "tag": lambda at: next(iter(at.tags), ""),
    "sha": lambda at: at.facts.short,
    "is_default_branch": lambda at: str(is_branch(at)).lower(),
}
"""The expressions besides the commit's date."""


def expand(text: str, at: BuildContext) -> str:
    """Replace the expressions in a text.

    Raises:
        InvalidArgument: an expression or a time zone is unknown, or the default branch is required and
            unknown.
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
    return invalid(f"unknown expression {expression}", f"use one of {known}")


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, ZoneInfoNotFoundError):
        raise invalid(f"there is no time zone {name!r}", "write it as in tz='Asia/Tokyo'") from None
