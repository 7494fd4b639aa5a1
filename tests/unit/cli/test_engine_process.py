"""Test the process that holds an engine session, with shell scripts in place of Dagger's command line."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import anyio
import pytest

from engine.config import CLI, RUNNER
from pipeline.cli import engine_process, watching
from pipeline.cli.engine_process import PORT, TOKEN, EngineProcess, EngineProcessFailed
from pipeline.errors import EngineUnreachable, first
from pipeline.progress.view import Mode

OPENS = """echo $$ >"$FOLDER/pid"; echo "$@" >"$FOLDER/words"; echo "$DAGGER_PROGRESS" >"$FOLDER/progress"
echo '{"port": 123, "session_token": "secret"}'
"""
WAITS = OPENS + "cat >/dev/null\n"


def environment(folder: Path, script: str) -> dict[str, str]:
    program = folder / "dagger"
    program.write_text(f"#!/bin/sh\n{script}")
    program.chmod(0o755)
    return {"PATH": os.environ["PATH"], CLI: str(program), "FOLDER": str(folder)}


def runs(folder: Path) -> bool:
    return Path(f"/proc/{(folder / 'pid').read_text().strip()}").exists()


@pytest.mark.parametrize(("raw", "progress"), [(False, "plain"), (True, "tty")])
def test_a_session_is_opened_and_ended(tmp_path: Path, raw: bool, progress: str) -> None:
    environ = {**environment(tmp_path, WAITS), "DAGGER_PROGRESS": "tty"}
    with engine_process.started(environ, raw) as process:
        assert process is not None and (process.log is None) is raw
        assert process.variables() == {PORT: "123", TOKEN: "secret"}
        assert runs(tmp_path)
        process.end()
        assert not runs(tmp_path)
    words = (tmp_path / "words").read_text()
    assert words.startswith("session --label dagger.io/sdk.name:python --label dagger.io/sdk.version:0.")
    assert (tmp_path / "progress").read_text().strip() == progress


def test_a_session_that_does_not_end_in_order(tmp_path: Path) -> None:
    with engine_process.started(environment(tmp_path, WAITS + "exit 3")) as process:
        assert process is not None and process.variables()
        with pytest.raises(EngineProcessFailed, match="exit status 3"):
            process.end()


def test_a_session_that_does_not_end_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_process, "END_SECONDS", 0.1)
    monkeypatch.setattr(engine_process, "KILL_SECONDS", 0.1)
    with engine_process.started(environment(tmp_path, OPENS + "exec sleep 60")) as process:
        assert process is not None and process.variables()
        with pytest.raises(EngineProcessFailed, match="timed out"):
            process.end()
        assert not runs(tmp_path)


@pytest.mark.parametrize("said", ["", "not JSON", "[]", '{"port": 1}'])
def test_a_session_that_is_not_opened(tmp_path: Path, said: str) -> None:
    with engine_process.started(environment(tmp_path, f"echo '{said}'; exit 7")) as process:
        assert process is not None
        with pytest.raises(EngineProcessFailed, match="exit status 7"):
            process.variables()


def test_a_process_is_killed_if_the_command_fails_before(tmp_path: Path) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        engine_process.started(environment(tmp_path, WAITS)) as process,
    ):
        assert process is not None and process.variables()
        raise ZeroDivisionError
    assert not runs(tmp_path)


def test_the_sdk_starts_what_this_module_cannot(tmp_path: Path) -> None:
    """There is a session already, or no command line is known, or it cannot be started."""
    known = environment(tmp_path, WAITS)
    for environ in ({**known, PORT: "1"}, {**known, CLI: ""}, {**known, CLI: str(tmp_path)}):
        with engine_process.started(environ) as process:
            assert process is None


@pytest.mark.anyio
@pytest.mark.parametrize(("code", "ended"), [(0, ""), (3, "exit status 3")])
async def test_the_sdk_connects_to_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], code: int, ended: str
) -> None:
    seen: list[str | None] = []

    @contextlib.asynccontextmanager
    async def connection(config):
        seen.extend([os.environ.get(PORT), os.environ.get(TOKEN)])
        yield

    async def work() -> str:
        seen.append(os.environ.get(PORT))
        await anyio.sleep(0.1)
        return watching.recent()

    monkeypatch.setattr(watching.dagger, "connection", connection)
    watching._LOG.clear()
    script = f"echo 'from the engine' >&2\n{WAITS}exit {code}\n"
    with engine_process.started(environment(tmp_path, script)) as process, anyio.fail_after(5):
        assert await watching.watch(work, [("all", "")], Mode.PLAIN, process) == "from the engine"
    assert seen == ["123", "secret", None]
    assert ("did not end the session in order" in capsys.readouterr().err) is bool(ended)


@pytest.mark.anyio
@pytest.mark.parametrize("mode", [Mode.PLAIN, Mode.RAW])
@pytest.mark.parametrize("opens", [False, True])
async def test_an_engine_without_a_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: Mode, opens: bool
) -> None:
    """The process ends with an error, or the SDK cannot connect to it."""
    monkeypatch.setenv(RUNNER, "docker-container://there")
    monkeypatch.setattr(engine_process, "KILL_SECONDS", 0.1)

    def refused(config: object) -> None:
        raise watching.dagger.ClientConnectionError("refused")

    async def work() -> str:
        return ""

    monkeypatch.setattr(watching.dagger, "connection", refused)
    script = OPENS + "exec sleep 60" if opens else "exit 1"
    with (
        engine_process.started(environment(tmp_path, script), mode is Mode.RAW) as process,
        pytest.raises(BaseExceptionGroup) as raised,
        anyio.fail_after(20),
    ):
        assert isinstance(process, EngineProcess)
        await watching.watch(work, [("all", "")], mode, process)
    error = first(raised.value)
    assert isinstance(error, EngineUnreachable) and error.where == "docker-container://there"
    assert ("refused" if opens else "exit status 1") in error.output
