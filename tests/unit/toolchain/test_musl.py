"""Test musl and older glibc versions: the builder's configuration, and invalid combinations."""

import shlex
import subprocess
from dataclasses import replace

import pytest
from test_build import plan

from pipeline import programs
from pipeline.build import compile as build
from pipeline.errors import InvalidArgument, UnsupportedLibc
from pipeline.oci import runtime
from pipeline.releases import DEFAULT, RELEASES
from pipeline.targets import TARGETS, Libc, parse, select
from pipeline.toolchain import builder as toolchain
from pipeline.toolchain import zig

NEWEST = DEFAULT.glibc
ARM64, ARMV7, RISCV64 = parse("linux/arm64"), parse("linux/arm/v7"), parse("linux/riscv64")
EVERY = pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.platform)
ABIS = pytest.mark.parametrize(("libc", "glibc"), [(Libc.GNU, ""), (Libc.MUSL, ""), (Libc.GNU, "2.30")])


def test_debian_gcc_is_used_only_for_debians_glibc() -> None:
    assert toolchain.compilers(ARM64).cc == "aarch64-linux-gnu-gcc"
    assert toolchain.compilers(ARM64, Libc.MUSL).cc == "/opt/rust-multiarch/aarch64-linux-musl/cc"
    assert toolchain.compilers(ARM64, glibc="2.17").cc == "/opt/rust-multiarch/aarch64-linux-gnu.2.17/cc"


@EVERY
@ABIS
def test_every_toolchain_is_configured_for_every_tool(target, libc, glibc) -> None:
    chosen = toolchain.compilers(target, libc, glibc)
    env = toolchain.environment(target, libc, glibc)
    low = target.triple(libc).replace("-", "_")
    assert env[f"CARGO_TARGET_{low.upper()}_LINKER"] == env[f"CC_{low}"] == chosen.cc
    assert env[f"CXX_{low}"] == chosen.cxx
    assert all(low in name or low.upper() in name for name in env)
    assert len(env) == len(toolchain.environment(target)), "every toolchain sets the same variables"
    cmake = toolchain.cmake_toolchain(target, libc, glibc)
    assert f"set(CMAKE_C_COMPILER {chosen.cc})" in cmake
    assert f"set(CMAKE_CXX_COMPILER {chosen.cxx})" in cmake


@EVERY
@ABIS
def test_packages_include_the_targets_binutils(target, libc, glibc) -> None:
    name = target.tools.replace("_", "-")
    packages = toolchain.cross_packages([target], libc, glibc)
    assert {f"gcc-{name}", f"binutils-{name}"} & set(packages)
    assert ("pkgconf" in packages) and len(set(packages)) == len(packages)


@pytest.mark.parametrize(
    ("platform", "musl", "older"),
    [
        ("linux/amd64", "x86_64-linux-musl", "x86_64-linux-gnu.2.17"),
        ("linux/arm64", "aarch64-linux-musl", "aarch64-linux-gnu.2.17"),
        ("linux/arm/v7", "arm-linux-musleabihf", "arm-linux-gnueabihf.2.17"),
        ("linux/386", "x86-linux-musl", "x86-linux-gnu.2.17"),
        ("linux/ppc64le", "powerpc64le-linux-musl", "powerpc64le-linux-gnu.2.17"),
        ("linux/s390x", "s390x-linux-musl", "s390x-linux-gnu.2.17"),
        ("linux/riscv64", "riscv64-linux-musl", "riscv64-linux-gnu.2.17"),
    ],
)
def test_zig_target_names(platform: str, musl: str, older: str) -> None:
    assert zig.name(parse(platform), Libc.MUSL) == musl
    assert zig.name(parse(platform), Libc.GNU, "2.17") == older


@EVERY
def test_compiler_scripts_pass_their_arguments(target, tmp_path) -> None:
    installed = zig.compilers(target, Libc.MUSL)
    assert [path.rpartition("/")[2] for path in installed.scripts] == ["cc", "c++"]
    for path, command in zip(installed.scripts, ("cc", "c++"), strict=True):
        script = tmp_path / path.rpartition("/")[2]
        script.write_text(installed.scripts[path])
        words = installed.files[f"{path}.command"]
        (tmp_path / f"{script.name}.command").write_text(
            words.replace("/opt/zig/bin/cargo-zigbuild", "printf\n%s\\n")
        )
        done = subprocess.run(
            ["sh", script, "a b", "-static-pie", ""], capture_output=True, text=True, check=True
        )
        words = done.stdout.splitlines()
        assert words[:3] == ["zig", command, "--"]
        assert words[-5:] == ["-target", zig.name(target, Libc.MUSL), "a b", "-pie", ""]


def test_zig_compiles_for_rustcs_baseline_processor() -> None:
    words = zig.compilers(ARMV7, Libc.MUSL).files["/opt/rust-multiarch/arm-linux-musleabihf/cc.command"]
    assert "-mcpu=generic+v7a+vfp3-d32+thumb2-neon" in words.splitlines()
    assert "-mcpu" not in str(zig.compilers(ARM64, Libc.MUSL).files)


