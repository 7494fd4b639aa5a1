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

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)


def _ordinal(number: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th") if number // 10 % 10 != 1 else "th"
    return f"{number}{ending}"


def _offset(at: datetime, colon: str) -> str:
    text = at.strftime("%z")
    return text[:3] + colon + text[3:5]


# The tokens of moment.js, in English. Longest first, or MM would match in MMM.
_DATE: Mapping[str, Callable[[datetime], str]] = {
    "YYYY": lambda at: f"{at.year:04}",
    "YY": lambda at: f"{at.year % 100:02}",
    "Q": lambda at: str((at.month + 2) // 3),
    "MMMM": lambda at: _MONTHS[at.month - 1],
    "MMM": lambda at: _MONTHS[at.month - 1][:3],
    "MM": lambda at: f"{at.month:02}",
    "Mo": lambda at: _ordinal(at.month),
    "M": lambda at: str(at.month),
    "DDDD": lambda at: f"{at.timetuple().tm_yday:03}",
    "DDD": lambda at: str(at.timetuple().tm_yday),
    "DD": lambda at: f"{at.day:02}",
    "Do": lambda at: _ordinal(at.day),
    "D": lambda at: str(at.day),
    "dddd": lambda at: _DAYS[at.weekday()],
    "ddd": lambda at: _DAYS[at.weekday()][:3],
    "dd": lambda at: _DAYS[at.weekday()][:2],
    "d": lambda at: str(at.isoweekday() % 7),
    "E": lambda at: str(at.isoweekday()),
    "GGGG": lambda at: f"{at.isocalendar().year:04}",
    "WW": lambda at: f"{at.isocalendar().week:02}",
    "W": lambda at: str(at.isocalendar().week),
    "HH": lambda at: f"{at.hour:02}",
    "H": lambda at: str(at.hour),
    "hh": lambda at: f"{at.hour % 12 or 12:02}",
    "h": lambda at: str(at.hour % 12 or 12),
    "mm": lambda at: f"{at.minute:02}",
    "m": lambda at: str(at.minute),
    "ss": lambda at: f"{at.second:02}",
    "s": lambda at: str(at.second),
    "SSS": lambda at: "000",
    "SS": lambda at: "00",
    "S": lambda at: "0",
    "A": lambda at: "AM" if at.hour < 12 else "PM",
    "a": lambda at: "am" if at.hour < 12 else "pm",
    "ZZ": lambda at: _offset(at, ""),
    "Z": lambda at: _offset(at, ":"),
    "X": lambda at: str(int(at.timestamp())),
    "x": lambda at: f"{int(at.timestamp())}000",
}
_TOKEN = re.compile(r"\[([^\]]*)\]|" + "|".join(_DATE))


def formatted(at: datetime, template: str) -> str:
    """Format a time by a template of moment.js; text in brackets is kept."""
    return _TOKEN.sub(lambda token: _DATE[token[0]](at) if token[0] in _DATE else token[1], template)


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
    "base_ref": lambda at: at.event.base,
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
            return formatted(when, match["format"] or "YYYYMMDD")
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
