"""Test the files, processes and cgroups of an engine."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine import cgroups, clients, process
from engine.paths import Paths, default_root
from engine.record import Record


def test_the_root_follows_xdg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert default_root() == Path("/elsewhere/rust-multiarch")


@pytest.mark.parametrize("value", ["", "relative"])
def test_an_invalid_xdg_variable_is_ignored(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", value)
    monkeypatch.setenv("HOME", "/home/u")
    assert default_root() == Path("/home/u/.cache/rust-multiarch")


def test_two_roots_are_two_engines() -> None:
    one, two = Paths(Path("/a")), Paths(Path("/b"))
    assert one.instance != two.instance
    assert one.instance == Paths(Path("/a")).instance


def test_the_bridges_name_is_short_enough() -> None:
    assert len(Paths(Path("/a")).instance + "0") <= 15


def test_the_socket_is_accessible_only_to_the_owner(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "root")
    paths.create()
    assert stat.S_IMODE(paths.run.stat().st_mode) == 0o700
    assert paths.socket.parent == paths.run


def test_a_record_is_read_as_written(tmp_path: Path) -> None:
    record = Record("/b", "10.1.0.0/16", "127.0.0.1:5000", 5000, True, "0", ["linux/amd64"])
    record.write(tmp_path / "record")
    assert Record.read(tmp_path / "record") == record


@pytest.mark.parametrize("text", ["", "{", '{"build": "/b"}', '{"colour": 1}', "[]"])
def test_a_record_of_another_version_is_ignored(text: str, tmp_path: Path) -> None:
    (tmp_path / "record").write_text(text)
    assert Record.read(tmp_path / "record") is None


def started(argument: str) -> subprocess.Popen[bytes]:
    """Start a process that waits; its first output shows that the kernel has its arguments."""
    program = "import time; print(flush=True); time.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", program, argument], stdout=subprocess.PIPE)
    assert child.stdout
    child.stdout.readline()
    return child


def test_a_process_is_found_by_its_argument() -> None:
    marker = f"marker-{os.getpid()}"
    with started(marker) as child:
        assert not process.wait_gone([marker], 0)
        found = process.find([marker])
        assert [each.pid for each in found] == [child.pid]
        assert abs(found[0].since() - time.time()) < 60
        child.kill()
    assert process.wait_gone([marker], 5)


def test_part_of_an_argument_does_not_match() -> None:
    marker = f"marker-{os.getpid()}"
    with started(f"x{marker}") as child:
        assert process.find([marker]) == []
        child.kill()


def test_cgroups_are_found_in_every_hierarchy_and_removed(tmp_path: Path) -> None:
    for name in ("cpu", "memory", "."):
        (tmp_path / name / "rma1/buildkit/c1").mkdir(parents=True)
    (tmp_path / "cpu/other").mkdir()
    assert len(cgroups.find("rma1", tmp_path)) == 3
    cgroups.remove("rma1", root=tmp_path)
    assert cgroups.find("rma1", tmp_path) == []
    assert (tmp_path / "cpu/other").is_dir()


SS = """\
u_str ESTAB 0      0      /run/systemd/journal/stdout 11 * 10 users:(("journald",pid=7,fd=3))
u_str LISTEN 0     4096   /c/engine/run/engine.sock 90 * 0 users:(("dagger-engine",pid=51,fd=9))
u_str ESTAB 0      0      /c/engine/run/engine.sock 163159 * 163158 users:(("dagger-engine",pid=51,fd=24))
u_str ESTAB 0      0                              * 163158 * 163159 users:(("dagger",pid=67,fd=8))
u_str ESTAB 0      0                              * 20 * 21
"""


def test_clients_are_the_processes_connected_to_the_socket() -> None:
    assert clients.pids(SS, Path("/c/engine/run/engine.sock")) == {67}
    assert clients.pids(SS, Path("/other/engine.sock")) == set()
    assert clients.pids("", Path("/c/engine/run/engine.sock")) == set()


def test_two_roots_share_builds_and_images(tmp_path: Path) -> None:
    first, second = Paths(tmp_path / "first"), Paths(tmp_path / "second")
    for _ in range(2):
        second.share(first)
    (second.builds / "made").touch()
    assert (first.builds / "made").exists()
    assert second.bases.resolve() == first.bases
    assert not second.state.exists()
