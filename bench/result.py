"""Results as data: samples, the machine, and the JSON file of both."""

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
    """A measured build.

    Attributes:
        case: scenario, subject and platforms.
        peer: name of the peer.
        round: number of the repetition, from 0.
        outcome: `ok`, `timeout` (then `wall` is only a lower bound) or `failed`.
        wall: seconds from start to end of the command.
        user: CPU seconds in user mode, of the command and of the daemon's work for it.
        system: the same in the kernel.
        peak: peak bytes of anonymous memory of the compile.
        disk: bytes by which the peer's directories grew; None if not measured.
        image: bytes of the compressed OCI archive; None without one.
        load: the machine's one-minute load average just before.
        phases: seconds of named phases, if the peer reports them.
        uploaded: bytes uploaded to a registry, if the peer pushes.
        note: the end of the output, if it failed.
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
        """Return the turn it belongs to."""
        return Turn(self.case, self.peer, self.round)

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Sample:
        """Parse a sample of a result file."""
        case = document["case"]
        return cls(**{**document, "case": Case(**{**case, "platforms": tuple(case["platforms"])})})


@dataclass(frozen=True)
class Result:
    """The results of one run.

    Attributes:
        plan: name of the plan.
        commit: commit of this project.
        machine: processor, cores, memory, kernel.
        versions: versions of all tools.
        started: UTC time.
        samples: in the order they were taken.
        skipped: names of turns that did not fit into the budget.
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
        """Read a result file."""
        document = json.loads(path.read_text())
        document["samples"] = tuple(map(Sample.parse, document["samples"]))
        return cls(**{**document, "skipped": tuple(document["skipped"])})

    def write(self, path: Path) -> None:
        """Write the file atomically."""
        unfinished = path.with_name(f".{path.name}")
        unfinished.write_text(json.dumps(asdict(self), indent=1) + "\n")
        unfinished.replace(path)

    def of(self, case: Case, peer: str) -> list[Sample]:
        """Return a peer's samples of a case, by round."""
        return sorted(_matching(self.samples, case, peer), key=lambda sample: sample.round)

    def cases(self) -> list[Case]:
        """Return the cases with samples, in order."""
        return list(dict.fromkeys(sample.case for sample in self.samples))

    def peers(self, case: Case) -> list[str]:
        """Return the peers of a case, in order."""
        return list(dict.fromkeys(sample.peer for sample in self.samples if sample.case == case))


def _matching(samples: Iterable[Sample], case: Case, peer: str) -> list[Sample]:
    return [sample for sample in samples if sample.case == case and sample.peer == peer]
