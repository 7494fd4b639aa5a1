"""Test that code for the engine uses no bindings that only clients have."""

from __future__ import annotations

from pathlib import Path

import bindings
import pytest

PACKAGE = Path(__file__).parents[2] / "pipeline"
IN_AN_ENGINE = [
    path for path in sorted(PACKAGE.rglob("*.py")) if "cli" not in path.relative_to(PACKAGE).parts
]


def test_the_data_names_what_official_engines_leave_out() -> None:
    missing = bindings.recorded()
    assert {"host", "engine"} <= set(missing["Query"] or ())
    assert missing["Host"] is None and missing["Engine"] is None


@pytest.mark.parametrize("path", IN_AN_ENGINE, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_command_line_uses_what_modules_lack(path: Path) -> None:
    assert bindings.uses(path.read_text()) == []


@pytest.mark.parametrize(
    "line", ["dag.host()", "dag.engine()", "x: dagger.Host", "from dagger import Host", "dagger.EngineCache"]
)
def test_what_is_refused(line: str) -> None:
    assert bindings.uses(f"1\n{line}\n") == [f"2: {line.removesuffix('()').split()[-1]}"]


@pytest.mark.parametrize("line", ["dag.current_module()", "host()", "dagger.Directory", "address.host"])
def test_what_is_not(line: str) -> None:
    assert bindings.uses(line) == []


def test_the_command_line_does_use_them() -> None:
    code = "".join(path.read_text() for path in (PACKAGE / "cli").glob("*.py"))
    assert "dag.host()" in code, "nothing to allow there"
