import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from benched import BOTH, result, sample

from bench import chart, render
from bench.result import FAILED, TIMEOUT, Result
from bench.scenarios import Case

SAME = Case("same", "sample_app", BOTH)
RUN = result(
    sample(
        "ours",
        100,
        user=150.0,
        system=10.0,
        peak=512 * 2**20,
        disk=2**30,
        image=30 * 2**20,
        phases={"connect": 1.0, "build": 99.0},
    ),
    sample("harder", 130, outcome="ok", load=3.5),
    sample("ours", 110, 1, phases={"connect": 3.0, "build": 97.0}),
    sample("easy", 300, outcome=TIMEOUT),
    sample("cargo", 0, outcome=FAILED, note="boom"),
    skipped=("sample_app line amd64+arm64 by ours, round 2",),
    seconds=640.0,
)
SVG = "{http://www.w3.org/2000/svg}"


def test_the_table_of_times_lists_peers_and_resources() -> None:
    rows = {row[1]: row for row in render.times(RUN)}
    assert rows["rust-multiarch"][2:] == ["105.00 (100.00..110.00, n=2)", "", "80.0", "256", "1024", "30"]
    assert rows["cross-compiling Dockerfile"][2:4] == ["130.00", "1.30"]
    assert rows["Dockerfile under QEMU"][2:] == ["> 300.00", "> 3.00", "", "", "", ""]
    assert rows["plain cargo, no container"][2:] == ["failed", "", "", "", "", ""]
    assert rows["rust-multiarch"][0] == "sample_app, cold: amd64, arm64"


def test_goals_show_their_margin() -> None:
    rows = {row[0]: row for row in render.bars([result(sample("ours", 100), sample("harder", 100))])}
    row = rows["both platforms cold, hand-written Dockerfile over ours"]
    assert row == [row[0], "sample_app", "at least 1.25", "1.00", "missed, 0.80 of the goal", "", "short"]
    assert rows["cold, ours over plain cargo"][2:] == ["at most 1.08", "", "open", "", ""]


def test_a_goal_is_open_only_without_numbers_in_any_run() -> None:
    runs = [
        result(sample("ours", 100), sample("cargo", 80)),
        result(sample("ours", 100), sample("easy", 900)),
    ]
    found = [row for row in render.bars(runs) if row[3]]
    assert [(row[0], row[3]) for row in found] == [
        ("both platforms cold, emulated Dockerfile over ours", "9.00"),
        ("cold, ours over plain cargo", "1.25"),
    ]
    assert len(render.bars(runs)) == len(render.bars([]))


def test_parts_are_medians() -> None:
    assert render.parts(RUN) == [
        ["sample_app, cold: amd64, arm64", "rust-multiarch", "connect 2.00, build 98.00"]
    ]


def test_the_text_lists_skipped_samples() -> None:
    text = render.text(RUN)
    for part in ("commit", "cccccccccccc", "2 cores", "rustc 1.96", "640 s", "load before samples 0.0..3.5"):
        assert part.lower() in text.lower()
    assert "no time was left for:\n  sample_app line amd64+arm64 by ours, round 2" in text
    assert "goal " in text


def test_the_commit_of_changed_files_is_marked() -> None:
    changed = Result("short", "c" * 40 + "+", RUN.machine, {}, "now")
    assert "Commit cccccccccccc+," in render.text(changed)
    assert "no samples" in render.text(changed)


def test_only_the_measured_part_of_the_page_is_replaced() -> None:
    page = "before\n<!-- measured -->\nold\n<!-- end -->\nafter\n"
    assert render.replaced(page, "new") == "before\n<!-- measured -->\n\nnew\n<!-- end -->\nafter\n"
    with pytest.raises(ValueError, match="does not have the marks"):
        render.replaced("nothing", "new")


def test_docs_have_a_section_and_a_chart_per_plan(tmp_path: Path) -> None:
    (tmp_path / "benchmarks.md").write_text("<!-- measured -->\n<!-- end -->\n")
    render.write_docs(tmp_path, [RUN])
    page = (tmp_path / "benchmarks.md").read_text()
    assert "![times of plan short](benchmarks-short.svg)" in page
    assert "| sample_app, cold: amd64, arm64 | cross-compiling Dockerfile | 130.00 | 1.30 |" in page
    assert "No time was left for: sample_app line" in page
    assert (tmp_path / "benchmarks-short.svg").exists()


def test_chart_bars_are_proportional() -> None:
    image = ElementTree.fromstring(render.drawn(RUN))
    widths = [float(bar.attrib["width"]) for bar in image.iter(f"{SVG}rect")]
    # The failed peer has no bar; twice the time is twice the length.
    assert len(widths) == 3
    assert widths[2] / widths[1] == pytest.approx(300 / 130, rel=0.01)
    texts = [text.text for text in image.iter(f"{SVG}text")]
    assert {"105.0 s", "130.0 s", "> 300.0 s", "rust-multiarch"} <= set(texts)
    assert len(list(image.iter(f"{SVG}path"))) == 1


def test_each_peer_has_a_colour_of_its_own() -> None:
    assert len(set(chart.COLOURS)) == len(chart.COLOURS) >= len(render.TITLES)
    assert next(iter(render.TITLES)) == "ours", "the first colour is the strong one"


def test_charts_escape_text_and_may_be_empty() -> None:
    bars = (chart.Bar("<a> & b", 0.0, 0.0, 0.0, "0"),)
    image = ElementTree.fromstring(chart.svg("x < y", [chart.Group("g", bars), chart.Group("none", ())]))
    assert "<a> & b" in [text.text for text in image.iter(f"{SVG}text")]
