"""Read the environment variables that options name, and report those that are not set."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

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


@dataclass(frozen=True)
class FromEnvironment:
    """A secret in an environment variable, read on each use."""

    name: str
    option: str = "--password"

    def check(self) -> None:
        """Check that the variable is set.

        Raises:
            InvalidArgument: the variable is not set.
        """
        if self.name not in os.environ:
            raise unset(self.name, self.option)

    async def plaintext(self) -> str:
        """Return the variable's value.

        Raises:
            InvalidArgument: the variable is not set.
        """
        self.check()
        return os.environ[self.name]
