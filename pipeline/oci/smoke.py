"""Smoke-test images: start each platform once, foreign ones with the engine's emulators."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

import anyio

from pipeline.concurrent import each
from pipeline.errors import SmokeFailed, printed
from pipeline.progress import events
from pipeline.sdk import dagger

AT_ONCE = 2

SECONDS = 10
"""Seconds after which a program that still runs has passed."""

# Messages of runc and Dagger's init for a foreign program without an emulator.
_NO_EMULATOR = ("exec format error", "Exec format error")


@dataclass(frozen=True)
class Outcome:
    """The result of a platform's smoke test: `ok`, `skipped` or `failed`, and the output."""

    platform: str
    state: str
    output: str


async def run(
    variants: Sequence[tuple[str, dagger.Container]], command: Sequence[str], seconds: int = SECONDS
) -> list[Outcome]:
    """Start the image of every platform.

    A program that still runs after some seconds, such as a server, is stopped and has passed.

    Args:
        variants: platform and image of each.
        command: arguments of the entrypoint, for example `--version`.
        seconds: the time limit; 0 waits for the program's end.

    Raises:
        SmokeFailed: a platform failed; the error has the output of each.
    """

    async def start(variant: tuple[str, dagger.Container]) -> Outcome:
        return await _start(*variant, command, seconds or math.inf)

    outcomes = await each(variants, start, AT_ONCE)
    _raise_failures(outcomes, command)
    return outcomes


async def _start(
    platform: str, container: dagger.Container, command: Sequence[str], seconds: float
) -> Outcome:
    events.enter("starting", platform)
    # The image is complete, so that only the program takes time.
    container = await container.sync()
    output = ""
    try:
        with anyio.move_on_after(seconds) as limit:
            output = await container.with_exec(list(command), use_entrypoint=True).combined_output()
    except dagger.ExecError as error:
        text = printed(error)
        if any(words in f"{text}{error}" for words in _NO_EMULATOR):
            return Outcome(platform, "skipped", "the engine has no emulator for this platform")
        return Outcome(platform, "failed", f"{text}\n(exit code {error.exit_code})".strip())
    if limit.cancelled_caught:
        return Outcome(platform, "ok", f"still running after {seconds:g} s")
    return Outcome(platform, "ok", output.strip())


def _raise_failures(outcomes: Sequence[Outcome], command: Sequence[str]) -> None:
    failed = [outcome for outcome in outcomes if outcome.state == "failed"]
    if failed:
        raise SmokeFailed(
            "the smoke test failed for " + ", ".join(outcome.platform for outcome in failed),
            where=shlex.join(command) or "the entrypoint",
            fix="see the output above; `build variant --platform … container terminal` opens a shell",
            output="\n".join(f"{outcome.platform}:\n{outcome.output}" for outcome in failed),
        )


def as_text(outcomes: Sequence[Outcome]) -> str:
    """Return a line per platform, with its output indented below."""
    lines = []
    for outcome in outcomes:
        lines.append(f"{outcome.platform}: {outcome.state}")
        lines += [f"  {line}" for line in outcome.output.splitlines()]
    return "\n".join(lines)
