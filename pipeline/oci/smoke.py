"""The smoke run: every variant started once, foreign ones under whatever emulator the engine has."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

import dagger

from pipeline.concurrent import each
from pipeline.errors import SmokeFailed, printed
from pipeline.progress import events

AT_ONCE = 2

# What a kernel without an emulator, runc and Dagger's init say when asked to start a foreign program.
_NO_EMULATOR = ("exec format error", "Exec format error")


@dataclass(frozen=True)
class Outcome:
    """What became of one variant: `ok`, `skipped` or `failed`, and what it printed."""

    platform: str
    state: str
    output: str


async def run(variants: Sequence[tuple[str, dagger.Container]], command: Sequence[str]) -> list[Outcome]:
    """Start every variant with a command after its entrypoint.

    Args:
        variants: platform and image of each.
        command: arguments of the entrypoint, for example `--version`.

    Raises:
        SmokeFailed: a variant ended with an error; the message names each and carries its output.
    """

    async def start(variant: tuple[str, dagger.Container]) -> Outcome:
        return await _start(*variant, command)

    outcomes = await each(variants, start, AT_ONCE)
    _raise_failures(outcomes, command)
    return outcomes


async def _start(platform: str, container: dagger.Container, command: Sequence[str]) -> Outcome:
    events.enter("starting", platform)
    try:
        output = await container.with_exec(list(command), use_entrypoint=True).combined_output()
    except dagger.ExecError as error:
        text = printed(error)
        if any(words in f"{text}{error}" for words in _NO_EMULATOR):
            return Outcome(platform, "skipped", "the engine has no emulator for this platform")
        return Outcome(platform, "failed", f"{text}\n(exit code {error.exit_code})".strip())
    return Outcome(platform, "ok", output.strip())


def _raise_failures(outcomes: Sequence[Outcome], command: Sequence[str]) -> None:
    failed = [outcome for outcome in outcomes if outcome.state == "failed"]
    if failed:
        raise SmokeFailed(
            "a variant does not run: " + ", ".join(outcome.platform for outcome in failed),
            where=shlex.join(command) or "the entrypoint",
            fix="read what it printed above; `build variant --platform … container terminal` steps into it",
            output="\n".join(f"{outcome.platform}:\n{outcome.output}" for outcome in failed),
        )


def as_text(outcomes: Sequence[Outcome]) -> str:
    """A line per variant, its output indented below."""
    lines = []
    for outcome in outcomes:
        lines.append(f"{outcome.platform}: {outcome.state}")
        lines += [f"  {line}" for line in outcome.output.splitlines()]
    return "\n".join(lines)
