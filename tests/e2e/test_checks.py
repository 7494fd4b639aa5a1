"""Test the project's checks and the smoke test, passing and failing."""

import crates
import pytest
from dagger import dag

from pipeline import RustMultiarch, errors, releases
from pipeline.toolchain import builder as toolchain

pytestmark = pytest.mark.anyio

TESTED = """
pub fn word_bits() -> usize {{ usize::BITS as usize }}
#[test]
fn knows_its_architecture() {{
    println!("tested on {{}}", std::env::consts::ARCH);
    assert_eq!(word_bits(), {bits});
}}
fn main() {{ println!("{{}}", word_bits()); }}
"""


def project(bits: int = 64, **platforms) -> RustMultiarch:
    return RustMultiarch(source=crates.hello("checked", main=TESTED.format(bits=bits)), **platforms)


async def test_tests_pass_and_fail(session) -> None:
    assert "1 passed" in await project().test()
    with pytest.raises(errors.ChecksFailed) as raised:
        await project(bits=8).test()
    assert "knows_its_architecture" in raised.value.output


async def test_checks_need_no_binary(session) -> None:
    """A workspace of several programs and a single library are checked like cargo does."""
    several = RustMultiarch(source=crates.workspace())
    printed = await several.test()
    for name in ("src/main.rs", "src/bin/import.rs", "src/bin/export.rs"):
        assert name in printed
    with pytest.raises(errors.ChecksFailed, match="not formatted"):
        await several.fmt()
    library = (
        crates.hello("checked")
        .without_file("src/main.rs")
        .with_new_file("src/lib.rs", TESTED.split("fn main")[0].format(bits=64))
    )
    assert "1 passed" in await RustMultiarch(source=library).test()
    with pytest.raises(errors.NoBinary):
        await RustMultiarch(source=library).build()


async def test_tests_for_a_foreign_platform_run_under_an_emulator(session) -> None:
    module = project()
    printed = await module.test(platforms=["linux/arm64"])
    assert "aarch64-unknown-linux-gnu" in printed
    assert "1 passed" in printed


async def test_lint_warns_and_denies(session) -> None:
    """This includes a project configured for a target without a standard library in the builder."""
    source = crates.hello("checked", main="fn main() { let unused = 1; }")
    source = source.with_new_file(".cargo/config.toml", '[build]\ntarget = "x86_64-unknown-linux-musl"\n')
    module = RustMultiarch(source=source)
    assert "running" in await module.test()
    assert "unused variable" in await module.lint()
    with pytest.raises(errors.ChecksFailed, match="clippy"):
        await module.lint(deny_warnings=True)


async def test_formatting_is_checked_and_not_changed(session) -> None:
    good = RustMultiarch(source=crates.hello("checked", main="fn main() {}\n"))
    assert "Diff" not in await good.fmt()
    with pytest.raises(errors.ChecksFailed) as raised:
        await RustMultiarch(source=crates.hello("checked", main="fn  main( ){}")).fmt()
    assert "Diff in" in raised.value.output


async def test_smoke_starts_every_variant_with_the_arguments(session) -> None:
    image = await RustMultiarch(source=crates.hello()).build()
    printed = await image.smoke(["--flag"])
    assert "linux/amd64: ok" in printed and "linux/arm64: ok" in printed
    assert "arch=x86_64" in printed and "arch=aarch64" in printed
    assert printed.count("arguments=--flag") == 2


async def test_smoke_fails_with_what_the_variant_printed(session) -> None:
    source = crates.hello(main='fn main() { eprintln!("no luck"); std::process::exit(3) }')
    image = await RustMultiarch(source=source, platforms=["linux/amd64"]).build()
    with pytest.raises(errors.SmokeFailed, match="linux/amd64") as raised:
        await image.smoke()
    assert "no luck" in raised.value.output
    assert "exit code 3" in raised.value.output


async def test_a_builder_that_cannot_be_prepared_is_not_a_failed_check(session) -> None:
    rustup = "#!/bin/sh\necho no network today >&2\nexit 1\n"
    builder = dag.container().from_(toolchain.rust_image(releases.RUST, releases.DEFAULT))
    builder = builder.with_new_file("/usr/local/cargo/bin/rustup", rustup, permissions=0o755)
    module = project().with_builder(builder)
    with pytest.raises(errors.RustMultiarchError, match="cannot be prepared") as raised:
        await module.lint()
    assert "no network today" in raised.value.output and type(raised.value) is errors.RustMultiarchError
