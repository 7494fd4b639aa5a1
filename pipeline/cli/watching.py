"""Run a function in an engine session: show its progress, and stop it on Ctrl-C."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import TextIO

import anyio
import anyio.to_thread
from anyio.abc import TaskStatus

from engine.config import CLI, RUNNER
from pipeline.cli import engine_address, engine_log
from pipeline.cli.engine_process import (
    SHOWN_BY_DAGGER,
    EngineProcess,
    EngineProcessFailed,
)
from pipeline.errors import EngineUnreachable
from pipeline.progress import events, model
from pipeline.progress.events import Ended, Event
from pipeline.progress.model import DONE, FAILED, INTERRUPTED, Board
from pipeline.progress.view import Mode, Painter, painter
from pipeline.sdk import dagger, in_environment

REMEMBERED = 200
"""Number of lines of the engine's log kept for the details of an unexpected error."""

GRACE_SECONDS = 20.0
"""Time limit for a session to end after Ctrl-C; usually less than a second."""

CHECK_SECONDS = 3.0
"""Time between checks of the engine's address, since Dagger waits for an engine that was killed."""

MISSED_CHECKS = 2
"""Number of failed checks in a row after which the engine is considered stopped."""

UNENDED = "the engine did not end the session in order"

EXIT_CODE = 128 + signal.SIGINT
"""The exit code of a program ended by Ctrl-C."""


class Interrupted(Exception):
    """The command was interrupted by a signal; the message lists the kept results."""

    def __init__(self, message: str, exit_code: int = EXIT_CODE) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Interruption:
    """The first signal that interrupted a command; 0 before it."""

    def __init__(self) -> None:
        self.signal = 0


class Watcher:
    """The board of a command and its display.

    Attributes:
        output: returns the output to show in a line of the engine's log; None for no output.
        unended: the error of a session that the engine did not end in order; empty if it did.
    """

    def __init__(self, rows: Sequence[tuple[str, str]], shown: Painter) -> None:
        self.board: Board = model.board(rows, time.monotonic())
        self._painter = shown
        self._over = anyio.Event()
        self.output: Callable[[str], str | None] = lambda line: None
        self.unended = ""

    def tell(self, event: Event) -> None:
        """Update the board with an event."""
        now = time.monotonic()
        before, self.board = self.board, model.advance(self.board, event, now)
        self._painter.changed(before, self.board, now)
        if self.board.ended is not None:
            self._over.set()

    def read(self, line: str) -> None:
        """Update the board with a line of the engine's log."""
        _LOG.append(engine_log.plain(line))
        if (output := self.output(line)) is not None:
            self._painter.note(output)
        event = engine_log.parse(line)
        if event is not None:
            self.tell(event)

    async def tick(self) -> None:
        """Update the display regularly until the end of the command."""
        while not self._over.is_set():
            self._painter.ticked(self.board, time.monotonic())
            with anyio.move_on_after(self._painter.tick):
                await self._over.wait()


_WATCHER: ContextVar[Watcher | None] = ContextVar("watcher", default=None)

_LOG: deque[str] = deque(maxlen=REMEMBERED)


def seconds() -> dict[str, float]:
    """Return the seconds until each platform's image was assembled."""
    watcher = _WATCHER.get()
    return model.seconds(watcher.board) if watcher else {}


def show_output(output: Callable[[str], str | None]) -> None:
    """Show output in the engine's log until the session's end; with the progress `raw` all of it is shown.

    Args:
        output: returns the output in a line of the log; None for no output.
    """
    if watcher := _WATCHER.get():
        watcher.output = output


def recent() -> str:
    """Return the last lines of the engine's log; empty before a command has started."""
    return "\n".join(_LOG)


class _Notes(io.TextIOBase):
    """A stream that prints its lines as permanent lines of a display."""

    def __init__(self, shown: Painter) -> None:
        self._painter = shown
        self._rest = ""

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            if line:
                self._painter.note(line)
        return len(text)


@contextlib.asynccontextmanager
async def _log(read: Callable[[str], None], process: EngineProcess | None) -> AsyncIterator[TextIO]:
    """Open a file for the engine's log, and read its lines as they are written, until the end.

    The log of a process that was started before is read too.
    """
    reading, writing = os.pipe()
    async with anyio.create_task_group() as group:
        group.start_soon(_lines, reading, read)
        if process and process.log:
            group.start_soon(_lines, os.dup(process.log.fileno()), read)
        with os.fdopen(writing, "w") as log:
            yield log


async def _lines(descriptor: int, read: Callable[[str], None]) -> None:
    os.set_blocking(descriptor, False)
    rest = b""
    try:
        while True:
            await anyio.wait_readable(descriptor)
            chunk = os.read(descriptor, 1 << 16)
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                read(line.decode(errors="replace"))
            if not chunk:
                return
    finally:
        os.close(descriptor)


