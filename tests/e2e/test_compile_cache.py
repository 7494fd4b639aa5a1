"""Test the cache of compiled dependencies: projects share it, and it never changes what is built."""

import dataclasses
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import actions_cache
import crates
import dagger
import pytest
from dagger import dag
from test_poisoned import MARK
from test_poisoned import project as with_script

from engine import choice, prerequisites
from engine.log import to_stderr
from pipeline import RustMultiarch
from pipeline.build import compile as build
from pipeline.build import compile_cache, entries_directory
from pipeline.cli.compiled_directory import CompiledDirectory
from pipeline.errors import InvalidArgument
from pipeline.releases import DEFAULT

pytestmark = pytest.mark.anyio

LOCK = (Path(__file__).parents[1] / "data/shared/Cargo.lock").read_text()
DEPENDENCIES = """
[dependencies]
anyhow = "1"
serde = { version = "1", features = ["derive"] }
serde_json = "1"
"""
MAIN = """
#[derive(serde::Serialize)]
struct Said {{ by: &'static str }}
fn main() -> anyhow::Result<()> {{
    println!("{{}}", serde_json::to_string(&Said {{ by: "{name} {word}" }})?);
    Ok(())
}}
"""
SAID = re.compile(r"compile cache: (\d+) of (\d+) dependencies were compiled before")


def files(name: str) -> dict[str, str]:
    """Return the files of a project with the dependencies, with a name and a program of its own."""
    return {
        "Cargo.toml": crates.MANIFEST.format(name=name) + DEPENDENCIES,
        "Cargo.lock": LOCK.replace('name = "shared"', f'name = "{name}"'),
        "src/main.rs": MAIN.format(name=name, word=secrets.token_hex(4)),
    }


def project(name: str) -> dagger.Directory:
    """Return the project in the engine."""
    return crates.directory(files(name))


def on_disk(folder: Path, name: str) -> Path:
    """Write the project to a new repository."""
    for path, text in files(name).items():
        (folder / name / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / name / path).write_text(text)
    git = ["git", "-c", "user.name=me", "-c", "user.email=me@example.com"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *words], cwd=folder / name, check=True)
    return folder / name


def module(name: str, **settings: Any) -> RustMultiarch:
    return RustMultiarch(source=project(name), platforms=["linux/amd64"], **settings)


def uncommon() -> list[str]:
    """Return build arguments with which nothing was compiled before."""
    return [f"RUSTFLAGS=--cfg=once_{secrets.token_hex(8)}"]


def had(capsys: pytest.CaptureFixture[str]) -> list[tuple[int, int]]:
    """Return what the last builds said: the dependencies that the cache had, and all."""
    return [(int(hits), int(every)) for hits, every in SAID.findall(capsys.readouterr().err)]


async def test_two_projects_share_their_dependencies(session, capsys) -> None:
    # New names, since a project that an earlier run compiled has its macros in its own state.
    once, run = uncommon(), secrets.token_hex(4)
    for name in (f"first-{run}", f"second-{run}"):
        made = module(name, build_args=once)
        program = await made.binary("linux/amd64", name)
        shell = dag.container().from_(DEFAULT.base).with_file("/program", program)
        assert f'{{"by":"{name} ' in await shell.with_exec(["/program"]).stdout()
    (before, every), (hits, asked) = had(capsys)
    assert every - before >= 7, "the flags are those of the target: macros and build scripts have none"
    assert hits == asked == every


async def test_an_image_is_the_same_with_and_without_it(session, capsys) -> None:
    once, name = uncommon(), f"same-{secrets.token_hex(4)}"
    source = project(name)
    digests = []
    # Each origin of the project has its own compiled state.
    for state, setting in (("a", "off"), ("b", "engine"), ("c", "engine")):
        made = RustMultiarch(
            source=source, platforms=["linux/amd64", "linux/arm64"], build_args=once, compile_cache=setting
        )
        planned = await made._planned()
        request = dataclasses.replace(planned.request, origin=state)
        output = await build.compile(dataclasses.replace(planned, request=request))
        digests.append(await output.without_directory("crates").digest())
    assert digests[0] == digests[1] == digests[2]
    (before, every), (hits, asked) = had(capsys)
    assert every - before >= 14 and hits == asked == every


