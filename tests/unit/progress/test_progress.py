import pytest

from pipeline.progress import events, model
from pipeline.progress.events import COMPILING, READY, CrateReady, Ended, Event, Stage, Working
from pipeline.progress.model import DONE, FAILED, INTERRUPTED, Board

AMD64, ARM64 = "x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"
ROWS = [("linux/amd64", AMD64), ("linux/arm64", ARM64)]
COUNTS = {AMD64: 3, ARM64: 3}


def board(*events: Event, rows=ROWS) -> Board:
    """Return a board that began at 100, with one event per second."""
    current = model.board(rows, 100.0)
    for passed, event in enumerate(events, start=1):
        current = model.advance(current, event, 100.0 + passed)
    return current


def stages_of(current: Board) -> list[str]:
    return [model.stage(current, row) for row in current.rows]


def test_a_stage_is_for_one_row_or_all() -> None:
    assert stages_of(board()) == ["starting", "starting"]
    assert stages_of(board(Stage("fetching"))) == ["fetching", "fetching"]
    assert stages_of(board(Stage("fetching"), Stage("assembling", "linux/arm64"))) == [
        "fetching",
        "assembling",
    ]


def test_compiling_is_shown_as_preparing_until_cargos_first_output() -> None:
    compiling = Stage(COMPILING, crates=COUNTS)
    assert stages_of(board(compiling)) == [model.PREPARING] * 2
    assert stages_of(board(compiling, Working())) == [COMPILING] * 2
    assert stages_of(board(compiling, CrateReady(AMD64, "a@1", False))) == [COMPILING] * 2


def test_crates_count_once_for_their_own_platform() -> None:
    current = board(
        Stage(COMPILING, crates=COUNTS),
        CrateReady(AMD64, "a@1", True),
        CrateReady(AMD64, "b@1", False),
        CrateReady(AMD64, "b@1", False),
        CrateReady("other-triple", "c@1", False),
    )
    assert [row.shown for row in current.rows] == ["2 of 3 crates, 1 cached", ""]


def test_a_package_with_a_library_and_a_program_is_cached_only_if_both_are() -> None:
    half = board(CrateReady(AMD64, "a@1", True), CrateReady(AMD64, "a@1", False))
    other = board(CrateReady(AMD64, "a@1", False), CrateReady(AMD64, "a@1", True))
    both = board(CrateReady(AMD64, "a@1", True), CrateReady(AMD64, "a@1", True))
    shown = [current.rows[0].shown for current in (half, other, both)]
    assert shown == ["1 of 1 crate", "1 of 1 crate", "1 of 1 crate, 1 cached"]


def test_more_crates_than_expected_raise_the_total() -> None:
    crates = [CrateReady(AMD64, f"a@{number}", False) for number in range(5)]
    assert board(Stage(COMPILING, crates=COUNTS), *crates).rows[0].shown == "5 of 5 crates"


def test_a_compile_without_output_of_cargo_is_cached() -> None:
    events = [Stage(COMPILING, crates=COUNTS), Stage("normalizing")]
    done = board(*events, Ended(DONE))
    assert [model.crates(done, row) for row in done.rows] == ["cached", "cached"]
    assert model.crates(board(*events), board(*events).rows[0]) == ""
    failed = board(*events, Ended(FAILED))
    assert model.crates(failed, failed.rows[0]) == ""
    nothing = board(Stage("reading"), Ended(DONE))
    assert model.crates(nothing, nothing.rows[0]) == ""
    command = board(*events, Ended(DONE), rows=[("lint", "")])
    assert model.crates(command, command.rows[0]) == ""


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0:00"), (7.9, "0:07"), (754, "12:34"), (3723, "1:02:03"), (360000, "100:00:00")],
)
def test_clock(seconds: float, shown: str) -> None:
    assert model.clock(seconds) == shown


def test_a_frame_has_a_line_per_row_within_the_width() -> None:
    current = board(Stage(COMPILING, crates=COUNTS), CrateReady(AMD64, "a@1", False))
    assert model.frame(current, 165.0, 80) == [
        "linux/amd64  compiling  1 of 3 crates  1:05",
        "linux/arm64  compiling                 1:05",
    ]
    assert [len(line) for line in model.frame(current, 165.0, 20)] == [19, 19]
    assert all(len(line) == 1 for line in model.frame(current, 165.0, 0))


