from pathlib import Path

from benched import BOTH, COLD, result, sample

from bench.result import Result
from bench.scenarios import Case, Turn


def test_result_files_round_trip(tmp_path: Path) -> None:
    run = result(
        sample("ours", 1.5, disk=None, phases={"a": 1.0}),
        sample("cargo", 2.5, 1, case=Case("line", "hello", BOTH[:1])),
        skipped=("x",),
        seconds=4.0,
    )
    run.write(tmp_path / "r.json")
    assert Result.read(tmp_path / "r.json") == run
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]


def test_samples_are_ordered_by_round() -> None:
    run = result(sample("ours", 2, 1), sample("cargo", 3), sample("ours", 1, 0))
    assert [each.wall for each in run.of(COLD, "ours")] == [1, 2]
    assert run.peers(COLD) == ["ours", "cargo"]
    assert run.cases() == [COLD]
    assert run.samples[1].turn == Turn(COLD, "cargo", 0)
