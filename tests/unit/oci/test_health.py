"""Test the health check and the stop signal, from the settings to the engine's API."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.config.settings import Settings
from pipeline.errors import InvalidArgument
from pipeline.oci.health import Health, health, stop_signal

ALL: dict[str, Any] = {
    "health_interval": "30s",
    "health_timeout": "1m30s",
    "health_start_period": "0s",
    "health_start_interval": "1.5s",
    "health_retries": 3,
}


class Container:
    """A fake container that records the health check."""

    def with_docker_healthcheck(self, args: list[str], **given: Any) -> Any:
        return args, {name: value for name, value in given.items() if value is not None}


@pytest.mark.parametrize(
    ("command", "args", "shell"),
    [
        ("curl -f localhost || exit 1", ["curl -f localhost || exit 1"], True),
        ('["/usr/local/bin/app", "--check"]', ["/usr/local/bin/app", "--check"], False),
        ("[ -e /ready ]", ["[ -e /ready ]"], True),
        ("[]", ["[]"], True),
        ("[1]", ["[1]"], True),
    ],
)
def test_a_command_is_a_line_of_shell_or_a_list(command: str, args: list[str], shell: bool) -> None:
    found = health(Settings(health_cmd=command), has_shell=True)
    assert found and found.on(Container()) == (args, {"shell": shell})  # type: ignore[arg-type]


def test_every_detail_reaches_the_engine() -> None:
    found = health(Settings(health_cmd="x", **ALL), has_shell=True)
    details = {name.removeprefix("health_"): value for name, value in ALL.items()}
    assert found and found.on(Container()) == (["x"], {"shell": True, **details})  # type: ignore[arg-type]


def test_without_settings_there_is_no_health_check() -> None:
    assert health(Settings(), has_shell=False) is None
    assert health(Settings(no_healthcheck=True), has_shell=False) is None


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        (Settings(health_interval="30s"), "has no command"),
        (Settings(health_retries=2), "has no command"),
        (Settings(health_cmd="x", no_healthcheck=True), "both set and disabled"),
        (Settings(health_timeout="1s", no_healthcheck=True), "both set and disabled"),
        (Settings(health_cmd="x", health_interval="30"), "'30' is not a duration"),
        (Settings(health_cmd="x", health_start_period="soon"), "'soon' is not a duration"),
        (Settings(health_cmd="x", health_retries=-1), "cannot be negative"),
    ],
)
def test_invalid_health_checks_are_refused(settings: Settings, what: str) -> None:
    with pytest.raises(InvalidArgument, match=what):
        health(settings, has_shell=True)


def test_a_shell_command_needs_a_shell() -> None:
    """An image from scratch has none, so the container would always be unhealthy."""
    with pytest.raises(InvalidArgument, match="needs a shell") as raised:
        health(Settings(health_cmd="true"), has_shell=False)
    assert "JSON list" in raised.value.fix
    assert health(Settings(health_cmd='["/app"]'), has_shell=False) == Health(("/app",))


@pytest.mark.parametrize(
    ("text", "found"),
    [("", ""), ("SIGINT", "SIGINT"), ("int", "SIGINT"), ("9", "9"), ("sigrtmin+3", "SIGRTMIN+3")],
)
def test_signals_are_normalized(text: str, found: str) -> None:
    assert stop_signal(text) == found


@pytest.mark.parametrize("text", ["SIGNOTHING", "0", "65", "-9", "SIGINT; reboot"])
def test_an_unknown_signal_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="does not exist"):
        stop_signal(text)
