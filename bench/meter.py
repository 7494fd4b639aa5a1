"""Measure a command: wall time, CPU and memory, including the work of a daemon."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from bench.result import FAILED, OK, TIMEOUT
from engine import cgroups

TICK = os.sysconf("SC_CLK_TCK")
SAMPLE_SECONDS = 0.2
"""Sampling interval of memory in seconds; shorter peaks are missed."""

KILL_SECONDS = 20.0
NOTE_LINES = 15


@dataclass(frozen=True)
class Command:
    """The command that a peer runs for one sample.

    Attributes:
        argv: the command.
        env: its complete environment.
        cwd: its working directory.
        cgroup: name of the cgroup its compile runs in.
        daemon: process that does part of the work, if any.
    """

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: Path
    cgroup: str
    daemon: int | None = None


@dataclass(frozen=True)
class Measured:
    """The resources that a command used."""

    outcome: str
    wall: float
    user: float
    system: float
    peak: int
    note: str = ""


@dataclass
class Watch:
    """The peak memory use of a cgroup, by sampling."""

    cgroup: str
    peak: int = 0
    _done: threading.Event = field(default_factory=threading.Event)

    def _look(self) -> None:
        while not self._done.wait(SAMPLE_SECONDS):
            self.peak = max(self.peak, anonymous_memory(self.cgroup))

    @contextmanager
    def looking(self) -> Iterator[Watch]:
        """Sample during the block."""
        thread = threading.Thread(target=self._look, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._done.set()
            thread.join()


def measure(command: Command, limit: float, log: Path) -> Measured:
    """Run and time a command; kill it and its children after `limit` seconds.

    The output goes to `log`. A daemon's CPU time is counted from the start to the end of the command,
    so nothing else may use the daemon meanwhile.
    """
    before, started = usage(command), time.monotonic()
    with log.open("wb") as output, Watch(command.cgroup).looking() as watch:
        child = subprocess.Popen(
            command.argv, cwd=command.cwd, env=dict(command.env), stdin=subprocess.DEVNULL,
            stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
        try:
            code: int | None = child.wait(limit)
        except subprocess.TimeoutExpired:
            code = None
        except BaseException:
            end_group(child)
            raise
        wall = time.monotonic() - started
        if code is None:
            end_group(child)
    after = usage(command)
    outcome = OK if code == 0 else TIMEOUT if code is None else FAILED
    note = "" if outcome == OK else "\n".join(log.read_text(errors="replace").splitlines()[-NOTE_LINES:])
    return Measured(outcome, wall, after[0] - before[0], after[1] - before[1], watch.peak, note)


def end_group(child: subprocess.Popen[bytes]) -> None:
    """Stop a command and its children, first with SIGTERM so that the daemon's work for it is cancelled.

    SIGINT does not work: background processes of a script ignore it.
    """
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with suppress(subprocess.TimeoutExpired):
            child.wait(KILL_SECONDS)
            return


def usage(command: Command) -> tuple[float, float]:
    """Return user and system CPU seconds so far: of child processes, the daemon and its containers."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    user, system = children.ru_utime, children.ru_stime
    if command.daemon is not None:
        for more in (cpu(command.cgroup), process_cpu(command.daemon)):
            user, system = user + more[0], system + more[1]
    return user, system


def process_cpu(pid: int) -> tuple[float, float]:
    """Return user and system CPU seconds of a running process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) / TICK, int(fields[12]) / TICK


def cpu(cgroup: str, root: Path = cgroups.ROOT) -> tuple[float, float]:
    """Return user and system CPU seconds of a cgroup and everything below it; zeros if it does not exist."""
    for directory in cgroups.find(cgroup, root):
        for name, unit in (("cpuacct.stat", 1 / TICK), ("cpu.stat", 1e-6)):
            found = _numbers(directory / name)
            if "user" in found or "user_usec" in found:
                user, system = (found.get(k, found.get(f"{k}_usec", 0)) for k in ("user", "system"))
                return user * unit, system * unit
    return 0.0, 0.0


def anonymous_memory(cgroup: str, root: Path = cgroups.ROOT) -> int:
    """Return bytes of anonymous memory in a cgroup and below, without reclaimable file caches."""
    for directory in cgroups.find(cgroup, root):
        found = _numbers(directory / "memory.stat")
        if "total_rss" in found or "anon" in found:
            return int(found.get("total_rss", found.get("anon", 0)))
    return 0


def _numbers(path: Path) -> dict[str, int]:
    """Yield the lines of `name number`; nothing if the file cannot be read, as for a cgroup being removed."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return {}
    return {name: int(value) for name, _, value in (line.partition(" ") for line in lines) if value.isdigit()}


def make_cgroup(name: str, root: Path = cgroups.ROOT) -> list[Path]:
    """Make a cgroup for memory and, on version 1, CPU accounting; return the files for process ids."""
    tops = [root] if (root / "cgroup.controllers").exists() else [root / "memory", root / "cpuacct"]
    for top in tops:
        (top / name).mkdir(exist_ok=True)
    return [top / name / "cgroup.procs" for top in tops]


def disk(path: Path) -> int:
    """Return the bytes a directory takes on disk, without mounts below it."""
    command = ["du", "--summarize", "--one-file-system", "--block-size=1", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    return int(done.stdout.split()[0]) if done.stdout else 0
