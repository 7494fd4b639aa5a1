import json
import os
import socket
import subprocess
import threading
import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from engine import config, lifecycle, prerequisites
from engine.paths import Paths
from engine.prerequisites import Missing
from pipeline.cli.doctor import _configured
from pipeline.preview import readiness as doctor
from pipeline.preview.readiness import Check, CheckContext, CheckOutcome, State

OK, WARN, FAIL = State.OK, State.WARN, State.FAIL


@pytest.fixture
def subject(tmp_path: Path):
    """Describe an empty machine."""

    def make(**changes) -> CheckContext:
        source = tmp_path / "project"
        source.mkdir(exist_ok=True)
        given = {"environ": {}, "home": tmp_path / "home", "paths": Paths(tmp_path / "engine"), **changes}
        return CheckContext(source, given.pop("platforms", ["linux/amd64"]), **given)

    return make


@pytest.fixture
def bare_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Set PATH to an empty directory, for programs that a test adds."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def program(folder: Path, name: str, script: str = "") -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_a_configured_engine_is_contacted(subject, tmp_path: Path) -> None:
    path = tmp_path / "engine.sock"
    named = subject(environ={config.RUNNER: f"unix://{path}"})
    assert doctor.engine(named).state is FAIL
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        assert doctor.engine(named).state is OK
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        assert doctor.engine(subject(environ={config.RUNNER: address})).state is OK
    gone = doctor.engine(subject(environ={config.RUNNER: address}))
    assert gone.state is FAIL and "unset the variable" in gone.fix
    assert doctor.engine(subject(environ={config.RUNNER: "kube-pod://x"})).state is OK


def test_docker_is_used_if_it_answers(subject, bare_path: Path) -> None:
    program(bare_path, "docker")
    assert doctor.engine(subject()).found.startswith("docker answers")


@pytest.mark.parametrize(
    "missing", [Missing(root=True), Missing(go="Go >= 1.26"), Missing(kernel=["overlay"])]
)
def test_missing_prerequisites_of_an_engine_fail(
    subject, bare_path: Path, monkeypatch, missing: Missing
) -> None:
    monkeypatch.setattr(prerequisites, "missing", lambda: missing)
    found = doctor.engine(subject())
    assert found.state is FAIL
    assert missing.names()[0] in found.found and found.fix == missing.fixes()[0]


