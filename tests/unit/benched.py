"""Make results for the tests of the computations."""

from bench.result import OK, Result, Sample
from bench.scenarios import Case

BOTH = ("linux/amd64", "linux/arm64")
COLD = Case("cold", "sample_app", BOTH)


def sample(
    peer: str, wall: float, number: int = 0, case: Case = COLD, outcome: str = OK, **more: object
) -> Sample:
    return Sample(case, peer, number, outcome, wall, **more)  # type: ignore[arg-type]


def result(*samples: Sample, **more: object) -> Result:
    machine = {"processor": "P", "cores": 2, "memory_bytes": 2**30, "kernel": "6.1"}
    return Result("short", "c" * 40, machine, {"rustc": "1.96"}, "2026-01-01", samples, **more)  # type: ignore[arg-type]
