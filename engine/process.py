"""Finding and ending the processes of one engine.

A process is found by an argument that only this engine's processes have, never by a number from a file:
a start that died halfway, or a killed engine whose number another program got since, cannot mislead it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    """A running process."""

    pid: int
    argv: tuple[str, ...]

    @property
    def name(self) -> str:
        """The program, without its directory."""
        return Path(self.argv[0]).name

    def since(self) -> float:
        """When it was started, in seconds since the epoch."""
        stat = (PROC / str(self.pid) / "stat").read_text()
        # The program's name is in parentheses and may hold spaces; the start is the 22nd field.
        ticks = int(stat.rpartition(")")[2].split()[19])
        return boot_time() + ticks / os.sysconf("SC_CLK_TCK")


def boot_time() -> int:
    """When this machine booted, in seconds since the epoch."""
    lines = (PROC / "stat").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("btime ")).split()[1])


def read(pid: int) -> Process | None:
    """The process with this number, if it runs."""
    try:
        argv = (PROC / str(pid) / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
    except OSError:
        return None
    # A zombie has no arguments left, and is no running process.
    return Process(pid, tuple(map(os.fsdecode, argv))) if argv != [b""] else None


def _running() -> Iterator[Process]:
    # Only Linux has it, and only there an engine runs.
    entries = PROC.iterdir() if PROC.is_dir() else ()
    found = (read(int(entry.name)) for entry in entries if entry.name.isdigit())
    return (each for each in found if each)


def find(markers: Collection[str]) -> list[Process]:
    """The processes that have one of the markers among their arguments, oldest number first."""
    mine = os.getpid()
    found = [p for p in _running() if p.pid != mine and not set(markers).isdisjoint(p.argv)]
    return sorted(found, key=lambda process: process.pid)


def send(processes: Collection[Process], number: signal.Signals) -> None:
    """Send a signal to those that still run."""
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)


def wait_gone(markers: Collection[str], seconds: float) -> bool:
    """Wait until no process has a marker; False if some still do after `seconds`."""
    deadline = time.monotonic() + seconds
    while find(markers):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def disown(child: subprocess.Popen[bytes]) -> None:
    """Leave a child that outlives this process alone: nobody here will wait for it."""
    child.returncode = 0
