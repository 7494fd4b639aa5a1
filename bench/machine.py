"""Record the machine and the versions of all tools."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import buildkit, peers
from bench.toolbox import ROOT, Toolbox
from engine import build


def facts() -> dict[str, Any]:
    """Return processor, cores, memory and kernel."""
    cpu = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    return {
        "processor": cpu[1] if cpu else platform.machine(),
        "cores": os.cpu_count(),
        "memory_bytes": int(memory[1]) * 1024 if memory else 0,
        "kernel": platform.release(),
        "load": os.getloadavg()[0],
    }


def versions(toolbox: Toolbox) -> dict[str, str]:
    """Return the versions of all tools."""
    wheels = dict(wheel.split("==") for wheel in peers.ZIG_WHEELS)
    qemu = _output(["qemu-aarch64-static", "--version"]).splitlines()
    return {
        "rustc": toolbox.run(["rustc", "-V"], ROOT).strip(),
        "dagger": build.version(),
        "buildkit": buildkit.version(),
        **wheels,
        "qemu": qemu[0] if qemu else "",
        "runc": _output(["runc", "--version"]).partition("\n")[0],
        "python": platform.python_version(),
    }


def commit() -> str:
    """Return the commit of this project, with `+` if files differ from it."""
    head = _output(["git", "-C", str(ROOT), "rev-parse", "HEAD"]).strip()
    changed = _output(
        ["git", "-C", str(ROOT), "status", "--porcelain", "--", "pipeline", "engine", "sample_app"]
    )
    return head + ("+" if changed else "")


def _output(command: Sequence[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout
    except FileNotFoundError:
        return ""
