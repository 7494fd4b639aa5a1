"""Set the health check and the stop signal of an image, with the options of `docker run`."""

from __future__ import annotations

import json
import re
import signal
from dataclasses import dataclass

from pipeline.config.settings import Settings
from pipeline.errors import InvalidArgument
from pipeline.sdk import dagger

_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+")
DURATIONS = ("health_interval", "health_timeout", "health_start_period", "health_start_interval")
DETAILS = (*DURATIONS, "health_retries")


@dataclass(frozen=True)
class Health:
    """The health check of a running container.

    Attributes:
        command: the words of the command; a single line if `shell` is set.
        shell: run the command in the image's shell.
        interval: time between two checks, as docker writes durations (`1m30s`).
        timeout: time after which a check fails.
        start_period: time after the start in which failures are ignored.
        start_interval: time between two checks in the start period.
        retries: failures in a row that make the container unhealthy.
    """

    command: tuple[str, ...] = ()
    shell: bool = False
    interval: str = ""
    timeout: str = ""
    start_period: str = ""
    start_interval: str = ""
    retries: int = 0

    def on(self, container: dagger.Container) -> dagger.Container:
        """Return a container with this health check in its config."""
        return container.with_docker_healthcheck(
            list(self.command),
            shell=self.shell,
            interval=self.interval or None,
            timeout=self.timeout or None,
            start_period=self.start_period or None,
            start_interval=self.start_interval or None,
            retries=self.retries or None,
        )


def health(settings: Settings, has_shell: bool) -> Health | None:
    """Return the health check of the settings; None if there is no command.

    Args:
        settings: the merged settings.
        has_shell: false if the base is empty and has no shell.

    Raises:
        InvalidArgument: the image cannot run the command, a duration is invalid, or options contradict
            each other.
    """
    given = [name for name in DETAILS if getattr(settings, name)]
    command = settings.health_cmd
    if settings.no_healthcheck and (command or given):
        option = _option("health_cmd" if command else given[0])
        raise InvalidArgument(
            "a health check is both set and disabled",
            where=option,
            fix=f"leave out {option} or --no-healthcheck",
        )
    if not command:
        if given:
            fix = f"add --health-cmd, or leave {_option(given[0])} out"
            raise InvalidArgument("the health check has no command", where=_option(given[0]), fix=fix)
        return None
    for name in DURATIONS:
        value = getattr(settings, name)
        if value and not _DURATION.fullmatch(value):
            raise InvalidArgument(
                f"{value!r} is not a duration", where=_option(name), fix="write it as 30s or 1m30s"
            )
    if settings.health_retries < 0:
        raise InvalidArgument("retries cannot be negative", where="--health-retries", fix="use 1 or more")
    words = _words(command)
    if not words and not has_shell:
        raise InvalidArgument(
            "the health check needs a shell, and the image has none",
            where="--health-cmd",
            fix='write it as a JSON list, for example ["/usr/local/bin/app","--check"]',
        )
    durations = {name.removeprefix("health_"): getattr(settings, name) for name in DURATIONS}
    return Health(words or (command,), not words, retries=settings.health_retries, **durations)


def _words(command: str) -> tuple[str, ...]:
    """Parse a command that is a JSON list, as in a Dockerfile; return () for a line of shell."""
    if not command.lstrip().startswith("["):
        return ()
    try:
        found = json.loads(command)
    except (ValueError, RecursionError):
        return ()
    return tuple(found) if found and all(isinstance(word, str) for word in found) else ()


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


SIGNALS = frozenset(item.name for item in signal.Signals)


def stop_signal(text: str) -> str:
    """Return a signal as in an image's config: `SIGINT`, `SIGRTMIN+3` or a number; "" for none.

    Raises:
        InvalidArgument: the signal does not exist.
    """
    if not text:
        return ""
    name = text.upper() if text.upper().startswith("SIG") else f"SIG{text.upper()}"
    if text.isdecimal() and 0 < int(text) < 65:
        return text
    if name in SIGNALS or re.fullmatch(r"SIGRT(?:MIN\+|MAX-)\d{1,2}", name):
        return name
    raise InvalidArgument(
        f"the signal {text!r} does not exist",
        where="--stop-signal",
        fix="use a signal's name, for example SIGINT or SIGTERM",
    )
