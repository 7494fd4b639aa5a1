"""Scenarios, and plans that combine them with subjects and peers, in order.

A plan's samples are interleaved: in every round each peer builds each case once, starting with another peer
each round, so that changes in the machine's speed affect all peers alike.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


class Start(enum.Enum):
    """A peer's state before a scenario's change. Toolchains and base images are always present."""

    NOTHING = "nothing"
    """No compiled state and no downloaded crates."""

    BUILT = "built"
    """A build of the same platforms."""

    OTHER_PROJECT = "other"
    """A build of another project with the same dependencies, for the same platforms."""

    OTHER_RUNNER = "runner"
    """A build on another machine, of which only what a CI system keeps between jobs is there."""

    FIRST_PLATFORM = "first"
    """A build of the first platform only."""


class Change(enum.Enum):
    """The change to the source between the start and the measured build."""

    NONE = "none"
    LINE = "line"
    OWN_CODE = "own"
    DEPENDENCY = "dependency"
    EVERYTHING = "everything"


@dataclass(frozen=True)
class Scenario:
    """A row of the scenario table.

    Attributes:
        name: name on the command line and in results.
        title: name in the documentation.
        start: state before the change.
        change: the change.
        guess: estimated seconds of a sample, used until one was measured.
    """

    name: str
    title: str
    start: Start
    change: Change
    guess: float


SCENARIOS = (
    Scenario("cold", "cold", Start.NOTHING, Change.EVERYTHING, 150),
    Scenario("warm", "dependencies warm", Start.BUILT, Change.OWN_CODE, 40),
    Scenario("line", "one line changed", Start.BUILT, Change.LINE, 30),
    Scenario("same", "nothing changed", Start.BUILT, Change.NONE, 5),
    Scenario("bump", "dependency bumped", Start.BUILT, Change.DEPENDENCY, 60),
    Scenario("project", "second project", Start.OTHER_PROJECT, Change.EVERYTHING, 150),
    Scenario("runner", "new runner", Start.OTHER_RUNNER, Change.EVERYTHING, 100),
    Scenario("second", "second platform added", Start.FIRST_PLATFORM, Change.NONE, 100),
)
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}

PLATFORMS = (
    "linux/amd64",
    "linux/arm64",
    "linux/arm/v7",
    "linux/386",
    "linux/ppc64le",
    "linux/s390x",
    "linux/riscv64",
)
"""Platforms in the order in which cases of N platforms use them."""

AMD64, ARM64 = PLATFORMS[:1], PLATFORMS[1:2]
BOTH = PLATFORMS[:2]


@dataclass(frozen=True)
class Case:
    """A scenario of one subject for some platforms."""

    scenario: str
    subject: str
    platforms: tuple[str, ...]

    @property
    def name(self) -> str:
        """Return a short unique name, for results and logs."""
        architectures = "+".join(platform.removeprefix("linux/") for platform in self.platforms)
        return f"{self.subject} {self.scenario} {architectures}"


@dataclass(frozen=True)
class Row:
    """A case of a plan with its peers and number of rounds."""

    case: Case
    peers: tuple[str, ...]
    rounds: int


@dataclass(frozen=True)
class Turn:
    """A sample to take."""

    case: Case
    peer: str
    round: int


OURS, EASY, HARDER, MOUNTS, ZIGBUILD, FLOOR = "ours", "easy", "harder", "harder-mounts", "zigbuild", "cargo"
SESSION, CALL, PUBLISH, DIRECTORY = "session", "dagger-call", "publish", "directory"

ALL = (OURS, HARDER, MOUNTS, ZIGBUILD, FLOOR)


def _rows(
    subject: str, scenarios: str, platforms: Sequence[str], peers: Sequence[str], rounds: int
) -> tuple[Row, ...]:
    return tuple(
        Row(Case(name, subject, tuple(platforms)), tuple(peers), rounds) for name in scenarios.split()
    )


RUNNER = (
    *_rows("service", "runner", AMD64, (DIRECTORY, FLOOR), 3),
    *_rows("service", "runner", BOTH, (DIRECTORY, FLOOR), 3),
)
"""A new machine with the directory of compiled dependencies of another one; cargo starts from nothing."""

SHORT = (
    *_rows("service", "cold", BOTH, (OURS, FLOOR, HARDER), 1),
    *_rows("service", "same", BOTH, (OURS, SESSION, FLOOR, HARDER), 3),
    *_rows("service", "line", BOTH, (OURS, FLOOR, HARDER), 3),
    *_rows("hello", "same", BOTH, (OURS, SESSION, CALL, PUBLISH), 2),
)
"""A plan for ten minutes on two cores; the first round has the most important samples. The dependencies
of sample_app alone take a peer eight minutes of processor time."""

PROJECT = (
    *_rows("service", "cold project", AMD64, (OURS, FLOOR), 3),
    *_rows("service", "cold project", BOTH, (OURS, FLOOR), 3),
)
"""A second project with the dependencies of the first; cargo shares only its downloads."""

TRIAL = (
    *_rows("hello", "cold", BOTH, (*ALL, EASY), 1),
    *_rows("hello", "same", BOTH, (*ALL, EASY, SESSION, CALL, PUBLISH), 2),
    *_rows("hello", "line warm", BOTH, (*ALL, EASY), 2),
    *_rows("hello", "second", BOTH, ALL, 1),
)
"""A crate without dependencies, to test the benchmarks in a few minutes."""

FULL = (
    *PROJECT,
    *RUNNER,
    *_rows("sample_app", "cold", BOTH, ALL, 3),
    *_rows("sample_app", "same", BOTH, (*ALL, SESSION, CALL), 5),
    *_rows("hello", "same", BOTH, (OURS, SESSION, CALL, PUBLISH), 5),
    *_rows("sample_app", "line", BOTH, ALL, 5),
    *_rows("sample_app", "warm bump second", BOTH, ALL, 3),
    *_rows("sample_app", "cold", AMD64, (OURS, FLOOR), 3),
    *_rows("sample_app", "cold", ARM64, (OURS, FLOOR), 3),
    *_rows("sample_app", "cold", PLATFORMS[:4], (OURS, FLOOR), 1),
    *_rows("sample_app", "cold", PLATFORMS[:6], (OURS,), 1),
    *_rows("service", "cold", BOTH, ALL, 3),
    *_rows("service", "line warm second", BOTH, ALL, 3),
    *_rows("service", "cold", AMD64, (OURS, FLOOR), 3),
    *_rows("service", "cold", ARM64, (OURS, FLOOR), 3),
    *_rows("service", "cold", PLATFORMS[:4], (OURS, FLOOR), 1),
    *_rows("service", "cold", PLATFORMS[:6], (OURS,), 1),
    *_rows("service", "cold", ARM64, (EASY,), 1),
    *_rows("service", "cold", BOTH, (EASY,), 1),
    *_rows("services", "cold", BOTH, ALL, 2),
    *_rows("services", "line same", BOTH, ALL, 3),
    *_rows("dufs", "cold line same", BOTH, ALL, 2),
    *_rows("basic-http-server", "cold line same", BOTH, ALL, 2),
    *_rows("sample_app", "cold", ARM64, (OURS, EASY), 1),
    *_rows("sample_app", "cold", BOTH, (EASY,), 1),
)


SAMPLE_APP = (
    *_rows("sample_app", "cold", BOTH, (OURS, HARDER, FLOOR), 1),
    *_rows("sample_app", "line", BOTH, (OURS, HARDER, FLOOR), 2),
    *_rows("sample_app", "same", BOTH, (OURS, SESSION, HARDER, FLOOR), 2),
)
"""The sample application, in a quarter of an hour."""

WORKSPACE = (
    *_rows("services", "cold", BOTH, (OURS, HARDER, FLOOR), 1),
    *_rows("services", "line", BOTH, (OURS, HARDER, FLOOR), 2),
    *_rows("services", "same", BOTH, (OURS, SESSION, HARDER, FLOOR), 2),
)
"""Twelve services, in half an hour."""

REGISTRY = (
    *_rows("basic-http-server", "cold", BOTH, (OURS, HARDER, FLOOR), 1),
    *_rows("dufs", "cold", BOTH, (OURS, HARDER, FLOOR), 1),
    *_rows("basic-http-server", "same", BOTH, (OURS, SESSION, FLOOR), 1),
    *_rows("dufs", "same", BOTH, (OURS, SESSION, FLOOR), 1),
    *_rows("basic-http-server", "line", BOTH, (OURS, FLOOR, HARDER), 1),
    *_rows("dufs", "line", BOTH, (OURS, FLOOR, HARDER), 1),
)
"""Two services from the crate registry, in half an hour."""

NUMBERS = (
    *_rows("service", "cold", BOTH, (OURS, FLOOR), 1),
    *_rows("service", "cold", AMD64, (OURS, FLOOR), 1),
    *_rows("service", "cold", ARM64, (OURS, FLOOR), 1),
    *_rows("service", "cold", PLATFORMS[:6], (OURS,), 1),
    *_rows("service", "cold", PLATFORMS[:4], (OURS,), 1),
)
"""One, two, four and six platforms, in a quarter of an hour."""

OTHERS = (
    *_rows("service", "cold", BOTH, ALL, 1),
    *_rows("service", "same", BOTH, (*ALL, SESSION), 1),
    *_rows("service", "line warm bump second", BOTH, ALL, 1),
)
"""Every peer that needs no emulation in every scenario, in half an hour."""

EMULATED = (
    *_rows("service", "cold", BOTH, (OURS, EASY, FLOOR), 1),
    *_rows("service", "cold", ARM64, (OURS, EASY, FLOOR), 1),
)
"""The compiler itself under QEMU, in half an hour."""

PLANS = {
    "short": SHORT,
    "trial": TRIAL,
    "sample_app": SAMPLE_APP,
    "workspace": WORKSPACE,
    "project": PROJECT,
    "runner": RUNNER,
    "registry": REGISTRY,
    "platforms": NUMBERS,
    "peers": OTHERS,
    "emulated": EMULATED,
    "full": FULL,
}


def rotated(peers: Sequence[str], by: int) -> list[str]:
    """Return the peers in order, starting with another one in every round."""
    start = by % len(peers)
    return [*peers[start:], *peers[:start]]


def turns(rows: Sequence[Row]) -> Iterator[Turn]:
    """Yield the samples of a plan in order: round by round, case by case, peer by peer."""
    for number in range(max((row.rounds for row in rows), default=0)):
        for row in rows:
            if number < row.rounds:
                for peer in rotated(row.peers, number):
                    yield Turn(row.case, peer, number)


def chosen(
    rows: Sequence[Row],
    subjects: Sequence[str] = (),
    scenarios: Sequence[str] = (),
    peers: Sequence[str] = (),
    rounds: int = 0,
    most: int = 0,
) -> list[Row]:
    """Return the requested part of a plan; empty arguments and 0 select everything.

    Args:
        rows: the plan.
        subjects: subjects to keep.
        scenarios: scenarios to keep.
        peers: peers to keep.
        rounds: number of rounds, instead of the plan's.
        most: maximum number of platforms of a case.
    """
    found = []
    for row in rows:
        kept = tuple(peer for peer in row.peers if not peers or peer in peers)
        wanted = row.case.subject in (subjects or [row.case.subject])
        few = not most or len(row.case.platforms) <= most
        if kept and wanted and few and row.case.scenario in (scenarios or [row.case.scenario]):
            found.append(Row(row.case, kept, rounds or row.rounds))
    return found


def seconds_left(budget: float, elapsed: float, expected: float, limit: float) -> float:
    """Return the time limit of the next sample: 0 if it must not be started.

    Args:
        budget: time limit of the run in seconds; 0 for no limit.
        elapsed: seconds so far.
        expected: expected seconds of the sample.
        limit: time limit of a sample in seconds.
    """
    if not budget:
        return limit
    left = budget - elapsed
    return min(limit, left) if left >= expected else 0.0
