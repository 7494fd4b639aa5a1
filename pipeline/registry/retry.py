"""Retry policy for transient errors."""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import parsedate_to_datetime

PASSING = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses of transient errors."""


@dataclass(frozen=True)
class Retry:
    """Number of attempts and waiting times, with exponential backoff; Retry-After takes precedence.

    Attributes:
        attempts: maximum number of requests, including the first.
        first_seconds: wait after the first failure.
        longest_seconds: longest wait; a longer Retry-After ends the attempts.
    """

    attempts: int = 5
    first_seconds: float = 0.5
    longest_seconds: float = 60.0

    def wait(self, failures: int, asked: float | None) -> float | None:
        """Return the seconds to wait after some failures; None to give up."""
        if failures >= self.attempts or (asked or 0) > self.longest_seconds:
            return None
        own = min(self.first_seconds * 2.0 ** (failures - 1), self.longest_seconds)
        return max(asked or 0.0, own)


class TransientError(Exception):
    """A transient error."""

    def __init__(self, what: str, *, after: float | None = None, contact: bool = True) -> None:
        super().__init__(what)
        self.after = after
        self.contact = contact


def retry_after(header: str, now: float) -> float | None:
    """Parse a Retry-After header, a number or a date, into seconds; None if it is neither."""
    if header.isascii() and header.isdigit():
        return float(header)
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - now)
    except (ValueError, OverflowError):
        return None
