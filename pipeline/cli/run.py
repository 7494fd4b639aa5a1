"""Implement `run`: build for this machine, start the image, and with --watch again after each change."""

from __future__ import annotations

import contextlib
import functools
import inspect
import json as json_module
import platform
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import anyio
import typer

from pipeline.cli import failures, session, watching
from pipeline.cli import source as source_files
from pipeline.cli.changes import Changes
from pipeline.cli.engine_log import ProgramLog
from pipeline.cli.options import JSON
from pipeline.config.settings import Layer, Settings, Value
from pipeline.errors import InvalidArgument, SmokeFailed, printed
from pipeline.printable import say
from pipeline.progress import events, model
from pipeline.registry.address import LAST_PORT
from pipeline.sdk import dag, dagger
from pipeline.targets import BY_MACHINE, select

if TYPE_CHECKING:
    from pipeline.main import RustMultiarch

STARTED = "RUST_MULTIARCH_STARTED"
"""A variable of the started container that differs each time: the time in nanoseconds."""

# The engine's message for the end of a program with ports; without a reason it did not fail.
_ENDED = re.compile(r"bound service \S+ \(.*\) exited(?:: (?P<reason>.*?))?(?: \[traceparent:.*)?", re.DOTALL)

GRACE_SECONDS = 2
"""Time in which a program ends after SIGTERM before it is killed."""

Published = Annotated[
    list[str] | None,
    typer.Option("--publish", help="Port of this machine for a port of the image, as 8081:8080. Repeatable."),
]
Watch = Annotated[bool, typer.Option("--watch", help="Build and start again after each change of a file.")]


def usual() -> Layer:
    """Return the settings of `run`: this machine's platform alone."""
    row = BY_MACHINE.get(platform.machine())
    return {"platforms": Value([row.platform], "this machine")} if row else {}


def prepare(
    settings: Settings,
    directory: Path,
    *,
    publish: Published = None,
    watch: Watch = False,
    json: JSON = False,
    **made: Changes,
) -> Mapping[str, Any]:
    """Return the arguments of `run`: the ports, and the changes to wait for.

    Args:
        made: with --watch, `changed`: the changes since before the settings were read.

    Raises:
        InvalidArgument: there are several platforms, or a port is not valid.
    """
    if (chosen := len(select(settings.platforms))) != 1:
        raise InvalidArgument(
            f"an image of one platform can be started, not of {chosen}",
            where="--platform",
            fix="pass one --platform, or leave it out for this machine's",
        )
    ports = {port: port for port in settings.ports} | dict(map(_port, publish or ()))
    return {"ports": ports, "changed": made.get("changed"), "json": json}


def _port(text: str) -> tuple[int, int]:
    """Parse HOST:PORT; return the image's port and this machine's."""
    outer, colon, inner = text.partition(":")
    numbers = [int(part) if part.isascii() and part.isdigit() else 0 for part in (inner or outer, outer)]
    if not all(0 < number <= LAST_PORT for number in numbers) or (colon and not inner):
        raise InvalidArgument(
            f"{text!r} is not two ports", where="--publish", fix="write this machine's port first: 8081:8080"
        )
    return numbers[0], numbers[1]


async def run(
    module: RustMultiarch, *, ports: Mapping[int, int], changed: Changes | None, json: bool = False
) -> str:
    """Build for this machine and start the image; with --watch, again after each change.

    Programs are compiled incrementally and without LTO, in the cargo profile `rust-multiarch-run`, and are
    not published. The program's output goes to standard error, like the progress.
    """
    module.development = True
    image = await module.assembled()
    (variant,) = image.variants
    addresses = [f"http://127.0.0.1:{outer}" for outer in ports.values()]
    # The engine keeps the result of an earlier start, and sends the output of a service to its first session.
    container = variant.container.with_env_variable(STARTED, str(time.time_ns()))
    events.enter("starting", variant.platform)
    watching.show_output(ProgramLog().read)
    async with _listening(container, ports) as service:
        events.enter(model.RUNNING, variant.platform)
        say(" ".join(["running", *addresses]))
        if service:
            waiting = image.inputs.native or await module.builder()
            await _until(changed, _ended(waiting.with_service_binding("program", service)))
        else:
            await _until(changed, _finished(container))
    return json_module.dumps({"platform": variant.platform, "addresses": addresses}) if json else ""


