import contextlib
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import anyio
import pytest
from dagger import SessionError
from test_progress import AMD64, ROWS, board

from engine.config import CLI, RUNNER
from pipeline.cli import watching
from pipeline.errors import EngineUnreachable, first
from pipeline.progress import events, model, view
from pipeline.progress.events import COMPILING, CrateReady, Ended, Stage, Working
from pipeline.progress.model import DONE
from pipeline.progress.view import Lines, Mode, Screen, Silence

pytestmark = pytest.mark.anyio


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("out", "environ", "mode", "kind"),
    [
        (Terminal(), {"TERM": "xterm"}, Mode.AUTO, Screen),
        (Terminal(), {"TERM": "dumb"}, Mode.AUTO, Lines),
        (Terminal(), {}, Mode.AUTO, Lines),
        (io.StringIO(), {"TERM": "xterm"}, Mode.AUTO, Lines),
        (io.StringIO(), {}, Mode.TTY, Screen),
        (Terminal(), {"TERM": "xterm"}, Mode.PLAIN, Lines),
        (io.StringIO(), {}, Mode.QUIET, Silence),
        (io.StringIO(), {}, Mode.RAW, Silence),
    ],
)
def test_who_paints(out: io.StringIO, environ: dict, mode: Mode, kind: type) -> None:
    assert isinstance(view.painter(mode, out, environ), kind)


def test_a_screen_is_painted_over_itself_with_notes_above() -> None:
    out = io.StringIO()
    screen = Screen(out)
    current = board(Stage("fetching"))
    screen.ticked(current, 102.0)
    first = "linux/amd64  fetching    0:02\nlinux/arm64  fetching    0:02\n"
    assert out.getvalue() == f"\x1b[J{first}"
    screen.note("mind this")
    screen.changed(current, current, 103.0)
    out.truncate(0), out.seek(0)
    screen.changed(current, model.advance(current, Ended(DONE), 107.0), 107.0)
    last = "linux/amd64  done    0:07\nlinux/arm64  done    0:07\n"
    assert out.getvalue() == f"\x1b[2F\x1b[Jmind this\n{last}"


def test_a_log_has_no_control_characters_and_counts_only_what_changed() -> None:
    out = io.StringIO()
    log = Lines(out)
    before = board()
    after = model.advance(before, Stage("fetching"), 101.0)
    log.changed(before, after, 101.0)
    log.ticked(after, 102.0)
    counted = board(Stage(COMPILING, crates={AMD64: 2}), CrateReady(AMD64, "a@1", False))
    log.ticked(counted, 115.0)
    log.ticked(counted, 130.0)
    assert out.getvalue().splitlines() == [
        "   0:01  linux/amd64, linux/arm64: fetching",
        "   0:15  linux/amd64 1 of 2 crates",
    ]
    log.ticked(model.advance(counted, CrateReady(AMD64, "b@1", False), 140.0), 144.0)
    log.ticked(board(CrateReady(AMD64, "c@1", False), Ended(DONE)), 146.0)
    assert out.getvalue().splitlines()[2:] == ["   0:44  linux/amd64 2 of 2 crates"]
    assert "\x1b" not in out.getvalue()


def test_a_log_is_never_silent_for_long() -> None:
    out = io.StringIO()
    log = Lines(out)
    current = board(Stage(COMPILING), Working("ring v0.17.8"))
    log.changed(board(), current, 102.0)
    for now in range(110, 170, 5):
        log.ticked(current, float(now))
    assert out.getvalue().splitlines()[1:] == [
        "   0:35  compiling; the last crate started is ring v0.17.8, 0:33 ago",
        "   1:05  compiling; the last crate started is ring v0.17.8, 1:03 ago",
    ]


def test_silence_keeps_notes_alone() -> None:
    out = io.StringIO()
    quiet = Silence(out)
    quiet.changed(board(), board(Ended(DONE)), 1.0)
    quiet.ticked(board(), 1.0)
    quiet.note("mind this")
    assert out.getvalue() == "mind this\n"


