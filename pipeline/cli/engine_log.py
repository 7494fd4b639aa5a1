"""Parse the engine's log, which is `dagger`'s plain progress with the output of cargo."""

from __future__ import annotations

import re

from pipeline.progress.events import Event, Working
from pipeline.project import output as cargo_output

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
# The output of a container in dagger's plain progress: `70  : ┆ [1.7s] |    Compiling …`. The time is
# `[1m2s]` after a minute, `[INVALID_DURATION]` if the line came before its step.
_OUTPUT = re.compile(r"\d+\s+: [┆ ]*\[[^]]*\] \| (?P<text>.*)")
_COMPILING = re.compile(r"\s+Compiling (?P<crate>\S+ v\S+)")
_CARGO = re.compile(r"\s+(?:Compiling|Downloading|Downloaded|Updating|Finished|Checking|Running) ")


def plain(line: str) -> str:
    """Return a line of the engine's log without colours."""
    return _CONTROL.sub("", line).rstrip()


def parse(line: str) -> Event | None:
    """Return the event in a line of the engine's log; None if it has none."""
    output = _OUTPUT.fullmatch(plain(line))
    if output is None:
        return None
    text = output["text"]
    crate = cargo_output.read(text)
    if crate:
        return crate
    if compiling := _COMPILING.match(text):
        return Working(compiling["crate"])
    return Working() if _CARGO.match(text) else None
