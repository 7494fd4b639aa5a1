"""Test the sandbox's specification and the engine's configuration."""

from __future__ import annotations

import io
import json
import urllib.error
import urllib.request
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from engine import config
from engine.paths import Paths
from engine.sandbox import Spec

PATHS = Paths(Path("/home/u/.cache/rust-multiarch"))
SPEC = config.sandbox(PATHS, Path("/builds/abc"), "10.113.0.0/16")


def test_a_specification_is_read_as_written() -> None:
    assert Spec.from_json(SPEC.to_json()) == SPEC


def test_the_engine_listens_only_on_its_socket() -> None:
    addresses = [after for flag, after in zip(SPEC.argv, SPEC.argv[1:], strict=False) if flag == "--addr"]
    assert addresses == [f"unix://{PATHS.socket}"]
    assert not any("tcp" in argument for argument in SPEC.argv)


def test_only_this_engines_directories_are_bound() -> None:
    machine = {source for source in SPEC.binds.values() if not source.startswith("/builds")}
    assert machine == {str(PATHS.state), str(PATHS.run), str(PATHS.tmp)}


def test_every_tool_is_at_its_path() -> None:
    placed = {**SPEC.copies, **SPEC.links, **SPEC.scripts}
    for tool in (
        "/usr/local/bin/runc",
        "/usr/local/bin/dagger-init",
        "/opt/cni/bin/bridge",
        "/opt/cni/bin/dnsname",
        "/usr/bin/xtables-nft-multi",
        "/usr/local/sbin/dnsmasq",
    ):
        assert tool in placed


def test_the_engine_gets_only_the_proxies_of_the_user() -> None:
    env = config.environment({"HTTPS_PROXY": "http://proxy", "GITHUB_TOKEN": "secret", "PATH": "/mine"})
    assert env["HTTPS_PROXY"] == "http://proxy"
    assert "GITHUB_TOKEN" not in env
    assert "/mine" not in env["PATH"]


def test_docker_hub_has_a_mirror_only_where_it_cannot_be_reached() -> None:
    with_mirror = config.engine_json("127.0.0.1:5000", "127.0.0.1:500")["registries"]
    without = config.engine_json("127.0.0.1:5000", "")["registries"]
    assert with_mirror["docker.io"] == {"mirrors": ["127.0.0.1:500"]}, "not the one that all may push to"
    assert set(with_mirror) == {"127.0.0.1:5000", "127.0.0.1:500", "docker.io"}
    assert without == {"127.0.0.1:5000": {"http": True}}


def test_the_files_the_sandbox_copies_are_written(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    paths.create()
    config.write(paths, tmp_path, "10.113.0.0/16", "127.0.0.1:5000", "127.0.0.1:500")
    spec = Spec.from_json(paths.spec.read_text())
    assert json.loads(Path(spec.copies["/etc/dagger/engine.json"]).read_text())["registries"]
    assert paths.instance in Path(spec.copies["/etc/dagger/engine.toml"]).read_text()


class _Answer(io.BytesIO):
    status = 200


@pytest.mark.parametrize(("outcome", "reachable"), [(200, True), (401, True), (403, False), (None, False)])
def test_docker_hub_is_reachable_if_it_requires_credentials(
    outcome: int | None, reachable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def urlopen(url: str, timeout: float) -> Any:
        if outcome is None:
            raise urllib.error.URLError("no route")
        if outcome != 200:
            raise urllib.error.HTTPError(url, outcome, "", Message(), io.BytesIO())
        return _Answer()

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    assert config.hub_reachable() is reachable
