"""Test start and stop of the embedded engine, on a second engine beside the tests' engine."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import crates
import pytest
from conftest import ROOT, wait_for

from engine import lifecycle, oci, registry, supervisor
from engine.paths import Paths
from engine.record import BaseImages
from pipeline.errors import EngineError, EngineUnreachable
from pipeline.releases import DEFAULT, PYTHON

PORT = 5077 + 10 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
"""The port of the second engine's registry; tests that run at the same time have an engine each."""

VERSION = ("file", "--path", "/etc/debian_version", "contents")

BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
AUTHORITY = """-----BEGIN CERTIFICATE-----
b2ZmaWNl
-----END CERTIFICATE-----
"""


@pytest.fixture(scope="module")
def paths(engine, loopback: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Paths]:
    """Return a separate root, with the compiled engine and the stand-in images of the first."""
    second = Paths(tmp_path_factory.mktemp("engine"))
    second.share(Paths.default())
    second.certificates.mkdir()
    (second.certificates / "office.crt").write_text(AUTHORITY)
    yield second
    lifecycle.stop(paths=second)


@pytest.fixture
def said() -> list[str]:
    return []


def start(paths: Paths, said: list[str]) -> lifecycle.Status:
    return lifecycle.start(BaseImages(["linux/amd64"]), said.append, paths=paths, registry_port=PORT)


def container(paths: Paths, image: str, *calls: str) -> str:
    """Return the result of a chain of calls on a container of this engine."""
    env = {**os.environ, **lifecycle.env(paths=paths)}
    command = ["dagger", "core", "container", "from", "--address", image, *calls]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def uname(paths: Paths) -> str:
    """Return the machine name in a container of this engine."""
    return container(paths, "debian:trixie-slim", "with-exec", "--args", "uname,-s", "stdout").strip()


def traces(paths: Paths) -> dict[str, str]:
    """Return everything on this machine with the engine's name."""
    commands = {
        "processes": ["pgrep", "-af", str(paths.root)],
        "links": ["ip", "-o", "link"],
        "rules": ["iptables-save"],
        "mounts": ["cat", "/proc/self/mountinfo"],
        "namespaces": ["ip", "netns"],
    }
    found = {}
    for what, command in commands.items():
        printed = subprocess.run(command, capture_output=True, text=True).stdout
        lines = [line for line in printed.splitlines() if paths.instance in line or str(paths.root) in line]
        if lines:
            found[what] = "\n".join(lines)
    return found


def test_two_starts_one_engine(paths: Paths, said: list[str]) -> None:
    first = start(paths, said)
    assert first.running and uname(paths) == "Linux"
    again = start(paths, said)
    assert again.pid == first.pid
    assert "the engine is running" in said


def test_the_socket_is_for_its_owner_only(paths: Paths, said: list[str]) -> None:
    start(paths, said)
    assert paths.socket.stat().st_mode & 0o077 == 0
    assert paths.run.stat().st_mode & 0o077 == 0


def test_no_tcp_port_is_open(paths: Paths, said: list[str]) -> None:
    pid = start(paths, said).pid
    listening = subprocess.run(["ss", "-ltnpH"], capture_output=True, text=True).stdout
    assert f"pid={pid}," not in listening


def test_a_push_to_the_name_of_a_base_image_reaches_no_build(
    paths: Paths, said: list[str], tmp_path: Path
) -> None:
    """Any local user may push to the registry; root's builds started from what was there."""
    start(paths, said)
    (tmp_path / "tree/etc").mkdir(parents=True)
    (tmp_path / "tree/etc/debian_version").write_text("evil")
    diff_id = oci.write_layer(tmp_path / "tree", tmp_path / "layer", 0)
    (tmp_path / "image").mkdir()
    config = {"architecture": "amd64", "os": "linux"}
    evil = oci.write_image(tmp_path / "image", config, tmp_path / "layer", diff_id)
    name, _, tag = DEFAULT.base.partition(":")
    assert oci.store(registry.storage(PORT, cache=paths.root), f"library/{name}", tag, [evil])
    pulled = container(paths, f"127.0.0.1:{PORT}/library/{DEFAULT.base}", *VERSION)
    assert pulled == "evil", "by its own address"
    assert container(paths, DEFAULT.base, *VERSION).startswith("13")


