"""Run every test, file by file, and keep the results in tests/data/test-all.json: `make test-all`.

A run that was stopped continues with the files that have no result of the same commit. `FILES="…"` runs some
files again, for example those that a change touches.

The zoo of native libraries, the programs of other people and the table of targets are built by make targets
of their own, take hours, and keep records of their own.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "tests/data/test-all.json"

PAIR = tuple(os.environ.get("PAIR", "").split())
"""The Makefile's options for two tests at a time."""

SUITES: Mapping[str, Sequence[str]] = {
    "tests/unit": PAIR,
    "tests/hostile": (*PAIR, "--hypothesis-profile=thorough"),
    "tests/cargo": (*PAIR, "--seeds", "1 2 3 4 5 6 7 8", "--steps", "40"),
    "tests/e2e": (*PAIR, "--documents", "--systems", "--stores", "--peers", "--musl", "--emulated"),
    "tests/callers": (),
}
"""The folders of tests, each with the options that pytest is called with."""

AT_ONCE = ("tests/unit",)
"""Folders with so many small files that they are run in one call."""

OUTCOMES = {"failure": "failed", "error": "failed", "skipped": "skipped"}
"""What an element in a test case says of it; without any it passed."""

NO_TESTS = 5
"""The exit code of pytest if all tests of a file are left out."""

Row = dict[str, Any]
"""The results of a file: counts by outcome, seconds, the commit and the date."""


def outcome(case: ElementTree.Element) -> str:
    """Return `passed`, `failed` or `skipped` for one test case of a JUnit file."""
    return next((OUTCOMES[part.tag] for part in case if part.tag in OUTCOMES), "passed")


def file_of(case: ElementTree.Element, root: Path = ROOT) -> str:
    """Return the file of a test case; its class name is the dotted path of a module or of a class in it."""
    parts = case.attrib["classname"].split(".")
    paths = ("/".join(parts[:end]) + ".py" for end in range(len(parts), 0, -1))
    return next((path for path in paths if (root / path).is_file()), case.attrib["classname"])


def by_file(report: str, root: Path = ROOT) -> dict[str, Row]:
    """Return how many tests of each file had each outcome, and how many seconds they took together."""
    files: dict[str, Row] = {}
    # A run that was interrupted has a case without a name.
    for case in ElementTree.fromstring(report).iterfind(".//testcase[@classname]"):
        row = files.setdefault(file_of(case, root), {"passed": 0, "failed": 0, "skipped": 0, "seconds": 0})
        row[outcome(case)] += 1
        row["seconds"] = round(row["seconds"] + float(case.attrib["time"]), 1)
    return dict(sorted(files.items()))


def record(files: Mapping[str, Row]) -> dict[str, object]:
    """Return the record of all files; its commit and date are lists if the files' differ."""
    totals = {
        name: round(sum(row[name] for row in files.values()), 1)
        for name in ("passed", "failed", "skipped", "seconds")
    }
    runs = {name: sorted({row[name] for row in files.values()}) for name in ("commit", "date")}
    shown = {name: values[0] if len(values) == 1 else values for name, values in runs.items()}
    return {**shown, "cores": os.cpu_count() or 0, **totals, "files": dict(sorted(files.items()))}


def remaining(paths: Sequence[str], files: Mapping[str, Row], commit: str) -> list[str]:
    """Return the paths without results of a commit, in which nothing failed."""

    def settled(path: str) -> bool:
        rows = [row for name, row in files.items() if name == path or name.startswith(f"{path}/")]
        return bool(rows) and all(row["commit"] == commit and not row["failed"] for row in rows)

    return [path for path in paths if not settled(path)]


def test_paths(root: Path = ROOT) -> list[str]:
    """Return what pytest is called with: files of tests, and the folders of `AT_ONCE`."""
    found = []
    for folder in SUITES:
        files = sorted(path.relative_to(root).as_posix() for path in (root / folder).rglob("test_*.py"))
        found += [folder] if folder in AT_ONCE else files
    return found


def folder_of(path: str) -> str:
    """Return the folder of `SUITES` that a path is in; "" for none."""
    return next((folder for folder in SUITES if f"{path}/".startswith(f"{folder}/")), "")


def commit_of(root: Path) -> str:
    """Return the commit, with `-dirty` if a file besides the record differs from it."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=root, check=True, capture_output=True, text=True).stdout

    changed = git("status", "--porcelain", "--", ":/", f":(top,exclude){RESULT.relative_to(ROOT)}")
    return git("rev-parse", "--short", "HEAD").strip() + ("-dirty" if changed else "")


def run(path: str) -> tuple[int, dict[str, Row]]:
    """Run the tests of a file or a folder; return pytest's exit code and the results by file."""
    options = SUITES[folder_of(path)]
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory, "report.xml")
        command = [sys.executable, "-m", "pytest", path, *options, f"--junitxml={report}"]
        code = subprocess.run(command, cwd=ROOT).returncode
        return code, by_file(report.read_text()) if report.exists() else {}


def main(chosen: Sequence[str]) -> int:
    """Run the chosen paths, or all that have no result; return 0 if everything passed."""
    if unknown := [path for path in chosen if not (ROOT / path).exists() or not folder_of(path)]:
        print(f"no file of tests: {', '.join(unknown)}; name them as tests/e2e/test_cli.py", file=sys.stderr)
        return 2
    commit = commit_of(ROOT)
    files: dict[str, Row] = json.loads(RESULT.read_text())["files"] if RESULT.exists() else {}
    files = {name: row for name, row in files.items() if (ROOT / name).is_file()}
    failed = []
    for path in chosen or remaining(test_paths(), files, commit):
        print(f"\n{path}", flush=True)
        code, rows = run(path)
        date = datetime.now(UTC).date().isoformat()
        files |= {name: {**row, "commit": commit, "date": date} for name, row in rows.items()}
        RESULT.write_text(json.dumps(record(files), indent=1) + "\n")
        failed += [path] if code not in (0, NO_TESTS) else []
    print("\n".join(["", *(f"failed: {path}" for path in failed)]))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
