import os
import sys
import time
from pathlib import Path

import pytest

from bench import meter
from bench.result import FAILED, OK, TIMEOUT


def command(script: str, tmp_path: Path) -> meter.Command:
    return meter.Command([sys.executable, "-c", script], os.environ, tmp_path, "no-such-cgroup")


def test_measures_wall_and_cpu_time(tmp_path: Path) -> None:
    script = (
        "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass\ntime.sleep(0.3)"
    )
    measured = meter.measure(command(script, tmp_path), 30, tmp_path / "log")
    assert measured.outcome == OK
    assert measured.wall >= 0.6
    assert 0.25 <= measured.user + measured.system < measured.wall
    assert measured.note == ""


def test_a_failed_command_keeps_the_end_of_its_output(tmp_path: Path) -> None:
    script = "import sys\nfor n in range(50): print('line', n)\nsys.exit(3)"
    measured = meter.measure(command(script, tmp_path), 30, tmp_path / "log")
    assert measured.outcome == FAILED
    assert measured.note.splitlines()[-1] == "line 49"
    assert len(measured.note.splitlines()) == meter.NOTE_LINES


def test_a_timeout_kills_the_command_and_its_children(tmp_path: Path) -> None:
    script = (
        "import subprocess, time\n"
        "child = subprocess.Popen(['sleep', '60'])\n"
        "open('pid', 'w').write(str(child.pid))\ntime.sleep(60)"
    )
    measured = meter.measure(command(script, tmp_path), 1.5, tmp_path / "log")
    assert measured.outcome == TIMEOUT
    assert 1.5 <= measured.wall < 10
    status = Path(f"/proc/{(tmp_path / 'pid').read_text()}/stat")
    # Gone, or a zombie that its new parent has not reaped yet; this may take a moment on a busy machine.
    until = time.monotonic() + 5
    while (state := status.read_text().rpartition(")")[2].split()[0] if status.exists() else "") not in "Z":
        assert time.monotonic() < until, state


@pytest.mark.parametrize(
    ("hierarchy", "files"),
    [
        ("cpuacct", {"cpuacct.stat": f"user {3 * meter.TICK}\nsystem {meter.TICK}\n"}),
        ("", {"cpu.stat": "usage_usec 4000000\nuser_usec 3000000\nsystem_usec 1000000\n"}),
    ],
)
def test_cpu_time_of_a_cgroup_on_both_versions(tmp_path: Path, hierarchy: str, files: dict[str, str]) -> None:
    write(tmp_path / hierarchy / "group", files)
    assert meter.cpu("group", tmp_path) == pytest.approx((3.0, 1.0))
    assert meter.cpu("other", tmp_path) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("hierarchy", "text"),
    [("memory", "rss 5\ntotal_cache 9\ntotal_rss 4096\n"), ("", "anon 4096\nfile 9\n")],
)
def test_memory_of_a_cgroup_on_both_versions(tmp_path: Path, hierarchy: str, text: str) -> None:
    write(tmp_path / hierarchy / "group", {"memory.stat": text})
    assert meter.anonymous_memory("group", tmp_path) == 4096
    assert meter.anonymous_memory("other", tmp_path) == 0


@pytest.mark.parametrize(("version", "expected"), [(1, ["memory", "cpuacct"]), (2, ["."])])
def test_cgroups_are_made_on_both_versions(tmp_path: Path, version: int, expected: list[str]) -> None:
    for name in ("memory", "cpuacct"):
        (tmp_path / name).mkdir()
    if version == 2:
        (tmp_path / "cgroup.controllers").touch()
    assert meter.make_cgroup("g", tmp_path) == [tmp_path / name / "g/cgroup.procs" for name in expected]


def write(directory: Path, files: dict[str, str]) -> None:
    directory.mkdir(parents=True)
    for name, text in files.items():
        (directory / name).write_text(text)


def test_disk_usage_counts_files(tmp_path: Path) -> None:
    before = meter.disk(tmp_path)
    (tmp_path / "file").write_bytes(b"x" * 1_000_000)
    assert 1_000_000 <= meter.disk(tmp_path) - before < 1_100_000