def test_what_is_printed_is_noted_line_by_line() -> None:
    out = io.StringIO()
    stream = watching._Notes(Silence(out))
    print("one\ntwo", file=stream)
    stream.write("thr")
    assert out.getvalue() == "one\ntwo\n"
    stream.write("ee\n\n")
    assert out.getvalue() == "one\ntwo\nthree\n"


@pytest.fixture
def no_session(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replace the session by one without an engine, which writes to its log and records its end."""
    seen: list[str] = []

    @contextlib.asynccontextmanager
    async def connection(config):
        print(f"7   : [0.1s] |        Built a@1 for {AMD64}", file=config.log_output, flush=True)
        try:
            yield
        finally:
            # A session that is closed while the work is cancelled must not be cancelled itself.
            await anyio.sleep(0.01)
            print(f"7   : [0.1s] |        Built b@1 for {AMD64}", file=config.log_output, flush=True)
            seen.append("closed")

    monkeypatch.setattr(watching.dagger, "connection", connection)
    return seen


async def test_work_is_watched(no_session: list[str], capsys) -> None:
    async def work() -> str:
        events.enter(COMPILING, crates={AMD64: 2})
        print("a note", file=sys.stderr)
        await anyio.sleep(0.05)  # the log is read meanwhile
        assert "linux/amd64: compiling 2 crates" in capsys.readouterr().err
        events.enter(events.READY, "linux/amd64")
        return f"{watching.seconds()['linux/amd64'] > 0}"

    assert await watching.watch(work, ROWS, Mode.PLAIN) == "True"
    printed = capsys.readouterr().err.splitlines()
    assert printed[-2].endswith("linux/amd64: done, 2 of 2 crates")
    assert no_session == ["closed"]


async def test_what_fails_fails_in_its_own_words(no_session: list[str], capsys) -> None:
    async def work() -> str:
        raise ValueError("odd")

    with pytest.raises(BaseException) as raised:
        await watching.watch(work, ROWS, Mode.PLAIN)
    assert "odd" in str(first(raised.value))
    assert ": failed" in capsys.readouterr().err
    assert no_session == ["closed"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_ctrl_c_closes_the_session_and_says_what_was_kept(no_session, capsys, number) -> None:
    async def work() -> str:
        os.kill(os.getpid(), number)
        await anyio.sleep_forever()
        return ""

    with pytest.raises(watching.Interrupted) as raised:
        await watching.watch(work, ROWS, Mode.PLAIN)
    assert no_session == ["closed"]
    assert raised.value.exit_code == 128 + number
    assert "compiled: 2 crates for linux/amd64" in str(raised.value)
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.parametrize("again", [True, False], ids=["second Ctrl-C", "time is up"])
async def test_a_session_that_does_not_end_is_left(monkeypatch, capsys, again: bool) -> None:
    gone = anyio.Event()

    @contextlib.asynccontextmanager
    async def connection(config):
        yield
        if again:
            os.kill(os.getpid(), signal.SIGINT)
        await gone.wait()

    async def work() -> str:
        os.kill(os.getpid(), signal.SIGINT)
        await anyio.sleep_forever()
        return ""

    monkeypatch.setattr(watching.dagger, "connection", connection)
    monkeypatch.setattr(watching, "GRACE_SECONDS", 60.0 if again else 0.01)
    monkeypatch.setattr(watching, "_leave", lambda code: gone.set())
    with anyio.fail_after(5), pytest.raises(watching.Interrupted):
        await watching.watch(work, ROWS, Mode.QUIET)


def test_leaving_ends_children_too() -> None:
    code = "import subprocess, sys; from pipeline.cli import watching; "
    code += "p = subprocess.Popen(['sleep', '600']); print(p.pid, flush=True); watching._leave()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.returncode == 130
    assert "ended by force" in done.stderr
    end = time.monotonic() + 5
    while _runs(int(done.stdout)) and time.monotonic() < end:
        time.sleep(0.01)
    assert not _runs(int(done.stdout))


def _runs(pid: int) -> bool:
    """Return True if a process exists and is not a zombie; killing takes a moment."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def test_outside_of_a_command_nothing_took_time() -> None:
    assert watching.seconds() == {}


@pytest.mark.parametrize("mode", [Mode.PLAIN, Mode.RAW])
async def test_an_engine_without_a_session(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mode: Mode
) -> None:
    program = tmp_path / "dagger"
    program.write_text("#!/bin/sh\necho no such engine >&2; exit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv(CLI, str(program))
    monkeypatch.setenv(RUNNER, "docker-container://there")

    async def work() -> str:
        return ""

    with pytest.raises(BaseExceptionGroup) as raised:
        await watching.watch(work, ROWS, mode)
    error = first(raised.value)
    assert isinstance(error, EngineUnreachable)
    assert error.where == "docker-container://there"
    # What the SDK says depends on whether it saw the end of the process or of its output first.
    assert "exit status 1" in error.output or error.output.endswith("engine session: No connection params")


@pytest.mark.parametrize("fails", [False, True])
async def test_a_session_that_the_engine_does_not_end_in_order(
    monkeypatch: pytest.MonkeyPatch, capsys, fails: bool
) -> None:
    """Regression: the end of a session failed on a busy engine, and a finished build was told as an error."""

    @contextlib.asynccontextmanager
    async def connection(config):
        yield
        raise SessionError("exit status 1")

    monkeypatch.setattr(watching.dagger, "connection", connection)

    async def work() -> str:
        if fails:
            raise ZeroDivisionError
        return "result"

    if fails:
        with pytest.raises(BaseExceptionGroup) as raised:
            await watching.watch(work, ROWS, Mode.PLAIN)
        assert isinstance(first(raised.value), ZeroDivisionError)
    else:
        assert await watching.watch(work, ROWS, Mode.PLAIN) == "result"
    assert ("warning: the work is done, but the engine did not end" in capsys.readouterr().err) is not fails


@pytest.mark.parametrize("ends", [False, True])
async def test_an_interrupted_command_says_whether_its_session_ended(
    monkeypatch: pytest.MonkeyPatch, capsys, ends: bool
) -> None:
    @contextlib.asynccontextmanager
    async def connection(config):
        yield
        if not ends:
            raise SessionError("exit status 1")

    monkeypatch.setattr(watching.dagger, "connection", connection)

    async def work() -> str:
        os.kill(os.getpid(), signal.SIGINT)
        await anyio.sleep_forever()
        return ""

    with pytest.raises(watching.Interrupted) as raised:
        await watching.watch(work, ROWS, Mode.PLAIN)
    assert ("nothing is running any more" in str(raised.value)) is ends
    assert ("may still be working" in str(raised.value)) is not ends
    assert "the work is done" not in capsys.readouterr().err


async def test_an_engine_that_is_gone_ends_the_command(no_session, monkeypatch, tmp_path: Path) -> None:
    """Regression: after `kill -9` of the engine during a compile, the command waited without a message."""
    address = f"unix://{tmp_path}/s"
    listener = await anyio.create_unix_listener(tmp_path / "s")
    monkeypatch.setenv(RUNNER, address)
    monkeypatch.setattr(watching, "CHECK_SECONDS", 0.01)

    async def work() -> str:
        await listener.aclose()
        (tmp_path / "s").unlink(missing_ok=True)
        await anyio.sleep_forever()
        return ""

    with anyio.fail_after(5), pytest.raises(BaseException) as raised:
        await watching.watch(work, ROWS, Mode.PLAIN)
    error = first(raised.value)
    assert isinstance(error, EngineUnreachable) and "stopped answering" in error.what
    assert error.where == address


async def test_an_engine_that_answers_is_left_alone(no_session, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv(RUNNER, f"unix://{tmp_path}/s")
    monkeypatch.setattr(watching, "CHECK_SECONDS", 0.01)

    async def work() -> str:
        await anyio.sleep(0.2)
        return "done"

    async with await anyio.create_unix_listener(tmp_path / "s"):
        assert await watching.watch(work, ROWS, Mode.QUIET) == "done"
