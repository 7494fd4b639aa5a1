"""The running engine: launching its processes, asking whether it answers, ending it.

    unshare (new mount and PID namespaces; dies, and everything dies)
      tini (first process of the PID namespace; dies, and everything dies)
        dagger-engine
          dnsmasq, runc and the containers

So no way of killing one of the first three leaves a process or a mount behind.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from engine import cgroups, clients, config, process, sandbox
from engine.log import Log
from engine.paths import MAX_SOCKET_PATH, Paths
from engine.prerequisites import search_path
from engine.record import Record
from pipeline.errors import EngineStartFailed

START_SECONDS = 300.0
"""After an end by force the engine first deletes its old cache, which may be large."""

STOP_SECONDS = 20.0
CLIENT_SECONDS = 3.0
LOG_BYTES = 50_000_000
ANSWER_SECONDS = 30.0
TAIL_LINES = 40


def markers(paths: Paths) -> set[str]:
    """Arguments that only processes of this engine have."""
    return {str(paths.spec), config.address(paths)}


def engine_process(paths: Paths) -> process.Process | None:
    """The engine itself, without what starts and watches it."""
    found = process.find([config.address(paths)])
    return next((each for each in found if each.name == "dagger-engine"), None)


def running(paths: Paths) -> bool:
    """Whether the engine's process is there and has its socket."""
    return engine_process(paths) is not None and paths.socket.exists()


def client_environment(paths: Paths, build: Path) -> dict[str, str]:
    """What makes `dagger` and the SDKs use this engine and this build's command line."""
    return {
        config.RUNNER: config.address(paths),
        config.CLI: str(build / "dagger"),
        "DAGGER_NO_NAG": "1",
        "DO_NOT_TRACK": "1",
    }


def _ask(paths: Paths, build: Path, seconds: float) -> str:
    """Why the engine does not answer a query; empty when it does."""
    env = {**os.environ, **client_environment(paths, build)}
    command = [str(build / "dagger"), "core", "version"]
    try:
        done = subprocess.run(
            command,
            env=env,
            cwd="/",
            timeout=seconds,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
    except subprocess.TimeoutExpired:
        return f"no answer to `dagger core version` within {seconds:.0f} s"
    if done.returncode == 0:
        return ""
    return done.stdout + done.stderr or f"`dagger core version` ended with exit code {done.returncode}"


def answers(paths: Paths, build: Path) -> bool:
    """Whether the engine answers a query."""
    return not _ask(paths, build, ANSWER_SECONDS)


def launch(paths: Paths, record: Record, log: Log) -> None:
    """Start the engine and wait until it answers."""
    if len(os.fsencode(paths.socket)) > MAX_SOCKET_PATH:
        raise EngineStartFailed(
            f"the path of the engine's socket is longer than {MAX_SOCKET_PATH} bytes",
            where=str(paths.socket),
            fix="set XDG_CACHE_HOME to a shorter path",
        )
    began = time.monotonic()
    build = Path(record.build)
    clean(paths)
    config.write(paths, build, record.cidr, record.registry, mirror=record.mirror)
    child = _spawn(paths)
    log("starting the engine")
    try:
        _wait(paths, build, child, began, log)
    except BaseException:
        end(paths, log)
        raise
    process.disown(child)
    log(f"the engine answers after {time.monotonic() - began:.1f} s")


def _spawn(paths: Paths) -> subprocess.Popen[bytes]:
    if paths.log.exists():
        paths.log.replace(f"{paths.log}.1")
    unshare = shutil.which("unshare", path=search_path()) or "unshare"
    # In a network namespace of `ip netns` /sys is that namespace's, and the engine inherits both.
    command = [unshare, "--mount", "--pid", "--fork", "--kill-child", "--", sys.executable, "-I"]
    # Appending, so that a log that was cut short goes on at its new end.
    with paths.log.open("ab") as output:
        return subprocess.Popen(
            [*command, sandbox.__file__, str(paths.spec)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            start_new_session=True,
        )


def trim_log(paths: Paths) -> None:
    """Keep the log of an engine that runs for weeks from filling the disk."""
    if paths.log.stat().st_size > LOG_BYTES:
        shutil.copyfile(paths.log, f"{paths.log}.1")
        os.truncate(paths.log, 0)


def _wait(paths: Paths, build: Path, child: subprocess.Popen[bytes], began: float, log: Log) -> None:
    said, why = began, "it has not opened its socket"
    while time.monotonic() < began + START_SECONDS:
        if child.poll() is not None:
            raise _failure(paths, "the engine ended while it was starting")
        if paths.socket.exists():
            # The engine makes its socket writable for its group too.
            paths.socket.chmod(0o600)
            if not (why := _ask(paths, build, ANSWER_SECONDS)):
                return
        if time.monotonic() > said + 10:
            said = time.monotonic()
            log(f"waiting for the engine ({said - began:.0f} s)")
        time.sleep(0.1)
    raise _failure(paths, f"the engine does not answer after {START_SECONDS:.0f} s: {why}")


def _failure(paths: Paths, what: str) -> EngineStartFailed:
    lines = paths.log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
    return EngineStartFailed(
        what,
        where=str(paths.log),
        fix="read the engine's log above; the same command starts again from where it was",
        output="\n".join(lines),
    )


def end(paths: Paths, log: Log) -> bool:
    """End the engine and everything that runs under it; False if nothing ran.

    It gets time to write its cache down: after an end by force it starts with an empty one.
    """
    if not process.find(markers(paths)):
        return False
    if engine := engine_process(paths):
        log("stopping the engine")
        process.send([engine], signal.SIGTERM)
        if not process.wait_gone(markers(paths), CLIENT_SECONDS):
            # It waits for its clients, and they for the end of what it sends them: one must begin.
            process.send(clients.connected(paths.socket), signal.SIGTERM)
        if not process.wait_gone(markers(paths), STOP_SECONDS - CLIENT_SECONDS):
            log(f"the engine did not stop within {STOP_SECONDS:.0f} s: ending it by force")
    process.send(process.find(markers(paths)), signal.SIGKILL)
    if not process.wait_gone(markers(paths), 5):
        raise EngineStartFailed(
            "processes of the engine cannot be ended",
            where=", ".join(f"{each.pid} ({each.name})" for each in process.find(markers(paths))),
            fix="restart this machine: the kernel holds on to them",
        )
    return True


def clean(paths: Paths) -> None:
    """Remove what an ended engine left in its directories and in the cgroup tree."""
    cgroups.remove(paths.instance)
    paths.socket.unlink(missing_ok=True)
    for path in paths.tmp.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()
