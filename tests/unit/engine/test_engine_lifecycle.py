"""What start and stop do, in which order, with every part that touches the machine replaced."""

from __future__ import annotations

import dataclasses
import multiprocessing
import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine import lifecycle, process, supervisor
from engine.paths import Paths
from engine.process import Process
from engine.record import Record
from pipeline.errors import EngineError, EngineStartFailed


class Machine:
    """Records the steps, and says whether an engine runs."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.running = False
        self.answers = True
        self.hub = False
        self.said: list[str] = []

    def step(self, name: str, result: Any = None) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            self.steps.append(name)
            return result

        return run

    def launch(self, *args: Any) -> None:
        self.steps.append("launch")
        self.running = True

    def end(self, *args: Any) -> bool:
        was, self.running = self.running, False
        if was:
            self.steps.append("end")
        return was


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    fake = Machine()
    monkeypatch.setattr(lifecycle.config, "hub_reachable", lambda: fake.hub)
    monkeypatch.setattr(lifecycle.prerequisites, "install", fake.step("prerequisites"))
    monkeypatch.setattr(lifecycle.build, "build", fake.step("build"))
    monkeypatch.setattr(lifecycle.build, "build_key", lambda: "one")
    monkeypatch.setattr(lifecycle.build, "version", lambda: "v1.2.3")
    monkeypatch.setattr(lifecycle.binfmt, "register", fake.step("register"))
    monkeypatch.setattr(lifecycle.binfmt, "unregister", fake.step("unregister"))
    monkeypatch.setattr(lifecycle.registry, "ensure", fake.step("registry", "127.0.0.1:5000"))
    monkeypatch.setattr(lifecycle.registry, "stop", fake.step("registry stop", True))
    monkeypatch.setattr(lifecycle.bases, "ensure", fake.step("bases"))
    monkeypatch.setattr(lifecycle.network, "routes", list)
    monkeypatch.setattr(lifecycle.network, "forwarding", lambda: "0")
    monkeypatch.setattr(lifecycle.network, "remove", fake.step("network"))
    monkeypatch.setattr(lifecycle.supervisor, "running", lambda paths: fake.running)
    monkeypatch.setattr(lifecycle.supervisor, "answers", lambda paths, build: fake.answers)
    monkeypatch.setattr(lifecycle.supervisor, "launch", fake.launch)
    monkeypatch.setattr(lifecycle.supervisor, "end", fake.end)
    monkeypatch.setattr(lifecycle.supervisor, "clean", fake.step("clean"))
    monkeypatch.setattr(lifecycle.supervisor, "trim_log", fake.step("trim"))
    engine = Process(1, ("dagger-engine",))
    monkeypatch.setattr(
        lifecycle.supervisor, "engine_process", lambda paths: engine if fake.running else None
    )
    return fake


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path)


def start(machine: Machine, paths: Paths, *platforms: str, port: int = 5000) -> lifecycle.Status:
    machine.steps.clear()
    return lifecycle.start(platforms, machine.said.append, paths=paths, registry_port=port)


def test_a_first_start_takes_every_step(machine: Machine, paths: Paths) -> None:
    status = start(machine, paths, "linux/amd64", "linux/arm64")
    assert set(machine.steps) == {"prerequisites", "build", "register", "registry", "bases", "launch"}
    assert machine.steps[-1] == "launch"
    assert status.platforms == ["linux/amd64", "linux/arm64"]


def test_where_docker_hub_answers_there_are_no_stand_ins(machine: Machine, paths: Paths) -> None:
    machine.hub = True
    status = start(machine, paths, "linux/amd64")
    assert not {"registry", "bases"} & set(machine.steps)
    assert (status.registry, status.platforms) == ("", [])


def test_a_second_start_finds_it_running(machine: Machine, paths: Paths) -> None:
    start(machine, paths, "linux/amd64")
    start(machine, paths, "linux/amd64")
    assert "launch" not in machine.steps
    assert machine.said[-1] == "the engine is running"


def test_a_second_start_may_add_a_platform(machine: Machine, paths: Paths) -> None:
    start(machine, paths, "linux/amd64")
    assert start(machine, paths, "linux/arm64").platforms == ["linux/amd64", "linux/arm64"]
    assert "launch" not in machine.steps


def test_another_build_restarts_it_and_says_so(
    machine: Machine, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(machine, paths)
    monkeypatch.setattr(lifecycle.build, "build_key", lambda: "two")
    assert start(machine, paths).build == str(paths.builds / "two")
    assert machine.steps.index("end") < machine.steps.index("launch")
    assert "another build" in machine.said[-1]


def test_an_engine_that_does_not_answer_is_restarted(machine: Machine, paths: Paths) -> None:
    start(machine, paths)
    machine.answers = False
    start(machine, paths)
    assert machine.steps.index("end") < machine.steps.index("launch")


def test_a_killed_engine_is_cleaned_up_after_before_the_next(machine: Machine, paths: Paths) -> None:
    start(machine, paths)
    machine.running = False
    start(machine, paths)
    assert machine.steps.index("network") < machine.steps.index("launch")


def test_what_a_killed_engine_found_is_remembered(
    machine: Machine, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(machine, paths)
    machine.running = False
    monkeypatch.setattr(lifecycle.network, "forwarding", lambda: "1")
    start(machine, paths)
    record = Record.read(paths.record)
    assert record
    assert record.forwarding_before == "0"


def test_another_registry_port_takes_the_old_registry_away(machine: Machine, paths: Paths) -> None:
    start(machine, paths, port=5000)
    start(machine, paths, port=5001)
    assert "registry stop" in machine.steps
    assert machine.steps.index("end") < machine.steps.index("launch")


def test_stop_undoes_a_start(machine: Machine, paths: Paths) -> None:
    start(machine, paths)
    machine.steps.clear()
    assert lifecycle.stop(machine.said.append, paths=paths)
    assert machine.steps == ["end", "network", "registry stop", "unregister", "clean"]
    assert not paths.record.exists()


def test_stop_undoes_a_start_that_failed_halfway(
    machine: Machine, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise EngineStartFailed("no")

    monkeypatch.setattr(lifecycle.bases, "ensure", fail)
    with pytest.raises(EngineStartFailed):
        start(machine, paths)
    machine.steps.clear()
    lifecycle.stop(machine.said.append, paths=paths)
    assert "registry stop" in machine.steps


def test_stop_without_any_start_touches_nothing(machine: Machine, tmp_path: Path) -> None:
    assert not lifecycle.stop(machine.said.append, paths=Paths(tmp_path / "absent"))
    assert machine.steps == []
    assert not (tmp_path / "absent").exists()


def test_status_of_no_engine(machine: Machine, paths: Paths) -> None:
    assert dataclasses.asdict(lifecycle.status(paths=paths))["running"] is False


def test_no_variables_without_an_engine(machine: Machine, paths: Paths) -> None:
    with pytest.raises(EngineError, match="start it first"):
        lifecycle.env(paths=paths)


def test_the_variables_lead_to_this_engine(machine: Machine, paths: Paths) -> None:
    start(machine, paths)
    env = lifecycle.env(paths=paths)
    assert env["_EXPERIMENTAL_DAGGER_RUNNER_HOST"] == f"unix://{paths.socket}"
    assert env["_EXPERIMENTAL_DAGGER_CLI_BIN"] == str(paths.builds / "one/dagger")
    assert env["PATH"].startswith(f"{paths.builds / 'one'}:")


def test_export_lines_survive_a_shell() -> None:
    (line,) = lifecycle.export_lines({"A": "it's $HOME"}).splitlines()
    assert shlex.split(line) == ["export", "A=it's $HOME"]


def test_logs_end_with_the_engine(machine: Machine, paths: Paths) -> None:
    assert list(lifecycle.logs(paths=paths)) == []
    paths.create()
    paths.log.write_text("one\ntwo\n")
    assert list(lifecycle.logs(paths=paths, follow=True)) == ["one\n", "two\n"]


@pytest.fixture
def roots(machine: Machine, paths: Paths, monkeypatch: pytest.MonkeyPatch) -> Paths:
    """The paths of an engine that root started, as another user sees them."""
    start(machine, paths)

    def refused(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Path, *args: Any, **kwargs: Any) -> Any:
            if path.is_relative_to(paths.engine):
                raise PermissionError(13, "Permission denied", str(path))
            return real(path, *args, **kwargs)

        return call

    for name in ("read_text", "open", "chmod"):
        monkeypatch.setattr(Path, name, refused(getattr(Path, name)))
    monkeypatch.setattr(lifecycle.supervisor, "running", lambda paths: paths.record.read_text())
    return paths


def test_what_root_started_is_not_ours_to_see(machine: Machine, roots: Paths) -> None:
    """Found after `sudo -E rust-multiarch build`: the next command of the user died of a PermissionError."""
    assert Record.read(roots.record) is None
    assert lifecycle.status(paths=roots).running is False
    with pytest.raises(EngineError, match="start it first"):
        lifecycle.env(paths=roots)


def test_what_root_started_is_a_matter_for_root(machine: Machine, roots: Paths) -> None:
    with pytest.raises(EngineError, match="another user"):
        list(lifecycle.logs(paths=roots))
    with pytest.raises(EngineError, match="another user"):
        lifecycle.stop(machine.said.append, paths=roots)
    machine.steps.clear()
    with pytest.raises(EngineError, match="another user"):
        lifecycle.start(["linux/amd64"], machine.said.append, paths=roots)
    assert machine.steps == ["prerequisites"]


def test_where_there_is_no_proc_nothing_of_ours_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found on macOS, where every command died of a FileNotFoundError."""
    monkeypatch.setattr(process, "PROC", tmp_path / "proc")
    assert process.find(["x"]) == []
    assert lifecycle.status(paths=Paths(tmp_path)).running is False


def _hold(root: Path, ready: Any) -> None:
    with lifecycle._locked(Paths(root), print):
        ready.set()
        time.sleep(0.3)


def test_one_start_waits_for_another(paths: Paths) -> None:
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    other = context.Process(target=_hold, args=(paths.root, ready))
    other.start()
    ready.wait(10)
    said: list[str] = []
    with lifecycle._locked(paths, said.append):
        assert "waiting" in said[0]
    other.join()


def test_a_socket_path_the_kernel_would_not_take_is_refused(tmp_path: Path) -> None:
    record = Record("/b", "10.1.0.0/16", "r", 5000, False, "0")
    with pytest.raises(EngineStartFailed, match="XDG_CACHE_HOME"):
        supervisor.launch(Paths(tmp_path / ("x" * 100)), record, print)


def test_a_long_log_is_cut_short(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    paths.create()
    paths.log.write_text("12345")
    monkeypatch.setattr(supervisor, "LOG_BYTES", 4)
    supervisor.trim_log(paths)
    assert paths.log.read_text() == ""
    assert Path(f"{paths.log}.1").read_text() == "12345"
