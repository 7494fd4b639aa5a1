"""Compiled state: what an archive of it saves, and that it can never decide what ships."""

import crates
import dagger
import pytest
from dagger import dag

from pipeline import RustMultiarch, errors

pytestmark = pytest.mark.anyio

# A build script that counts its runs in the target directory: state that is there is state that was used.
COUNTING = """
use std::{env, fs, path::PathBuf};
fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=src/lib.rs");
    let target = PathBuf::from(env::var("CARGO_TARGET_DIR").unwrap());
    let file = target.join("runs");
    let runs = fs::read_to_string(&file).ok().and_then(|t| t.parse::<u32>().ok()).unwrap_or(0) + 1;
    fs::write(&file, runs.to_string()).unwrap();
    println!("cargo:rustc-env=RUNS={runs}");
}
"""
MAIN = 'fn main() { println!("run %s, {}", env!("RUNS")); }\n'
CLOCK = """
use std::time::{SystemTime, UNIX_EPOCH};
fn main() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    println!("cargo:rustc-env=NOW={now}");
}
"""


def project(word: str) -> dagger.Directory:
    made = crates.hello("counted", main=MAIN % word, extra="")
    return made.with_new_file("build.rs", COUNTING).with_new_file("src/lib.rs", "")


async def says(module: RustMultiarch) -> str:
    (variant,) = (await module.build()).variants
    return await variant.container.with_exec([], use_entrypoint=True).stdout()


async def test_a_build_starts_from_an_archive_and_ships_what_the_sources_say(session, tmp_path) -> None:
    first = RustMultiarch(source=project("one"), platforms=["linux/amd64"])
    archive = await first.export_cache()
    await archive.export(str(tmp_path / "state.tar.zst"))
    kept = dag.host().file(str(tmp_path / "state.tar.zst"))
    # Another profile has another directory: here it stands for a runner that has nothing.
    second = RustMultiarch(source=project("two"), platforms=["linux/amd64"]).with_cache(kept)
    second.rust_version = "1.96.0" if await says(first) == "run one, 1\n" else ""
    assert second.rust_version, "the first build was not the first of its kind"


async def test_a_project_without_a_clock_is_reproducible(session) -> None:
    module = RustMultiarch(source=crates.hello(), platforms=["linux/amd64", "linux/arm64"])
    assert (await module.reproduce()).startswith("reproducible: 6 files are the same")


async def test_a_clock_in_a_build_script_is_found_and_its_binary_named(session) -> None:
    main = 'fn main() { println!("{}", env!("NOW")); }\n'
    source = crates.hello("clock", main=main, extra="").with_new_file("build.rs", CLOCK)
    with pytest.raises(errors.NotReproducible, match="x86_64-unknown-linux-gnu/clock"):
        await RustMultiarch(source=source, platforms=["linux/amd64"]).reproduce()
