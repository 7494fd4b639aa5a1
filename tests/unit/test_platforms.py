"""Test that every table with a row for each platform has one; a failure says what to add where."""

from __future__ import annotations

import dataclasses

import pytest

from engine import binfmt
from pipeline import releases
from pipeline.cli import loading
from pipeline.errors import UnsupportedLibc
from pipeline.targets import TARGETS, Libc, Target
from pipeline.toolchain import zig

TABLES = {
    "ROWS in pipeline/toolchain/zig.py": lambda target: target.platform in zig.ROWS,
    "MACHINES in pipeline/cli/loading.py": lambda target: target.platform in loading.MACHINES.values(),
    "EMULATORS in engine/binfmt.py": lambda target: target.platform in binfmt.EMULATORS,
    "a Release in pipeline/releases.py": lambda target: any(
        target.debian in release.ports for release in releases.RELEASES.values()
    ),
}


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.platform)
@pytest.mark.parametrize("table", TABLES)
def test_a_platform_is_in_every_table(table: str, target: Target) -> None:
    assert TABLES[table](target), f"add {target.platform} to {table}"


def test_a_platform_that_zig_has_no_row_for_says_where_to_add_it() -> None:
    """Regression: it was a KeyError."""
    new = dataclasses.replace(TARGETS[0], platform="linux/loong64")
    for ask in (lambda: zig.name(new, Libc.MUSL), lambda: zig.compilers(new, Libc.MUSL)):
        with pytest.raises(UnsupportedLibc) as raised:
            ask()
        assert "add linux/loong64 to ROWS in pipeline/toolchain/zig.py" in raised.value.fix
