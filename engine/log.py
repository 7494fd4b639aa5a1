"""How the engine's code tells the user what it is doing."""

from __future__ import annotations

import sys
from collections.abc import Callable

Log = Callable[[str], None]


def to_stderr(line: str) -> None:
    """Say one line of progress, keeping standard output for results."""
    print(line, file=sys.stderr, flush=True)
