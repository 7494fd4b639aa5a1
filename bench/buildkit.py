"""Compile BuildKit from Go modules, and run it during a benchmark."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.place import Place
from engine import cgroups
from engine.locks import exclusive
from engine.log import Log

HERE = Path(__file__).with_name("buildkit")
MODULE = "github.com/moby/buildkit"
PROGRAMS = ("buildkitd", "buildctl")
CGROUP = "rmabench-buildkit"
COMPILE_SECONDS = 1800
START_SECONDS = 60.0
STOP_SECONDS = 30.0


def version() -> str:
    """Return the version in go.mod."""
    found = re.search(rf"{re.escape(MODULE)} (v\S+)", (HERE / "go.mod").read_text())
    assert found, "bench/buildkit/go.mod does not require BuildKit"
    return found[1]


def compiled(place: Place, log: Log) -> Path:
    """Return the directory with the programs; compile them if they are missing."""
    key = hashlib.sha256((HERE / "go.mod").read_bytes() + (HERE / "go.sum").read_bytes()).hexdigest()[:16]
    final = place.buildkit / f"programs-{key}"
    with exclusive(place.buildkit / "lock", log, "another run compiles BuildKit"):
        if not final.is_dir():
            log(f"compiling BuildKit {version()}")
            with tempfile.TemporaryDirectory(dir=place.buildkit) as name:
                unfinished = Path(name) / "programs"
                _compile(Path(name), unfinished)
                unfinished.rename(final)
    return final


def _compile(scratch: Path, output: Path) -> None:
    for name in ("go.mod", "go.sum"):
        shutil.copyfile(HERE / name, scratch / name)
    env = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod", "GOWORK": "off", "GOTOOLCHAIN": "local"}
    packages = [f"{MODULE}/cmd/{program}" for program in PROGRAMS]
    command = ["go", "build", "-trimpath", "-ldflags=-s -w", "-o", f"{output}/", *packages]
    done = subprocess.run(
        command, cwd=scratch, env=env, capture_output=True, text=True, timeout=COMPILE_SECONDS
    )
    if done.returncode:
        raise RuntimeError(f"BuildKit does not compile: {done.stderr}")


def settings(state: Path, registry: str, mirror: str) -> str:
    """Return buildkitd.toml: one worker, the registry and, if there is one, the mirror of Docker Hub."""
    lines = [
        f'root = "{state}"',
        "[worker.oci]",
        "enabled = true",
        'snapshotter = "overlayfs"',
        f'defaultCgroupParent = "/{CGROUP}"',
        "gc = true",
        'reservedSpace = "10GB"',
        'maxUsedSpace = "30GB"',
        "[worker.containerd]",
        "enabled = false",
        f'[registry."{registry}"]',
        "http = true",
    ]
    if mirror:
        lines += ['[registry."docker.io"]', f'mirrors = ["{mirror}"]']
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Daemon:
    """A running buildkitd.

    Attributes:
        pid: its process.
        address: address for `buildctl --addr`.
        client: the path of buildctl.
    """

    pid: int
    address: str
    client: Path


@contextmanager
def running(place: Place, registry: str, mirror: str, log: Log) -> Iterator[Daemon]:
    """Run BuildKit during the block. Its cache is kept for the next run.

    It runs in separate mount and PID namespaces, so that no process outlives it, and in this machine's
    network, which does not slow down a build.
    """
    programs = compiled(place, log)
    socket = place.buildkit / "buildkitd.sock"
    config = place.buildkit / "buildkitd.toml"
    config.write_text(settings(place.buildkit / "state", registry, mirror))
    address = f"unix://{socket}"
    # The daemon looks for its helpers in this directory first; runc may be only in root's PATH.
    env = {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}:/usr/sbin:/sbin",
        "OTEL_SDK_DISABLED": "true",
    }
    daemon = [str(programs / "buildkitd"), "--config", str(config), "--addr", address]
    command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--", *daemon]
    with exclusive(place.buildkit / "running", log, "waiting for another run's BuildKit to end"):
        command += ["--oci-worker-net=host"]
        with (place.logs / "buildkitd.log").open("wb") as output:
            child = subprocess.Popen(
                command,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            client = programs / "buildctl"
            _wait(child, client, address)
            yield Daemon(_below(child.pid), address, client)
        finally:
            _end(child)
            cgroups.remove(CGROUP)


def _wait(child: subprocess.Popen[bytes], client: Path, address: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        command = [str(client), "--addr", address, "debug", "workers"]
        if subprocess.run(command, capture_output=True, timeout=START_SECONDS, check=False).returncode == 0:
            return
        if child.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("BuildKit does not start; its log is buildkitd.log in the benchmarks' cache")
        time.sleep(0.2)


def _below(pid: int) -> int:
    """Return the only child of a process: `unshare` is the parent of the daemon."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def _end(child: subprocess.Popen[bytes]) -> None:
    # Give the daemon time to write its cache; unshare exits with it.
    if child.poll() is None:
        os.kill(_below(child.pid), signal.SIGTERM)
    try:
        child.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
