"""Test compiled state: an archive saves time and never changes the result."""

import dataclasses
import secrets

import crates
import dagger
import pytest
from dagger import dag

from pipeline import RustMultiarch, errors
from pipeline.build import compile as build
from pipeline.build.plan import Plan
from pipeline.releases import DEFAULT

pytestmark = pytest.mark.anyio

# A build script that counts its runs in the target directory shows whether state was used.
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


def project(word: str, library: str) -> dagger.Directory:
    made = crates.hello("counted", main=MAIN % word, extra="")
    return made.with_new_file("build.rs", COUNTING).with_new_file("src/lib.rs", library)


async def planned(module: RustMultiarch) -> Plan:
    return (await module.compiled())[0]


async def elsewhere(plan: Plan, state: dagger.File | None) -> str:
    """Build on a runner that has only an archive; return the program's output."""
    request = dataclasses.replace(plan.request, apart=secrets.token_hex(8), state=state)
    output = await build.compile(dataclasses.replace(plan, request=request))
    program = output.file("x86_64-unknown-linux-gnu/counted")
    shell = dag.container().from_(DEFAULT.base).with_file("/counted", program)
    return await shell.with_exec(["/counted"]).stdout()


async def test_a_build_starts_from_an_archive_and_ships_what_the_sources_say(session) -> None:
    fresh = secrets.token_hex(8)
    for library in (f"// {fresh}", f"// {fresh} again"):
        first = RustMultiarch(source=project("one", library), platforms=["linux/amd64"])
        await first.compiled()
    archive = await first.export_cache()
    changed = await planned(RustMultiarch(source=project("two", library), platforms=["linux/amd64"]))
    runs = int((await elsewhere(changed, archive)).removeprefix("run two, "))
    assert runs >= 2, "the build script had run before, in the build that the archive is of"
    assert await elsewhere(changed, None) == "run two, 1\n"
    assert (await elsewhere(await planned(first), archive)).startswith("run one, ")


async def test_a_platform_more_or_less_compiles_nothing_again(session) -> None:
    """The build script's output of the first build is used in later ones, with any other platforms."""
    main = 'fn main() { println!("{}", env!("NOW")); }\n'
    clock = CLOCK.replace(
        "fn main() {", f'fn main() {{ println!("cargo:rerun-if-changed=build.rs"); // {secrets.token_hex(8)}'
    )
    source = crates.hello("platforms", main=main, extra="").with_new_file("build.rs", clock)

    async def ran(*platforms: str) -> dict[str, str]:
        image = await RustMultiarch(source=source, platforms=list(platforms)).build()
        return {
            variant.platform: await variant.container.with_exec([], use_entrypoint=True).stdout()
            for variant in image.variants
        }

    both = await ran("linux/amd64", "linux/arm64")
    assert await ran("linux/arm64") == {"linux/arm64": both["linux/arm64"]}
    assert await ran("linux/amd64", "linux/arm64") == both


async def test_the_module_hands_an_archive_on(session) -> None:
    module = RustMultiarch(source=crates.hello(), platforms=["linux/amd64"])
    archive = await module.export_cache()
    given = await planned(module.with_cache(archive))
    assert given.request.state is archive
    assert (await planned(module)).request.state is None


async def test_a_project_without_a_clock_is_reproducible(session) -> None:
    module = RustMultiarch(source=crates.hello(), platforms=["linux/amd64", "linux/arm64"])
    said = (await module.reproduce()).split()
    assert said[0] == "reproducible:"
    assert int(said[1]) >= 6, "programs, symbols and package names of both"


async def test_a_clock_in_a_build_script_is_found_and_its_binary_named(session) -> None:
    main = 'fn main() { println!("{}", env!("NOW")); }\n'
    source = crates.hello("clock", main=main, extra="").with_new_file("build.rs", CLOCK)
    with pytest.raises(errors.NotReproducible, match="x86_64-unknown-linux-gnu/clock"):
        await RustMultiarch(source=source, platforms=["linux/amd64"]).reproduce()


async def test_the_state_is_one_volume_for_whoever_looks_at_it(session) -> None:
    """Regression: a benchmark emptied a volume of the same name and another sharing mode."""
    module = RustMultiarch(source=project("one", f"// {secrets.token_hex(8)}"), platforms=["linux/amd64"])
    plan, output = await module.compiled()
    shell = dag.container().from_(DEFAULT.base).with_env_variable("NOW", secrets.token_hex(8))
    program = shell.with_file("/counted", output.file("x86_64-unknown-linux-gnu/counted"))
    runs = await build.with_compiled_state(shell, plan).with_exec(["cat", "/build/target/runs"]).stdout()
    assert await program.with_exec(["/counted"]).stdout() == f"run one, {runs}\n"


LISTING = """
use std::{env, fs, path::Path};
#[proc_macro]
pub fn names(_: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let folder = Path::new(&env::var("CARGO_MANIFEST_DIR").unwrap()).join("migrations");
    let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|f| f.unwrap().file_name()).collect();
    names.sort();
    format!("{:?}", format!("{names:?}")).parse().unwrap()
}
"""


async def test_a_file_that_only_a_macro_looks_for_is_in_the_program(session) -> None:
    """`sqlx::migrate!` and `include_dir!` list a directory that cargo does not track."""
    source = (
        crates.hello("listed", main='fn main() { println!("{}", listing::names!()) }\n', extra="")
        .with_new_file(
            "listing/Cargo.toml", crates.MANIFEST.format(name="listing") + "[lib]\nproc-macro = true\n"
        )
        .with_new_file("listing/src/lib.rs", f"{LISTING}// {secrets.token_hex(8)}\n")
    )
    manifest = await source.file("Cargo.toml").contents()
    lock = await source.file("Cargo.lock").contents()
    source = source.with_new_file(
        "Cargo.toml", f'{manifest}\n[dependencies]\nlisting = {{ path = "listing" }}\n'
    ).with_new_file(
        "Cargo.lock",
        f'{lock.rstrip()}\ndependencies = ["listing"]\n\n[[package]]\nname = "listing"\nversion = "0.1.0"\n',
    )

    async def says(*names: str) -> str:
        """Build the program with these migrations; return its output."""
        given = source
        for name in names:
            given = given.with_new_file(f"migrations/{name}", "")
        image = await RustMultiarch(source=given, platforms=["linux/amd64"]).build()
        return await image.variants[0].container.with_exec([], use_entrypoint=True).stdout()

    assert await says("1.sql") == '["1.sql"]\n'
    assert await says("1.sql", "2.sql") == '["1.sql", "2.sql"]\n'
    assert await says("2.sql") == '["2.sql"]\n'
    assert await says("2.sql", "more.rs") == '["2.sql", "more.rs"]\n'


async def test_a_link_to_another_file_is_another_program(session) -> None:
    main = 'fn main() { print!("{}", include_str!("config")); }'
    both = crates.hello("linked", main=f"{main} // {secrets.token_hex(8)}", extra="")
    for name in ("one", "two"):
        both = both.with_new_file(f"src/{name}", name)
    for name in ("one", "two", "one"):
        source = both.with_symlink(name, "src/config")
        image = await RustMultiarch(source=source, platforms=["linux/amd64"]).build()
        printed = await image.variants[0].container.with_exec([], use_entrypoint=True).stdout()
        assert printed == name