@pytest.mark.parametrize(("libc", "glibc"), [(Libc.MUSL, ""), (Libc.GNU, "2.17")])
def test_debian_libraries_are_hidden_from_incompatible_targets(libc, glibc) -> None:
    env = toolchain.environment(ARM64, libc, glibc)
    low = ARM64.triple(libc).replace("-", "_")
    assert "/usr/" not in env[f"PKG_CONFIG_LIBDIR_{low}"]
    assert "/usr/" not in env[f"BINDGEN_EXTRA_CLANG_ARGS_{low}"]


def test_bindgen_uses_the_headers_of_the_libc() -> None:
    musl = shlex.split(zig.compilers(ARM64, Libc.MUSL).bindgen)
    assert "/opt/zig/ziglang/lib/libc/include/aarch64-linux-musl" in musl
    older = shlex.split(zig.compilers(ARM64, Libc.GNU, "2.17").bindgen)
    assert "/opt/zig/ziglang/lib/libc/include/generic-glibc" in older
    assert "-D__GLIBC_MINOR__=17" in older


def arguments(tmp_path, triples: list[str], *words: str) -> list[str]:
    """Return the arguments for the real rustc."""
    real = tmp_path / "bin/rustc"
    real.parent.mkdir(exist_ok=True)
    real.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    real.chmod(0o755)
    path = tmp_path / "rustc"
    path.write_text(programs.text("toolchain/rustc.sh"))
    (tmp_path / "rustc.triples").write_text(zig.lines(triples))
    env = {"PATH": f"{real.parent}:/usr/bin:/bin"}
    done = subprocess.run(["sh", path, *words], env=env, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_rustc_links_musl_statically_on_every_platform(tmp_path) -> None:
    triples = zig.not_static(select(["linux/amd64,linux/riscv64,linux/s390x"]))
    target = ("--crate-name", "a b", "--target", "riscv64gc-unknown-linux-musl", "-O")
    assert arguments(tmp_path, triples, *target) == [*target, "-C", "target-feature=+crt-static"]
    for other in (("-vV",), ("--crate-name", "x"), ("--target", "x86_64-unknown-linux-musl")):
        assert arguments(tmp_path, triples, *other) == [*other]


def test_rustc_flags_are_unchanged_if_it_links_statically() -> None:
    assert zig.not_static(select(["linux/amd64,linux/arm64,linux/arm/v7,linux/386,linux/ppc64le"])) == []


@EVERY
def test_targets_with_a_standard_library_are_accepted(target) -> None:
    zig.check([target], Libc.GNU, "2.36", (2, 36))
    if target.platform != "linux/s390x":
        zig.check([target], Libc.MUSL, "", NEWEST)


@pytest.mark.parametrize(
    ("platform", "libc", "glibc", "named"),
    [
        ("linux/s390x", Libc.MUSL, "", "linux/s390x"),
        ("linux/amd64", Libc.MUSL, "2.17", "2.17"),
        ("linux/amd64", Libc.GNU, "2.16", "2.17 to 2.41"),
        ("linux/amd64", Libc.GNU, "2.42", "2.17 to 2.41"),
        ("linux/riscv64", Libc.GNU, "2.17", "2.29 to 2.41"),
    ],
)
def test_unsupported_libc_combinations_are_refused(platform: str, libc: Libc, glibc: str, named: str) -> None:
    with pytest.raises(UnsupportedLibc) as raised:
        zig.check(select(["linux/arm64", platform]), libc, glibc, NEWEST)
    assert named in str(raised.value)
    assert raised.value.fix
    assert raised.value.exit_code == 14


def test_a_glibc_newer_than_the_builders_is_refused() -> None:
    with pytest.raises(UnsupportedLibc, match=r"2\.37") as raised:
        zig.check([ARM64], Libc.GNU, "2.37", RELEASES["bookworm"].glibc)
    assert raised.value.fix == "choose from 2.17 to 2.36"


@pytest.mark.parametrize("glibc", ["2", "2.x", "2.17.1", " 2.17", "two"])
def test_an_invalid_glibc_version_is_refused(glibc: str) -> None:
    with pytest.raises(InvalidArgument, match="glibc"):
        zig.check([ARM64], Libc.GNU, glibc, NEWEST)


def test_zig_wheels_are_pinned_by_hash_for_both_build_platforms() -> None:
    for wheel in zig.WHEELS:
        assert "==" in wheel.requirement and wheel.requirement.count("--hash=sha256:") == 2


def test_the_runtime_follows_the_libc() -> None:
    found = {libc: runtime.default_base(libc, RELEASES["bookworm"]) for libc in Libc}
    assert found == {Libc.GNU: "debian:bookworm-slim", Libc.MUSL: runtime.SCRATCH}


def test_compiled_state_is_separate_per_glibc_and_release() -> None:
    older = replace(plan(), request=replace(plan().request, glibc="2.17"))
    bookworm = replace(plan(), request=replace(plan().request, debian=RELEASES["bookworm"]))
    assert len({build.cache_key(one) for one in (plan(), older, bookworm, plan(libc=Libc.MUSL))}) == 4
