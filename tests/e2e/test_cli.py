"""Test the command line: a project on disk, options, files and exit codes."""

import contextlib
import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import tarfile
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import anyio
import crates
import debian_tools
import jsonschema
import pytest
from conftest import ROOT, wait_for

from pipeline import errors
from pipeline.registry import archive
from pipeline.registry.address import parse_address
from pipeline.registry.dial import registries

PROGRAM = Path(sys.executable).parent / "rust-multiarch"
SETTINGS = """
[package.metadata.rust-multiarch]
platforms = ["linux/arm64", "linux/amd64"]
ports = [8080]
user = "root"
"""
SECONDS = 600


@pytest.fixture(scope="module")
def project(engine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a crate with settings in its Cargo.toml."""
    return crates.written(tmp_path_factory.mktemp("settled"), "settled", extra=crates.FEATURES + SETTINGS)


def run(
    *words: object, cwd: Path, code: int = 0, stdin: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    command = [str(word) for word in (PROGRAM, *words)]
    env = {**os.environ, **environment}
    done = subprocess.run(
        command, cwd=cwd, env=env, input=stdin, capture_output=True, text=True, timeout=SECONDS
    )
    assert done.returncode == code, done.stderr
    return done


ZSTD = b"\x28\xb5\x2f\xfd"
"""The first bytes of an archive of compiled state (RFC 8878, 3.1.1)."""


@pytest.fixture
def projects(engine, tmp_path: Path) -> list[Path]:
    """Make two projects that were never built."""
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        folder.mkdir()
        crates.written(folder, f"{folder.name}-{time.time_ns()}")
    return folders


def test_compiled_state_comes_and_goes_as_a_file(projects: list[Path], tmp_path: Path) -> None:
    file = tmp_path / "state.tar.zst"
    options = ["--platform", "linux/amd64", "--cache-from", file]
    run("build", *options, "--cache-to", file, cwd=projects[0])
    assert file.read_bytes().startswith(ZSTD)
    file.write_text("something else")
    done = run("build", *options, cwd=projects[1], code=errors.InvalidArgument.exit_code)
    assert "the archive of compiled state cannot be read" in done.stderr


def test_compiled_state_comes_and_goes_by_a_registry(
    projects: list[Path], loopback: str, tmp_path: Path
) -> None:
    address, file = parse_address(f"{loopback}/cli/state-{time.time_ns()}:cache"), tmp_path / "state"
    options = ["--platform", "linux/amd64", "--cache-from", f"type=registry,ref={address}"]
    done = run("build", *options, "--cache-to", f"type=registry,ref={address}", cwd=projects[0])
    assert f"no compiled state at {address} yet" in done.stderr

    async def exchange() -> bytes:
        async with registries() as reached:
            assert await archive.pull(address, file, reached)
            was = file.read_bytes()
            file.write_text("something else")
            await archive.push(file, address, reached)
            return was

    assert anyio.run(exchange).startswith(ZSTD)
    done = run("build", *options, cwd=projects[1], code=errors.InvalidArgument.exit_code)
    assert "the archive of compiled state cannot be read" in done.stderr
    options[-1] = "type=registry,ref=127.0.0.1:9/nobody/listens:cache"
    done = run("build", *options, cwd=projects[1])
    assert "warning: no compiled state from 127.0.0.1:9/nobody/listens:cache" in done.stderr


def origins(document: dict) -> dict[str, tuple[object, str]]:
    return {each["name"]: (each["value"], each["origin"]) for each in document["settings"]}


def test_the_plan_says_where_each_value_came_from(project: Path, loopback: str) -> None:
    words = ["plan", "--json", "--platform", "linux/amd64,linux/arm/v7", "--tag", f"{loopback}/cli/a:1"]
    done = run(*words, cwd=project, RUST_MULTIARCH_ENV="A=1", RUST_MULTIARCH_USER="app")
    assert "cargo build" not in done.stderr and "cargo build" not in json.dumps(done.stderr)
    document = json.loads(done.stdout)
    jsonschema.validate(document, json.loads((ROOT / "docs/plan.schema.json").read_text()))
    found = origins(document)
    assert found["platforms"] == (["linux/amd64,linux/arm/v7"], "option --platform")
    assert found["env"] == (["A=1"], "environment RUST_MULTIARCH_ENV")
    assert found["user"] == ("app", "environment RUST_MULTIARCH_USER")
    assert found["ports"] == ([8080], "Cargo.toml [package.metadata.rust-multiarch]")
    assert found["profile"] == ("release", "default")
    assert [target["platform"] for target in document["targets"]] == ["linux/amd64", "linux/arm/v7"]
    assert document["tags"] == [f"{loopback}/cli/a:1"]


def test_the_plan_as_text_and_as_a_matrix(project: Path) -> None:
    text = run("plan", cwd=project).stdout
    assert "linux/arm64: aarch64-unknown-linux-gnu, armv8-a or newer" in text
    assert "the program runs as root" in text
    matrix = json.loads(run("plan", "--matrix", cwd=project).stdout)
    assert [row["runner"] for row in matrix["include"]] == ["ubuntu-24.04-arm", "ubuntu-24.04"]


def test_the_module_has_the_same_settings(project: Path, engine) -> None:
    command = [os.environ.get("_EXPERIMENTAL_DAGGER_CLI_BIN", "dagger"), "call", "-m", str(ROOT)]
    command += ["--source", str(project), "--user", "app", "plan", "--as-json"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    found = origins(json.loads(done.stdout))
    assert found["user"] == ("app", "argument user")
    assert found["ports"] == ([8080], "Cargo.toml [package.metadata.rust-multiarch]")
    assert found["platforms"][0] == ["linux/arm64", "linux/amd64"]


def test_binary_writes_programs_and_makes_no_image(project: Path, tmp_path: Path) -> None:
    done = run("binary", project, "--output", tmp_path, "--json", cwd=tmp_path)
    written = json.loads(done.stdout)["binaries"]
    assert [Path(each["path"]).relative_to(tmp_path).as_posix() for each in written] == [
        "linux-arm64/settled",
        "linux-amd64/settled",
    ]
    assert [Path(each["path"]).stat().st_size for each in written] == [each["bytes"] for each in written]
    printed = subprocess.run([tmp_path / "linux-amd64/settled", "x"], capture_output=True, text=True).stdout
    assert "arguments=x" in printed
    checked = subprocess.run(
        ["sha256sum", "--check", "SHA256SUMS"], cwd=tmp_path, capture_output=True, text=True
    )
    assert checked.stdout.splitlines() == ["linux-arm64/settled: OK", "linux-amd64/settled: OK"]
    assert "debian:trixie-slim" not in done.stderr


def test_another_value_of_a_build_secret_is_another_program(projects: list[Path], tmp_path: Path) -> None:
    """The value is in no key of the engine's cache, at least not as it is."""
    words = ["--platform", "linux/amd64", "--build-secret", "GIT_COMMIT_SHA=env:TOKEN", "--output", tmp_path]
    for value in ("first", "second", "first"):
        done = run("binary", *words, "--json", cwd=projects[0], TOKEN=value)
        program = json.loads(done.stdout)["binaries"][0]["path"]
        said = subprocess.run([program], capture_output=True, text=True, check=True).stdout
        assert f"commit={value}" in said


def test_build_writes_an_archive_and_a_layout(project: Path, tmp_path: Path) -> None:
    outputs = [
        "--output",
        tmp_path / "image.tar",
        "--output",
        f"type=oci,tar=false,dest={tmp_path / 'layout'}",
    ]
    done = run("build", "--json", "--label", "a=b", *outputs, cwd=project)
    rows = json.loads(done.stdout)["variants"]
    assert [row["platform"] for row in rows] == ["linux/arm64", "linux/amd64"]
    with tarfile.open(tmp_path / "image.tar") as archive:
        assert "./index.json" in archive.getnames()
    blobs = tmp_path / "layout/blobs/sha256"
    manifest = json.loads((blobs / rows[0]["digest"].removeprefix("sha256:")).read_text())
    config = json.loads((blobs / manifest["config"]["digest"].removeprefix("sha256:")).read_text())["config"]
    assert config["Labels"]["a"] == "b"
    assert config["ExposedPorts"] == {"8080/tcp": {}}
    assert config["User"] == "0"


def test_build_pushes_to_every_tag(project: Path, loopback: str) -> None:
    tags = [f"{loopback}/cli/pushed:1", f"{loopback}/cli/pushed:latest"]
    words = ["build", "--push", "-t", tags[0], "-t", tags[1]]
    printed = run(*words, cwd=project).stdout.splitlines()
    assert printed[0].startswith("PLATFORM")
    digests = {line.partition("@")[2] for line in printed[3:]}
    assert len(digests) == 1 and digests != {""}
    document = json.loads(run(*words, "--json", cwd=project).stdout)
    assert document["published"]["digest"] in digests
    assert [row["platform"] for row in document["variants"]] == ["linux/arm64", "linux/amd64"]
    receipt = json.loads(run("publish", *words[2:], "--json", cwd=project).stdout)
    assert receipt["digest"] == document["published"]["digest"]


@pytest.fixture
def docker(tmp_path: Path) -> Iterator[Path]:
    with debian_tools.podman(tmp_path) as program:
        yield program


def test_build_loads_this_machines_variant(project: Path, docker: Path, tmp_path: Path) -> None:
    """A real podman, under the name of docker, loads the image directly and from a file."""
    path = f"{tmp_path}:{os.environ['PATH']}"
    outputs = ["--output", f"type=docker,dest={tmp_path / 'image.tar'}", "--output", tmp_path / "oci.tar"]
    done = run(
        "build", "--load", *outputs, "-t", "me/{bin}:1", "-t", "me/{bin}", "--json", cwd=project, PATH=path
    )
    assert json.loads(done.stdout)["loaded"] == "me/settled:1"
    (here,) = (row for row in json.loads(done.stdout)["variants"] if row["platform"] == "linux/amd64")

    def said(*words: str | Path) -> str:
        return subprocess.run([docker, *words], capture_output=True, text=True, check=True).stdout.strip()

    loaded = said("image", "inspect", "me/settled:1", "--format", "{{.Id}} {{.Architecture}}")
    assert said("image", "inspect", "me/settled:latest", "--format", "{{.Id}} {{.Architecture}}") == loaded
    with tarfile.open(tmp_path / "oci.tar") as archive:
        manifest = json.load(archive.extractfile(f"./blobs/{here['digest'].replace(':', '/')}"))  # type: ignore[arg-type]
    assert loaded == manifest["config"]["digest"].removeprefix("sha256:") + " amd64", "what would be pushed"
    assert "arguments=x" in said("run", "--rm", *ALONE, "me/settled:1", "x")
    said("image", "rm", "--all")
    said("load", "--input", tmp_path / "image.tar")
    assert said("image", "inspect", "me/settled", "--format", "{{.Id}} {{.Architecture}}") == loaded


def test_smoke_verify_and_checks_as_json(project: Path, tmp_path: Path) -> None:
    outcomes = json.loads(run("smoke", "--command", "--flag", "--json", cwd=project).stdout)["outcomes"]
    assert [outcome["state"] for outcome in outcomes] == ["ok", "ok"]
    assert all("arguments=--flag" in outcome["output"] for outcome in outcomes)
    run("binary", "--output", tmp_path, cwd=project)
    words = ["verify", tmp_path / "linux-arm64/settled", "--platform", "linux/arm64", "--json"]
    assert json.loads(run(*words, cwd=tmp_path).stdout)["verified"][0]["platform"] == "linux/arm64"
    for command in (["test"], ["lint"], ["test", "--platform", "linux/arm64"]):
        assert json.loads(run(*command, "--json", cwd=project).stdout)["passed"] is True


# Podman's settings on a machine without limits and network namespaces.
ALONE = ("--network=none", "--runtime=runc", "--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024")

SLOW = 'fn main() { std::process::Command::new("sleep").arg("98765").status().unwrap(); }'


def sleepers() -> list[str]:
    """Return the processes of the slow build script, in any container."""
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if folder.name.isdigit() and (folder / "cmdline").read_bytes() == b"sleep\0" + b"98765\0":
                found.append(folder.name)
    return found


PHASES = ("reading the project", "fetching dependencies", "preparing the builder", "compiling", "assembling")
"""The phases of a build, as the display of progress names them."""


@pytest.mark.parametrize(
    ("to_group", "number"),
    [(True, signal.SIGINT), (False, signal.SIGINT), (False, signal.SIGTERM)],
    ids=["terminal", "process", "SIGTERM"],
)
def test_ctrl_c_leaves_nothing_running_and_says_what_was_kept(
    engine, tmp_path: Path, to_group: bool, number: signal.Signals
) -> None:
    if engine.kind != "embedded":
        pytest.skip("this engine's processes are not seen from here")
    slow = crates.written(tmp_path, "interrupted")
    (slow / "build.rs").write_text(SLOW)
    command = [PROGRAM, "build", "--platform", "linux/amd64"]
    with subprocess.Popen(
        command, cwd=slow, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as building:
        wait_for(sleepers, SECONDS)
        (os.killpg if to_group else os.kill)(building.pid, number)
        answer, said = building.communicate(timeout=60)
    assert building.returncode == 128 + number, said
    assert answer == ""
    assert "interrupted; nothing is running any more" in said
    assert "kept: downloaded dependencies and the builder" in said
    assert "Traceback" not in said
    wait_for(lambda: not sleepers(), 10)
    session = subprocess.run(["ps", "-o", "pid=", "-s", str(building.pid)], capture_output=True, text=True)
    assert session.stdout.strip() == ""


def test_a_command_that_is_killed_leaves_nothing_running(engine, tmp_path: Path) -> None:
    """With `kill -9` it cannot clean up, so its session and the engine have to notice."""
    if engine.kind != "embedded":
        pytest.skip("this engine's processes are not seen from here")
    (tmp_path / "project").mkdir()
    slow = crates.written(tmp_path / "project", "killed")
    (slow / "build.rs").write_text(SLOW)
    command = [PROGRAM, "build", "--platform", "linux/amd64", "--output", "made.tar"]
    with (tmp_path / "log").open("w") as log:
        building = subprocess.Popen(command, cwd=slow, stderr=log, stdout=log, start_new_session=True)
    wait_for(sleepers, SECONDS)
    building.kill()
    building.wait()
    wait_for(lambda: not sleepers(), 60)
    ps = ["ps", "-o", "pid=", "-s", str(building.pid)]
    wait_for(lambda: not subprocess.run(ps, capture_output=True, text=True).stdout.strip(), 30)
    assert {path.name for path in slow.iterdir()} == {"Cargo.toml", "Cargo.lock", "build.rs", "src"}
    (slow / "build.rs").write_text("fn main() {}\n")
    done = subprocess.run(command, cwd=slow, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (slow / "made.tar").stat().st_size > 0


@pytest.mark.parametrize("phase", PHASES)
def test_a_command_that_is_killed_in_any_phase_leaves_nothing_behind(
    engine, tmp_path: Path, phase: str
) -> None:
    if engine.kind != "embedded":
        pytest.skip("this engine's processes are not seen from here")
    (tmp_path / "project").mkdir()
    project = crates.written(tmp_path / "project", f"killed-while-{phase.split()[0]}")
    main = f'fn main() {{ println!("{time.time_ns()}"); }}\n'
    (project / "src/main.rs").write_text(main)
    before = {path.name for path in project.iterdir()}
    command = [PROGRAM, "build", "--platform", "linux/amd64", "--output", "made.tar"]
    with subprocess.Popen(
        command,
        cwd=project,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as building:
        assert building.stderr
        said = next((line for line in building.stderr if f": {phase}" in line), "")
        building.kill()
    assert said, f"it never said {phase!r}"
    ps = ["ps", "-o", "pid=", "-s", str(building.pid)]
    wait_for(lambda: not subprocess.run(ps, capture_output=True, text=True).stdout.strip(), 60)
    assert {path.name for path in project.iterdir()} == before
    done = subprocess.run(command, cwd=project, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (project / "made.tar").stat().st_size > 0


def on_a_terminal(command: list[object], cwd: Path) -> tuple[str, str]:
    """Return a command's result, and its output on a terminal of 60 columns."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    env = {**os.environ, "TERM": "xterm"}
    words = [str(word) for word in command]
    with subprocess.Popen(words, cwd=cwd, env=env, stdin=its, stderr=its, stdout=subprocess.PIPE) as running:
        os.close(its)
        shown = b""
        with contextlib.suppress(OSError):  # the kernel's error for a terminal that no process has open
            while chunk := os.read(ours, 1 << 16):
                shown += chunk
        assert running.stdout
        answer = running.stdout.read().decode()
    os.close(ours)
    assert running.returncode == 0, shown
    return answer, shown.decode()


def test_on_a_terminal_every_platform_has_a_line_that_stays_in_its_place(project: Path) -> None:
    (project / "src/main.rs").write_text(crates.MAIN + f"// {time.time()}\n")
    answer, shown = on_a_terminal([PROGRAM, "build", "--user", "app"], project)
    assert answer.startswith("PLATFORM") and "TIME" in answer
    frames = [frame.splitlines() for frame in shown.split("\x1b[J")[1:]]
    assert all(len(line) < 60 for frame in frames for line in frame)
    assert any("compiling" in line for frame in frames for line in frame)
    last = [re.split(r"\s{2,}", line) for line in frames[-1]]
    assert [row[:3] for row in last] == [
        [name, "done", "1 of 1 crate"] for name in ("linux/arm64", "linux/amd64")
    ]
    _, again = on_a_terminal([PROGRAM, "build", "--user", "app"], project)
    assert re.search(r"linux/amd64  done  cached  0:\d\d", again)


def test_without_a_terminal_there_are_lines_without_control_characters(project: Path) -> None:
    """This includes other settings of `dagger`'s output in the environment."""
    (project / "src/main.rs").write_text(crates.MAIN + f"// {time.time()}\n")
    build = ("build", "--platform", "linux/amd64", "--user", "app")
    said = run(*build, cwd=project, DAGGER_PROGRESS="dots").stderr
    assert not re.search(r"[\x00-\x08\x0b-\x1f]", said)
    stages = [line.partition("linux/amd64: ")[2] for line in said.splitlines() if "linux/amd64: " in line]
    assert [stage for stage in stages if stage in ("compiling 1 crate", "ready", "normalizing")] == [
        "compiling 1 crate", "ready", "normalizing",
    ]  # fmt: skip
    assert stages[-1] == "done, 1 of 1 crate"
    assert run(*build, "--progress", "quiet", cwd=project).stderr.count("\n") <= 1
    assert "withExec" in run(*build, "--progress", "raw", cwd=project).stderr


def test_a_members_directory_means_its_workspace(engine, tmp_path: Path) -> None:
    lock = crates.LOCK.format(name="one") + crates.LOCK.format(name="two").partition("\n\n")[2]
    (tmp_path / "Cargo.toml").write_text('[workspace]\nmembers = ["one", "two"]\nresolver = "2"\n')
    (tmp_path / "Cargo.lock").write_text(lock)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        crates.written(tmp_path / name, name, main=f'fn main() {{ println!("{name}"); }}')
        (tmp_path / name / "Cargo.lock").unlink()
    own, made = tmp_path / "two", tmp_path / "made"
    run("binary", "--platform", "linux/amd64", "--output", made, cwd=own)
    assert subprocess.run([made / "linux-amd64/two"], capture_output=True, text=True).stdout == "two\n"
    planned = json.loads(run("plan", "--platform", "linux/amd64", "--json", cwd=own).stdout)
    assert origins(planned)["package"] == ("two", "the directory two")


def test_a_compile_error_ends_with_the_compilers_own_words(engine, tmp_path: Path) -> None:
    broken = crates.written(tmp_path, "broken", main='fn main() { let x: u8 = "no"; }')
    done = run("build", "--json", cwd=broken, code=errors.CompileError.exit_code)
    assert "Traceback" not in done.stderr
    assert "error[E0308]: mismatched types" in done.stderr
    error = json.loads(done.stdout)["error"]
    assert error["type"] == "CompileError" and "src/main.rs:1:25" in error["output"]


def test_ignored_files_are_uploaded_with_the_option(engine, tmp_path: Path) -> None:
    """For example a front end built by another tool: git ignores it, and the program includes it."""
    crates.written(tmp_path, "front", main='fn main() { print!("{}", include_str!("../dist/page")); }')
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist/page").write_text("a page")
    (tmp_path / ".gitignore").write_text("/dist\n")
    words = ["smoke", "--platform", "linux/amd64"]
    done = run(*words, cwd=tmp_path, code=errors.CompileError.exit_code)
    assert "not in the source" in done.stderr and "--include-ignored" in done.stderr
    assert "a page" in run(*words, "--include-ignored", cwd=tmp_path).stdout
    assert "a page" in run(*words, cwd=tmp_path, RUST_MULTIARCH_INCLUDE_IGNORED="1").stdout


def test_doctor_on_this_machine(project: Path, tmp_path: Path) -> None:
    results = {row["name"]: row for row in json.loads(run("doctor", "--json", cwd=project).stdout)["checks"]}
    assert [*results][:3] == ["engine", "project", "git"] and [*results][-1] == "settings"
    assert results["engine"]["state"] == results["project"]["state"] == "ok"
    assert results["settings"]["found"] == "Cargo.toml [package.metadata.rust-multiarch]"
    empty = run("doctor", cwd=tmp_path, code=errors.NotReady.exit_code)
    assert f"fail  project     no Cargo.toml in {tmp_path}" in empty.stdout
