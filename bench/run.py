"""Run a plan: prepare, take the samples one after the other, and save the result after each."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median

from bench import meter
from bench.peers import Peer
from bench.place import Place
from bench.result import FAILED, OK, Result, Sample
from bench.scenarios import BY_NAME, Change, Row, Scenario, Start, Turn, seconds_left, turns
from bench.subjects import Copy
from engine.log import Log

SAMPLE_SECONDS = 3600.0
"""Time limit of a sample in seconds, unless a shorter one is given."""


@dataclass
class Runner:
    """A run in progress.

    Attributes:
        place: directories of the benchmarks.
        peers: peers by name.
        copies: each peer's copy of each subject.
        result: results so far.
        file: file to write the result to after every sample.
        log: called with a line for every sample.
        budget: time limit of all samples in seconds; 0 for no limit.
        limit: time limit of one sample in seconds.
        lock: file to lock during every sample, if other work shares the machine.
    """

    place: Place
    peers: Mapping[str, Peer]
    copies: Mapping[tuple[str, str], Copy]
    result: Result
    file: Path
    log: Log
    budget: float = 0.0
    limit: float = SAMPLE_SECONDS
    lock: Path | None = None
    _built: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    _started: float = field(default_factory=time.monotonic)
    _count: int = 0

    def run(self, rows: Sequence[Row]) -> Result:
        """Take every sample that fits into the time."""
        self._started = time.monotonic()
        for turn in turns(rows):
            seconds = seconds_left(self.budget, self._elapsed(), self._expected(turn), self.limit)
            if not seconds:
                self.log(f"no time left for {turn.case.name} by {turn.peer}")
                self._keep(
                    skipped=(*self.result.skipped, f"{turn.case.name} by {turn.peer}, round {turn.round}")
                )
                continue
            with self._locked():
                sample = self._take(turn, seconds)
            self._keep(samples=(*self.result.samples, sample))
            self.log(told(sample))
        return self.result

    def _elapsed(self) -> float:
        return time.monotonic() - self._started

    def _keep(self, **changed: tuple[object, ...]) -> None:
        self.result = replace(self.result, seconds=self._elapsed(), **changed)  # type: ignore[arg-type]
        self.result.write(self.file)

    def _expected(self, turn: Turn) -> float:
        """Return the expected seconds of a turn: its last duration, else the table's estimate."""
        before = [sample.wall for sample in self.result.of(turn.case, turn.peer)]
        return median(before) if before else BY_NAME[turn.case.scenario].guess

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        if self.lock is None:
            yield
            return
        with self.lock.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _take(self, turn: Turn, seconds: float) -> Sample:
        scenario, peer = BY_NAME[turn.case.scenario], self.peers[turn.peer]
        copy = self.copies[turn.peer, turn.case.subject]
        try:
            self._start(scenario, turn, peer, copy)
        except Exception as error:
            self._built.pop((turn.peer, turn.case.subject), None)
            return Sample(
                turn.case, turn.peer, turn.round, FAILED, 0.0, note=f"before the sample: {error}"[-1500:]
            )
        copy.change(scenario.change, self._nonce())
        cold = scenario.start is Start.NOTHING
        disk = meter.disk(peer.directory()) if cold else 0
        load = os.getloadavg()[0]
        measured, own = self._measure(turn, peer, copy, turn.case.platforms, seconds)
        if measured.outcome == OK:
            self._built[turn.peer, turn.case.subject] = turn.case.platforms
        else:
            self._built.pop((turn.peer, turn.case.subject), None)
        return Sample(
            turn.case,
            turn.peer,
            turn.round,
            measured.outcome,
            wall=round(measured.wall, 3),
            user=round(measured.user, 2),
            system=round(measured.system, 2),
            peak=measured.peak,
            disk=meter.disk(peer.directory()) - disk if cold and measured.outcome == OK else None,
            image=_size(self.place.archive(turn.peer)) if measured.outcome == OK else None,
            load=load,
            phases=own.phases,
            uploaded=own.uploaded,
            note=measured.note,
        )

    def _start(self, scenario: Scenario, turn: Turn, peer: Peer, copy: Copy) -> None:
        """Bring the peer to the start of a scenario; builds for that are not measured."""
        platforms = turn.case.platforms
        if scenario.start is Start.BUILT and self._built.get((turn.peer, turn.case.subject)) == platforms:
            return
        copy.renew(peer.files)
        if scenario.start not in (Start.BUILT, Start.OTHER_PROJECT):
            peer.forget(copy, platforms)
        nothing_kept = scenario.start is Start.OTHER_RUNNER and peer.kept is None
        if scenario.start is Start.NOTHING or nothing_kept:
            return
        copy.change(Change.EVERYTHING, self._nonce())
        wanted = platforms[:1] if scenario.start is Start.FIRST_PLATFORM else platforms
        measured, _ = self._measure(turn, peer, copy, wanted, self.limit)
        if measured.outcome != OK:
            raise RuntimeError(measured.note or measured.outcome)
        self._built[turn.peer, turn.case.subject] = wanted
        if scenario.start is Start.OTHER_PROJECT:
            peer.leave(copy, platforms)
        if scenario.start is Start.OTHER_RUNNER:
            peer.forget(copy, platforms)

    def _measure(
        self, turn: Turn, peer: Peer, copy: Copy, platforms: tuple[str, ...], seconds: float
    ) -> tuple[meter.Measured, Told]:
        phases = self.place.work / "phases.json"
        phases.unlink(missing_ok=True)
        self._count += 1
        log = self.place.logs / f"{self._count:03d}-{turn.peer}-{turn.case.subject}-{turn.case.scenario}.log"
        measured = meter.measure(peer.command(copy, platforms, phases), seconds, log)
        return measured, _told(phases)

    def _nonce(self) -> str:
        """Return letters and digits that no earlier change had, in this run or another."""
        return f"n{time.time_ns():x}"


def _size(archive: Path) -> int | None:
    return archive.stat().st_size if archive.exists() else None


@dataclass(frozen=True)
class Told:
    """Return a peer's report of its build: seconds of its phases, and bytes it uploaded."""

    phases: Mapping[str, float] = field(default_factory=dict)
    uploaded: int | None = None


def _told(file: Path) -> Told:
    if not file.exists():
        return Told()
    document = json.loads(file.read_text())
    return Told({name: round(value, 3) for name, value in document["phases"].items()}, document["uploaded"])


def told(sample: Sample) -> str:
    """Format a sample in one line."""
    parts = [f"{sample.case.name} by {sample.peer}, round {sample.round}: {sample.outcome}"]
    parts.append(f"{sample.wall:.1f} s wall, {sample.user + sample.system:.1f} s CPU")
    parts.append(f"{sample.peak / 2**20:.0f} MiB, load {sample.load:.1f}")
    if sample.outcome == FAILED:
        parts.append(sample.note)
    return "; ".join(parts)
