"""The zoo's data: the documentation shows exactly what was measured."""

import pytest
import zoo


def test_the_documentation_shows_the_results() -> None:
    document = zoo.DOCUMENT.read_text()
    assert zoo.with_table(document, zoo.read()) == document, "make zoo, or python tests/e2e/zoo.py"


def test_results_are_of_crates_there_are() -> None:
    results = zoo.read()
    assert set(results) <= set(zoo.CRATES)
    for platforms in results.values():
        assert set(platforms) <= set(zoo.PLATFORMS)
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
    text = zoo.table(results)
    assert f"1 ok, 1 failed, {len(zoo.CRATES) * 3 - 2} not run" in text
    row = next(line for line in text.splitlines() if line.startswith(f"| {first} |"))
    assert row.endswith("| ok | not run | not run |")
    assert f"- {second}, linux/arm64: LinkError: no library 'x'" in text
