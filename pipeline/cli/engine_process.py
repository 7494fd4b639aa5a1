"""Start `dagger session`, the process that holds an engine session, before Dagger's SDK is imported.

The process takes about as long to start as the imports. The SDK connects to it by the variables with which
`dagger run` hands a session on, see https://docs.dagger.io/reference/cli/#dagger-run.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import IO

from engine.config import CLI

PORT, TOKEN = "DAGGER_SESSION_PORT", "DAGGER_SESSION_TOKEN"

SHOWN_BY_DAGGER = {"DAGGER_PROGRESS": "plain"}
"""The format of the engine's log for `engine_log.parse`, which overrides the user's setting."""

END_SECONDS = 300
"""Time limit for the end of a session, as in Dagger's SDK."""

KILL_SECONDS = 0.5
"""Time in which a process that failed ends by itself."""


class EngineProcessFailed(Exception):
    """The process ended with an error, or not at all."""


class EngineProcess:
    """A process that holds an engine session.

    Attributes:
        log: the engine's log; None if it goes to standard error.
    """

    def __init__(self, process: subprocess.Popen[bytes], log: IO[bytes] | None) -> None:
        self.log = log
        self._process = process

    def variables(self) -> dict[str, str]:
        """Wait until the session is open, and return the variables to connect to it.

        Raises:
            EngineProcessFailed: the process ended.
        """
        assert self._process.stdout is not None
        try:
            opened = json.loads(self._process.stdout.readline())
            return {PORT: str(opened["port"]), TOKEN: str(opened["session_token"])}
        except (ValueError, KeyError, TypeError):
            raise EngineProcessFailed(self._ended(self.kill())) from None

    def end(self) -> None:
        """End the session, and wait until the engine has ended it.

        Raises:
            EngineProcessFailed: the engine did not end it in order, or not in time.
        """
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            code = self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired as error:
            self.kill()
            raise EngineProcessFailed(str(error)) from None
        if code:
            raise EngineProcessFailed(self._ended(code))

    def kill(self) -> int:
        """Kill the process unless it has ended, and return its exit code."""
        # One that closed its output is about to end.
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(KILL_SECONDS)
        self._process.kill()
        return self._process.wait()

    def close(self) -> None:
        """Kill the process if it still runs, and close its files."""
        with self._process:
            self._process.kill()

    def _ended(self, code: int) -> str:
        return str(subprocess.CalledProcessError(code, "dagger session"))


@contextlib.contextmanager
def started(environ: Mapping[str, str], raw: bool = False) -> Iterator[EngineProcess | None]:
    """Start the process of an engine session; it is killed at the end if it still runs.

    The result is None if the SDK has to find or download Dagger's command line, or if a session is open
    already, as below `dagger run`.

    Args:
        environ: the variables of the process, with the path of Dagger's command line.
        raw: write the engine's log to standard error.
    """
    process = None if environ.get(PORT) or not environ.get(CLI) else _start(environ, raw)
    try:
        yield process
    finally:
        if process:
            process.close()


def _start(environ: Mapping[str, str], raw: bool) -> EngineProcess | None:
    label = f"dagger.io/sdk.version:{version('dagger-io')}"
    words = [environ[CLI], "session", "--label", "dagger.io/sdk.name:python", "--label", label]
    shown = {} if raw else SHOWN_BY_DAGGER
    try:
        process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=sys.__stderr__ if raw else subprocess.PIPE,
            env={**environ, **shown},
        )
    except OSError:
        return None  # the SDK's error says more
    return EngineProcess(process, process.stderr)
