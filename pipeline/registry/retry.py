"""How failures that may pass are met: which they are, how often and how long apart to try again."""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import parsedate_to_datetime

PASSING = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses that may be gone the next time."""


@dataclass(frozen=True)
class Retry:
    """How often and how long apart. Waiting doubles; a registry's own Retry-After goes before it.

    Attributes:
        attempts: requests made at most, the first included.
        first_seconds: the wait after the first failure.
        longest_seconds: no wait is longer; a registry that asks for more is given up.
    """

    attempts: int = 5
    first_seconds: float = 0.5
    longest_seconds: float = 60.0

    def wait(self, failures: int, asked: float | None) -> float | None:
        """Seconds to wait after so many failures; None to give up."""
        if failures >= self.attempts or (asked or 0) > self.longest_seconds:
            return None
        own = min(self.first_seconds * 2.0 ** (failures - 1), self.longest_seconds)
        return max(asked or 0.0, own)


class Passing(Exception):
    """A failure that may be gone the next time."""

    def __init__(self, what: str, *, after: float | None = None, contact: bool = True) -> None:
        super().__init__(what)
        self.after = after
        self.contact = contact


def retry_after(header: str, now: float) -> float | None:
    """Seconds that a Retry-After header asks for: it is a number, or a date. None without one."""
    if header.isdigit():
        return float(header)
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - now)
    except ValueError:
        return None
