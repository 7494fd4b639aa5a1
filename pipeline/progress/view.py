"""Show progress: a board that is updated in place on a terminal, lines in a log, or nothing."""

from __future__ import annotations

import enum
import os
from collections.abc import Callable, Mapping
from typing import Protocol, TextIO

from pipeline.printable import printable
from pipeline.progress import model
from pipeline.progress.model import Board

SILENT_SECONDS = 30.0
"""The maximum time between two lines of a log."""

WIDTH = 80
"""The width if the terminal does not report it."""


class Mode(enum.Enum):
    """The display of progress."""

    AUTO = "auto"
    TTY = "tty"
    PLAIN = "plain"
    QUIET = "quiet"
    RAW = "raw"


class Painter(Protocol):
    """A display of a board.

    Attributes:
        tick: seconds between two calls of `ticked`.
    """

    tick: float

    def changed(self, before: Board, after: Board, now: float) -> None:
        """Show the change of an event."""
        ...

    def ticked(self, board: Board, now: float) -> None:
        """Update the display after `tick` seconds."""
        ...

    def note(self, line: str) -> None:
        """Print a permanent line."""
        ...


class Lines:
    """Display for logs: a line per stage, and regularly the number of crates; no control characters."""

    tick = 15.0

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._counted = ""
        self._noted = 0.0

    def changed(self, before: Board, after: Board, now: float) -> None:
        """Print a line for each stage that rows entered."""
        for line in model.changes(before, after, now):
            self._log(line, now)

    def ticked(self, board: Board, now: float) -> None:
        """Print the number of crates if it changed; after `SILENT_SECONDS`, print the current operation."""
        if board.ended is not None:
            return
        shown, silent = model.counts(board), now - max(self._noted, board.began)
        if shown != self._counted:
            self._counted = shown
            self._log(model.logged(board, now, shown), now)
        elif silent >= SILENT_SECONDS and (waiting := model.waiting(board, now)):
            self._log(model.logged(board, now, waiting), now)

    def _log(self, line: str, now: float) -> None:
        self._noted = now
        self.note(line)

    def note(self, line: str) -> None:
        """Print a permanent line."""
        print(printable(line), file=self._out, flush=True)


class Screen:
    """Display for terminals: the board is updated in place, below the permanent lines."""

    tick = 0.2

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._painted = 0
        self._pending: list[str] = []

    def changed(self, before: Board, after: Board, now: float) -> None:
        """Paint the final state at once; other changes are painted at the next tick."""
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
    """Display of permanent lines only."""

    tick = 60.0

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def changed(self, before: Board, after: Board, now: float) -> None:
        """Ignore it."""

    def ticked(self, board: Board, now: float) -> None:
        """Ignore it."""

    def note(self, line: str) -> None:
        """Print a permanent line."""
        print(printable(line), file=self._out, flush=True)


def painter(mode: Mode, out: TextIO, environ: Mapping[str, str] = os.environ) -> Painter:
    """Return the display for a mode; `auto` chooses by the capabilities of the output."""
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