async def test_reproduce_compiles_everything(session, capsys) -> None:
    assert (await module("again").reproduce()).startswith("reproducible: ")
    assert had(capsys) == []


async def test_an_untrusted_build_reaches_no_trusted_one(session) -> None:
    """A build script of a stranger writes into the cache; see test_poisoned.py for other directories."""
    name = f"cached-{secrets.token_hex(4)}"
    script = MARK.replace("NAME", name).replace(
        '"/build/target"', f'"{compile_cache.DIRECTORY}", "/build/target"'
    )

    async def found(untrusted: bool) -> list[str]:
        source = with_script(name, f"{script}// {secrets.token_hex(8)}\n").with_new_file(
            "src/main.rs", f'fn main() {{ println!("{{}}", env!("FOUND")); }} // {secrets.token_hex(8)}\n'
        )
        made = RustMultiarch(source=source, platforms=["linux/amd64"], untrusted=untrusted)
        shell = dag.container().from_(DEFAULT.base)
        program = await made.binary("linux/amd64", name)
        return (await shell.with_file("/program", program).with_exec(["/program"]).stdout()).split()

    assert compile_cache.DIRECTORY not in await found(untrusted=True)
    assert compile_cache.DIRECTORY in await found(untrusted=True), "the attack works"
    assert compile_cache.DIRECTORY not in await found(untrusted=False)


@pytest.fixture
def machine(engine: choice.Choice) -> str:
    """Return the address of this machine for containers."""
    if engine.kind != "embedded":
        pytest.skip("this engine does not reach this machine")
    with socket.socket(type=socket.SOCK_DGRAM) as route:
        route.connect(("192.0.2.1", 9))
        return str(route.getsockname()[0])


@pytest.fixture
def redis(machine: str, tmp_path: Path) -> Iterator[str]:
    """Run Debian's Redis with a password; yield its address for containers."""
    if not shutil.which("redis-server"):
        prerequisites.install_packages(["redis-server"], to_stderr)
    with socket.socket() as listening:
        listening.bind(("0.0.0.0", 0))
        port = listening.getsockname()[1]
    command = ["redis-server", "--bind", "0.0.0.0", "--port", str(port), "--requirepass", "s3cret"]
    with subprocess.Popen(
        [*command, "--save", "", "--dir", str(tmp_path)], stdout=subprocess.DEVNULL
    ) as server:
        yield f"redis://{machine}:{port}"
        server.terminate()


@pytest.mark.stores
async def test_engines_share_a_store(session, capsys, monkeypatch, redis: str) -> None:
    """The second engine is this one with another volume."""
    once, password, run = uncommon(), dag.set_secret("redis", "s3cret"), secrets.token_hex(4)
    for number, name in enumerate((f"first-{run}", f"second-{run}")):
        monkeypatch.setattr(compile_cache, "volume", lambda _, n=number: f"test-{once[0][-16:]}-{n}")
        made = module(name, build_args=once, compile_cache=redis)
        await made.with_compile_cache_secret("password", password).compiled()
    printed = capsys.readouterr().err
    (before, every), (hits, asked) = [(int(a), int(b)) for a, b in SAID.findall(printed)]
    assert every - before >= 7 and hits == asked == every
    assert "warning" not in printed


@pytest.mark.stores
async def test_a_wrong_password_is_a_warning(session, capsys, redis: str) -> None:
    made = module("first", build_args=uncommon(), compile_cache=redis)
    await made.with_compile_cache_secret("password", dag.set_secret("other", "wrong")).compiled()
    assert f"warning: the compile cache at {redis} is not used: " in capsys.readouterr().err


def runner(monkeypatch: pytest.MonkeyPatch, number: int, once: list[str]) -> None:
    """Go on with another engine: this one with another volume."""
    monkeypatch.setattr(compile_cache, "volume", lambda _: f"test-{once[0][-16:]}-{number}")


