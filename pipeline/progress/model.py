"""The state of a build that its events add up to, and the lines that show it.

Nothing here reads, waits or prints. Times are in seconds of one monotonic clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeline.progress.events import COMPILING, READY, CrateReady, Ended, Event, Stage, Working
from pipeline.text_table import columns

STARTING, DONE, FAILED, INTERRUPTED = "starting", "done", "failed", "interrupted"
PREPARING = "preparing the builder"
"""What compiling is called until cargo says something: the builder's packages are installed before."""


@dataclass(frozen=True)
class Row:
    """One platform, or a whole command where platforms do not matter.

    Attributes:
        name: the platform.
        triple: rustc triple; empty for a whole command.
        stage: what is being done.
        total: crates to compile, as far as it is known.
        crates: those that are ready.
        fresh: of those, the ones that were there before.
        ready: when its image was assembled.
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
        """How many crates are ready, in words; empty while that is not known."""
        if not self.crates:
            return ""
        known = max(self.total, len(self.crates))
        cached = f", {len(self.fresh)} cached" if self.fresh else ""
        return f"{len(self.crates)} of {number(known)}{cached}"


@dataclass(frozen=True)
class Board:
    """Where everything stands.

    Attributes:
        rows: the platforms, in the order asked for.
        began: when the command began.
        compiled: whether there was something to compile, as the stages have it.
        working: whether cargo was heard; what the engine has cached is not run again, and says nothing.
        changed: when the last event came.
        started: the crate that cargo started last, and when.
        ended: when the command ended.
    """

    rows: tuple[Row, ...]
    began: float
    compiled: bool = False
    working: bool = False
    changed: float = 0.0
    started: tuple[str, float] | None = None
    ended: float | None = None

    def elapsed(self, now: float) -> float:
        """How long it has taken."""
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
    """What is being done for a row, in words."""
    return PREPARING if row.stage == COMPILING and not board.working else row.stage


def crates(board: Board, row: Row) -> str:
    """How far a row's crates are, in words."""
    all_cached = board.ended is not None and board.compiled and not board.working and row.triple
    return "cached" if all_cached and row.stage == DONE else row.shown


def number(count: int) -> str:
    """A number of crates, in words."""
    return f"{count} crate" if count == 1 else f"{count} crates"


def clock(seconds: float) -> str:
    """A duration: `0:07`, `12:34`, `1:02:03`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def frame(board: Board, now: float, width: int) -> list[str]:
    """The board for a terminal: a line for each row, none wider than the terminal.

    Args:
        board: where everything stands.
        now: the time.
        width: columns of the terminal.
    """
    passed = clock(board.elapsed(now))
    rows = [(row.name, stage(board, row), crates(board, row), passed) for row in board.rows]
    return [line[: max(width - 1, 1)] for line in columns(rows)]


def changes(before: Board, after: Board, now: float) -> list[str]:
    """What is new of the stages, for a log: rows that entered the same stage share a line."""
    entered: dict[str, list[str]] = {}
    for old, new in zip(before.rows, after.rows, strict=True):
        if stage(before, old) != stage(after, new):
            entered.setdefault(_entering(after, new), []).append(new.name)
    return [logged(after, now, f"{', '.join(names)}: {words}") for words, names in entered.items()]


def _entering(board: Board, row: Row) -> str:
    """The stage a row is in now, with what there is to say of its crates."""
    words = stage(board, row)
    if words == COMPILING and row.total:
        return f"{words} {number(row.total)}"
    return ", ".join(filter(None, (words, crates(board, row) if board.ended is not None else "")))


def counts(board: Board) -> str:
    """How far the crates are, for a log; empty if nothing is known."""
    return ", ".join(f"{row.name} {row.shown}" for row in board.rows if row.shown)


def logged(board: Board, now: float, text: str) -> str:
    """A line for a log, with the time that has passed."""
    return f"{clock(board.elapsed(now)):>7}  {text}"


def waiting(board: Board, now: float) -> str:
    """Return what is being waited for and since when, for a log in which nothing changes."""
    if board.working and board.started:
        crate, since = board.started
        return f"compiling; the last crate started is {crate}, {clock(now - since)} ago"
    stages = dict.fromkeys(stage(board, row) for row in board.rows)
    return f"{', '.join(stages)}, for {clock(now - board.changed)}"


def kept(board: Board) -> list[str]:
    """What an interrupted build leaves for the next one, in words."""
    ready = [f"{number(len(row.crates))} for {row.name}" for row in board.rows if row.crates]
    compiled = ["compiled: " + ", ".join(ready)] if ready else []
    return ["kept: downloaded dependencies and the builder", *compiled, "the same command goes on from there"]


def seconds(board: Board) -> dict[str, float]:
    """How long each row took until its image was assembled, or the whole command."""
    end = board.began if board.ended is None else board.ended
    return {row.name: (end if row.ready is None else row.ready) - board.began for row in board.rows}


def board(platforms: Sequence[tuple[str, str]], now: float) -> Board:
    """The board at the start.

    Args:
        platforms: name and triple of each row.
        now: the time.
    """
    return Board(tuple(Row(name, triple) for name, triple in platforms), now, changed=now)
