"""Test concurrent calls: order of results, limits, errors."""

import subprocess
import sys
import threading

import anyio
import pytest

from pipeline.concurrent import each, in_daemon
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


@pytest.mark.anyio
async def test_a_call_that_is_given_up_ends_nothing() -> None:
    release, ended = threading.Event(), threading.Event()

    def call() -> None:
        release.wait(10)
        ended.set()

    with pytest.raises(TimeoutError):
        await in_daemon(call, 0.01)
    release.set()
    assert ended.wait(10)


@pytest.mark.anyio
async def test_a_call_returns_its_result_or_error() -> None:
    assert await in_daemon(lambda: 1, 10) == 1
    with pytest.raises(ZeroDivisionError):
        await in_daemon(lambda: 1 // 0, 10)


def test_the_end_of_the_process_does_not_wait_for_a_call() -> None:
    program = """
import anyio, threading
from pipeline.concurrent import in_daemon
try:
    anyio.run(in_daemon, threading.Event().wait, 0.01)
except TimeoutError:
    print("given up")
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30)
    assert done.stdout == "given up\n"
