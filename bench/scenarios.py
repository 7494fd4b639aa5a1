"""What is measured: scenarios, and the plans that put them to subjects and peers. Data, and its order.

A plan's samples are interleaved: in every round each peer takes its turn at each case, and who goes first
moves on with the round, so that a machine that gets slower or faster meets all peers alike.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


class Start(enum.Enum):
    """What a peer has before the change of a scenario. Toolchains and base images it always has."""

    NOTHING = "nothing"
    """No compiled state and no downloaded crate."""

    BUILT = "built"
    """A build of the same platforms."""

    FIRST_PLATFORM = "first"
    """A build of the first platform alone."""


class Change(enum.Enum):
    """What is changed in the source between the start and the build that is timed."""

    NONE = "none"
    LINE = "line"
    OWN_CODE = "own"
    DEPENDENCY = "dependency"
    EVERYTHING = "everything"


@dataclass(frozen=True)
class Scenario:
    """A row of the scenario table.

    Attributes:
        name: what the command line and the results call it.
        title: what the documentation calls it.
        start: what is there before.
        change: what is changed.
        guess: seconds one sample of it may take, for a budget, as long as none was measured.
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
"""In the order in which a case of N platforms takes them."""

AMD64, ARM64 = PLATFORMS[:1], PLATFORMS[1:2]
BOTH = PLATFORMS[:2]


@dataclass(frozen=True)
class Case:
    """One scenario of one subject for some platforms."""

    scenario: str
    subject: str
    platforms: tuple[str, ...]

    @property
    def name(self) -> str:
        """Short and unique, as results and logs have it."""
        architectures = "+".join(platform.removeprefix("linux/") for platform in self.platforms)
        return f"{self.subject} {self.scenario} {architectures}"


@dataclass(frozen=True)
class Row:
    """A case of a plan: who takes part, and in how many rounds."""

    case: Case
    peers: tuple[str, ...]
    rounds: int


@dataclass(frozen=True)
class Turn:
    """One sample that is to be taken."""

    case: Case
    peer: str
    round: int


OURS, EASY, HARDER, MOUNTS, ZIGBUILD, FLOOR = "ours", "easy", "harder", "harder-mounts", "zigbuild", "cargo"
SESSION, CALL, PUBLISH = "session", "dagger-call", "publish"

ALL = (OURS, HARDER, MOUNTS, ZIGBUILD, FLOOR)


def _rows(
    subject: str, scenarios: str, platforms: Sequence[str], peers: Sequence[str], rounds: int
) -> tuple[Row, ...]:
    return tuple(
        Row(Case(name, subject, tuple(platforms)), tuple(peers), rounds) for name in scenarios.split()
    )


SHORT = (
    *_rows("service", "cold", BOTH, (OURS, FLOOR, HARDER), 1),
    *_rows("service", "same", BOTH, (OURS, SESSION, FLOOR, HARDER), 3),
    *_rows("service", "line", BOTH, (OURS, FLOOR, HARDER), 3),
    *_rows("hello", "same", BOTH, (OURS, SESSION, CALL, PUBLISH), 2),
)
"""What ten minutes on two cores are enough for; the first round has the most important samples. sample_app's
dependencies alone take a peer eight minutes of processor time."""

TRIAL = (
    *_rows("hello", "cold", BOTH, (*ALL, EASY), 1),
    *_rows("hello", "same", BOTH, (*ALL, EASY, SESSION, CALL, PUBLISH), 2),
    *_rows("hello", "line warm", BOTH, (*ALL, EASY), 2),
    *_rows("hello", "second", BOTH, ALL, 1),
)
"""A crate without dependencies: whether everything works, in a few minutes."""

FULL = (
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
"""The application of the first five minutes, in a quarter of an hour."""

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
    "registry": REGISTRY,
    "platforms": NUMBERS,
    "peers": OTHERS,
    "emulated": EMULATED,
    "full": FULL,
}


def rotated(peers: Sequence[str], by: int) -> list[str]:
    """The peers in their order, starting further on with every round."""
    start = by % len(peers)
    return [*peers[start:], *peers[:start]]


def turns(rows: Sequence[Row]) -> Iterator[Turn]:
    """The samples of a plan in the order they are taken: round by round, case by case, peer by peer."""
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
    """The part of a plan that is asked for; what is empty or 0 leaves everything as it is.

    Args:
        rows: the plan.
        subjects: the only subjects.
        scenarios: the only scenarios.
        peers: the only peers.
        rounds: how many, instead of the plan's own.
        most: platforms that a case may have.
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
    """How long the next sample may take: 0 where it is not to be started.

    Args:
        budget: seconds the whole run may take; 0 for no end.
        elapsed: seconds it has taken.
        expected: seconds the sample will probably take.
        limit: seconds no sample may exceed.
    """
    if not budget:
        return limit
    left = budget - elapsed
    return min(limit, left) if left >= expected else 0.0
