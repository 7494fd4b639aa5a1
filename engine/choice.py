"""Which engine to use on this machine, and why: one that was named, Docker or Podman, or our own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine import build, config, lifecycle
from engine.config import CLI, RUNNER
from engine.log import Log, to_stderr
from engine.paths import Paths
from pipeline.errors import EngineBuildFailed

CONTAINER_TOOLS = ("docker", "podman")
"""What Dagger starts an engine with by itself, in its own order."""

EMBEDDED = "embedded"
"""What our own engine is called where an address is asked for."""

ANSWER_SECONDS = 10


@dataclass(frozen=True)
class Choice:
    """An engine to use.

    Attributes:
        kind: `named`, `docker`, `podman` or `embedded`.
        why: one sentence for the user.
        environment: variables that point the Dagger CLI and SDKs at it.
    """

    kind: str
    why: str
    environment: dict[str, str]


def address(name: str) -> str:
    """An engine's address: our own one's for its name, any other as it is."""
    return config.address(Paths.default()) if name == EMBEDDED else name


def choose(
    log: Log = to_stderr,
    platforms: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
    builders: Sequence[str] = (),
) -> Choice:
    """The engine to use: a runner host that is set, else Docker or Podman that works, else our own.

    Our own is built and started if it is not running yet.

    Args:
        log: told which engine it is and why.
        platforms: what will be built for; our own engine makes base images ready for them.
        environ: the environment to look in, the process's own by default.
        builders: platforms besides this machine's own that the compiler will run on.
    """
    environ = os.environ if environ is None else environ
    host = environ.get(RUNNER, "")
    if host == address(EMBEDDED):
        return _embedded("it was asked for", platforms, builders, log)
    choice = _named(host, environ) if host else _container_tool(environ)
    if choice is None:
        why = "no runner host is set, and neither docker nor podman answers"
        return _embedded(why, platforms, builders, log)
    log(f"engine: {choice.kind} ({choice.why})")
    return choice


def _named(host: str, environ: Mapping[str, str]) -> Choice:
    return Choice("named", f"{RUNNER} is {host}", {RUNNER: host, **_command_line(environ)})


def _embedded(why: str, platforms: Sequence[str], builders: Sequence[str], log: Log) -> Choice:
    """Our own engine, started unless it runs already and has the base images that will be needed."""
    log(f"engine: embedded ({why})")
    status = lifecycle.status()
    ready = set(platforms) <= set(status.platforms) and set(builders) <= set(status.builders)
    if not status.running or not ready:
        lifecycle.start(platforms, log, builders=builders)
    return Choice("embedded", why, lifecycle.env())


def _container_tool(environ: Mapping[str, str]) -> Choice | None:
    tool = container_tool()
    return Choice(tool, f"`{tool} info` answers", _command_line(environ)) if tool else None


def container_tool() -> str | None:
    """The first of docker and podman that works, if any."""
    found = (tool for tool in CONTAINER_TOOLS if shutil.which(tool) and _answers([tool, "info"]))
    return next(found, None)


def _answers(command: Sequence[str]) -> bool:
    try:
        done = subprocess.run(command, capture_output=True, timeout=ANSWER_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _command_line(environ: Mapping[str, str]) -> dict[str, str]:
    """The Dagger CLI that is here unless one is named; where there is none, the SDK fetches its own."""
    return {} if environ.get(CLI) else _on_path() or _beside() or _compiled()


def _on_path() -> dict[str, str]:
    found = shutil.which("dagger")
    return {CLI: found} if found else {}


def _beside() -> dict[str, str]:
    """The one that install.sh puts beside this Python, whose directory PATH may lack."""
    directory = Path(sys.executable).parent
    found = shutil.which("dagger", path=str(directory))
    # At the end: in front, this Python would take the place of the user's own.
    return {CLI: found, "PATH": f"{os.environ.get('PATH', os.defpath)}:{directory}"} if found else {}


def _compiled() -> dict[str, str]:
    """Ours, where it was compiled before."""
    try:
        ours = Paths.default().builds / build.build_key()
    except EngineBuildFailed:
        return {}
    return _at(ours) if ours.is_dir() else {}


def _at(directory: Path) -> dict[str, str]:
    return {CLI: str(directory / "dagger"), "PATH": lifecycle.path_with(str(directory))}
