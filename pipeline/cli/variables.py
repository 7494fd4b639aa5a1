"""Report environment variables that options name and that are not set."""

from __future__ import annotations

import re

from pipeline.errors import InvalidArgument


def unset(name: str, option: str) -> InvalidArgument:
    """Return the error for an environment variable that an option names and that is not set.

    A text that is no name may be the secret itself, so the message does not quote it.
    """
    shown = f"the environment variable {name}" if re.fullmatch(r"[A-Z][A-Z0-9_]*", name) else "the variable"
    return InvalidArgument(
        f"{shown} is not set",
        where=option,
        fix="set and export it, or pass the name of the variable that has the secret, not the secret",
    )
