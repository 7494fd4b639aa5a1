"""Run functions with limits: on concurrency for several items, on time in a thread."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import Future
from typing import Any, TypeVar

import anyio
import anyio.from_thread
import anyio.lowlevel

from pipeline.errors import first

T = TypeVar("T")
R = TypeVar("R")


async def each(items: Iterable[T], do: Callable[[T], Awaitable[R]], at_once: int) -> list[R]:
    """Call `do` for each item and return the results in the order of the items.

    Args:
        items: the arguments.
        do: the function to call.
        at_once: maximum number of concurrent calls.

    Raises:
        Exception: the first error of `do`, not in a group; other calls are cancelled.
    """
    found: dict[int, R] = {}
    limiter = anyio.CapacityLimiter(at_once)

    async def one(number: int, item: T) -> None:
        async with limiter:
            found[number] = await do(item)

    try:
        async with anyio.create_task_group() as group:
            for number, item in enumerate(items):
                group.start_soon(one, number, item)
    except BaseExceptionGroup as errors:
        raise first(errors) from None
    return [found[number] for number in sorted(found)]


async def together(one: Callable[[], Awaitable[T]], other: Callable[[], Awaitable[R]]) -> tuple[T, R]:
    """Call two functions at the same time and return both results.

    Raises:
        Exception: the first error, not in a group; the other call is cancelled.
    """
    calls: list[Callable[[], Awaitable[Any]]] = [one, other]
    left, right = await each(calls, lambda call: call(), len(calls))
    return left, right


async def in_daemon(call: Callable[[], R], seconds: float) -> R:
    """Run a function in a thread that neither a cancellation nor the end of the process waits for.

    Args:
        call: the function, which may block for ever.
        seconds: the time after which the call is given up.

    Raises:
        TimeoutError: it took longer.
        Exception: the error of the function.
    """
    result: Future[R] = Future()
    finished = anyio.Event()
    token = anyio.lowlevel.current_token()

    def run() -> None:
        try:
            result.set_result(call())
        except BaseException as error:
            result.set_exception(error)
        with contextlib.suppress(anyio.RunFinishedError):
            anyio.from_thread.run_sync(finished.set, token=token)

    threading.Thread(target=run, daemon=True).start()
    with anyio.fail_after(seconds):
        await finished.wait()
    return result.result()
