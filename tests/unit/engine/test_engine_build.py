"""Test the environment of the engine's compilation."""

import pytest

from engine import build


def test_go_collects_no_garbage_below_a_limit_unless_the_user_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in build.COLLECTOR:
        monkeypatch.delenv(name, raising=False)
    assert build.COLLECTOR.items() <= build._environment().items()
    monkeypatch.setenv("GOGC", "50")
    assert build._environment()["GOGC"] == "50"


def test_variables_that_would_steer_go_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOFLAGS", "-mod=mod")
    monkeypatch.setenv("GOOS", "plan9")
    found = build._environment()
    assert found["GOFLAGS"] == "-mod=readonly" and "GOOS" not in found
