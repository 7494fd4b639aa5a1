"""Compute the state of a build from its events, and the lines that show it.

All functions are pure. Times are in seconds of a monotonic clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeline.progress.events import COMPILING, READY, CrateReady, Ended, Event, Stage, Working
from pipeline.text_table import columns

STARTING, DONE, FAILED, INTERRUPTED = "starting", "done", "failed", "interrupted"
RUNNING = "running"
"""The stage in which the program itself runs."""

PREPARING = "preparing the builder"
"""The name of the compiling stage until cargo's first output, while the builder's packages are installed."""


@dataclass(frozen=True)
class Row:
    """The state of a platform, or of a command that is not split by platform.

    Attributes:
        name: the platform.
        triple: rustc triple; empty for a whole command.
        stage: the current stage.
        total: the number of crates to compile; 0 if unknown.
        crates: the compiled crates.
        fresh: the crates among them that were cached.
        ready: the time its image was assembled.
    """

    name: str
    triple: str = ""
    stage: str = STARTING
    total: int = 0
    crates: frozenset[str] = frozenset()
    fresh: frozenset[str] = frozenset()
    ready: float | None = None

    @property
    def shown(self) -> str:
        """Return the number of compiled crates, in words; "" if it is not known."""
        if not self.crates:
            return ""
        known = max(self.total, len(self.crates))
        cached = f", {len(self.fresh)} cached" if self.fresh else ""
        return f"{len(self.crates)} of {number(known)}{cached}"


@dataclass(frozen=True)
class Board:
    """The state of a build.

    Attributes:
        rows: the platforms, in the order of the command.
        began: the start time of the command.
        compiled: true if a compiling stage was entered.
        working: true if cargo printed something; it does not run if the engine has the result cached.
        changed: the time of the last event.
        started: the crate that cargo started last, and the time.
        ended: the end time of the command; None while it runs.
    """

    rows: tuple[Row, ...]
    began: float
    compiled: bool = False
    working: bool = False
    changed: float = 0.0
    started: tuple[str, float] | None = None
    ended: float | None = None

    def elapsed(self, now: float) -> float:
        """Return the time since the start of the command."""
        return (now if self.ended is None else self.ended) - self.began


def advance(board: Board, event: Event, now: float) -> Board:
    """Return the board after an event."""
    board = replace(board, changed=now)
    match event:
        case Stage():
            rows = tuple(
                _entered(row, event, now) if event.platform in ("", row.name) else row for row in board.rows
            )
            return replace(board, rows=rows, compiled=board.compiled or event.name == COMPILING)
        case CrateReady():
            rows = tuple(_counted(row, event) if row.triple == event.triple else row for row in board.rows)
            return replace(board, rows=rows, working=True)
        case Working():
            started = (event.crate, now) if event.crate else board.started
            return replace(board, working=True, started=started)
        case Ended():
            rows = tuple(replace(row, stage=event.how) for row in board.rows)
            return replace(board, rows=rows, ended=now)


def _entered(row: Row, stage: Stage, now: float) -> Row:
    ready = now if stage.name == READY else row.ready
    return replace(row, stage=stage.name, total=stage.crates.get(row.triple, row.total), ready=ready)


def _counted(row: Row, crate: CrateReady) -> Row:
    fresh = row.fresh | {crate.id} if crate.fresh and crate.id not in row.crates else row.fresh
    return replace(row, crates=row.crates | {crate.id}, fresh=fresh if crate.fresh else fresh - {crate.id})


def stage(board: Board, row: Row) -> str:
    """Return the stage of a row, in words."""
    return PREPARING if row.stage == COMPILING and not board.working else row.stage


def crates(board: Board, row: Row) -> str:
    """Return the progress of a row's crates, in words."""
    all_cached = board.ended is not None and board.compiled and not board.working and row.triple
    return "cached" if all_cached and row.stage == DONE else row.shown


def number(count: int) -> str:
    """Format a number of crates."""
    return f"{count} crate" if count == 1 else f"{count} crates"


def clock(seconds: float) -> str:
    """Format a duration: `0:07`, `12:34`, `1:02:03`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def frame(board: Board, now: float, width: int) -> list[str]:
    """Return the board's lines for a terminal, one per row, cut to the terminal's width.

    Args:
        board: the state of the build.
        now: the time.
        width: columns of the terminal.
    """
    passed = clock(board.elapsed(now))
    rows = [(row.name, stage(board, row), crates(board, row), passed) for row in board.rows]
    return [line[: max(width - 1, 1)] for line in columns(rows)]


def changes(before: Board, after: Board, now: float) -> list[str]:
    """Return log lines for changed stages; rows that entered the same stage share a line."""
    entered: dict[str, list[str]] = {}
    for old, new in zip(before.rows, after.rows, strict=True):
        if stage(before, old) != stage(after, new):
            entered.setdefault(_entering(after, new), []).append(new.name)
    return [logged(after, now, f"{', '.join(names)}: {words}") for words, names in entered.items()]


def _entering(board: Board, row: Row) -> str:
    """Return the stage that a row entered, with the number of its crates."""
    words = stage(board, row)
    if words == COMPILING and row.total:
        return f"{words} {number(row.total)}"
    return ", ".join(filter(None, (words, crates(board, row) if board.ended is not None else "")))


def counts(board: Board) -> str:
    """Return the progress of all crates, for a log; "" if nothing is known."""
    return ", ".join(f"{row.name} {row.shown}" for row in board.rows if row.shown)


def logged(board: Board, now: float, text: str) -> str:
    """Format a log line with the elapsed time."""
    return f"{clock(board.elapsed(now)):>7}  {text}"


def waiting(board: Board, now: float) -> str:
    """Return the current operation and its duration, for a log without other changes; "" for a program."""
    stages = dict.fromkeys(stage(board, row) for row in board.rows)
    if COMPILING in stages and board.started:
        crate, since = board.started
        return f"compiling; the last crate started is {crate}, {clock(now - since)} ago"
    if RUNNING in stages:
        return ""
    return f"{', '.join(stages)}, for {clock(now - board.changed)}"


def kept(board: Board) -> list[str]:
    """Describe the results of an interrupted build that the next one reuses."""
    ready = [f"{number(len(row.crates))} for {row.name}" for row in board.rows if row.crates]
    compiled = ["compiled: " + ", ".join(ready)] if ready else []
    return ["kept: downloaded dependencies and the builder", *compiled, "run the same command to continue"]


def seconds(board: Board) -> dict[str, float]:
    """Return the seconds until each row's image was assembled, or the command ended."""
    end = board.began if board.ended is None else board.ended
    return {row.name: (end if row.ready is None else row.ready) - board.began for row in board.rows}


def board(platforms: Sequence[tuple[str, str]], now: float) -> Board:
    """Return the board at the start of a command.

    Args:
        platforms: name and triple of each row.
        now: the time.
    """
    return Board(tuple(Row(name, triple) for name, triple in platforms), now, changed=now)
