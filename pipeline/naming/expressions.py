"""The expressions of tag rules: `{{branch}}`, `{{sha}}`, `{{commit_date 'YYYYMMDD'}}` and the like."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from pipeline.errors import InvalidArgument
from pipeline.naming.situation import Situation

OPTION = "--tag-rule"


def invalid(what: str, fix: str) -> InvalidArgument:
    """The error for a rule that cannot be followed."""
    return InvalidArgument(what, where=OPTION, fix=fix)


_EXPRESSION = re.compile(r"\{\{\s*(?P<name>\w+)(?:\s+'(?P<format>[^']*)')?\s*\}\}")

# Longest first: MM would otherwise be taken out of MMM.
_DATE = {"YYYY": "%Y", "MM": "%m", "DD": "%d", "HH": "%H", "mm": "%M", "ss": "%S"}


def filled(text: str, at: Situation) -> str:
    """Text with its expressions replaced.

    Raises:
        InvalidArgument: an expression that there is not; the message lists those there are.
    """
    values = {
        "branch": at.branch,
        "tag": at.event.tag or next(iter(at.facts.tags), ""),
        "sha": at.facts.short,
        "is_default_branch": str(bool(at.branch) and at.branch == at.event.default_branch).lower(),
    }

    def value(match: re.Match[str]) -> str:
        name = match["name"]
        if name == "commit_date":
            when = datetime.fromtimestamp(at.facts.time, UTC)
            template = match["format"] or "YYYYMMDD"
            return re.sub("|".join(_DATE), lambda part: when.strftime(_DATE[part[0]]), template)
        if name not in values:
            known = ", ".join([*values, "commit_date 'YYYYMMDD'"])
            raise invalid(f"there is no {{{{{name}}}}}", f"use one of {known}")
        return values[name]

    return _EXPRESSION.sub(value, text)