def test_embedded_engine_states(subject, bare_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(prerequisites, "missing", lambda: Missing(packages=["runc"]))
    assert doctor.engine(subject()) == CheckOutcome(
        OK, "the embedded engine is not running; the next build starts it"
    )
    running = lifecycle.Status(running=True, socket=Path(), version="v1")
    monkeypatch.setattr(lifecycle, "status", lambda paths: running)
    at = {config.RUNNER: config.address(subject().paths)}
    assert doctor.engine(subject(environ=at)).found == "the embedded engine v1 is running"


def docker_config(subject: CheckContext, document: object) -> None:
    (subject.home / ".docker").mkdir(parents=True, exist_ok=True)
    (subject.home / ".docker/config.json").write_text(json.dumps(document))


def test_credentials(subject, bare_path: Path) -> None:
    mine = subject()
    assert doctor.registries(mine).state is WARN
    docker_config(mine, {})
    assert "no credentials" in doctor.registries(mine).found
    docker_config(mine, {"auths": {"ghcr.io": {"auth": "bWU6eA=="}, "a.example": {"auth": "bWU6eA=="}}})
    assert doctor.registries(mine) == CheckOutcome(OK, "a.example, ghcr.io")
    assert doctor.registries(subject(tags=["ghcr.io/me/app:1"])).state is OK
    lost = doctor.registries(subject(tags=["other.example/me/app:1"]))
    assert (lost.state, lost.fix) == (WARN, "`docker login other.example`")
    docker_config(mine, {"credsStore": "pass"})
    assert "docker-credential-pass, which is not installed" in doctor.registries(mine).found
    program(bare_path, "docker-credential-pass")
    assert doctor.registries(subject(tags=["other.example/me/app:1"])) == CheckOutcome(OK, "others in pass")
    podman = mine.home / ".config/containers/auth.json"
    podman.parent.mkdir(parents=True)
    podman.write_text(json.dumps({"auths": {"pod.example": {"auth": "bWU6eA=="}}}))
    assert doctor.registries(subject(tags=["pod.example/me/app:1"])).found == "pod.example, others in pass"
    docker_config(mine, {"auths": {"ghcr.io": {"auth": "bWU6eA=="}}})
    assert doctor.registries(subject(tags=["pod.example/me/app:1", "ghcr.io/me/app:1"])).state is OK
    docker_config(mine, [])
    assert doctor.registries(mine).state is FAIL
    (mine.home / ".docker/config.json").write_bytes(b"\xff")
    assert doctor.registries(mine).found.startswith(f"{mine.home}/.docker/config.json: ")


def test_emulators(subject, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor.binfmt, "BINFMT", tmp_path)
    monkeypatch.setattr(doctor.binfmt, "NATIVE", {os.uname().machine: {"linux/amd64"}})
    assert doctor.emulators(subject()).state is OK
    foreign = subject(platforms=["linux/amd64", "linux/arm64", "linux/s390x"])
    (tmp_path / "qemu-aarch64").write_text("enabled\nflags: POCF\n")
    assert "not registered: qemu-s390x;" in doctor.emulators(foreign).found
    (tmp_path / "qemu-s390x").write_text("enabled\nflags: P\n")
    assert doctor.emulators(foreign).found.endswith("qemu-s390x")
    assert doctor.emulators(foreign).state is WARN
    (tmp_path / "qemu-s390x").write_text("enabled\nflags: F\n")
    assert doctor.emulators(foreign) == CheckOutcome(OK, "qemu-aarch64, qemu-s390x")


@pytest.mark.parametrize(("gibibytes", "state"), [(100, OK), (14, WARN), (4, FAIL)])
def test_disk(subject, monkeypatch, tmp_path: Path, gibibytes: int, state: State) -> None:
    asked = []

    def usage(path: Path):
        asked.append(path)
        return type("Usage", (), {"free": gibibytes * 2**30})

    monkeypatch.setattr(doctor.shutil, "disk_usage", usage)
    found = doctor.disk(subject())
    assert (found.state, found.found) == (state, f"{gibibytes} GiB free at {tmp_path}")
    assert asked == [tmp_path]


def test_minimum_space_matches_the_engines_reserve() -> None:
    (policy,) = config.GARBAGE_COLLECTION["policies"]
    assert policy["minFreeSpace"] == f"{doctor.TOO_LITTLE_SPACE // 2**30}GB"


@pytest.mark.parametrize(
    ("served", "state", "found"),
    [(0, OK, "0 s behind"), (3600, FAIL, "3600 s behind"), (-3600, FAIL, "3600 s ahead")],
)
def test_clock(subject, monkeypatch, served: float, state: State, found: str) -> None:
    now = time.time()
    monkeypatch.setattr(doctor.time, "time", lambda: now)
    monkeypatch.setattr(doctor, "_served_time", lambda: now + served)
    assert (doctor.clock(subject()).state, doctor.clock(subject()).found) == (state, found)


def test_the_clock_is_compared_with_files_if_no_server_answers(subject, monkeypatch) -> None:
    monkeypatch.setattr(doctor, "_served_time", lambda: None)
    assert doctor.clock(subject()).state is OK
    monkeypatch.setattr(doctor.time, "time", lambda: 0.0)
    assert doctor.clock(subject()).state is FAIL


@pytest.mark.parametrize("status", [200, 401])
def test_reads_a_servers_time(status: int) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response_only(status)
            self.send_header("Date", formatdate(1700000000, usegmt=True))
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        assert doctor._served_time(f"http://127.0.0.1:{server.server_port}/") == 1700000000
        thread.join()
    assert doctor._served_time(f"http://127.0.0.1:{server.server_port}/") is None


def git(folder: Path, *words: str) -> None:
    identity = ["-c", "user.name=me", "-c", "user.email=me@example.com"]
    subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True)


