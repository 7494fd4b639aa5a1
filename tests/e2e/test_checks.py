"""The project's own checks and the smoke run, each passing and failing."""

import crates
import pytest

from pipeline import RustMultiarch, errors

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


async def test_tests_for_a_foreign_platform_run_under_an_emulator(session) -> None:
    module = project()
    printed = await module.test(platforms=["linux/arm64"])
    assert "aarch64-unknown-linux-gnu" in printed
    assert "1 passed" in printed


async def test_lint_warns_and_denies(session) -> None:
    source = crates.hello("checked", main="fn main() { let unused = 1; }")
    module = RustMultiarch(source=source)
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
