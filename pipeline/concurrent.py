"""Run a function for each of several items, with a limit on concurrency."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

import anyio

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
