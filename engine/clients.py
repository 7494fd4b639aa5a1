"""Find the processes connected to the engine's socket."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from engine.prerequisites import search_path
from engine.process import Process, read

_LINE = re.compile(r"(?P<mine>\d+) \S+ (?P<other>\d+)\s*(?P<users>users:\(.*\))?\s*$")


def pids(listing: str, socket: Path) -> set[int]:
    """Return the IDs of the processes connected to a socket, from the output of `ss -xpH`."""
    lines = [(line, found) for line in listing.splitlines() if (found := _LINE.search(line))]
    others = {found["other"] for line, found in lines if f" {socket} " in line} - {"0"}
    users = [found["users"] or "" for _, found in lines if found["mine"] in others]
    return {int(pid) for user in users for pid in re.findall(r"pid=(\d+)", user)}


def connected(socket: Path) -> list[Process]:
    """Return the `dagger` processes connected to the socket; every SDK connects through one."""
    env = {**os.environ, "PATH": search_path()}
    done = subprocess.run(["ss", "-xpH"], capture_output=True, text=True, env=env)
    found = [read(pid) for pid in sorted(pids(done.stdout, socket))]
    return [
        each for each in found if each and each.name.startswith("dagger") and each.name != "dagger-engine"
    ]
