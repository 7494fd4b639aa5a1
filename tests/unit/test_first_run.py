"""How the first example finds what it calls."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from engine import build, choice
from pipeline.errors import EngineError

EXAMPLE = Path(__file__).parents[2] / "examples/first_run.py"


def test_without_a_dagger_command_it_says_what_to_do(tmp_path: Path) -> None:
    dagger = runpy.run_path(str(EXAMPLE))["dagger"]
    with pytest.raises(EngineError, match="no `dagger` command") as raised:
        dagger({"PATH": str(tmp_path)})
    assert build.version() in raised.value.fix
    assert dagger({"PATH": str(tmp_path), choice.CLI: "/there/dagger"}) == "/there/dagger"
    (tmp_path / "dagger").touch(mode=0o755)
    assert dagger({"PATH": str(tmp_path), choice.CLI: "/there/dagger"}) == "dagger"
