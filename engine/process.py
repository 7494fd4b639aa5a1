"""Find and end the processes of an engine.

Processes are found by an argument that only this engine's processes have. A PID file could be missing after
an interrupted start, or name a PID that another program has by now.
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
        """Return the program's name, without its directory."""
        return Path(self.argv[0]).name

    def since(self) -> float:
        """Return the start time, in seconds since the epoch."""
        stat = (PROC / str(self.pid) / "stat").read_text()
        # The program's name is in parentheses and may contain spaces; the start time is the 22nd field.
        ticks = int(stat.rpartition(")")[2].split()[19])
        return boot_time() + ticks / os.sysconf("SC_CLK_TCK")


def boot_time() -> int:
    """Return the boot time of this machine, in seconds since the epoch."""
    lines = (PROC / "stat").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("btime ")).split()[1])


def read(pid: int) -> Process | None:
    """Return the process with this PID; None if it is not running."""
    try:
        argv = (PROC / str(pid) / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
    except OSError:
        return None
    # A zombie has no arguments.
    return Process(pid, tuple(map(os.fsdecode, argv))) if argv != [b""] else None


def _running() -> Iterator[Process]:
    # Only Linux has /proc, and the engine runs only on Linux.
    entries = PROC.iterdir() if PROC.is_dir() else ()
    found = (read(int(entry.name)) for entry in entries if entry.name.isdigit())
    return (each for each in found if each)


def find(markers: Collection[str]) -> list[Process]:
    """Return the processes with a marker among their arguments, in the order of their PIDs."""
    mine = os.getpid()
    found = [p for p in _running() if p.pid != mine and not set(markers).isdisjoint(p.argv)]
    return sorted(found, key=lambda process: process.pid)


def send(processes: Collection[Process], number: signal.Signals) -> None:
    """Send a signal to the processes that are still running."""
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)


def wait_gone(markers: Collection[str], seconds: float) -> bool:
    """Wait until no process has a marker; return False if one still has after `seconds`."""
    deadline = time.monotonic() + seconds
    while find(markers):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def disown(child: subprocess.Popen[bytes]) -> None:
    """Suppress the warning about a child process that outlives this one."""
    child.returncode = 0