async def _obey(
    scope: anyio.CancelScope,
    interrupted: Interruption,
    *,
    task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Stop cleanly on the first Ctrl-C; kill everything on the second, or if the session does not end."""
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        async for number in signals:
            interrupted.signal = number
            break
        scope.cancel()
        with anyio.move_on_after(GRACE_SECONDS):
            async for _ in signals:
                break
        _leave(128 + interrupted.signal)


async def _check_engine(address: str) -> None:
    """Wait until the engine no longer responds at its address."""
    missed = 0
    while missed < MISSED_CHECKS:
        await anyio.sleep(CHECK_SECONDS)
        try:
            await engine_address.reach(address)
            missed = 0
        except EngineUnreachable:
            missed += 1


async def _end_when_gone(address: str) -> None:
    """End the session when the engine is gone, which also ends what waits for it.

    Raises:
        EngineUnreachable: the engine stopped answering.
    """
    await _check_engine(address)
    _kill_children()
    raise EngineUnreachable(
        "the engine stopped answering during the command",
        where=address,
        fix="repeat the command once the engine runs again; `rust-multiarch engine logs` shows why the "
        "embedded engine ended",
    )


def _kill_children() -> None:
    """Kill the children of this process, the engine session among them."""
    for listed in Path("/proc/self/task").glob("*/children"):
        for pid in listed.read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)


def _leave(exit_code: int = EXIT_CODE) -> None:  # pragma: no cover - it ends this process
    """End this process and its children without waiting."""
    _kill_children()
    print("interrupted; the engine session was ended by force", file=sys.__stderr__, flush=True)
    os._exit(exit_code)


async def watch(
    work: Callable[[], Awaitable[str]],
    rows: Sequence[tuple[str, str]],
    mode: Mode,
    process: EngineProcess | None = None,
) -> str:
    """Return the result of some work in an engine session.

    Args:
        work: run in the session.
        rows: name and triple of each line of the board.
        mode: the display of progress.
        process: the process that holds the session; None to let the SDK start it.

    Raises:
        EngineUnreachable: there is no engine, or it stopped answering.
        Interrupted: the command was interrupted; the message says whether the engine ended its session.
    """
    shown = painter(mode, sys.stderr)
    watcher = Watcher(rows, shown)
    interrupted = Interruption()
    how, answer = FAILED, ""
    _WATCHER.set(watcher)
    events.LISTENER.set(watcher.tell)
    try:
        async with anyio.create_task_group() as group:
            scope = anyio.CancelScope()
            await group.start(_obey, scope, interrupted)
            group.start_soon(watcher.tick)
            if address := os.environ.get(RUNNER):
                group.start_soon(_end_when_gone, address)
            # Only the work is cancelled: the session is always closed in order, which stops what runs in it.
            async with _session(watcher, shown, mode, process):
                with scope:
                    answer = await work()
            if watcher.unended and not interrupted.signal:
                shown.note(f"warning: the work is done, but {UNENDED}: {watcher.unended}")
            how = INTERRUPTED if interrupted.signal else DONE
            group.cancel_scope.cancel()
    except Exception:
        if not interrupted.signal:
            raise
        how = INTERRUPTED
    finally:
        watcher.tell(Ended(how))
    if interrupted.signal:
        end = f"{UNENDED}, and may still be working" if watcher.unended else "nothing is running any more"
        lines = "\n".join([f"interrupted; {end}", *model.kept(watcher.board)])
        raise Interrupted(lines, 128 + interrupted.signal)
    return answer


@contextlib.asynccontextmanager
async def _session(
    watcher: Watcher, shown: Painter, mode: Mode, process: EngineProcess | None
) -> AsyncIterator[None]:
    """Open an engine session; its log and what is printed meanwhile go where progress is shown."""
    if mode is Mode.RAW:
        async with _connected(sys.stderr, watcher, process):
            yield
        return
    os.environ.update(SHOWN_BY_DAGGER)
    async with _log(watcher.read, process) as log, _connected(log, watcher, process):
        with _printed_to(shown):
            yield


@contextlib.asynccontextmanager
async def _connected(log: TextIO, watcher: Watcher, process: EngineProcess | None) -> AsyncIterator[None]:
    """Open a session with the chosen engine, and end it.

    If the engine does not end the session in order, that changes no outcome; it is kept in `unended`.

    Raises:
        EngineUnreachable: the session cannot be opened.
    """
    stack = contextlib.AsyncExitStack()
    try:
        opened: dict[str, str] = {}
        if process:
            opened = await anyio.to_thread.run_sync(process.variables)
            stack.push_async_callback(anyio.to_thread.run_sync, process.end)
        with in_environment(opened):
            await stack.enter_async_context(dagger.connection(dagger.Config(log_output=log)))
    except BaseException as error:
        if process:
            process.kill()
        if not isinstance(error, dagger.ProvisionError | dagger.ClientConnectionError | EngineProcessFailed):
            raise
        raise EngineUnreachable(
            "a session with the engine cannot be opened; tried " + _tried(os.environ),
            where=os.environ.get(RUNNER) or "the engine that Dagger starts with docker or podman",
            fix="see the output above and `rust-multiarch doctor`; name another engine with --engine, or "
            "use the embedded one with --engine embedded",
            output=str(error),
        ) from None
    try:
        yield
    finally:
        try:
            await stack.aclose()
        except (dagger.SessionError, subprocess.TimeoutExpired, EngineProcessFailed) as error:
            watcher.unended = str(error)


def _tried(environ: Mapping[str, str]) -> str:
    """Return what was started to reach the engine."""
    return environ.get(CLI) or "the `dagger` that its SDK downloads"


@contextlib.contextmanager
def _printed_to(shown: Painter) -> Iterator[None]:
    with contextlib.redirect_stderr(_Notes(shown)):
        yield
