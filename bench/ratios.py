"""Compute ratios between peers, their spread, and whether they meet the goals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from bench.result import FAILED, OK, TIMEOUT, Result, Sample
from bench.scenarios import (
    AMD64,
    ARM64,
    BOTH,
    CALL,
    DIRECTORY,
    EASY,
    FLOOR,
    HARDER,
    OURS,
    PLATFORMS,
    PUBLISH,
    SESSION,
    Case,
)


@dataclass(frozen=True)
class Spread:
    """The spread of some numbers of the same kind.

    Attributes:
        middle: their median.
        low: the smallest.
        high: the largest.
        count: number of values.
        bound: whether a sample was cut off, so that `middle` is a lower limit.
    """

    middle: float
    low: float
    high: float
    count: int
    bound: bool = False

    @classmethod
    def of(cls, numbers: Sequence[float], bound: bool = False) -> Spread:
        """Return the spread of at least one number."""
        return cls(median(numbers), min(numbers), max(numbers), len(numbers), bound)

    def __str__(self) -> str:
        sign = "> " if self.bound else ""
        spread = "" if self.count == 1 else f" ({self.low:.2f}..{self.high:.2f}, n={self.count})"
        return f"{sign}{self.middle:.2f}{spread}"


def walls(result: Result, case: Case, peer: str) -> Spread | None:
    """Return a peer's seconds for a case; None without a sample."""
    samples = [sample for sample in result.of(case, peer) if sample.outcome != FAILED]
    bound = any(sample.outcome == TIMEOUT for sample in samples)
    return Spread.of([sample.wall for sample in samples], bound) if samples else None


def _paired(result: Result, ours: Case, theirs: Case, peers: tuple[str, str]) -> list[tuple[Sample, Sample]]:
    """Return samples of two peers from the same round; the first one must have completed."""
    others = {sample.round: sample for sample in result.of(theirs, peers[1]) if sample.outcome == OK}
    mine = [sample for sample in result.of(ours, peers[0]) if sample.outcome != FAILED]
    return [(sample, others[sample.round]) for sample in mine if sample.round in others]


def ratio(
    result: Result,
    case: Case,
    upper: str,
    lower: str,
    base: Case | None = None,
    less: float = 0.0,
) -> Spread | None:
    """Return the wall time of one peer over another's by round; None without a common round.

    Args:
        result: the run; samples of different runs are not comparable.
        case: case of the numerator.
        upper: peer of the numerator; if it was cut off, the ratio is a lower limit.
        lower: peer of the denominator.
        base: case of the denominator, if different.
        less: seconds to subtract from the numerator first.
    """
    pairs = _paired(result, case, base or case, (upper, lower))
    if not pairs:
        return None
    bound = any(top.outcome == TIMEOUT for top, _ in pairs)
    return Spread.of([max(top.wall - less, 0.0) / below.wall for top, below in pairs], bound)


def apart(result: Result, subject: str, peer: str = OURS) -> Spread | None:
    """Return the ratio of two separate builds of two platforms to one build of both."""
    both = Case("cold", subject, BOTH)
    singles = [Case("cold", subject, AMD64), Case("cold", subject, ARM64)]
    found = [{s.round: s.wall for s in result.of(case, peer) if s.outcome == OK} for case in [both, *singles]]
    rounds = set(found[0]) & set(found[1]) & set(found[2])
    if not rounds:
        return None
    return Spread.of([(found[1][number] + found[2][number]) / found[0][number] for number in sorted(rounds)])


def session(result: Result, subject: str) -> float:
    """Return the seconds of an empty engine session in this run; 0 if it was not measured."""
    spread = walls(result, Case("same", subject, BOTH), SESSION)
    return spread.middle if spread else 0.0


def beyond_session(result: Result, subject: str, peer: str) -> Spread | None:
    """Return the seconds of a call without changes beyond those of an empty session."""
    samples = [s for s in result.of(Case("same", subject, BOTH), peer) if s.outcome == OK]
    empty = session(result, subject)
    return Spread.of([max(sample.wall - empty, 0.0) for sample in samples]) if samples and empty else None


def uploaded(result: Result, subject: str, peer: str) -> Spread | None:
    """Return the bytes that a publish without changes uploads."""
    samples = result.of(Case("same", subject, BOTH), peer)
    found = [float(sample.uploaded) for sample in samples if sample.uploaded is not None]
    return Spread.of(found) if found else None


@dataclass(frozen=True)
class Bar:
    """A goal of the benchmarks.

    Attributes:
        name: title.
        limit: the limit.
        at_least: whether the limit is a minimum and not a maximum.
        measure: computes the number from a run, a subject and a peer; None if the run does not have
            it.
        subjects: subjects it applies to.
        peer: peer it applies to.
        floor: whether to compute the number for plain cargo as well, to show what is possible.
    """

    name: str
    limit: float
    at_least: bool
    measure: Callable[[Result, str, str], Spread | None]
    subjects: tuple[str, ...] = ("sample_app", "service")
    peer: str = OURS
    floor: bool = False


