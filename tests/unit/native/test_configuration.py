import pytest

from pipeline import cargo_toml
from pipeline.native import configuration
from pipeline.native.natives import Needs

ARM64, AMD64 = "aarch64-unknown-linux-gnu", "x86_64-unknown-linux-gnu"

OF_TARGET = f"""
[build]
rustflags = ["--cfg", "tokio_unstable"]
[target.{AMD64}]
linker = "clang"
rustflags = ["-C", "link-arg=-fuse-ld=mold"]
"""


@pytest.mark.parametrize(
    ("text", "triple", "found"),
    [
        (OF_TARGET, AMD64, "-C link-arg=-fuse-ld=mold"),
        (OF_TARGET, ARM64, "--cfg tokio_unstable"),
        ('[target."cfg(unix)"]\nrustflags = "-C target-cpu=native"', ARM64, "-C target-cpu=native"),
        ('# rustflags = ["-Clink-arg=-fuse-ld=mold"]', ARM64, ""),
        ("not toml", ARM64, ""),
        ("", ARM64, ""),
    ],
)
def test_the_flags_of_a_triple(text: str, triple: str, found: str) -> None:
    assert configuration.flags(cargo_toml.read(text), triple) == found


def added(flag: str, needs: Needs | None = None) -> Needs:
    text = f'[build]\nrustflags = ["-C", "{flag}"]'
    return configuration.added(needs or Needs(), cargo_toml.read(text), ARM64, "linux/arm64")


@pytest.mark.parametrize(
    ("flag", "host"),
    [
        ("link-arg=-fuse-ld=mold", ("git", "mold")),
        ("link-arg=-fuse-ld=lld", ("git", "lld")),
        ("link-arg=-fuse-ld=gold", ("git",)),
        ("opt-level=3", ("git",)),
    ],
)
def test_a_linker_is_installed(flag: str, host: tuple[str, ...]) -> None:
    assert added(flag, Needs(host=("git",))).host == host


def test_a_linker_is_found_by_the_compiler_of_the_target() -> None:
    assert added("link-arg=-fuse-ld=mold").linkers == ("ld.mold",)
    assert added("link-arg=-fuse-ld=gold").linkers == ()


def test_a_reason_names_the_file() -> None:
    found = added("link-arg=-fuse-ld=mold")
    assert [str(reason) for reason in found.reasons] == [
        ".cargo/config.toml: mold on the build platform (links with mold)"
    ]
    assert (found.warnings, found.problems) == ((), ())


def test_a_linkers_path_is_a_problem_with_a_fix() -> None:
    (problem,) = added("link-arg=-fuse-ld=/usr/bin/mold").problems
    assert str(problem).startswith(".cargo/config.toml for linux/arm64: it links as clang does")
    assert problem.place == ".cargo/config.toml"
    assert "-fuse-ld=mold" in problem.fix


def test_the_processor_of_the_builder_is_a_warning() -> None:
    assert added("target-cpu=native").warnings[0].startswith(".cargo/config.toml: target-cpu=native")


def test_every_row_says_why() -> None:
    for row in configuration.FLAGS:
        assert row.why
        assert bool(row.impossible) == bool(row.advice)
