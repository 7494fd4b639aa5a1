"""Start the engine's processes, check that the engine responds, and end it.

    unshare (new mount and PID namespaces; if it ends, everything ends)
      tini (first process of the PID namespace; if it ends, everything ends)
        dagger-engine
          dnsmasq, runc and the containers

So killing one of the first three leaves no process and no mount behind.
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
"""Long, since after a kill the engine first deletes its old cache, which may be large."""

STOP_SECONDS = 20.0
CLIENT_SECONDS = 3.0
LOG_BYTES = 50_000_000
ANSWER_SECONDS = 30.0
TAIL_LINES = 40


def markers(paths: Paths) -> set[str]:
    """Return arguments that only processes of this engine have."""
    return {str(paths.spec), config.address(paths)}


def engine_process(paths: Paths) -> process.Process | None:
    """Return the engine's process, without its parents; None if it is not running."""
    found = process.find([config.address(paths)])
    return next((each for each in found if each.name == "dagger-engine"), None)


def running(paths: Paths) -> bool:
    """Return True if the engine's process runs and its socket exists."""
    return engine_process(paths) is not None and paths.socket.exists()


def client_environment(paths: Paths, build: Path) -> dict[str, str]:
    """Return the variables that make the SDKs use this engine and this build's `dagger`."""
    return {
        config.RUNNER: config.address(paths),
        config.CLI: str(build / "dagger"),
        **config.shutdown_time(os.environ),
        "DAGGER_NO_NAG": "1",
        "DO_NOT_TRACK": "1",
    }


def _ask(paths: Paths, build: Path, seconds: float) -> str:
    """Send a query; return the reason if the engine does not respond, "" if it does."""
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
        return f"`dagger core version` got no response within {seconds:.0f} s"
    if done.returncode == 0:
        return ""
    return done.stdout + done.stderr or f"`dagger core version` ended with exit code {done.returncode}"


def answers(paths: Paths, build: Path) -> bool:
    """Return True if the engine responds to a query."""
    return not _ask(paths, build, ANSWER_SECONDS)


def launch(paths: Paths, record: Record, mirror: str, log: Log) -> None:
    """Start the engine, with a mirror of Docker Hub unless it is "", and wait until it responds."""
    if len(os.fsencode(paths.socket)) > MAX_SOCKET_PATH:
        raise EngineStartFailed(
            f"the path of the engine's socket is longer than {MAX_SOCKET_PATH} bytes",
            where=str(paths.socket),
            fix="set XDG_CACHE_HOME to a shorter path",
        )
    began = time.monotonic()
    build = Path(record.build)
    clean(paths)
    config.write(paths, build, record.cidr, record.registry, mirror)
    child = _spawn(paths)
    log("starting the engine")
    try:
        _wait(paths, build, child, began, log)
    except BaseException:
        end(paths, log)
        raise
    process.disown(child)
    log(f"the engine responded after {time.monotonic() - began:.1f} s")


def _spawn(paths: Paths) -> subprocess.Popen[bytes]:
    if paths.log.exists():
        paths.log.replace(f"{paths.log}.1")
    unshare = shutil.which("unshare", path=search_path()) or "unshare"
    # In a network namespace made by `ip netns`, /sys is the namespace's; the engine inherits both.
    command = [unshare, "--mount", "--pid", "--fork", "--kill-child", "--", sys.executable, "-I"]
    # Appending, so that writing continues at the end of a truncated log.
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
    """Truncate a large log, so that an engine that runs for weeks does not fill the disk."""
    if paths.log.stat().st_size > LOG_BYTES:
        shutil.copyfile(paths.log, f"{paths.log}.1")
        os.truncate(paths.log, 0)


def _wait(paths: Paths, build: Path, child: subprocess.Popen[bytes], began: float, log: Log) -> None:
    said, why = began, "it has not opened its socket"
    while time.monotonic() < began + START_SECONDS:
        if child.poll() is not None:
            raise _failure(paths, "the engine exited during its start")
        if paths.socket.exists():
            # The engine makes its socket group-writable.
            paths.socket.chmod(0o600)
            if not (why := _ask(paths, build, ANSWER_SECONDS)):
                return
        if time.monotonic() > said + 10:
            said = time.monotonic()
            log(f"waiting for the engine ({said - began:.0f} s)")
        time.sleep(0.1)
    raise _failure(paths, f"the engine does not respond after {START_SECONDS:.0f} s: {why}")


def _failure(paths: Paths, what: str) -> EngineStartFailed:
    lines = paths.log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
    return EngineStartFailed(
        what,
        where=str(paths.log),
        fix="see the engine's log above; run the same command again to continue",
        output="\n".join(lines),
    )


def end(paths: Paths, log: Log) -> bool:
    """End the engine and all its child processes; return False if none was running.

    The engine gets time to save its cache; if it is killed, the next start begins with an empty cache.
    """
    if not process.find(markers(paths)):
        return False
    if engine := engine_process(paths):
        log("stopping the engine")
        process.send([engine], signal.SIGTERM)
        if not process.wait_gone(markers(paths), CLIENT_SECONDS):
            # The engine waits for its clients, and they wait for the end of their responses: end the clients.
            process.send(clients.connected(paths.socket), signal.SIGTERM)
        if not process.wait_gone(markers(paths), STOP_SECONDS - CLIENT_SECONDS):
            log(f"the engine did not stop within {STOP_SECONDS:.0f} s: killing it")
    process.send(process.find(markers(paths)), signal.SIGKILL)
    if not process.wait_gone(markers(paths), 5):
        raise EngineStartFailed(
            "processes of the engine cannot be ended",
            where=", ".join(f"{each.pid} ({each.name})" for each in process.find(markers(paths))),
            fix="restart this machine: the processes hang in the kernel",
        )
    return True


def clean(paths: Paths) -> None:
    """Remove the files and the cgroups that an ended engine left."""
    cgroups.remove(paths.instance)
    paths.socket.unlink(missing_ok=True)
    for path in paths.tmp.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()