async def test_runners_share_the_cache_of_github_actions(session, capsys, monkeypatch, machine: str) -> None:
    once, run = uncommon(), secrets.token_hex(4)
    with actions_cache.served(machine, bind="0.0.0.0") as service:
        given = {"url": service.address, "token": actions_cache.TOKEN}
        for number, name in enumerate((f"first-{run}", f"second-{run}")):
            runner(monkeypatch, number, once)
            made = module(name, build_args=once, compile_cache="gha")
            for credential, value in given.items():
                secret = dag.set_secret(f"gha-{run}-{credential}", value)
                made = made.with_compile_cache_secret(credential, secret)
            await made.compiled()
        assert len(service.finished()) >= 7
    printed = capsys.readouterr().err
    (before, every), (hits, asked) = [(int(a), int(b)) for a, b in SAID.findall(printed)]
    assert every - before >= 7 and hits == asked == every
    assert "warning" not in printed


async def test_a_function_without_the_token_of_github_actions(session) -> None:
    with pytest.raises(InvalidArgument, match="ACTIONS_RESULTS_URL and ACTIONS_RUNTIME_TOKEN"):
        await module("first", compile_cache="gha").compiled()


async def test_a_function_has_no_directory(session) -> None:
    with pytest.raises(InvalidArgument, match="a directory of a machine"):
        await module("first", compile_cache="./kept").compiled()


async def test_runners_share_a_directory(session, capsys, monkeypatch, tmp_path: Path) -> None:
    once, run = uncommon(), secrets.token_hex(4)
    sizes = []
    for number, name in enumerate((f"first-{run}", f"second-{run}")):
        runner(monkeypatch, number, once)
        made = module(name, build_args=once, compile_cache="./kept")
        with entries_directory.using(CompiledDirectory(tmp_path / "kept")):
            await made.compiled()
        sizes.append(len(list((tmp_path / "kept").glob("?/?/*"))))
    printed = capsys.readouterr().err
    (before, every), (hits, asked) = [(int(a), int(b)) for a, b in SAID.findall(printed)]
    assert every - before >= 7 and hits == asked == every
    assert sizes[0] == sizes[1] >= every and "warning" not in printed


PROGRAM = Path(sys.executable).parent / "rust-multiarch"


def command(source: Path, *words: str, **environment: str) -> str:
    """Run the command line for a project on disk; return what it prints."""
    done = subprocess.run(
        [str(PROGRAM), *words],
        cwd=source,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_the_command_line_takes_the_runners_token(machine: str, tmp_path: Path) -> None:
    source = on_disk(tmp_path, f"runner-{secrets.token_hex(4)}")
    words = ["build", "--platform", "linux/amd64", "--compile-cache", "gha", "--build-arg", uncommon()[0]]
    with actions_cache.served(machine, bind="0.0.0.0") as service:
        runner = {"ACTIONS_RESULTS_URL": service.address, "ACTIONS_RUNTIME_TOKEN": actions_cache.TOKEN}
        said = command(source, *words, "--progress", "raw", **runner)
        assert len(service.finished()) >= 7 and actions_cache.TOKEN not in said
        # The next job has another token. Nothing has changed, so nothing is compiled or requested.
        service.calls.clear()
        command(source, *words, **{**runner, "ACTIONS_RUNTIME_TOKEN": "another"})
        assert service.calls == []


def test_the_command_line_keeps_a_directory(engine: choice.Choice, tmp_path: Path) -> None:
    source = on_disk(tmp_path, f"kept-{secrets.token_hex(4)}")
    words = ["--platform", "linux/amd64", "--compile-cache", "./kept", "--build-arg", uncommon()[0]]

    def entries(name: str) -> set[Path]:
        return set((source / name).glob("?/?/*"))

    command(source, "build", *words)
    built = entries("kept")
    assert len(built) >= 7 and (source / "kept/.gitignore").read_text() == "*\n"
    command(source, "build", *words)
    assert entries("kept") == built, "nothing has changed, the directory included"
    command(source, "test", *words[2:])
    assert entries("kept") > built, "the dependencies of the tests have another profile"
    words[words.index("./kept")] = "./untrusted"
    command(source, "build", *words, "--untrusted")
    assert entries("untrusted") == set()
