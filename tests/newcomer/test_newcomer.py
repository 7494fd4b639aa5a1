"""Do what four kinds of new user would do, with the words of the first page, and print the time to success.

`make newcomer` runs this; it needs an engine and its registry on 127.0.0.1:5000.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REGISTRY = "localhost:5000"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"

TABLE = """
[package.metadata.rust-multiarch]
files = "deploy"
env = { RUST_LOG = "info" }
ports = [8080]
user = "1000"
working-directory = "/srv"
volumes = ["/var/lib/app"]
labels = { team = "core" }
args = ["serve"]
stop-signal = "SIGINT"
health-cmd = '["/usr/local/bin/hello", "--check"]'
"""


def sh(line: str, cwd: Path, **more: str) -> str:
    done = subprocess.run(
        ["bash", "-ec", line], cwd=cwd, env={**os.environ, **more}, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    return done.stdout.strip()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "hello"
    (folder / "src").mkdir(parents=True)
    (folder / "deploy/etc").mkdir(parents=True)
    (folder / "deploy/etc/hello.conf").write_text("greeting = hello\n")
    (folder / "src/main.rs").write_text('fn main() {\n    println!("hello");\n}\n')
    manifest = '[package]\nname = "hello"\nversion = "1.0.0"\nedition = "2021"\n'
    (folder / "Cargo.toml").write_text(manifest)
    (folder / "Cargo.lock").write_text('version = 3\n\n[[package]]\nname = "hello"\nversion = "1.0.0"\n')
    git = "git -c user.name=me -c user.email=me@example.com"
    sh(f"git init -q -b main && git add -A && {git} commit -qm first", folder)
    return folder


@pytest.fixture(autouse=True)
def clock(request: pytest.FixtureRequest) -> Iterator[None]:
    start = time.monotonic()
    yield
    print(f"\n{request.node.name}: {time.monotonic() - start:.0f} s", file=sys.__stderr__)


def document(path: str) -> dict:
    request = urllib.request.Request(
        f"http://{REGISTRY}/v2/{path}", headers={"Accept": f"{INDEX}, {MANIFEST}"}
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def test_a_rust_developer_installs_and_publishes(project: Path, tmp_path: Path) -> None:
    said = sh(f"sh {ROOT}/install.sh {tmp_path}/tools", project, RUST_MULTIARCH_INSTALL_FROM=f"file://{ROOT}")
    (line,) = [line.split("run: ", 1)[1] for line in said.splitlines() if "export PATH" in line]
    publish = f"rust-multiarch publish --platform linux/amd64,linux/arm64 --tag {REGISTRY}/newcomer/hello:1"
    address = sh(f"{line}\n{publish}", project)
    assert address.startswith(f"{REGISTRY}/newcomer/hello:1@sha256:")
    platforms = [
        one["platform"]["architecture"] for one in document("newcomer/hello/manifests/1")["manifests"]
    ]
    assert platforms == ["amd64", "arm64"]


def test_a_platform_engineer_moves_a_dockerfile(project: Path) -> None:
    manifest = project / "Cargo.toml"
    manifest.write_text(manifest.read_text() + TABLE)
    bin_ = Path(sys.executable).parent
    sh(f"{bin_}/rust-multiarch build --platform linux/amd64 -t {REGISTRY}/newcomer/moved:1 --push .", project)
    image = document("newcomer/moved/manifests/1")
    config = document(f"newcomer/moved/blobs/{image['config']['digest']}")["config"]
    assert "RUST_LOG=info" in config["Env"]
    assert config["ExposedPorts"] == {"8080/tcp": {}}
    assert (config["User"], config["WorkingDir"], config["StopSignal"]) == ("1000", "/srv", "SIGINT")
    assert config["Volumes"] == {"/var/lib/app": {}}
    assert config["Labels"]["team"] == "core"
    assert (config["Entrypoint"], config["Cmd"]) == (["/usr/local/bin/hello"], ["serve"])
    assert config["Healthcheck"]["Test"] == ["CMD", "/usr/local/bin/hello", "--check"]


def test_a_dagger_user_calls_the_module(project: Path) -> None:
    engine = sh(f'eval "$({Path(sys.executable).parent}/rust-multiarch engine env)"; env', project)
    variables = dict(line.split("=", 1) for line in engine.splitlines() if "DAGGER" in line and "=" in line)
    dagger = variables.get("_EXPERIMENTAL_DAGGER_CLI_BIN", "dagger")
    report = sh(f"{dagger} call -m {ROOT} --platforms linux/amd64 build report", project, **variables)
    assert "x86_64-unknown-linux-gnu" in report


def test_a_contributor_sets_up_and_runs_a_test(tmp_path: Path) -> None:
    sh(f"git clone -q {ROOT} clone && cd clone && make setup", tmp_path)
    sh(".venv/bin/python -m pytest tests/unit/test_targets.py", tmp_path / "clone")
