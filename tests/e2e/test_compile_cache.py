"""Test the cache of compiled dependencies: projects share it, and it never changes what is built."""

import dataclasses
import re
import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
from pipeline.build import compile_cache
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


def project(name: str) -> dagger.Directory:
    """Return a project with the dependencies, with a name and a program of its own."""
    return crates.directory(
        {
            "Cargo.toml": crates.MANIFEST.format(name=name) + DEPENDENCIES,
            "Cargo.lock": LOCK.replace('name = "shared"', f'name = "{name}"'),
            "src/main.rs": MAIN.format(name=name, word=secrets.token_hex(4)),
        }
    )


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
def redis(engine: choice.Choice, tmp_path: Path) -> Iterator[str]:
    """Run Debian's Redis with a password; yield its address for containers."""
    if engine.kind != "embedded":
        pytest.skip("this engine does not reach this machine")
    if not shutil.which("redis-server"):
        prerequisites.install_packages(["redis-server"], to_stderr)
    with socket.socket(type=socket.SOCK_DGRAM) as route, socket.socket() as listening:
        route.connect(("192.0.2.1", 9))
        listening.bind(("0.0.0.0", 0))
        host, port = route.getsockname()[0], listening.getsockname()[1]
    command = ["redis-server", "--bind", "0.0.0.0", "--port", str(port), "--requirepass", "s3cret"]
    with subprocess.Popen(
        [*command, "--save", "", "--dir", str(tmp_path)], stdout=subprocess.DEVNULL
    ) as server:
        yield f"redis://{host}:{port}"
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
