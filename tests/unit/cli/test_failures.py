"""Test that every error ends in a message and an exit code, never in a traceback."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import dagger
import httpx
import pytest
from dagger._exceptions import QueryErrorValue

from pipeline import cli
from pipeline.cli import failures
from pipeline.errors import (
    EngineUnreachable,
    FileInaccessible,
    InternalError,
    LinkError,
    NoSpaceLeft,
    RustMultiarchError,
)

FULL = "failed to export: write /mnt/full/.rust-multiarch-x/image.tar: no space left on device"


def query_error(text: str) -> dagger.QueryError:
    error = Exception.__new__(dagger.QueryError)
    error.errors = [QueryErrorValue(message=text)]
    return error


@pytest.fixture
def end(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run the command line with a command that raises an error; return the exit code and stderr."""

    def call(error: BaseException, *words: str) -> tuple[int, str]:
        def fail(**_: object) -> None:
            raise error

        monkeypatch.setattr(cli, "app", fail)
        monkeypatch.setattr(sys, "argv", ["rust-multiarch", *words])
        before = signal.getsignal(signal.SIGTERM)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        signal.signal(signal.SIGTERM, before)
        return int(ended.value.code or 0), capsys.readouterr().err

    return call


@pytest.mark.parametrize(
    ("error", "kind", "where"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/mnt/image.tar"), NoSpaceLeft, "/mnt/image.tar"),
        (OSError(errno.ENOSPC, "No space left on device"), NoSpaceLeft, "the output of the command"),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "/home/x"), NoSpaceLeft, "/home/x"),
        (PermissionError(errno.EACCES, "Permission denied", "/etc/x"), FileInaccessible, "/etc/x"),
        (OSError(errno.EROFS, "Read-only file system", "/ro/x"), FileInaccessible, "/ro/x"),
        (query_error(FULL), NoSpaceLeft, "/mnt/full/.rust-multiarch-x/image.tar"),
        (query_error("open /root/x: permission denied"), FileInaccessible, "/root/x"),
        (httpx.ReadError("reset"), EngineUnreachable, "reset"),
        (dagger.TransportError("closed"), EngineUnreachable, "closed"),
    ],
)
def test_an_error_of_the_machine_has_a_message(
    end, error: Exception, kind: type[RustMultiarchError], where: str
) -> None:
    group = ExceptionGroup("unhandled errors in a TaskGroup", [ExceptionGroup("again", [error])])
    for raised in (error, group):
        code, printed = end(raised)
        first, second, third = printed.splitlines()
        assert code == kind.exit_code
        assert first.startswith(f"{kind.__name__}: ")
        assert second == f"  where: {where}"
        assert third.startswith("  next:  ")


def test_our_error_in_a_group_counts_before_others(end) -> None:
    code, printed = end(ExceptionGroup("", [ValueError("a consequence"), LinkError("no library")]))
    assert code == LinkError.exit_code
    assert printed == "LinkError: no library\n"


def test_an_unexpected_error_is_three_lines_and_a_file_with_the_details(end) -> None:
    code, printed = end(ExceptionGroup("several", [ValueError("a bug\nin two lines")]))
    first, second, third = printed.splitlines()
    assert code == InternalError.exit_code
    assert first == "InternalError: ValueError: a bug"
    assert Path(__file__).name not in first
    assert second.startswith("  where: ")
    (path,) = re.findall(r"details in (\S+):", third)
    assert "in two lines" in Path(path).read_text()
    Path(path).unlink()


def test_the_details_are_offered_by_debug_where_no_file_can_be_written(
    end, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(**_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(failures.tempfile, "mkstemp", full)
    assert "repeat the command with --debug" in end(ValueError("a bug"))[1]


def test_an_interrupt_before_a_session_is_an_exit_code(end) -> None:
    assert end(KeyboardInterrupt()) == (130, "")


def run(*words: str, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from pipeline.cli import main; main()", *words]
    return subprocess.run(command, text=True, stderr=subprocess.PIPE, **options)  # type: ignore[call-overload, no-any-return]


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    words = ["binary", str(tmp_path)]
    assert "Traceback" not in run(*words, stdout=subprocess.PIPE).stderr
    done = run(*words, "--debug", stdout=subprocess.PIPE)
    assert "Traceback" in done.stderr and "NotACargoProject" in done.stderr


def test_a_full_disk_behind_stdout() -> None:
    with Path("/dev/full").open("w") as full:
        done = run("--version", stdout=full)
    assert done.returncode == NoSpaceLeft.exit_code
    assert done.stderr.splitlines()[:2] == [
        "NoSpaceLeft: the disk is full",
        "  where: the output of the command",
    ]
    assert len(done.stderr.splitlines()) == 3


def test_a_reader_that_is_gone() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = run("--version", stdout=writing)
    os.close(writing)
    assert done.returncode in (1, failures.BROKEN_PIPE)
    assert not done.stderr


def test_sigterm_ends_without_a_traceback_and_removes_temporary_files(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys, tempfile\n"
        "from pipeline import cli\n"
        "def app(**_):\n"
        "    with tempfile.TemporaryDirectory(dir=sys.argv[1]):\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        signal.pause()\n"
        "cli.app = app\n"
        "cli.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == failures.TERMINATED
    assert not done.stderr
    assert not list(tmp_path.iterdir())
