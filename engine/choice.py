"""Choose the engine for this machine: a named one, Docker or Podman, or the embedded engine."""

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
from engine.record import NONE, BaseImages
from pipeline.errors import EngineBuildFailed

CONTAINER_TOOLS = ("docker", "podman")
"""The tools that Dagger itself starts an engine with, in its order."""

EMBEDDED = "embedded"
"""The embedded engine's name where an engine address is expected."""

ANSWER_SECONDS = 10


@dataclass(frozen=True)
class Choice:
    """The engine to use.

    Attributes:
        kind: `named`, `docker`, `podman` or `embedded`.
        why: the reason, shown to the user.
        environment: variables that make the Dagger CLI and SDKs use this engine.
    """

    kind: str
    why: str
    environment: dict[str, str]


def address(name: str) -> str:
    """Return the embedded engine's address for the name EMBEDDED, any other name unchanged."""
    return config.address(Paths.default()) if name == EMBEDDED else name


def choose(
    log: Log = to_stderr,
    images: BaseImages = NONE,
    environ: Mapping[str, str] | None = None,
) -> Choice:
    """Return the engine to use: the runner host if set, else working Docker or Podman, else the embedded one.

    The embedded engine is built and started if it is not running.

    Args:
        log: called with the choice and its reason.
        images: the base images that the embedded engine prepares.
        environ: the environment variables; the process's own by default.
    """
    environ = os.environ if environ is None else environ
    host = environ.get(RUNNER, "")
    if host == address(EMBEDDED):
        return _embedded(f"{RUNNER} names it", images, log)
    choice = _named(host, environ) if host else _container_tool(environ)
    if choice is None:
        why = f"{RUNNER} is not set, and neither docker nor podman works"
        return _embedded(why, images, log)
    log(f"engine: {choice.kind} ({choice.why})")
    return choice


def _named(host: str, environ: Mapping[str, str]) -> Choice:
    return Choice("named", f"{RUNNER} is {host}", {RUNNER: host, **_client(environ)})


def _embedded(why: str, images: BaseImages, log: Log) -> Choice:
    """Return the embedded engine; start it unless it is running with all base images needed."""
    log(f"engine: embedded ({why})")
    status = lifecycle.status()
    if not status.running or not status.images.includes(images):
        lifecycle.start(images, log)
    return Choice("embedded", why, lifecycle.env())


def _container_tool(environ: Mapping[str, str]) -> Choice | None:
    tool = container_tool()
    return Choice(tool, f"`{tool} info` works", _client(environ)) if tool else None


def container_tool(command: str = "info") -> str | None:
    """Return the first of docker and podman that works; None if neither does.

    Args:
        command: the command to try; `version` fails without docker's daemon too, and needs less of podman.
    """
    found = (tool for tool in CONTAINER_TOOLS if shutil.which(tool) and _answers([tool, command]))
    return next(found, None)


def _answers(command: Sequence[str]) -> bool:
    try:
        done = subprocess.run(command, capture_output=True, timeout=ANSWER_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _client(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables for the client of an engine that is not the embedded one."""
    return {**config.shutdown_time(environ), **_command_line(environ)}


def _command_line(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables for the Dagger CLI on this machine; {} if one is set already or none is found.

    Without a CLI, the SDK downloads one.
    """
    return {} if environ.get(CLI) else _on_path() or _beside() or _compiled()


def _on_path() -> dict[str, str]:
    found = shutil.which("dagger")
    return {CLI: found} if found else {}


def _beside() -> dict[str, str]:
    """Return the CLI that install.sh puts beside this Python; its directory may not be on PATH."""
    directory = Path(sys.executable).parent
    found = shutil.which("dagger", path=str(directory))
    # At the end, so that this Python does not replace the user's.
    return {CLI: found, "PATH": f"{os.environ.get('PATH', os.defpath)}:{directory}"} if found else {}


def _compiled() -> dict[str, str]:
    """Return the CLI of the embedded engine, if it was compiled before."""
    try:
        compiled = Paths.default().builds / build.build_key()
    except EngineBuildFailed:
        return {}
    return _at(compiled) if compiled.is_dir() else {}


def _at(directory: Path) -> dict[str, str]:
    return {CLI: str(directory / "dagger"), "PATH": lifecycle.path_with(str(directory))}
