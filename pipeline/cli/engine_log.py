"""Parse the engine's log, which is `dagger`'s plain progress with the output of cargo.

cargo prints `Compiling serde` only once for all targets, and nothing for cached crates. Its JSON messages
(the cargo book, "External tools") have the path of every compiled crate, and so the target. compile.sh turns
each message into a line like cargo's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from pipeline.progress.events import CrateReady, Event, Working

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
# The output of a container in dagger's plain progress: `70  : ┆ [1.7s] |    Compiling …`. The time is
# `[1m2s]` after a minute, `[INVALID_DURATION]` if the line came before its step.
_OUTPUT = re.compile(r"(?P<step>\d+)\s+: [┆ ]*\[[^]]*\] \| (?P<text>.*)")
# The steps with a program's output, first with their arguments and at the end with the outcome:
# `13  : ┆ Container.asService DONE [2.6s]`.
_PROGRAM = re.compile(
    r"(?P<step>\d+)\s+: [┆ ]*(?:Container\.asService|Host\.tunnel|(?:Container\.)?withExec)"
    r"(?:[( ].*?)??(?: (?:DONE|CANCELED|ERROR) \[.*)?"
)
_COMPILING = re.compile(r"\s+Compiling (?P<crate>\S+ v\S+)")
_CARGO = re.compile(r"\s+(?:Compiling|Downloading|Downloaded|Updating|Finished|Checking|Running) ")
# Anywhere in a line, since cargo writes its lines to the other stream in two pieces, and these lines may come
# between them (`    Finished       Built a@1 for …`).
_CRATE = re.compile(r"(?:^| )(?P<word>Built|Fresh) (?P<id>.+) for (?P<triple>[a-z0-9_]+-[a-z0-9_-]+)$")


def plain(line: str) -> str:
    """Return a line of the engine's log without colours."""
    return _CONTROL.sub("", line).rstrip()


def parse(line: str) -> Event | None:
    """Return the event in a line of the engine's log; None if it has none."""
    output = _OUTPUT.fullmatch(plain(line))
    if output is None:
        return None
    text = output["text"]
    if ready := crate(text):
        return ready
    if compiling := _COMPILING.match(text):
        return Working(compiling["crate"])
    return Working() if _CARGO.match(text) else None


def crate(line: str) -> CrateReady | None:
    """Return the crate in a line of the builder's output; None if it has none."""
    found = _CRATE.search(line)
    return CrateReady(found["triple"], found["id"], found["word"] == "Fresh") if found else None


@dataclass
class ProgramLog:
    """A program of an image in the engine's log, from its start.

    Attributes:
        steps: the numbers of the steps that have its output.
    """

    steps: set[str] = field(default_factory=set)

    def read(self, line: str) -> str | None:
        """Return the program's output in a line of the log; None if it has none."""
        text = plain(line)
        output = _OUTPUT.fullmatch(text)
        if output:
            return output["text"] if output["step"] in self.steps else None
        if found := _PROGRAM.fullmatch(text):
            self.steps.add(found["step"])
        return None