@contextlib.asynccontextmanager
async def _listening(
    container: dagger.Container, ports: Mapping[int, int]
) -> AsyncIterator[dagger.Service | None]:
    """Start an image with its ports on this machine, and stop it at the end; do nothing without ports.

    The result is the image's service; None without ports.

    Raises:
        SmokeFailed: the program ended before it listened.
        InvalidArgument: a port of this machine is in use.
    """
    if not ports:
        yield None
        return
    for port in ports:
        container = container.with_exposed_port(port)
    forwarded = [dagger.PortForward(backend=inner, frontend=outer) for inner, outer in ports.items()]
    service = container.as_service(use_entrypoint=True)
    try:
        started = await dag.host().tunnel(service, ports=forwarded).start()
    except dagger.ExecError as error:
        raise _failed(error, f" before it listened on {_listed(ports)}") from error
    except dagger.QueryError as error:
        if "address already in use" not in str(error):
            raise
        raise InvalidArgument(
            f"a port of this machine is in use: {_listed(ports.values())}",
            where="--publish",
            fix="end the program that uses it, or choose another: --publish 8081:8080",
        ) from error
    try:
        yield service
    finally:
        await _stop(started)


async def _stop(service: dagger.Service) -> None:
    """Stop a service, also after Ctrl-C; kill a program that does not end."""
    with anyio.CancelScope(shield=True), contextlib.suppress(dagger.QueryError):
        with anyio.move_on_after(GRACE_SECONDS):
            await service.stop()
            return
        await service.stop(kill=True)


async def _ended(waiting: dagger.Container) -> None:
    """Wait until a program with ports ends.

    Args:
        waiting: a container with `sleep`, to which the program is bound; the engine ends a command when a
            service that is bound to it ends.

    Raises:
        SmokeFailed: the program failed.
    """
    try:
        await waiting.with_exec(["sleep", "infinity"]).sync()
    except dagger.QueryError as error:
        if (ended := _ENDED.fullmatch(str(error))) is None:
            raise
        if ended["reason"]:
            raise SmokeFailed(
                f"the program failed: {ended['reason']}", where="the entrypoint", fix="see its output above"
            ) from error


async def _finished(container: dagger.Container) -> None:
    """Run a program without ports to its end.

    Raises:
        SmokeFailed: the program failed.
    """
    try:
        await container.with_exec([], use_entrypoint=True).sync()
    except dagger.ExecError as error:
        raise _failed(error) from error


def _failed(error: dagger.ExecError, when: str = "") -> SmokeFailed:
    """Return the error for a program that failed."""
    return SmokeFailed(
        f"the program ended with exit code {error.exit_code}{when}",
        where="the entrypoint",
        fix="see its output above; --port names a port that it listens on",
        output=printed(error),
    )


async def _until(changed: Changes | None, work: Awaitable[None]) -> None:
    """Wait for the end of some work; if there are changes to wait for, for the first of them instead."""
    if changed is None:
        await work
        return
    async with anyio.create_task_group() as group:
        group.start_soon(_cancel_on_change, changed, group.cancel_scope)
        try:
            await work
        except SmokeFailed as error:
            say(error.render())
        say("the program ended: waiting for a change")


async def _cancel_on_change(changed: Changes, scope: anyio.CancelScope) -> None:
    await changed.wait()
    scope.cancel()


def _listed(ports: Iterable[int]) -> str:
    return ", ".join(map(str, ports))


_once = session.project_command(run, prepare=prepare, usual=usual())


@functools.wraps(_once)
def repeated(**given: Any) -> None:
    """Run the command, with --watch after each change, also after an error that a change can mend."""
    if not given["watch"]:
        return _once(**given)
    directory = source_files.find(given["source"]).directory
    while True:
        changed = Changes(directory)
        try:
            _once(**given, changed=changed)
        except Exception as error:
            known = failures.known(error)
            if known is None or isinstance(known, InvalidArgument):
                raise
            say(known.render())
            anyio.run(changed.wait)


repeated.__signature__ = inspect.signature(_once)

COMMANDS: dict[str, Callable[..., None]] = {"run": repeated}
