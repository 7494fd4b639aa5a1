"""Several engines at once: each builds some platforms and pushes them by digest; one merge makes the index.

An engine takes the next platform as soon as it is free. One that is lost leaves its platform to the others,
so a build ends in an error only when the project does not build or when no engine is left.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import anyio
from anyio.abc import ByteReceiveStream

from engine.config import RUNNER
from pipeline import errors
from pipeline.config.settings import PREFIX, variable
from pipeline.errors import EngineError, NoEngineLeft, RustMultiarchError, first

SCHEMES = ("unix", "tcp", "kube-pod", "ssh", "docker-container", "podman-container", "docker-image")
"""Ways to an engine that Dagger knows."""

ANSWER_SECONDS = 10.0
"""How long an engine may take to accept a connection."""

T = TypeVar("T")


class EngineLost(Exception):
    """An engine that does not answer, or stopped answering; what it was doing is to be done elsewhere."""


@dataclass
class _Work:
    """What is left to do, and what is being done and may come back."""

    waiting: deque[str]
    running: int = 0
    changed: anyio.Condition = field(default_factory=anyio.Condition)

    async def take(self) -> str | None:
        """The next task; None once nothing is left and nothing can come back."""
        async with self.changed:
            while not self.waiting and self.running:
                await self.changed.wait()
            if not self.waiting:
                return None
            self.running += 1
            return self.waiting.popleft()

    async def finish(self, again: str | None = None) -> None:
        """A task is done, or has to be done again."""
        async with self.changed:
            self.running -= 1
            if again is not None:
                self.waiting.appendleft(again)
            self.changed.notify_all()


async def spread(
    tasks: Sequence[str],
    engines: Sequence[str],
    run: Callable[[str, str], Awaitable[T]],
    log: Callable[[str], None],
) -> dict[str, T]:
    """The results of all tasks, in their order, each done by whichever engine was free.

    Args:
        tasks: what is to be done, by name.
        engines: where; each does one task at a time.
        run: does a task (second argument) on an engine (first argument).
        log: told of every engine that is lost.

    Raises:
        NoEngineLeft: every engine was lost before all was done.
        Exception: the first error of `run` that is not `EngineLost`; the other tasks are cancelled.
    """
    work = _Work(deque(tasks))
    done: dict[str, T] = {}
    lost: dict[str, str] = {}

    async def serve(engine: str) -> None:
        while (task := await work.take()) is not None:
            try:
                done[task] = await run(engine, task)
            except EngineLost as error:
                lost[engine] = str(error)
                log(f"{engine} is lost; {task} goes to another engine")
                await work.finish(task)
                return
            await work.finish()

    try:
        async with anyio.create_task_group() as group:
            for engine in engines:
                group.start_soon(serve, engine)
    except BaseExceptionGroup as group_of:
        raise first(group_of) from None
    missing = [task for task in tasks if task not in done]
    if missing:
        raise NoEngineLeft(
            f"every engine was lost before {', '.join(missing)} was done",
            where=", ".join(lost),
            fix="see why each was lost above; `rust-multiarch doctor` looks at one engine",
            output="\n".join(f"{engine}:\n{why}" for engine, why in lost.items()),
        )
    return {task: done[task] for task in tasks}


@dataclass(frozen=True)
class Legs:
    """One platform's build as a command of its own, which the engine's address is given to.

    Attributes:
        command: the command line without the platform; the answer is its last line on stdout.
        environment: the settings, as `settings.to_environment` gives them.
        log: told every line the command says, with the platform before it.
    """

    command: tuple[str, ...]
    environment: Mapping[str, str]
    log: Callable[[str], None]

    async def run(self, engine: str, platform: str) -> str:
        """Build a platform on an engine; what the command printed last.

        Raises:
            EngineLost: the command did not fail with an error of the project's or the registry's.
            RustMultiarchError: it did, and would on any engine; the error has the exit code of its kind.
        """
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        environment = {**inherited, **self.environment, variable("platforms"): platform, RUNNER: engine}
        self.log(f"{platform} on {engine}")
        await reach(engine)
        answer: list[str] = []
        said: deque[str] = deque(maxlen=200)

        def heard(line: str) -> None:
            said.append(line)
            self.log(f"{platform} | {line}")

        async with await anyio.open_process(list(self.command), env=environment) as process:
            assert process.stdout and process.stderr
            async with anyio.create_task_group() as group:
                group.start_soon(_each_line, process.stdout, answer.append)
                group.start_soon(_each_line, process.stderr, heard)
            code = await process.wait()
        if code == 0 and answer:
            return answer[-1]
        raise failure(code, platform, shlex.join(self.command), "\n".join(said))


async def reach(engine: str) -> None:
    """See that something listens at a socket's address: Dagger itself goes on trying for minutes.

    Raises:
        EngineLost: nothing does.
    """
    scheme, _, rest = engine.partition("://")
    host, _, port = rest.rpartition(":")
    try:
        with anyio.fail_after(ANSWER_SECONDS):
            if scheme == "unix":
                await (await anyio.connect_unix(rest)).aclose()
            elif scheme == "tcp" and port.isdecimal():
                await (await anyio.connect_tcp(host.strip("[]"), int(port))).aclose()
    except (OSError, TimeoutError) as error:
        raise EngineLost(f"nothing listens at {engine}: {error or 'no answer'}") from error


async def _each_line(stream: ByteReceiveStream, take: Callable[[str], None]) -> None:
    rest = b""
    async for piece in stream:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            take(line.decode(errors="replace"))
    if rest:
        take(rest.decode(errors="replace"))


def failure(code: int, platform: str, command: str, output: str) -> Exception:
    """What a leg's exit code means: an error of the project's is one on every engine.

    Args:
        code: the exit code; negative for a signal.
        platform: what was built.
        command: how.
        output: what it said last.
    """
    kind = _KINDS.get(code)
    if kind is None or issubclass(kind, EngineError):
        return EngineLost(output or f"the command ended with exit code {code}")
    return kind(f"{platform} cannot be built", where=command, fix="see its own message above", output=output)


_KINDS: dict[int, type[RustMultiarchError]] = {
    kind.exit_code: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, RustMultiarchError) and kind is not RustMultiarchError
    and kind.exit_code != RustMultiarchError.exit_code
}  # fmt: skip


def check(engines: Sequence[str]) -> None:
    """Refuse what is no address of an engine.

    Raises:
        InvalidArgument: an unknown scheme, or the same engine twice.
    """
    for engine in engines:
        scheme, separator, rest = engine.partition("://")
        if not separator or scheme not in SCHEMES or not rest:
            raise errors.InvalidArgument(
                f"{engine!r} is not an engine's address",
                where="--engine",
                fix="write it as Dagger does: "
                + ", ".join(f"{name}://…" for name in SCHEMES)
                + "; or embedded",
            )
        if engines.count(engine) > 1:
            raise errors.InvalidArgument(
                f"{engine} is named twice", where="--engine", fix="name each engine once"
            )


def by_itself(*arguments: str) -> tuple[str, ...]:
    """The command line of this very program with some arguments."""
    return (sys.executable, "-c", "from pipeline.cli import main; main()", *arguments)
