"""Test `run`: the image is started on this machine, and with --watch again after each change."""

import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import crates
import pytest
from conftest import wait_for

from engine.registry import free_port
from pipeline.errors import InvalidArgument, SmokeFailed

PROGRAM = Path(sys.executable).parent / "rust-multiarch"
SECONDS = 240

SERVER = r"""
use std::io::{Read, Write};

fn main() {
    let port = std::env::args().nth(1).unwrap_or("8080".into());
    println!("listening on {port}");
    let server = std::net::TcpListener::bind(format!("0.0.0.0:{port}")).unwrap();
    for stream in server.incoming() {
        let mut stream = stream.unwrap();
        let mut request = [0; 512];
        let _ = stream.read(&mut request);
        if request.starts_with(b"GET /fail") {
            std::process::exit(3);
        }
        if request.starts_with(b"GET /end") {
            return;
        }
        let body = "ANSWER";
        let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    }
}
"""


@pytest.fixture
def project(engine, tmp_path: Path) -> Path:
    """Make a crate whose program answers `one`."""
    crates.written(tmp_path, "answering")
    answer(tmp_path, "one")
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    return tmp_path


def answer(project: Path, text: str) -> None:
    """Change what the program answers."""
    (project / "src/main.rs").write_text(SERVER.replace("ANSWER", text))


class Running:
    """The command while it runs."""

    def __init__(self, process: subprocess.Popen[str], log: Path, port: int) -> None:
        self.process = process
        self.log = log
        self.address = f"http://127.0.0.1:{port}"

    def get(self, path: str = "/") -> str:
        """Return an answer of the program; empty without one."""
        try:
            with urllib.request.urlopen(self.address + path, timeout=5) as response:
                return str(response.read().decode())
        except OSError:
            return ""

    def answers(self, text: str) -> None:
        """Wait until the program answers with a text."""
        self._wait(lambda: self.get() == text)

    def says(self, text: str) -> None:
        """Wait until the command prints a text."""
        self._wait(lambda: text in self.log.read_text())

    def _wait(self, condition: Callable[[], bool]) -> None:
        def holds() -> bool:
            met = condition()
            assert met or self.process.poll() is None, self.log.read_text()
            return met

        wait_for(holds, SECONDS)


@contextmanager
def started(project: Path, *words: str) -> Iterator[Running]:
    port, log = free_port(), project.parent / f"{project.name}.log"
    command = [PROGRAM, "run", ".", "--port", "8080", "--publish", f"{port}:8080", *words]
    with log.open("w") as out:
        process = subprocess.Popen(command, cwd=project, stdout=out, stderr=out, text=True)
    try:
        yield Running(process, log, port)
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
        process.wait(60)


def test_the_image_answers_on_this_machine_until_ctrl_c(project: Path) -> None:
    with started(project) as running:
        running.answers("one")
        running.says("listening on 8080")
    assert running.process.returncode == 128 + signal.SIGINT
    assert running.get() == ""
    assert "rust-multiarch-run" not in (project / "Cargo.toml").read_text()


@pytest.mark.parametrize("shown", [[], ["--progress", "raw"]], ids=["plain", "raw"])
def test_a_program_that_fails_ends_the_command(project: Path, shown: list[str]) -> None:
    with started(project, *shown) as running:
        running.answers("one")
        running.get("/fail")
        assert running.process.wait(60) == SmokeFailed.exit_code
    assert "the program failed: exit code: 3" in running.log.read_text()


def test_a_program_that_ends_ends_the_command(project: Path) -> None:
    with started(project) as running:
        running.answers("one")
        running.get("/end")
        assert running.process.wait(60) == 0


def test_a_program_that_listens_elsewhere_ends_the_command(project: Path) -> None:
    (project / "src/main.rs").write_text('fn main() { println!("hello"); std::process::exit(4) }')
    with started(project) as running:
        assert running.process.wait(SECONDS) == SmokeFailed.exit_code
    assert "exit code 4 before it listened on 8080" in running.log.read_text()


def test_it_is_built_and_started_again_after_each_change(project: Path) -> None:
    with started(project, "--watch") as running:
        running.answers("one")
        answer(project, "two")
        running.answers("two")
        (project / "src/main.rs").write_text("fn main( {")
        running.says("CompileError")
        answer(project, "three")
        running.answers("three")
        # The program fails, and a new file is a change too.
        running.get("/fail")
        running.says("the program ended: waiting for a change")
        (project / "new").touch()
        running.answers("three")
    assert running.process.returncode == 128 + signal.SIGINT


@pytest.mark.parametrize("code", [0, 7])
def test_a_program_without_ports_runs_to_its_end_each_time(project: Path, code: int) -> None:
    main = f'fn main() {{ println!("hello {{:?}}", std::env::args().nth(1)); std::process::exit({code}) }}'
    (project / "src/main.rs").write_text(main)
    words = [PROGRAM, "run", ".", "--arg=again"]
    for _ in range(2):
        done = subprocess.run(words, cwd=project, capture_output=True, text=True, timeout=SECONDS)
        assert done.returncode == (SmokeFailed.exit_code if code else 0), done.stderr
        assert 'hello Some("again")' in done.stderr


def test_a_port_in_use_is_named(project: Path) -> None:
    with started(project) as running:
        running.answers("one")
        port = running.address.rpartition(":")[2]
        words = [PROGRAM, "run", ".", "--port", "8080", "--publish", f"{port}:8080"]
        second = subprocess.run(words, cwd=project, capture_output=True, text=True, timeout=SECONDS)
    assert second.returncode == InvalidArgument.exit_code, second.stderr
    assert f"a port of this machine is in use: {port}" in second.stderr
