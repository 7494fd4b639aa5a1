"""Retry policy for transient errors."""

from __future__ import annotations

import re
from collections.abc import Mapping
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
    """A transient error.

    Args:
        what: one sentence.
        after: seconds to wait, if the registry named them.
        contact: whether the registry responded.
        limited: whether it is about a rate limit.
    """

    def __init__(
        self, what: str, *, after: float | None = None, contact: bool = True, limited: bool = False
    ) -> None:
        super().__init__(what)
        self.after = after
        self.contact = contact
        self.limited = limited


def retry_after(header: str, now: float) -> float | None:
    """Parse a Retry-After header, a number or a date, into seconds; None if it is neither."""
    if header.isascii() and header.isdigit():
        return float(header)
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - now)
    except (ValueError, OverflowError):
        return None


@dataclass(frozen=True)
class RateLimit:
    """A rate limit that is used up.

    Attributes:
        seconds: the time to wait; None if it is not known.
        what: the limit, for the message; may be empty.
    """

    seconds: float | None
    what: str = ""


EPOCH = 1e9
"""Larger numbers are a time, in seconds since 1970, and smaller ones the seconds from now."""


def rate_limit(status: int, headers: Mapping[str, str], now: float) -> RateLimit | None:
    """Return the rate limit that a response is about; None for other responses.

    GitHub answers 403 or 429, and names the time of the reset (x-ratelimit-reset) or the seconds to wait
    (Retry-After). Docker Hub names the limit with its window (`ratelimit-limit: 100;w=21600`), and used to
    name the time in X-Retry-After. GitLab and others name the reset as a time or in seconds.

    Args:
        status: the status of the response.
        headers: its headers; names in any case.
        now: the time in seconds since 1970.
    """
    remaining = headers.get("X-RateLimit-Remaining") or headers.get("RateLimit-Remaining") or ""
    used_up = remaining.partition(";")[0].strip() == "0"
    asked = retry_after(headers.get("Retry-After", ""), now)
    if status != 429 and not (status == 403 and (used_up or asked is not None)):
        return None
    limit = headers.get("RateLimit-Limit") or headers.get("X-RateLimit-Limit") or ""
    quota = re.match(r"\s*(\d{1,9})\s*(?:;\s*w=(\d{1,9}))?", limit) if used_up else None
    window = float(quota[2]) if quota and quota[2] else None
    what = f"the limit of {quota[1]} requests{_hours(window)} is used up" if quota else ""
    resets = ("X-Retry-After", *(("X-RateLimit-Reset", "RateLimit-Reset") if used_up else ()))
    named = [_from_now(headers.get(name, ""), now) for name in resets]
    known = [seconds for seconds in (asked, *named, window) if seconds is not None]
    return RateLimit(known[0] if known else None, what)


def _hours(window: float | None) -> str:
    return f" in {window / 3600:g} h" if window else ""


def _from_now(text: str, now: float) -> float | None:
    if not re.fullmatch(r"[0-9]{1,12}(?:\.[0-9]{1,9})?", text, re.ASCII):
        return None
    number = float(text)
    return max(0.0, number - now) if number >= EPOCH else number
