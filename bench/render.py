"""Format results as tables and charts, for a terminal and for docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median

from bench import chart
from bench.ratios import BARS, Spread, Verdict, ratio, verdicts, walls
from bench.result import OK, Result
from bench.scenarios import (
    BY_NAME,
    CALL,
    DIRECTORY,
    EASY,
    FLOOR,
    HARDER,
    MOUNTS,
    OURS,
    PUBLISH,
    SESSION,
    ZIGBUILD,
    Case,
)

TITLES = {
    OURS: "rust-multiarch",
    CALL: "rust-multiarch by `dagger call`",
    DIRECTORY: "rust-multiarch with a kept directory",
    SESSION: "empty engine session",
    PUBLISH: "rust-multiarch, with a push",
    EASY: "Dockerfile under QEMU",
    HARDER: "cross-compiling Dockerfile",
    MOUNTS: "the same with cache mounts",
    ZIGBUILD: "cargo-zigbuild, no container",
    FLOOR: "plain cargo, no container",
}
START, END = "<!-- measured -->", "<!-- end -->"


def title(case: Case) -> str:
    """Return a case's title."""
    platforms = ", ".join(platform.removeprefix("linux/") for platform in case.platforms)
    return f"{case.subject}, {BY_NAME[case.scenario].title}: {platforms}"


def times(result: Result) -> list[list[str]]:
    """Return rows of the table of times: case, peer, wall, over ours, CPU, memory, disk, image."""
    rows = []
    for case in result.cases():
        for peer in result.peers(case):
            own = DIRECTORY if DIRECTORY in result.peers(case) else OURS
            over = "" if peer in (OURS, SESSION, DIRECTORY) else str(ratio(result, case, peer, own) or "")
            rows.append(
                [title(case), TITLES[peer], _walls(result, case, peer), over, *_resources(result, case, peer)]
            )
    return rows


def _walls(result: Result, case: Case, peer: str) -> str:
    spread = walls(result, case, peer)
    if spread is None:
        return "failed"
    return f"{spread}"


def _resources(result: Result, case: Case, peer: str) -> list[str]:
    """Return CPU seconds, MiB of memory, disk and image; medians of completed samples."""
    good = [sample for sample in result.of(case, peer) if sample.outcome == OK]
    if not good:
        return [""] * 4
    return [
        f"{median(sample.user + sample.system for sample in good):.1f}",
        f"{median(sample.peak for sample in good) / 2**20:.0f}",
        _mebibytes([sample.disk for sample in good]),
        _mebibytes([sample.image for sample in good]),
    ]


def _mebibytes(found: Sequence[int | None]) -> str:
    """Return the median of the known values."""
    known = [number for number in found if number is not None]
    return f"{median(known) / 2**20:.0f}" if known else ""


def bars(results: Sequence[Result]) -> list[list[str]]:
    """Return rows of the table of goals: goal, subject, limit, measured, verdict, plain cargo, plan.

    One row for each run with a goal's numbers, and one for each goal without any.
    """
    held = [(result.plan, verdict) for result in results for verdict in verdicts(result)]
    rows = []
    for bar in BARS:
        measured = [_bar_row(one, plan) for plan, one in held if one.bar == bar and one.measured]
        rows += measured or [_bar_row(Verdict(bar, bar.subjects[0], None), "")]
    return rows


def _bar_row(verdict: Verdict, plan: str) -> list[str]:
    limit = f"{'at least' if verdict.bar.at_least else 'at most'} {verdict.bar.limit:g}"
    return [
        verdict.bar.name,
        verdict.subject,
        limit,
        str(verdict.measured or ""),
        _judged(verdict),
        str(verdict.floor or ""),
        plan,
    ]


def _judged(verdict: Verdict) -> str:
    if verdict.margin is None:
        return verdict.word
    return f"{verdict.word}, {verdict.margin:.2f} of the goal"