def test_the_time_stops_at_the_end() -> None:
    assert model.frame(board(Ended(DONE)), 1000.0, 80)[0].endswith("0:01")


def changes(before: Board, event: Event) -> list[str]:
    return model.changes(before, model.advance(before, event, 130.0), 130.0)


def test_rows_that_enter_the_same_stage_share_a_log_line() -> None:
    start = board()
    assert changes(start, Stage("fetching")) == ["   0:30  linux/amd64, linux/arm64: fetching"]
    assert changes(start, Stage("assembling", "linux/arm64")) == ["   0:30  linux/arm64: assembling"]
    assert changes(board(Stage("fetching")), Stage("fetching")) == []


def test_a_log_has_the_number_of_crates_when_compiling_starts() -> None:
    start = board(Stage(COMPILING, crates={AMD64: 3, ARM64: 1}))
    assert changes(start, Working()) == [
        "   0:30  linux/amd64: compiling 3 crates",
        "   0:30  linux/arm64: compiling 1 crate",
    ]
    assert changes(board(Stage(COMPILING), rows=[("lint", "")]), Working()) == ["   0:30  lint: compiling"]


def test_a_log_ends_with_the_number_of_crates() -> None:
    start = board(Stage(COMPILING, crates=COUNTS), CrateReady(AMD64, "a@1", True))
    assert changes(start, Ended(FAILED)) == [
        "   0:30  linux/amd64: failed, 1 of 3 crates, 1 cached",
        "   0:30  linux/arm64: failed",
    ]
    assert changes(board(Stage(COMPILING)), Ended(DONE)) == [
        "   0:30  linux/amd64, linux/arm64: done, cached"
    ]


def test_counts_for_a_log() -> None:
    assert model.counts(board()) == ""
    current = board(
        Stage(COMPILING, crates=COUNTS), CrateReady(AMD64, "a@1", False), CrateReady(ARM64, "a@1", False)
    )
    assert model.counts(current) == "linux/amd64 1 of 3 crates, linux/arm64 1 of 3 crates"


def test_what_an_interrupted_build_keeps() -> None:
    assert len(model.kept(board(Ended(INTERRUPTED)))) == 2
    kept = model.kept(board(CrateReady(AMD64, "a@1", False), Ended(INTERRUPTED)))
    assert kept[1] == "compiled: 1 crate for linux/amd64"
    assert kept[-1] == "run the same command to continue"


def test_how_long_each_platform_took() -> None:
    events = [Stage(COMPILING), Stage(READY, "linux/arm64"), Stage("normalizing")]
    assert model.seconds(board(*events, Ended(DONE))) == {"linux/amd64": 4.0, "linux/arm64": 2.0}
    assert model.seconds(board(*events)) == {"linux/amd64": 0.0, "linux/arm64": 2.0}


def test_stages_are_sent_only_to_the_listener() -> None:
    events.enter("unheard")
    heard: list[Stage] = []
    token = events.LISTENER.set(heard.append)
    events.enter("fetching")
    events.enter(COMPILING, "linux/arm64", {ARM64: 1})
    events.LISTENER.reset(token)
    events.enter("unheard")
    assert heard == [Stage("fetching"), Stage(COMPILING, "linux/arm64", {ARM64: 1})]


def test_a_log_names_the_crate_being_compiled() -> None:
    compiling = board(Stage(COMPILING, crates=COUNTS), Working("openssl-sys v0.9.1"))
    assert (
        model.waiting(compiling, 162.0) == "compiling; the last crate started is openssl-sys v0.9.1, 1:00 ago"
    )
    assert model.waiting(board(Stage("fetching")), 141.0) == "fetching, for 0:40"
    assert model.waiting(board(), 130.0) == "starting, for 0:30"
    pushing = model.advance(compiling, Stage("pushing"), 150.0)
    assert model.waiting(pushing, 162.0) == "pushing, for 0:12"
    assert model.waiting(board(Stage(model.RUNNING)), 1000.0) == ""
