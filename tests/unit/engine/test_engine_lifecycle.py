"""Test the decisions of start and stop on real processes and files.

The complete start is tested in tests/e2e/test_engine.py.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shlex
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from running_engine import record, running

from engine import lifecycle, network, process, registry, supervisor
from engine.paths import Paths
from engine.record import BaseImages, Record
from pipeline.errors import EngineError, EngineStartFailed

NOBODY = 65534


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path)


@pytest.fixture
def said() -> list[str]:
    return []


def planned(
    paths: Paths, old: Record | None, *platforms: str, port: int = 5000, mirror: bool = True
) -> Record:
    images = BaseImages(platforms, ["linux/arm64"], ["bookworm"])
    return lifecycle._plan(paths, old, images, port, mirror=mirror)


def test_a_first_start_chooses_a_network_and_records_forwarding(paths: Paths) -> None:
    made = planned(paths, None, "linux/arm64", "linux/amd64", port=5055, mirror=False)
    assert made.platforms == ["linux/amd64", "linux/arm64"] and made.builders == ["linux/arm64"]
    assert made.releases == ["bookworm", "trixie"]
    assert made.cidr == str(network.choose(paths.instance, network.routes()))
    assert made.forwarding_before == network.forwarding()
    assert (made.registry, made.registry_port, made.mirror) == ("127.0.0.1:5055", 5055, False)
    assert Path(made.build).parent == paths.builds


def test_an_engine_with_the_mirror_of_an_earlier_version_is_ended(paths: Paths, said: list[str]) -> None:
    """It took base images from the registry that everybody may push to."""
    with running(paths, record(paths)) as engine:
        old = {"docker.io": {"mirrors": ["127.0.0.1:5000"]}, "127.0.0.1:5000": {"http": True}}
        (paths.run / "engine.json").write_text(json.dumps({"registries": old}))
        assert ended(engine, lambda: lifecycle._must_launch(paths, record(paths), record(paths), said.append))
    assert "another build or configuration" in said[0]


def test_the_stand_ins_have_a_port_that_only_root_can_take(paths: Paths) -> None:
    port = registry.stand_ins_port(cache=paths.root)
    assert port in registry.PRIVILEGED and registry.stand_ins_port(cache=paths.root) == port
    assert lifecycle._mirror(paths, record(paths)) == f"127.0.0.1:{port}"
    assert lifecycle._mirror(paths, record(paths, mirror=False)) == ""
    with socket.create_server(("127.0.0.1", port)):
        assert registry.stand_ins_port(cache=paths.root) > port, "another program has it"


def test_a_later_start_adds_platforms_and_keeps_the_recorded_values(paths: Paths) -> None:
    """After a killed engine, forwarding is still on; the record has the original value."""
    old = record(
        paths,
        cidr="10.99.0.0/16",
        forwarding_before="as it was",
        builders=["linux/s390x"],
        releases=["trixie"],
    )
    made = planned(paths, old, "linux/arm64")
    assert made.platforms == ["linux/amd64", "linux/arm64"]
    assert made.builders == ["linux/arm64", "linux/s390x"]
    assert made.releases == ["bookworm", "trixie"]
    assert (made.cidr, made.forwarding_before) == ("10.99.0.0/16", "as it was")


def test_an_engine_is_launched_if_none_is_running(paths: Paths, said: list[str]) -> None:
    assert lifecycle._must_launch(paths, record(paths), record(paths), said.append)
    assert said == []


def test_a_matching_engine_that_responds_is_kept(paths: Paths, said: list[str]) -> None:
    with running(paths, record(paths)) as engine:
        wanted = record(paths, platforms=["linux/amd64", "linux/arm64"])
        assert not lifecycle._must_launch(paths, record(paths), wanted, said.append)
        assert engine.poll() is None
    assert said == ["the engine is running"]


@pytest.mark.parametrize(
    "other",
    [{"build": "/other"}, {"registry": "127.0.0.1:5001"}, {"mirror": False}],
    ids=str,
)
def test_an_engine_with_another_build_or_configuration_is_ended(
    paths: Paths, said: list[str], other: dict[str, Any]
) -> None:
    with running(paths, record(paths)) as engine:
        assert ended(
            engine, lambda: lifecycle._must_launch(paths, record(paths), record(paths, **other), said.append)
        )
    assert "another build or configuration" in said[0]


def test_an_engine_without_a_record_is_ended(paths: Paths, said: list[str]) -> None:
    with running(paths, record(paths)) as engine:
        assert ended(engine, lambda: lifecycle._must_launch(paths, None, record(paths), said.append))


def test_an_engine_that_does_not_respond_is_ended(paths: Paths, said: list[str]) -> None:
    with running(paths, record(paths), answers=False) as engine:
        assert ended(engine, lambda: lifecycle._must_launch(paths, record(paths), record(paths), said.append))
    assert "does not respond" in said[0]


def ended(engine: Any, call: Any) -> bool:
    """Return True if a call returns True and ends an engine, which a thread reaps."""
    reaper = threading.Thread(target=engine.wait)
    reaper.start()
    result = call()
    reaper.join(10)
    return bool(result) and engine.returncode is not None


def test_status_of_a_running_engine(paths: Paths) -> None:
    began = time.time()
    with running(paths, record(paths, builders=["linux/arm64"])) as engine:
        status = lifecycle.status(paths=paths)
    assert (status.running, status.pid, status.registry) == (True, engine.pid, "127.0.0.1:5000")
    assert (status.platforms, status.builders) == (["linux/amd64"], ["linux/arm64"])
    assert status.since and abs(status.since - began) < 60
    assert status.build == str(paths.builds / "one")


def test_status_lists_no_stand_ins_if_docker_hub_is_reachable(paths: Paths) -> None:
    with running(paths, record(paths, mirror=False, builders=["linux/arm64"])):
        status = lifecycle.status(paths=paths)
    assert (status.running, status.registry, status.platforms, status.builders) == (True, "", [], [])


def test_without_an_engine_there_are_no_variables(paths: Paths) -> None:
    assert lifecycle.status(paths=paths).running is False
    with pytest.raises(EngineError, match="rust-multiarch engine start"):
        lifecycle.env(paths=paths)


def test_the_variables_select_this_engine(paths: Paths) -> None:
    with running(paths, record(paths)):
        env = lifecycle.env(paths=paths)
    assert env["_EXPERIMENTAL_DAGGER_RUNNER_HOST"] == f"unix://{paths.socket}"
    assert env["_EXPERIMENTAL_DAGGER_CLI_BIN"] == str(paths.builds / "one/dagger")
    assert env["PATH"].startswith(f"{paths.builds / 'one'}:")


def test_stop_without_a_start_changes_nothing(tmp_path: Path, said: list[str]) -> None:
    assert not lifecycle.stop(said.append, paths=Paths(tmp_path / "absent"))
    assert said == [] and not (tmp_path / "absent").exists()


def test_export_lines_are_quoted_for_a_shell() -> None:
    (line,) = lifecycle.export_lines({"A": "it's $HOME"}).splitlines()
    assert shlex.split(line) == ["export", "A=it's $HOME"]


def test_logs_are_followed_until_the_engine_ends(paths: Paths) -> None:
    assert list(lifecycle.logs(paths=paths)) == []
    with running(paths, record(paths)) as engine:
        lines = lifecycle.logs(paths=paths, follow=True)
        assert next(lines) == "one\n"
        with paths.log.open("a") as log:
            log.write("two\n")
        assert next(lines) == "two\n"
        engine.kill()
        engine.wait()
        assert list(lines) == []
    assert list(lifecycle.logs(paths=paths)) == ["one\n", "two\n"]


@pytest.fixture
def roots() -> Iterator[Paths]:
    """Start an engine as root, in a directory of another user, and return its paths."""
    if os.geteuid() != 0:
        pytest.skip("only root can be two users")
    directory = Path(tempfile.mkdtemp())
    try:
        paths = Paths(directory)
        with running(paths, record(paths)):
            os.chown(directory, NOBODY, NOBODY)
            paths.engine.chmod(0o700)
            yield paths
    finally:
        shutil.rmtree(directory)


@contextmanager
def another_user() -> Iterator[None]:
    """Drop root's rights during the block."""
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_an_engine_of_root_is_invisible_to_a_user(roots: Paths) -> None:
    """After `sudo -E rust-multiarch build`, the user's next command failed with a PermissionError."""
    assert lifecycle.status(paths=roots).running
    with another_user():
        assert Record.read(roots.record) is None
        assert lifecycle.status(paths=roots).running is False
        with pytest.raises(EngineError, match="rust-multiarch engine start"):
            lifecycle.env(paths=roots)