def test_checkout(subject, tmp_path: Path) -> None:
    mine = subject()
    assert doctor.checkout(mine).state is WARN
    git(mine.source, "init", "--initial-branch", "main")
    (mine.source / "file").write_text("1")
    assert doctor.checkout(mine).found.startswith("the git repository has no commit yet")
    git(mine.source, "add", ".")
    git(mine.source, "commit", "--message", "one")
    clean = doctor.checkout(mine)
    assert clean.state is OK and clean.found.startswith("main at ")
    git(mine.source, "commit", "--allow-empty", "--message", "two")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--depth", "1", f"file://{mine.source}", str(clone))
    assert "shallow" in doctor.checkout(CheckContext(clone, [])).found
    (mine.source / "file").write_text("2")
    assert "with changes" in doctor.checkout(mine).found


def test_project(subject) -> None:
    mine = subject()
    assert doctor.project(mine).found.startswith("no Cargo.toml")
    (mine.source / "Cargo.toml").write_text("not toml")
    assert doctor.project(mine).found.startswith("Cargo.toml cannot be read")
    (mine.source / "Cargo.toml").write_text('[package]\nname = "app"\n')
    assert doctor.project(mine).found == "no Cargo.lock"
    (mine.source / "Cargo.lock").write_text("")
    assert doctor.project(mine) == CheckOutcome(OK, f"app, Rust {doctor.releases.RUST}")
    (mine.source / "rust-toolchain.toml").write_text('[toolchain]\nchannel = "1.80"\n')
    assert doctor.project(mine) == CheckOutcome(OK, "app, Rust 1.80")
    (mine.source / "rust-toolchain").write_text("nightly\n")
    assert doctor.project(mine).state is WARN


def test_settings_are_checked(subject) -> None:
    source = subject().source
    manifest = '[package]\nname = "app"\n[package.metadata.rust-multiarch]\n{}\n'
    (source / "Cargo.toml").write_text(manifest.format('platforms = ["linux/s390x"]'))
    platforms, outcome = _configured(source, [])
    assert platforms == ["linux/s390x"]
    assert outcome == CheckOutcome(OK, "Cargo.toml [package.metadata.rust-multiarch]")
    assert _configured(source, ["linux/386"])[0] == ["linux/386"]
    (source / "Cargo.toml").write_text(manifest.format("port = [1]"))
    _, outcome = _configured(source, [])
    assert (outcome.state, outcome.fix) == (FAIL, "did you mean ports?")


def test_the_help_text_lists_every_check() -> None:
    names = [check.name for check in doctor.CHECKS]
    assert names == ["engine", "project", "git", "registries", "emulators", "disk", "clock"]


@pytest.mark.anyio
async def test_results_keep_the_order_of_the_table(subject) -> None:
    checks = [
        Check("slow", lambda s: time.sleep(0.05) or CheckOutcome(OK, "fine")),  # type: ignore[func-returns-value]
        Check("quick", lambda s: CheckOutcome(WARN, "so so", "mend it")),
    ]
    results = await doctor.examine(subject(), checks)
    assert [result.name for result in results] == ["slow", "quick"]
    assert not doctor.failed(results)
    assert doctor.as_text(results).splitlines() == [
        "ok    slow   fine",
        "warn  quick  so so",
        "             do: mend it",
    ]
    assert json.loads(doctor.as_json(results))["checks"][1] == {
        "name": "quick", "state": "warn", "found": "so so", "fix": "mend it",
    }  # fmt: skip
    bad = await doctor.examine(
        subject(), [*checks, Check("bad", lambda s: CheckOutcome(FAIL, "broken", "x"))]
    )
    assert doctor.failed(bad)
