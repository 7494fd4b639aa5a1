"""Test concurrent calls: order of results, limit, errors."""

import anyio
import pytest

from pipeline.concurrent import each
from pipeline.errors import SmokeFailed


def test_results_keep_the_order_of_the_items() -> None:
    async def run() -> list[int]:
        last_began = anyio.Event()

        async def square(item: int) -> int:
            if item == 2:
                last_began.set()
            await last_began.wait()
            return item * item

        return await each([3, 1, 2], square, 3)

    assert anyio.run(run) == [9, 1, 4]


@pytest.mark.parametrize("at_once", [1, 2, 4])
def test_concurrency_reaches_its_limit(at_once: int) -> None:
    async def run() -> int:
        running, most, full = 0, 0, anyio.Event()

        async def one(item: int) -> None:
            nonlocal running, most
            running += 1
            most = max(most, running)
            if running == at_once:
                full.set()
            await full.wait()
            running -= 1

        with anyio.fail_after(5):
            await each(range(4), one, at_once)
        return most

    assert anyio.run(run) == at_once


def test_the_first_error_is_raised_and_cancels_other_calls() -> None:
    ended = []

    async def one(item: str) -> None:
        if item == "bad":
            raise SmokeFailed("bad", where="here", fix="none")
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(item)

    with pytest.raises(SmokeFailed, match="bad"):
        anyio.run(each, ["first", "bad"], one, 2)
    assert ended == ["first"]
