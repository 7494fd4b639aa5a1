import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from running_engine import record, running

from engine import choice, config, lifecycle
from engine.paths import Paths


@pytest.fixture
def said() -> list[str]:
    return []


def no_tools(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "venv/bin/python"))


def tool(directory: Path, name: str, code: int) -> None:
    """A program that does nothing but exit."""
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
def test_an_engine_is_spoken_to_with_the_command_line_that_is_here(
    said, tmp_path, monkeypatch, there: str, runner: dict[str, str]
) -> None:
    """Found where there was none: the SDK then fetches one, from a host that not everybody reaches."""
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
def test_a_command_line_that_is_named_stays(said, tmp_path, monkeypatch, runner: dict[str, str]) -> None:
    no_tools(monkeypatch, tmp_path)
    tool(tmp_path, "docker", 0)
    tool(tmp_path, "dagger", 0)
    environ = {**runner, choice.CLI: "/another/dagger"}
    assert choice.choose(said.append, environ=environ).environment == runner


def test_our_own_engine_has_a_name(said, ours: Paths, starts, tmp_path, monkeypatch) -> None:
    no_tools(monkeypatch, tmp_path)
    tool(tmp_path, "docker", 0)
    asked = {choice.RUNNER: choice.address("embedded")}
    assert choice.choose(said.append, ["linux/amd64"], environ=asked).kind == "embedded"
    assert said == ["engine: embedded (it was asked for)"]
    assert choice.address("tcp://there:1") == "tcp://there:1"


@pytest.mark.parametrize(("docker", "podman", "kind"), [(0, 0, "docker"), (1, 0, "podman")])
def test_a_tool_that_answers(said, tmp_path, monkeypatch, docker: int, podman: int, kind: str) -> None:
    no_tools(monkeypatch, tmp_path)
    tool(tmp_path, "docker", docker)
    tool(tmp_path, "podman", podman)
    tool(tmp_path, "dagger", 0)
    found = choice.choose(said.append, environ={})
    assert found.kind == kind
    assert found.environment[choice.CLI] == str(tmp_path / "dagger")
    assert kind in said[0]


def test_beside_docker_neither_dagger_nor_go_is_needed(said, tmp_path, monkeypatch) -> None:
    """Found on a machine with Docker alone: it ended for want of Go, where the SDK fetches what it needs."""
    no_tools(monkeypatch, tmp_path)
    tool(tmp_path, "docker", 0)
    assert choice.choose(said.append, environ={}).environment == {}


@pytest.fixture
def ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Paths]:
    """This user's engine, which runs and has a base image for amd64 only."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    paths = Paths.default()
    with running(paths, record(paths)):
        yield paths


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The platforms of every start."""
    asked: list[list[str]] = []

    def start(platforms: list[str], log: object, builders: list[str]) -> None:
        asked.append([*platforms, *(f"builder {platform}" for platform in builders)])

    monkeypatch.setattr(choice.lifecycle, "start", start)
    return asked


def test_the_embedded_engine_comes_last(said, ours: Paths, starts, tmp_path, monkeypatch) -> None:
    no_tools(monkeypatch, tmp_path)
    tool(tmp_path, "docker", 1)
    found = choice.choose(said.append, ["linux/amd64"], environ={})
    assert (found.kind, found.environment) == ("embedded", lifecycle.env())
    assert found.environment[choice.RUNNER] == f"unix://{ours.socket}"
    assert "neither docker nor podman" in said[0]
    assert starts == []


def test_it_is_started_for_a_platform_it_has_no_base_image_for(said, ours: Paths, starts) -> None:
    named = {choice.RUNNER: config.address(ours)}
    assert choice.choose(said.append, ["linux/arm64"], environ=named).kind == "embedded"
    assert starts == [["linux/arm64"]]
    choice.choose(said.append, ["linux/amd64"], environ=named, builders=["linux/arm64"])
    assert starts[1:] == [["linux/amd64", "builder linux/arm64"]]
