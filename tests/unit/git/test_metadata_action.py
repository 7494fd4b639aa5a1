"""Compare the tag rules with the README of docker/metadata-action, in tests/data/metadata_action.toml."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline import errors
from pipeline.git.ci import of_ref
from pipeline.git.context import BuildContext
from pipeline.git.facts import Facts
from pipeline.git.tags import from_text

ROOT = Path(__file__).parents[3]
CASES: list[dict[str, Any]] = tomllib.loads((ROOT / "tests/data/metadata_action.toml").read_text())["case"]
COMMIT = Facts("860c1904a1ce19322e91ac35af1ab07466440c37", 1_578_616_200)

SECTIONS = {
    *("Basic", "Semver", "Bake definition", "`flavor` input", "`tags` input"),
    *(f"`type={name}`" for name in ("schedule", "semver", "pep440", "match", "edge", "ref", "raw", "sha")),
    *("Image name and tag sanitization", "Latest tag", "`priority` attribute", "Global expressions"),
    *(f"`{{{{{name}}}}}`" for name in ("branch", "tag", "sha", "base_ref", "is_default_branch")),
    *(f"`{{{{{name} '<format>' tz='<timezone>'}}}}`" for name in ("date", "commit_date")),
    "Major version zero",
}
"""The sections of the README about tags."""


def context(on: str) -> BuildContext:
    """Return the state of a run of GitHub."""
    name, ref = on.split()
    event = of_ref(ref)
    event = replace(event, default_branch="master", schedule=name == "schedule")
    event = replace(event, base="master" if event.pull_request else "")
    return BuildContext(replace(COMMIT, all_tags=(event.tag,) if event.tag else ()), event)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['section']} {case['on']} {case['rules']}")
def test_the_tags_of_the_readme(case: dict[str, Any]) -> None:
    if "error" in case:
        with pytest.raises(errors.InvalidArgument) as raised:
            from_text(case["rules"], context(case["on"]))
        assert case["error"] in str(raised.value) and raised.value.fix
        return
    here = case.get("here", case["docker"])
    assert from_text(case["rules"], context(case["on"])) == tuple(here)


def test_every_section_is_in_the_table() -> None:
    assert {case["section"].partition(":")[0] for case in CASES} == SECTIONS


def test_every_difference_is_documented() -> None:
    text = (ROOT / "docs/publishing.md").read_text()
    section = text.partition("### Differences from docker's metadata action")[2].partition("\n#")[0]
    rows = set(re.findall(r"^\| (.+?) \| .+ \|$", section, re.MULTILINE)) - {"of", "---"}
    assert {case["difference"] for case in CASES if "difference" in case} <= rows
    for case in CASES:
        assert ("here" in case or "error" in case) == ("difference" in case)
        assert case.get("here") != case["docker"]
