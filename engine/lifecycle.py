"""Start, stop and inspect the embedded engine.

    start: prerequisites, build, binfmt, registry and stand-ins, engine, wait until it responds
    stop:  engine, registry, network, cgroups, binfmt

Each step is idempotent: run an interrupted command again to complete it. A lock serializes the starts and
stops of one engine.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from engine import bases, binfmt, build, config, network, prerequisites, registry, supervisor
from engine.locks import exclusive
from engine.log import Log, to_stderr
from engine.paths import Paths
from engine.record import NONE, BaseImages, Record
from pipeline.errors import EngineError
from pipeline.releases import DEFAULT, release


@dataclass(frozen=True)
class Status:
    """The state of the engine."""

    running: bool
    socket: Path
    version: str = field(default_factory=build.version)
    pid: int | None = None
    since: float | None = None
    build: str = ""
    registry: str = ""
    platforms: list[str] = field(default_factory=list)
    builders: list[str] = field(default_factory=list)
    releases: list[str] = field(default_factory=list)
    state: Path = Path()

    @property
    def images(self) -> BaseImages:
        """Return the base images that were made."""
        return BaseImages(self.platforms, self.builders, self.releases)

    @property
    def cache_bytes(self) -> int:
        """Count the disk space of the cache, which takes seconds for a large one."""
        command = ["du", "-s", "--block-size=1", str(self.state)]
        done = subprocess.run(command, capture_output=True, text=True)
        return int(done.stdout.split()[0]) if done.stdout else 0


@contextmanager
def _locked(paths: Paths, log: Log) -> Iterator[None]:
    try:
        paths.create()
    except PermissionError:
        raise _of_another_user(paths.engine) from None
    with exclusive(paths.lock, log, "waiting for another start or stop of this engine"):
        yield


def _of_another_user(path: Path) -> EngineError:
    """Return the error for an engine that another user, such as root, started."""
    return EngineError(
        "the engine's files belong to another user",
        where=str(path),
        fix="run the same command as root (for example with sudo -E)",
    )


def start(
    images: BaseImages,
    log: Log = to_stderr,
    *,
    paths: Paths | None = None,
    registry_port: int | None = None,
) -> Status:
    """Start the engine with these base images, or adapt the running one.

    Raises:
        PrerequisitesMissing: a prerequisite is missing and cannot be installed automatically.
        EngineError: the engine's files belong to another user.
        EngineBuildFailed: the engine does not compile.
        EngineStartFailed: the engine was started and does not respond.
        BaseImageUnavailable: an image can neither be pulled nor made here.
    """
    paths = paths or Paths.default()
    before = Record.read(paths.record)
    # In this order, since the socket is not accessible if the record is not.
    before = before if before and supervisor.running(paths) else None
    mirror = before.mirror if before else not config.hub_reachable()
    if mirror and not before:
        log("Docker Hub cannot be reached: using base images made from Debian packages")
    prerequisites.install(log, stand_ins=mirror)
    with _locked(paths, log):
        old = Record.read(paths.record)
        port = registry_port or _registry_port(paths, old)
        wanted = _plan(paths, old, images, port, mirror=mirror)
        if old and old.registry_port != port:
            registry.stop(old.registry_port, cache=paths.root)
        if not supervisor.running(paths):
            # Before any change to this machine, since stop undoes what is recorded.
            wanted.write(paths.record)
        binfmt.register([*images.platforms, *images.builders], paths.instance, log)
        _make(paths, wanted, log)
        if _must_launch(paths, old, wanted, log):
            _remove_leftovers(paths, old)
            wanted.write(paths.record)
            supervisor.launch(paths, wanted, _mirror(paths, wanted), log)
        else:
            wanted.write(paths.record)
    return status(paths=paths)


def publishing_registry(log: Log = to_stderr, *, paths: Paths | None = None, port: int | None = None) -> str:
    """Start the registry to publish to, also if the engine reaches Docker Hub, and return its address.

    Raises:
        PrerequisitesMissing: docker-registry is missing and cannot be installed automatically.
        BaseImageUnavailable: see `registry.ensure`.
    """
    prerequisites.install(log, stand_ins=True)
    paths = paths or Paths.default()
    return registry.ensure(port or _registry_port(paths, Record.read(paths.record)), cache=paths.root)


def _registry_port(paths: Paths, record: Record | None) -> int:
    """Return the port of the registry to publish to; a running engine, which knows it, keeps it."""
    if record and supervisor.running(paths):
        return record.registry_port
    return registry.publishing_port(cache=paths.root)


def _plan(
    paths: Paths,
    old: Record | None,
    images: BaseImages,
    port: int,
    *,
    mirror: bool,
) -> Record:
    named = [DEFAULT.name, *(release(name).name for name in images.releases)]
    wanted = replace(images, releases=named).union(old.images if old else NONE)
    return Record(
        build=str(paths.builds / build.build_key()),
        # A running engine keeps its network; a new one gets a free one.
        cidr=old.cidr if old else str(network.choose(paths.instance, network.routes())),
        registry=registry.address_of(port),
        registry_port=port,
        mirror=mirror,
        # After a killed engine, forwarding is still on; its record has the original value.
        forwarding_before=old.forwarding_before if old else network.forwarding(),
        platforms=list(wanted.platforms),
        builders=list(wanted.builders),
        releases=list(wanted.releases),
    )


def _make(paths: Paths, wanted: Record, log: Log) -> None:
    """Compile the engine and make its base images, in parallel."""
    with ThreadPoolExecutor() as pool:
        steps = [pool.submit(build.build, paths.builds, log)]
        if wanted.mirror:
            steps.append(pool.submit(_stand_ins, paths, wanted, log))
    for step in steps:
        step.result()


def _stand_ins(paths: Paths, wanted: Record, log: Log) -> Path:
    registry.ensure(wanted.registry_port, cache=paths.root)
    bases.ensure(
        wanted.images,
        storage=registry.stand_ins_storage(paths.root),
        cache=paths.root,
        log=log,
    )
    registry.ensure_stand_ins(cache=paths.root)
    return paths.bases


def _must_launch(paths: Paths, old: Record | None, wanted: Record, log: Log) -> bool:
    """Return True if an engine must be started; stop a running engine that is outdated."""
    if not supervisor.running(paths):
        return True
    mirror = _mirror(paths, wanted)
    fits = old and (old.build, old.registry, old.mirror) == (wanted.build, wanted.registry, wanted.mirror)
    if not fits or config.written(paths) != config.engine_json(wanted.registry, mirror):
        log("the running engine has another build or configuration: restarting it")
    elif supervisor.answers(paths, Path(wanted.build)):
        log("the engine is running")
        supervisor.trim_log(paths)
        return False
    else:
        log("the running engine does not respond: restarting it")
    supervisor.end(paths, log)
    return True


def _mirror(paths: Paths, record: Record) -> str:
    """Return the address of the mirror of Docker Hub; "" if Docker Hub is used."""
    return registry.address_of(registry.stand_ins_port(cache=paths.root)) if record.mirror else ""


def _remove_leftovers(paths: Paths, old: Record | None) -> None:
    """Remove the processes, the bridge and the rules that a killed engine left."""
    supervisor.end(paths, lambda line: None)
    if old:
        network.remove(paths.instance, old.cidr, old.forwarding_before)


def stop(log: Log = to_stderr, *, paths: Paths | None = None) -> bool:
    """Stop the engine and undo its changes to this machine; return False if it was not running.

    The cache, the builds and the stand-in images stay.

    Raises:
        EngineError: the engine's files belong to another user.
    """
    paths = paths or Paths.default()
    if not paths.engine.exists():
        return False
    with _locked(paths, log):
        record = Record.read(paths.record)
        ended = supervisor.end(paths, log)
        if record:
            network.remove(paths.instance, record.cidr, record.forwarding_before)
            ended = registry.stop(record.registry_port, cache=paths.root) or ended
            ended = registry.stop(registry.stand_ins_port(cache=paths.root), cache=paths.root) or ended
        binfmt.unregister(paths.instance, log)
        supervisor.clean(paths)
        paths.record.unlink(missing_ok=True)
    log("the engine is stopped" if ended else "the engine was not running")
    return ended


def status(*, paths: Paths | None = None) -> Status:
    """Return the state of the engine, without network requests and without starting anything."""
    paths = paths or Paths.default()
    engine = supervisor.engine_process(paths)
    record = Record.read(paths.record)
    if not engine or not record:
        return Status(running=False, socket=paths.socket, state=paths.state)
    return Status(
        running=paths.socket.exists(),
        socket=paths.socket,
        pid=engine.pid,
        since=engine.since(),
        build=record.build,
        registry=record.registry if record.mirror else "",
        platforms=record.platforms if record.mirror else [],
        builders=record.builders if record.mirror else [],
        releases=record.releases if record.mirror else [],
        state=paths.state,
    )


def logs(*, follow: bool = False, paths: Paths | None = None) -> Iterator[str]:
    """Yield the lines of the engine's log; with `follow`, until the engine stops.

    Raises:
        EngineError: the log belongs to another user.
    """
    paths = paths or Paths.default()
    try:
        file = paths.log.open(errors="replace")
    except FileNotFoundError:
        return
    except PermissionError:
        raise _of_another_user(paths.log) from None
    with file:
        while True:
            yield from file
            if not follow or not supervisor.running(paths):
                yield from file
                return
            time.sleep(0.2)


def env(*, paths: Paths | None = None) -> dict[str, str]:
    """Return the variables that make `dagger` and the Dagger SDKs use this engine.

    Raises:
        EngineError: the engine is not running.
    """
    paths = paths or Paths.default()
    record = Record.read(paths.record)
    if not record or not supervisor.running(paths):
        fix = "run: rust-multiarch engine start"
        raise EngineError("the engine is not running", where=str(paths.socket), fix=fix)
    return {**supervisor.client_environment(paths, Path(record.build)), "PATH": path_with(record.build)}


def path_with(directory: str) -> str:
    """Return PATH with a directory moved to the front."""
    rest = [part for part in os.environ.get("PATH", os.defpath).split(":") if part != directory]
    return ":".join([directory, *rest])


def export_lines(variables: dict[str, str]) -> str:
    """Return the variables as shell commands that export them."""
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items())