def _over(
    scenario: str,
    upper: str,
    platforms: tuple[str, ...] = BOTH,
) -> Callable[[Result, str, str], Spread | None]:
    """Return the measure "peer over this project"."""

    def measure(result: Result, subject: str, peer: str) -> Spread | None:
        return ratio(result, Case(scenario, subject, platforms), upper, peer)

    return measure


def _over_floor(platforms: tuple[str, ...] = BOTH) -> Callable[[Result, str, str], Spread | None]:
    """Return the measure "this project over plain cargo" of a cold build."""

    def measure(result: Result, subject: str, peer: str) -> Spread | None:
        return ratio(result, Case("cold", subject, platforms), peer, FLOOR)

    return measure


def _line_over_floor(result: Result, subject: str, peer: str) -> Spread | None:
    empty = session(result, subject)
    return ratio(result, Case("line", subject, BOTH), peer, FLOOR, less=empty) if empty else None


def _over_one(number: int) -> Callable[[Result, str, str], Spread | None]:
    """Return the measure "some platforms over one"."""

    def measure(result: Result, subject: str, peer: str) -> Spread | None:
        many, one = Case("cold", subject, PLATFORMS[:number]), Case("cold", subject, AMD64)
        return ratio(result, many, peer, peer, one)

    return measure


BARS = (
    Bar("arm64 cold, emulated Dockerfile over ours", 12, True, _over("cold", EASY, ARM64), floor=True),
    Bar("both platforms cold, emulated Dockerfile over ours", 7, True, _over("cold", EASY), floor=True),
    Bar(
        "both platforms cold, hand-written Dockerfile over ours",
        1.25,
        True,
        _over("cold", HARDER),
        floor=True,
    ),
    Bar("one line, hand-written Dockerfile over ours", 1.0, True, _over("line", HARDER), floor=True),
    Bar(
        "one line in 12 services, hand-written Dockerfile over ours",
        3.0,
        True,
        _over("line", HARDER),
        ("services",),
        floor=True,
    ),
    Bar("second project, plain cargo over ours", 2.5, True, _over("project", FLOOR), ("service",)),
    Bar(
        "second project, one platform, plain cargo over ours",
        2.5,
        True,
        _over("project", FLOOR, AMD64),
        ("service",),
    ),
    Bar("new runner, plain cargo over ours", 2.0, True, _over("runner", FLOOR), ("service",), DIRECTORY),
    Bar(
        "new runner, one platform, plain cargo over ours",
        2.0,
        True,
        _over("runner", FLOOR, AMD64),
        ("service",),
        DIRECTORY,
    ),
    Bar("cold, ours over plain cargo", 1.08, False, _over_floor()),
    Bar("cold, one platform, ours over plain cargo", 1.08, False, _over_floor(AMD64)),
    Bar("one line, ours less an empty session over plain cargo", 1.25, False, _line_over_floor),
    Bar("nothing changed, seconds beyond an empty session", 3.0, False, beyond_session),
    Bar(
        "nothing changed by `dagger call`, seconds beyond an empty session",
        3.0,
        False,
        beyond_session,
        ("hello",),
        CALL,
    ),
    Bar("publish with nothing changed, bytes uploaded", 0, False, uploaded, ("hello",), PUBLISH),
    Bar("two platforms over one", 1.85, False, _over_one(2), floor=True),
    Bar("two platforms separately over together", 1.25, True, apart, floor=True),
    Bar("six platforms over one", 5.0, False, _over_one(6), floor=True),
)


@dataclass(frozen=True)
class Verdict:
    """A goal compared with a run."""

    bar: Bar
    subject: str
    measured: Spread | None
    floor: Spread | None = None
    """The same number for plain cargo."""

    @property
    def word(self) -> str:
        """Return `met`, `missed` or, without samples or with only a lower limit, `open`."""
        if self.measured is None:
            return "open"
        over = self.measured.middle >= self.bar.limit
        if self.measured.bound and not (self.bar.at_least and over):
            return "open"
        return "met" if over == self.bar.at_least or self.measured.middle == self.bar.limit else "missed"

    @property
    def margin(self) -> float | None:
        """Return the factor by which it is met (1 or more) or missed (less than 1); None without a factor."""
        if self.measured is None or not self.measured.middle or not self.bar.limit:
            return None
        better = self.measured.middle / self.bar.limit
        return better if self.bar.at_least else 1 / better


def verdicts(result: Result) -> list[Verdict]:
    """Compare every goal with the subjects of the run it applies to, or with its first subject."""
    there = {case.subject for case in result.cases()}
    return [
        Verdict(
            bar,
            subject,
            bar.measure(result, subject, bar.peer),
            bar.measure(result, subject, FLOOR) if bar.floor else None,
        )
        for bar in BARS
        for subject in [name for name in bar.subjects if name in there] or bar.subjects[:1]
    ]