def parts(result: Result) -> list[list[str]]:
    """Return rows of the table of phases: case, then medians of each phase in seconds."""
    rows = []
    for case in result.cases():
        samples = [
            s
            for peer in (OURS, SESSION, DIRECTORY)
            for s in result.of(case, peer)
            if s.outcome == OK and s.phases
        ]
        for peer in dict.fromkeys(sample.peer for sample in samples):
            mine = [sample.phases for sample in samples if sample.peer == peer]
            means = [f"{name} {median(phases.get(name, 0.0) for phases in mine):.2f}" for name in mine[0]]
            rows.append([title(case), TITLES[peer], ", ".join(means)])
    return rows


TIMES = ("case", "peer", "seconds", "times ours", "CPU seconds", "memory MiB", "disk MiB", "image MiB")
VERDICTS = ("goal", "subject", "limit", "measured", "verdict", "plain cargo", "plan")
PARTS = ("case", "peer", "seconds of each part")


def text(result: Result) -> str:
    """Format a run for a terminal."""
    sections = [_heading(result), _aligned(TIMES, times(result)), _aligned(PARTS, parts(result))]
    sections.append(_aligned(VERDICTS, bars([result])))
    if result.skipped:
        sections.append("no time was left for:\n" + "\n".join(f"  {name}" for name in result.skipped))
    return "\n\n".join(sections) + "\n"


def markdown(result: Result, charts: Iterable[str]) -> str:
    """Format a run for the documentation; `charts` are the files to show."""
    sections = [f"### Plan `{result.plan}`", _heading(result)]
    sections += [f"![times of plan {result.plan}]({name})" for name in charts]
    sections.append(_table(TIMES, times(result)))
    if spent := parts(result):
        sections.append(_table(PARTS, spent))
    if result.skipped:
        sections.append("No time was left for: " + "; ".join(result.skipped) + ".")
    return "\n\n".join(sections) + "\n"


def _heading(result: Result) -> str:
    machine, loads = result.machine, [sample.load for sample in result.samples]
    versions = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    load = f"load before samples {min(loads):.1f}..{max(loads):.1f}" if loads else "no samples"
    return (
        f"Commit {result.commit[:12]}{'+' * result.commit.endswith('+')}, {result.started}, "
        f"{len(result.samples)} samples in {result.seconds:.0f} s; {machine['processor']}, "
        f"{machine['cores']} cores, {machine['memory_bytes'] / 2**30:.0f} GiB, kernel {machine['kernel']}; "
        f"{load}; {versions}."
    )


def _aligned(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in [head, *rows]
    ]
    return "\n".join(line.rstrip() for line in lines)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in lines)


def drawn(result: Result) -> str:
    """Return the chart of a run's times, with a group for each case; lower is better."""
    groups = []
    for case in result.cases():
        spreads = [(peer, walls(result, case, peer)) for peer in result.peers(case)]
        found = [_chart_bar(peer, spread) for peer, spread in spreads if spread]
        groups.append(chart.Group(title(case), tuple(found)))
    return chart.svg("Seconds, lower is better; each group of bars has its own scale", groups)


def _chart_bar(peer: str, spread: Spread) -> chart.Bar:
    label = TITLES[peer].replace("`", "")
    text = f"{'> ' if spread.bound else ''}{spread.middle:.1f} s"
    return chart.Bar(label, spread.middle, spread.low, spread.high, text, list(TITLES).index(peer))


def write_docs(directory: Path, results: Sequence[Result]) -> None:
    """Update the measured part of benchmarks.md and its charts."""
    sections = [f"### Goals\n\n{_table(VERDICTS, bars(results))}\n"]
    for result in results:
        name = f"benchmarks-{result.plan}.svg"
        (directory / name).write_text(drawn(result))
        sections.append(markdown(result, [name]))
    page = directory / "benchmarks.md"
    page.write_text(replaced(page.read_text(), "\n".join(sections)))


def replaced(page: str, measured: str) -> str:
    """Replace the part of a page between its two marks.

    Raises:
        ValueError: the marks are missing.
    """
    head, start, rest = page.partition(START)
    _, end, tail = rest.partition(END)
    if not start or not end:
        raise ValueError(f"the page does not have the marks {START} and {END}")
    return f"{head}{START}\n\n{measured}\n{END}{tail}"
