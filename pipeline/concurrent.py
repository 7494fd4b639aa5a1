"""One thing done for each of several, a few at a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

import anyio

from pipeline.errors import first

T = TypeVar("T")
R = TypeVar("R")


async def each(items: Iterable[T], do: Callable[[T], Awaitable[R]], at_once: int) -> list[R]:
    """What `do` gives for each item, in the order of the items.

    Args:
        items: what it is done for.
        do: does it for one.
        at_once: the most that run at the same time.

    Raises:
        Exception: the first error of `do`, by itself and not in a group; the others are cancelled.
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
