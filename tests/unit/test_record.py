"""Test the record of `make test-all`."""

import subprocess
from pathlib import Path

import pytest

from tools import record

REPORT = """<testsuites><testsuite name="pytest">
<testcase classname="tests.e2e.test_cli" name="a" time="1.04"/>
<testcase classname="tests.e2e.test_cli.TestInside" name="b" time="2.0"><failure message="no"/></testcase>
<testcase classname="tests.e2e.test_cli" name="c" time="0.0"><skipped message="no Go"/></testcase>
<testcase classname="tests.unit.test_x" name="d" time="0.5"><error message="setup"/></testcase>
<testcase time="0.1"><error message="interrupted"/></testcase>
</testsuite></testsuites>"""


def test_every_test_is_counted_by_file_and_outcome(tmp_path: Path) -> None:
    for name in ("tests/e2e/test_cli.py", "tests/unit/test_x.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    files = record.by_file(REPORT, tmp_path)
    assert files == {
        "tests/e2e/test_cli.py": {"passed": 1, "failed": 1, "skipped": 1, "seconds": 3.0},
        "tests/unit/test_x.py": {"passed": 0, "failed": 1, "skipped": 0, "seconds": 0.5},
    }


def row(commit: str, failed: int = 0) -> record.Row:
    counts = {"passed": 1, "failed": failed, "skipped": 0, "seconds": 1.5}
    return {**counts, "commit": commit, "date": "2026-11-29"}


def test_the_record_has_totals_and_each_commit_that_was_tested() -> None:
    files = {"tests/b.py": row("abc"), "tests/a.py": row("abc", failed=2)}
    made = record.record(files)
    assert (made["commit"], made["date"]) == ("abc", "2026-11-29")
    assert (made["passed"], made["failed"], made["seconds"]) == (2, 2, 3.0)
    assert list(made["files"]) == ["tests/a.py", "tests/b.py"]
    assert record.record({**files, "tests/c.py": row("def")})["commit"] == ["abc", "def"]


def test_a_run_continues_with_files_that_failed_or_have_no_result_of_the_commit() -> None:
    files = {
        "tests/e2e/a.py": row("abc"),
        "tests/e2e/b.py": row("abc", failed=1),
        "tests/e2e/c.py": row("old"),
        "tests/unit/x/d.py": row("abc"),
    }
    paths = ["tests/e2e/a.py", "tests/e2e/b.py", "tests/e2e/c.py", "tests/e2e/new.py", "tests/unit"]
    assert record.remaining(paths, files, "abc") == ["tests/e2e/b.py", "tests/e2e/c.py", "tests/e2e/new.py"]


def test_every_file_of_tests_is_run_once() -> None:
    paths = record.test_paths()
    apart = ("tests/data/", "tests/newcomer/")
    for file in (record.ROOT / "tests").rglob("test_*.py"):
        name = file.relative_to(record.ROOT).as_posix()
        covering = [path for path in paths if name == path or name.startswith(f"{path}/")]
        assert len(covering) == 1 or name.startswith(apart), (name, covering)


def test_the_record_itself_is_no_change(tmp_path: Path) -> None:
    """Regression: a run that continued after its first file was recorded as one of a changed tree."""

    def git(*words: str) -> None:
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
        subprocess.run(["git", *identity, *words], cwd=tmp_path, check=True, capture_output=True)

    result = tmp_path / record.RESULT.relative_to(record.ROOT)
    result.parent.mkdir(parents=True)
    result.write_text("{}")
    (tmp_path / "main.py").write_text("")
    git("init")
    git("add", ".")
    git("commit", "--message", "first")
    commit = record.commit_of(tmp_path)
    result.write_text('{"files": {}}')
    assert record.commit_of(tmp_path) == commit
    (tmp_path / "main.py").write_text("changed")
    assert record.commit_of(tmp_path) == f"{commit}-dirty"


def test_a_file_that_does_not_exist_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert record.main(["tests/e2e/test_none.py"]) == 2
    assert "tests/e2e/test_none.py" in capsys.readouterr().err