def test_a_command_is_lent_this_machines_certificates_and_the_image_keeps_none(
    paths: Paths, said: list[str]
) -> None:
    start(paths, said)

    def bundle(*calls: str) -> str:
        return container(paths, PYTHON, *calls, "file", "--path", BUNDLE, "contents")

    show = ["with-exec", "--args", f"sh,-c,cat {BUNDLE}; ls /etc/ssl/certs"]
    inside = container(paths, PYTHON, *show, "stdout")
    assert AUTHORITY in inside
    assert "office" not in inside.rpartition("END CERTIFICATE")[2], "lent by two more containers"
    untouched = bundle()
    assert AUTHORITY not in untouched
    assert bundle(*show) == untouched
    assert bundle("with-exec", "--args", "update-ca-certificates") == untouched


def test_another_registry_port_restarts_it_and_takes_the_old_registry_away(
    paths: Paths, said: list[str]
) -> None:
    first = start(paths, said)
    assert registry.running(PORT, cache=paths.root)
    again = lifecycle.start(BaseImages(["linux/amd64"]), said.append, paths=paths, registry_port=PORT + 1)
    assert again.running and again.pid != first.pid and again.registry.endswith(f":{PORT + 1}")
    assert any("another build or configuration" in line for line in said)
    assert not registry.running(PORT, cache=paths.root)
    assert registry.running(PORT + 1, cache=paths.root)
    assert uname(paths) == "Linux"


SLOW_BUILD = "fn main() { std::thread::sleep(std::time::Duration::from_secs(600)) }\n"


def test_an_engine_that_is_killed_during_a_compile_ends_the_command(
    paths: Paths, said: list[str], tmp_path: Path
) -> None:
    """Regression: the command waited without a message until it was killed."""
    start(paths, said)
    (crates.written(tmp_path, "slow") / "build.rs").write_text(SLOW_BUILD)
    env = {**os.environ, **lifecycle.env(paths=paths)}
    command = [sys.executable, "-c", "from pipeline.cli import main; main()", "build", str(tmp_path)]
    command += ["--platform", "linux/amd64", "--progress", "plain"]
    log = tmp_path / "log"
    with log.open("w") as err:
        build = subprocess.Popen(command, env=env, cwd=ROOT, stdout=err, stderr=err)
    wait_for(lambda: "compiling" in log.read_text(), 240)
    process = supervisor.engine_process(paths)
    assert process
    os.kill(process.pid, signal.SIGKILL)
    killed = time.monotonic()
    assert build.wait(timeout=60) == EngineUnreachable.exit_code, log.read_text()
    assert time.monotonic() - killed < 20
    assert "the engine stopped answering during the command" in log.read_text()
    assert subprocess.run(["pgrep", "-P", str(build.pid)]).returncode == 1, "nothing runs on"


def test_a_kill_is_recovered_by_the_same_command(paths: Paths, said: list[str]) -> None:
    start(paths, said)
    process = supervisor.engine_process(paths)
    assert process
    os.kill(process.pid, signal.SIGKILL)
    assert start(paths, said).pid != process.pid
    assert uname(paths) == "Linux"


def test_stop_leaves_nothing_and_keeps_the_cache(paths: Paths, said: list[str]) -> None:
    start(paths, said)
    assert uname(paths) == "Linux"
    assert lifecycle.stop(said.append, paths=paths)
    assert traces(paths) == {}
    assert any(Path(paths.state).iterdir())
    assert not registry.running(PORT, cache=paths.root)


def test_stop_twice_and_ask_a_stopped_engine(paths: Paths) -> None:
    lifecycle.stop(paths=paths)
    assert not lifecycle.stop(paths=paths)
    assert not lifecycle.status(paths=paths).running
    with pytest.raises(EngineError, match="not running"):
        lifecycle.env(paths=paths)
