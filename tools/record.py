"""Run every test and keep what came of it in tests/data/test-all.json: `make test-all`.

The zoo of native libraries, the programs of other people and the table of targets are built by make targets
of their own, take hours, and keep records of their own.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "tests/data/test-all.json"

PAIR = ("--numprocesses", "2", "--dist", "worksteal")
"""Two tests at a time, as in the Makefile."""

SUITES = (
    ("tests/unit", *PAIR),
    ("tests/hostile", *PAIR, "--hypothesis-profile=thorough"),
    ("tests/cargo", *PAIR, "--seeds", "1 2 3 4 5 6 7 8", "--steps", "40"),
    ("tests/e2e", *PAIR, "--documents", "--systems", "--stores", "--peers", "--musl", "--emulated"),
    ("tests/callers",),
)
"""What pytest is called with, one call after the other."""

OUTCOMES = {"failure": "failed", "error": "failed", "skipped": "skipped"}
"""What an element in a test case says of it; without any it passed."""

Counts = dict[str, float]


def outcome(case: ElementTree.Element) -> str:
    """Return `passed`, `failed` or `skipped` for one test case of a JUnit file."""
    return next((OUTCOMES[part.tag] for part in case if part.tag in OUTCOMES), "passed")


def file_of(case: ElementTree.Element, root: Path = ROOT) -> str:
    """Return the file of a test case; its class name is the dotted path of a module or of a class in it."""
    parts = case.attrib["classname"].split(".")
    paths = ("/".join(parts[:end]) + ".py" for end in range(len(parts), 0, -1))
    return next((path for path in paths if (root / path).is_file()), case.attrib["classname"])


def by_file(reports: Iterable[str], root: Path = ROOT) -> dict[str, Counts]:
    """Return how many tests of each file had each outcome, and how long they took."""
    files: dict[str, Counts] = {}
    for case in (case for report in reports for case in ElementTree.fromstring(report).iter("testcase")):
        counts = files.setdefault(file_of(case, root), {"passed": 0, "failed": 0, "skipped": 0, "seconds": 0})
        counts[outcome(case)] += 1
        counts["seconds"] = round(counts["seconds"] + float(case.attrib["time"]), 1)
    return dict(sorted(files.items()))


def record(files: dict[str, Counts], commit: str, date: str, cores: int) -> dict[str, object]:
    """Return the record of one whole run."""
    names = ("passed", "failed", "skipped", "seconds")
    totals = {name: round(sum(counts[name] for counts in files.values()), 1) for name in names}
    return {"commit": commit, "date": date, "cores": cores, **totals, "files": files}


def run(directory: Path) -> Iterator[tuple[int, str]]:
    """Run the suites one after the other; yield the exit code and the JUnit report of each."""
    for number, words in enumerate(SUITES):
        report = directory / f"{number}.xml"
        command = [sys.executable, "-m", "pytest", *words, "--durations=25", f"--junitxml={report}"]
        code = subprocess.run(command, cwd=ROOT).returncode
        yield code, report.read_text() if report.exists() else "<testsuites/>"


def main() -> int:
    """Run all, write the record, return 0 where everything passed."""
    describe = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    commit = subprocess.run(describe, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
    with tempfile.TemporaryDirectory() as directory:
        runs = list(run(Path(directory)))
    made = record(
        by_file(report for _, report in runs),
        commit,
        datetime.now(UTC).date().isoformat(),
        os.cpu_count() or 0,
    )
    RESULT.write_text(json.dumps(made, indent=1) + "\n")
    return max(code for code, _ in runs)


if __name__ == "__main__":
    sys.exit(main())
