import pytest

from pipeline import cargo_toml
from pipeline.native import configuration
from pipeline.native.configuration import Compiler
from pipeline.native.natives import Needs

OF_LINUX = Compiler(cfgs=frozenset({"unix", 'target_os="linux"'}))
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
    assert configuration.flags([cargo_toml.read(text)], triple, OF_LINUX).text == found


def added(flag: str, needs: Needs | None = None) -> Needs:
    text = f'[build]\nrustflags = ["-C", "{flag}"]'
    return configuration.added(needs or Needs(), [cargo_toml.read(text)], ARM64, "linux/arm64")


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


LINKER = "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER"


@pytest.mark.parametrize(
    ("text", "unused"),
    [
        ('[build]\nrustc-workspace-wrapper = "lint-driver"', "RUSTC_WORKSPACE_WRAPPER=lint-driver"),
        ('[build]\nrustc-wrapper = "/opt/wrap"', "RUSTC_WRAPPER=/opt/wrap"),
        ('[build]\nrustc-wrapper = "tools/wrap.sh"', ""),
        ('[build]\nrustc = "/opt/rustc"', ""),
        ('[build]\nrustc-wrapper = "sccache"', ""),
        ('[build]\nrustc-wrapper = "/usr/local/bin/sccache"', ""),
        ('[target.aarch64-unknown-linux-gnu]\nlinker = "tools/ld.sh"', f"{LINKER}=tools/ld.sh"),
        ('[target."cfg(unix)"]\nlinker = "tools/ld.sh"', f"{LINKER}=tools/ld.sh"),
        ('[target]\naarch64-unknown-linux-gnu = "tools/ld.sh"', ""),
        ('[target.x86_64-unknown-linux-gnu]\nlinker = "tools/ld.sh"', ""),
        ('[target.aarch64-unknown-linux-gnu]\nlinker = "aarch64-linux-gnu-gcc"', ""),
        ('[target.aarch64-unknown-linux-gnu]\nlinker = "/usr/bin/clang"', ""),
    ],
)
def test_programs_of_the_project_that_are_not_run(text: str, unused: str) -> None:
    document = cargo_toml.read(text)
    found = configuration.added(Needs(), [document], ARM64, "linux/arm64", OF_LINUX).warnings
    assert [warning.split()[-1] for warning in found] == ([unused] if unused else [])
    passed = {unused.partition("=")[0]: "other"}
    assert configuration.unused([document], ARM64, OF_LINUX, passed) == []


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        (['[build]\nrustc-wrapper = "tools/wrap.sh"'], {"RUSTC_WRAPPER": "tools/wrap.sh"}),
        (['[build]\nrustc-wrapper = "a/b"', '[build]\nrustc-wrapper = "sccache"'], {}),
        (['[build]\nrustc-wrapper = "a/b"', '[build]\nrustc-wrapper = ""'], {}),
        (["[build]\nrustc-wrapper = 1", "build = 2"], {}),
        (['[build]\nrustc = "tools/rustc.sh"'], {"RUSTC": "tools/rustc.sh"}),
        (
            ['[build]\nrustc-wrapper = "a/b"\nrustc-workspace-wrapper = "w"'],
            {"RUSTC_WRAPPER": "a/b", "RUSTC_WORKSPACE_WRAPPER": "w"},
        ),
    ],
)
def test_programs_that_compile(texts: list[str], found: dict[str, str]) -> None:
    assert configuration.programs(list(map(cargo_toml.read, texts))) == found


def test_every_row_says_why() -> None:
    for row in configuration.FLAGS:
        assert row.why
        assert bool(row.impossible) == bool(row.advice)


@pytest.mark.parametrize(
    ("texts", "environment", "found", "place"),
    [
        ([OF_TARGET], {"RUSTFLAGS": "-C  debuginfo=1"}, "-C debuginfo=1", "--build-arg RUSTFLAGS"),
        (
            [OF_TARGET],
            {"RUSTFLAGS": "-A", "CARGO_ENCODED_RUSTFLAGS": "-C\x1flink-arg=a b"},
            "-C link-arg=a b",
            "--build-arg CARGO_ENCODED_RUSTFLAGS",
        ),
        ([OF_TARGET], {"CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUSTFLAGS": "-B"}, "-B", configuration.PLACE),
        ([], {"CARGO_BUILD_RUSTFLAGS": "-D"}, "-D", configuration.PLACE),
        (['build.rustflags = ["-a"]', 'build.rustflags = "-b"'], {}, "-a -b", configuration.PLACE),
        (["[target.'cfg(windows)']\nrustflags = ['-w']"], {}, "", configuration.PLACE),
        (["[target.'cfg(target_os = \"linux\")']\nrustflags = ['-l']"], {}, "-l", configuration.PLACE),
        (["build.rustflags = [1, '-a', ['x']]", "build.rustflags = false"], {}, "-a", configuration.PLACE),
    ],
)
def test_which_flags_count(texts: list[str], environment: dict[str, str], found: str, place: str) -> None:
    given = configuration.flags(list(map(cargo_toml.read, texts)), ARM64, OF_LINUX, environment)
    assert (given.text, given.place) == (found, place)


OF_ARM64 = Compiler(
    cpus=configuration._names(
        "Available CPUs for this target:\n    cortex-a72\n    generic - This is the default.\n"
    ),
    features=configuration._names(
        "Features supported by rustc:\n    neon   - Enable NEON.\n    crt-static  - x.\n"
    ),
)


@pytest.mark.parametrize(
    ("flag", "names"),
    [
        ("target-cpu=x86-64-v3", ["target-cpu=x86-64-v3"]),
        ("target-cpu=native", ["target-cpu=native"]),
        ("target-cpu=cortex-a72", []),
        ("target-feature=+avx2,-sse3,+neon", ["target-feature=avx2", "target-feature=sse3"]),
        ("target-feature=+crt-static", []),
    ],
)
def test_a_processor_of_another_architecture_is_refused(flag: str, names: list[str]) -> None:
    """rustc passes the name to LLVM, which ignores it with a warning and makes another program."""
    text = f'[build]\nrustflags = ["-C", "{flag}"]'
    found = configuration.added(Needs(), [cargo_toml.read(text)], ARM64, "linux/arm64", OF_ARM64)
    assert [problem.what.split(" is ")[0] for problem in found.problems] == names
    for problem in found.problems:
        assert problem.platform == "linux/arm64" and "[target.<triple>]" in problem.fix
    assert configuration.added(Needs(), [cargo_toml.read(text)], ARM64, "linux/arm64").problems == (), (
        "nothing is known"
    )
