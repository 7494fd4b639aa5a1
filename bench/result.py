"""What was measured, as data: samples, the machine, and the JSON file that has both."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.scenarios import Case, Turn

OK, TIMEOUT, FAILED = "ok", "timeout", "failed"


@dataclass(frozen=True)
class Sample:
    """One timed build.

    Attributes:
        case: what was built, from which state.
        peer: by whom.
        round: which repetition, from 0.
        outcome: `ok`, `timeout` (then `wall` is only a lower bound) or `failed`.
        wall: seconds from start to end of the command.
        user: CPU seconds in user mode of the command and of everything it had others do.
        system: the same in the kernel.
        peak: bytes of anonymous memory that the compile used at its highest.
        disk: bytes by which the peer's own directories grew; None where it was not measured.
        image: bytes of the OCI archive it left, compressed; None where it leaves none.
        load: the machine's one-minute load average just before.
        phases: seconds of named parts, where the peer tells them.
        uploaded: bytes sent to a registry, where the peer pushes.
        note: the end of the output, where it did not work.
    """

    case: Case
    peer: str
    round: int
    outcome: str
    wall: float
    user: float = 0.0
    system: float = 0.0
    peak: int = 0
    disk: int | None = None
    image: int | None = None
    load: float = 0.0
    phases: Mapping[str, float] = field(default_factory=dict)
    uploaded: int | None = None
    note: str = ""

    @property
    def turn(self) -> Turn:
        """The turn it was taken for."""
        return Turn(self.case, self.peer, self.round)

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Sample:
        """A sample out of a result file."""
        case = document["case"]
        return cls(**{**document, "case": Case(**{**case, "platforms": tuple(case["platforms"])})})


@dataclass(frozen=True)
class Result:
    """One run.

    Attributes:
        plan: which plan it followed.
        commit: of this project.
        machine: processor, cores, memory, kernel.
        versions: of everything that takes part.
        started: UTC time.
        samples: in the order they were taken.
        skipped: names of turns the budget had no room for.
        seconds: wall time of the whole run.
    """

    plan: str
    commit: str
    machine: Mapping[str, Any]
    versions: Mapping[str, str]
    started: str
    samples: tuple[Sample, ...] = ()
    skipped: tuple[str, ...] = ()
    seconds: float = 0.0

    @classmethod
    def read(cls, path: Path) -> Result:
        """A result from its file."""
        document = json.loads(path.read_text())
        document["samples"] = tuple(map(Sample.parse, document["samples"]))
        return cls(**{**document, "skipped": tuple(document["skipped"])})

    def write(self, path: Path) -> None:
        """Write the file so that a reader, or a crash, never meets half of it."""
        unfinished = path.with_name(f".{path.name}")
        unfinished.write_text(json.dumps(asdict(self), indent=1) + "\n")
        unfinished.replace(path)

    def of(self, case: Case, peer: str) -> list[Sample]:
        """The samples of a peer at a case, by round."""
        return sorted(_matching(self.samples, case, peer), key=lambda sample: sample.round)

    def cases(self) -> list[Case]:
        """The cases that have samples, in the order they came."""
        return list(dict.fromkeys(sample.case for sample in self.samples))

    def peers(self, case: Case) -> list[str]:
        """Who took part in a case, in the order they came."""
        return list(dict.fromkeys(sample.peer for sample in self.samples if sample.case == case))


def _matching(samples: Iterable[Sample], case: Case, peer: str) -> list[Sample]:
    return [sample for sample in samples if sample.case == case and sample.peer == peer]
