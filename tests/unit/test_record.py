"""Test the record of `make test-all`."""

from pathlib import Path

from tools import record

REPORT = """<testsuites><testsuite name="pytest">
<testcase classname="tests.e2e.test_cli" name="a" time="1.04"/>
<testcase classname="tests.e2e.test_cli.TestInside" name="b" time="2.0"><failure message="no"/></testcase>
<testcase classname="tests.e2e.test_cli" name="c" time="0.0"><skipped message="no Go"/></testcase>
<testcase classname="tests.unit.test_x" name="d" time="0.5"><error message="setup"/></testcase>
</testsuite></testsuites>"""


def test_every_test_is_counted_by_file_and_outcome(tmp_path: Path) -> None:
    for name in ("tests/e2e/test_cli.py", "tests/unit/test_x.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    files = record.by_file([REPORT, "<testsuites/>"], tmp_path)
    assert files == {
        "tests/e2e/test_cli.py": {"passed": 1, "failed": 1, "skipped": 1, "seconds": 3.0},
        "tests/unit/test_x.py": {"passed": 0, "failed": 1, "skipped": 0, "seconds": 0.5},
    }
    made = record.record(files, "abc", "2026-11-28", 2)
    assert made == {
        "commit": "abc", "date": "2026-11-28", "cores": 2,
        "passed": 1, "failed": 2, "skipped": 1, "seconds": 3.5, "files": files,
    }  # fmt: skip
