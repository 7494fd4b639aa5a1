from dataclasses import replace

import pytest
from test_build import plan

from pipeline import build, checks, smoke
from pipeline.errors import SmokeFailed
from pipeline.smoke import Outcome


def test_commands() -> None:
    assert " ".join(checks.test_command(plan())) == "cargo test --locked --package app"
    assert checks.test_command(plan(package="core"))[2:] == ["--locked", "--package", "core"]
    assert checks.test_command(replace(plan(), binaries=())) == ["cargo", "test", "--locked"]
    assert checks.test_command(plan(), "t1")[-2:] == ["--target", "t1"]
    assert "--features a" in " ".join(checks.test_command(plan(features=("a",))))
    assert "--workspace --all-targets" in " ".join(checks.lint_command(plan(), False))
    assert checks.lint_command(plan(), True)[-3:] == ["--", "--deny", "warnings"]
    assert checks.format_command() == ["cargo", "fmt", "--all", "--check"]


def test_a_foreign_test_drops_what_another_standard_library_was_for() -> None:
    foreign = checks.script(["cargo", "test"], "t1")
    assert foreign.endswith("\n".join([*build.std_lines("t1"), "cargo test"]))
    assert checks.script(["cargo", "test"]) == "\n".join([*build.sync_lines(), "cargo test"])


def test_smoke_text() -> None:
    outcomes = [Outcome("linux/amd64", "ok", "a\nb"), Outcome("linux/s390x", "skipped", "no emulator")]
    assert smoke.as_text(outcomes).splitlines() == [
        "linux/amd64: ok", "  a", "  b", "linux/s390x: skipped", "  no emulator",
    ]  # fmt: skip


def test_only_failures_raise() -> None:
    smoke._raise_failures([Outcome("linux/amd64", "skipped", "")], [])
    with pytest.raises(SmokeFailed, match="linux/arm64") as raised:
        smoke._raise_failures([Outcome("linux/arm64", "failed", "boom")], ["--x"])
    assert raised.value.where == "--x"
    assert "boom" in raised.value.output
