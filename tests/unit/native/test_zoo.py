"""Test that the documentation shows the recorded results of building many projects."""

import outcomes
import programs
import pytest
import targets
import zoo
from outcomes import Suite

SUITES = pytest.mark.parametrize(
    "suite", [zoo.SUITE, programs.SUITE, targets.SUITE], ids=lambda suite: suite.name
)


@SUITES
def test_the_documentation_shows_the_results(suite: Suite) -> None:
    document = outcomes.DOCUMENT.read_text()
    assert suite.with_table(document, suite.read()) == document, f"python tests/e2e/{suite.name}.py"


@SUITES
def test_results_are_of_projects_there_are(suite: Suite) -> None:
    results = suite.read()
    assert set(results) <= set(suite.projects)
    for platforms in results.values():
        assert set(platforms) <= set(suite.platforms)
        assert all(row["commit"] and row["date"] and row["result"] for row in platforms.values())


@pytest.mark.parametrize("crate", zoo.CRATES)
def test_every_crate_says_what_it_prints_and_depends_on(crate: str) -> None:
    assert zoo.expected(crate)
    assert zoo.dependencies(crate)


def test_the_table() -> None:
    first, second = zoo.CRATES[:2]
    measured = {"commit": "abc", "date": "2026-01-01"}
    results = {first: {"linux/amd64": {"result": "ok", **measured}}}
    results[second] = {"linux/arm64": {"result": "LinkError: no library 'x'", **measured}}
    text = zoo.SUITE.table(results)
    assert f"1 ok, 1 failed, {len(zoo.CRATES) * 3 - 2} not run" in text
    row = next(line for line in text.splitlines() if line.startswith(f"| {first} |"))
    assert row.endswith("| ok | not run | not run |")
    assert f"- {second}, linux/arm64: LinkError: no library 'x'" in text