def test_logs_and_stop_of_an_engine_of_root_need_root(roots: Paths, said: list[str]) -> None:
    with another_user():
        with pytest.raises(EngineError, match="another user"):
            list(lifecycle.logs(paths=roots))
        with pytest.raises(EngineError, match="another user"):
            lifecycle.stop(said.append, paths=roots)
        with pytest.raises(EngineError, match="another user"), lifecycle._locked(roots, said.append):
            pass


def test_without_proc_no_engine_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On macOS every command failed with a FileNotFoundError."""
    monkeypatch.setattr(process, "PROC", tmp_path / "proc")
    assert process.find(["x"]) == []
    assert lifecycle.status(paths=Paths(tmp_path)).running is False


def _hold(root: Path, ready: Any) -> None:
    with lifecycle._locked(Paths(root), print):
        ready.set()
        time.sleep(0.3)


def test_a_start_waits_for_another_one(paths: Paths) -> None:
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    other = context.Process(target=_hold, args=(paths.root, ready))
    other.start()
    ready.wait(10)
    said: list[str] = []
    with lifecycle._locked(paths, said.append):
        assert "waiting" in said[0]
    other.join()


def test_a_socket_path_that_is_too_long_is_refused(tmp_path: Path) -> None:
    paths = Paths(tmp_path / ("x" * 100))
    with pytest.raises(EngineStartFailed, match="XDG_CACHE_HOME"):
        supervisor.launch(paths, record(paths), "", print)


def test_a_long_log_is_truncated(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    paths.create()
    paths.log.write_text("12345")
    monkeypatch.setattr(supervisor, "LOG_BYTES", 4)
    supervisor.trim_log(paths)
    assert paths.log.read_text() == ""
    assert Path(f"{paths.log}.1").read_text() == "12345"
