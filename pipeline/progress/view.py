"""Putting progress on the screen: a board that stands still on a terminal, lines in a log, or nothing."""

from __future__ import annotations

import enum
import os
from collections.abc import Callable, Mapping
from typing import Protocol, TextIO

from pipeline.printable import printable
from pipeline.progress import model
from pipeline.progress.model import Board

SILENT_SECONDS = 30.0
"""The longest that a log stays without a line."""

WIDTH = 80
"""Columns of a terminal that does not say how many it has."""


class Mode(enum.Enum):
    """How progress is shown."""

    AUTO = "auto"
    TTY = "tty"
    PLAIN = "plain"
    QUIET = "quiet"
    RAW = "raw"


class Painter(Protocol):
    """Something that shows a board.

    Attributes:
        tick: seconds between two calls of `ticked`.
    """

    tick: float

    def changed(self, before: Board, after: Board, now: float) -> None:
        """Something happened."""
        ...

    def ticked(self, board: Board, now: float) -> None:
        """Time has passed."""
        ...

    def note(self, line: str) -> None:
        """A line that stays."""
        ...


class Lines:
    """For a log: a line for each stage, and now and then how far the crates are; no control characters."""

    tick = 15.0

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._counted = ""
        self._noted = 0.0

    def changed(self, before: Board, after: Board, now: float) -> None:
        """A line for each stage that rows entered."""
        for line in model.changes(before, after, now):
            self._log(line, now)

    def ticked(self, board: Board, now: float) -> None:
        """Print the number of crates if it changed, else what the build waits for, after `SILENT_SECONDS`."""
        if board.ended is not None:
            return
        shown = model.counts(board)
        if shown != self._counted:
            self._counted = shown
            self._log(model.logged(board, now, shown), now)
        elif now - max(self._noted, board.began) >= SILENT_SECONDS:
            self._log(model.logged(board, now, model.waiting(board, now)), now)

    def _log(self, line: str, now: float) -> None:
        self._noted = now
        self.note(line)

    def note(self, line: str) -> None:
        """The line."""
        print(printable(line), file=self._out, flush=True)


class Screen:
    """For a terminal: the board is painted over itself, and lines that stay go above it."""

    tick = 0.2

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._painted = 0
        self._pending: list[str] = []

    def changed(self, before: Board, after: Board, now: float) -> None:
        """Paint what is final at once; all else at the next tick."""
        if after.ended is not None:
            self.ticked(after, now)

    def ticked(self, board: Board, now: float) -> None:
        """Paint the board, and pending lines above it."""
        lines = model.frame(board, now, self._width())
        up = f"\x1b[{self._painted}F" if self._painted else ""
        text = "".join(f"{line}\n" for line in (*self._pending, *map(printable, lines)))
        self._out.write(f"{up}\x1b[J{text}")
        self._out.flush()
        self._painted, self._pending = len(lines), []

    def note(self, line: str) -> None:
        """Keep the line for the next tick."""
        self._pending.append(printable(line))

    def _width(self) -> int:
        try:
            return os.get_terminal_size(self._out.fileno()).columns or WIDTH
        except OSError:
            return WIDTH


class Silence:
    """Nothing but the lines that stay."""

    tick = 60.0

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def changed(self, before: Board, after: Board, now: float) -> None:
        """Nothing."""

    def ticked(self, board: Board, now: float) -> None:
        """Nothing."""

    def note(self, line: str) -> None:
        """The line."""
        print(printable(line), file=self._out, flush=True)


def painter(mode: Mode, out: TextIO, environ: Mapping[str, str] = os.environ) -> Painter:
    """What shows progress in a mode; `auto` looks whether the output is a terminal that can be painted on."""
    if mode is Mode.AUTO:
        capable = out.isatty() and environ.get("TERM", "dumb") != "dumb"
        mode = Mode.TTY if capable else Mode.PLAIN
    painters: dict[Mode, Callable[[TextIO], Painter]] = {
        Mode.TTY: Screen,
        Mode.PLAIN: Lines,
        Mode.QUIET: Silence,
        Mode.RAW: Silence,
    }
    return painters[mode](out)
