import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from running_engine import record, running

from engine import choice, config, lifecycle
from engine.config import SHUTDOWN, shutdown_time
from engine.paths import Paths
from engine.record import BaseImages


@pytest.fixture
def said() -> list[str]:
    return []


def no_tools(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "venv/bin/python"))


def tool(directory: Path, name: str, code: int) -> None:
    """Write a program that exits with a code."""
    path = directory / name
    path.write_text(f"#!/bin/sh\nexit {code}\n")
    path.chmod(0o755)


def test_a_named_runner_comes_first(said, tmp_path, monkeypatch) -> None:
    no_tools(monkeypatch, tmp_path)
    tool(tmp_path, "docker", 0)
    found = choice.choose(said.append, environ={choice.RUNNER: "tcp://there:1"})
    assert found.kind == "named"
    assert found.environment[choice.RUNNER] == "tcp://there:1"
    assert "tcp://there:1" in said[0]


@pytest.mark.parametrize("runner", [{choice.RUNNER: "tcp://there:1"}, {}], ids=["named", "docker"])
@pytest.mark.parametrize("there", ["path", "beside", "compiled", ""])
def test_the_installed_cli_is_used(said, tmp_path, monkeypatch, there: str, runner: dict[str, str]) -> None:
    """Without a CLI, the SDK downloads one, from a host that not every network allows."""
    no_tools(monkeypatch, tmp_path)
    tool(tmp_path, "docker", 0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(choice.build, "build_key", lambda: "key")
    compiled, beside = Paths.default().builds / "key", tmp_path / "venv/bin"
    beside.mkdir(parents=True)
    if there == "path":
        tool(tmp_path, "dagger", 0)
    if there in ("path", "beside"):
        tool(beside, "dagger", 0)
    if there:
        compiled.mkdir(parents=True)
    found = choice.choose(said.append, environ=runner).environment
    command_lines = {"path": str(tmp_path / "dagger"), "compiled": str(compiled / "dagger"), "": None}
    assert found.get(choice.CLI) == (command_lines | {"beside": str(beside / "dagger")})[there]
    search_paths = {"beside": f"{tmp_path}:{beside}", "compiled": f"{compiled}:{tmp_path}"}
    assert found.get("PATH") == search_paths.get(there)


@pytest.mark.parametrize("runner", [{choice.RUNNER: "tcp://there:1"}, {}], ids=["named", "docker"])
def test_a_named_cli_is_kept(said, tmp_path, monkeypatch, runner: dict[str, str]) -> None:
    no_tools(monkeypatch, tmp_path)
    tool(tmp_path, "docker", 0)
    tool(tmp_path, "dagger", 0)
    environ = {**runner, choice.CLI: "/another/dagger"}
    assert choice.choose(said.append, environ=environ).environment == {**runner, **shutdown_time({})}


def test_the_embedded_engine_can_be_named(said, embedded: Paths, starts, tmp_path, monkeypatch) -> None:
    no_tools(monkeypatch, tmp_path)
    tool(tmp_path, "docker", 0)
    asked = {choice.RUNNER: choice.address("embedded")}
    assert choice.choose(said.append, BaseImages(["linux/amd64"]), environ=asked).kind == "embedded"
    assert said == [f"engine: embedded ({choice.RUNNER} names it)"]
    assert choice.address("tcp://there:1") == "tcp://there:1"


@pytest.mark.parametrize(("docker", "podman", "kind"), [(0, 0, "docker"), (1, 0, "podman")])
def test_the_first_working_container_tool_is_chosen(
    said, tmp_path, monkeypatch, docker: int, podman: int, kind: str
) -> None:
    no_tools(monkeypatch, tmp_path)
    tool(tmp_path, "docker", docker)
    tool(tmp_path, "podman", podman)
    tool(tmp_path, "dagger", 0)
    found = choice.choose(said.append, environ={})
    assert found.kind == kind
    assert found.environment[choice.CLI] == str(tmp_path / "dagger")
    assert kind in said[0]


def test_with_docker_neither_dagger_nor_go_is_needed(said, tmp_path, monkeypatch) -> None:
    """It failed with Docker but without Go, although the SDK downloads the CLI."""
    no_tools(monkeypatch, tmp_path)
    tool(tmp_path, "docker", 0)
    assert choice.choose(said.append, environ={}).environment == shutdown_time({})


def test_an_engine_has_time_to_end_a_session(said, tmp_path, monkeypatch) -> None:
    """Regression: after the 10 seconds of the Dagger CLI, a session whose work was done ended in an error."""
    no_tools(monkeypatch, tmp_path)
    tool(tmp_path, "docker", 0)
    assert choice.choose(said.append, environ={}).environment[SHUTDOWN] == "120s"
    assert choice.choose(said.append, environ={SHUTDOWN: "7s"}).environment[SHUTDOWN] == "7s"


@pytest.fixture
def embedded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Paths]:
    """Run this user's engine, with a base image only for amd64."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    paths = Paths.default()
    with running(paths, record(paths)):
        yield paths


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> list[BaseImages]:
    """Record the base images of every start."""
    asked: list[BaseImages] = []

    def start(images: BaseImages, log: object) -> None:
        asked.append(images)

    monkeypatch.setattr(choice.lifecycle, "start", start)
    return asked


def test_the_embedded_engine_comes_last(said, embedded: Paths, starts, tmp_path, monkeypatch) -> None:
    no_tools(monkeypatch, tmp_path)
    tool(tmp_path, "docker", 1)
    found = choice.choose(said.append, BaseImages(["linux/amd64"]), environ={})
    assert (found.kind, found.environment) == ("embedded", lifecycle.env())
    assert found.environment[choice.RUNNER] == f"unix://{embedded.socket}"
    assert "neither docker nor podman" in said[0]
    assert starts == []


def test_the_embedded_engine_is_started_for_a_missing_base_image(said, embedded: Paths, starts) -> None:
    named = {choice.RUNNER: config.address(embedded)}
    missing = [
        BaseImages(["linux/arm64"]),
        BaseImages(["linux/amd64"], ["linux/arm64"]),
        BaseImages(["linux/amd64"], [], ["bookworm"]),
    ]
    for images in (BaseImages(["linux/amd64"]), *missing):
        assert choice.choose(said.append, images, environ=named).kind == "embedded"
    assert starts == missing
