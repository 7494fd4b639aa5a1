import re

import pytest

from pipeline.errors import InvalidArgument
from pipeline.releases import DEFAULT, RELEASES, RUST, Release, base_for, release
from pipeline.targets import TARGETS, Libc, parse, select
from pipeline.toolchain import builder as toolchain
from pipeline.toolchain import sccache, wheels, zig

ARM64, AMD64 = parse("linux/arm64"), parse("linux/amd64")


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.platform)
@pytest.mark.parametrize("libc", Libc)
def test_every_variable_contains_the_triple(target, libc) -> None:
    suffix = target.triple(libc).replace("-", "_")
    for name in toolchain.environment(target, libc):
        assert suffix in name or suffix.upper() in name


def test_environment_of_arm64() -> None:
    env = toolchain.environment(ARM64)
    assert env["CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER"] == "aarch64-linux-gnu-gcc"
    assert env["CC_aarch64_unknown_linux_gnu"] == "aarch64-linux-gnu-gcc"
    assert env["CXX_aarch64_unknown_linux_gnu"] == "aarch64-linux-gnu-g++"
    assert env["AR_aarch64_unknown_linux_gnu"] == "aarch64-linux-gnu-ar"
    assert env["PKG_CONFIG_ALLOW_CROSS_aarch64_unknown_linux_gnu"] == "1"
    assert env["PKG_CONFIG_LIBDIR_aarch64_unknown_linux_gnu"] == (
        "/usr/lib/aarch64-linux-gnu/pkgconfig:/usr/share/pkgconfig"
    )


def test_cross_packages_of_both_default_platforms() -> None:
    packages = toolchain.cross_packages([AMD64, ARM64])
    for package in (
        "gcc-aarch64-linux-gnu", "gcc-x86-64-linux-gnu", "libc6-dev-arm64-cross", "libc6-dev-amd64-cross",
        "pkgconf", "ca-certificates",
    ):  # fmt: skip
        assert package in packages


def test_cmake_toolchain() -> None:
    text = toolchain.cmake_toolchain(ARM64)
    assert "set(CMAKE_SYSTEM_PROCESSOR aarch64)" in text
    assert "set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)" in text


def test_cmake_processor_names() -> None:
    """aws-lc knows riscv64 and treats riscv64gc as a generic processor."""
    texts = [toolchain.cmake_toolchain(target) for target in TARGETS]
    named = [re.findall(r"set\(CMAKE_SYSTEM_PROCESSOR (\w+)\)", text)[0] for text in texts]
    assert named == ["x86_64", "aarch64", "armv7", "i686", "powerpc64le", "s390x", "riscv64", "loongarch64"]


@pytest.mark.parametrize("each", RELEASES.values(), ids=lambda each: each.name)
def test_builder_and_runtime_have_the_same_release(each: Release) -> None:
    assert each.base == f"debian:{each.name}-slim"
    assert toolchain.rust_image("1.96", each) == f"rust:1.96-slim-{each.name}"
    assert toolchain.rust_image("nightly-2026-01-01", each) == toolchain.rust_image(RUST, each)


@pytest.mark.parametrize(
    ("rust", "trixie", "bookworm"),
    [("1.70", True, True), ("1.88.0", True, False), ("1.89", False, False), ("1.100", False, False),
     ("2.0", False, False), ("beta", True, True), ("", False, False)],
)  # fmt: skip
def test_rustup_installs_a_rust_older_than_the_release(rust: str, trixie: bool, bookworm: bool) -> None:
    expected = {"trixie": trixie, "bookworm": bookworm}
    assert {name: toolchain.by_rustup(rust, each) for name, each in RELEASES.items()} == expected
    if trixie:
        assert toolchain.rust_image(rust, RELEASES["trixie"]) == f"rust:{RUST}-slim-trixie"


def test_a_release_is_named() -> None:
    assert release("bookworm").glibc == (2, 36)
    with pytest.raises(InvalidArgument, match="'sid' is not a supported Debian release") as caught:
        release("sid")
    assert caught.value.fix == "choose from trixie, bookworm"


def test_a_platform_without_a_port_has_the_next_release() -> None:
    riscv64, arm64 = select(["linux/riscv64", "linux/arm64"])
    assert base_for("debian:bookworm-slim", riscv64) == "debian:trixie-slim"
    assert base_for("debian:bookworm-slim", arm64) == "debian:bookworm-slim"
    assert base_for("my/base:1", riscv64) == "my/base:1"


def test_an_unavailable_rust_image_names_the_version() -> None:
    error = toolchain.unavailable("9.99", "not found", DEFAULT)
    assert "rust:9.99-slim-trixie" in str(error)
    assert error.output == "not found"


def test_an_image_of_another_platform_has_a_hint() -> None:
    assert (
        "engine start --builder linux/arm64" in toolchain.unavailable("1.90", "", DEFAULT, "linux/arm64").fix
    )
    assert "--builder" not in toolchain.unavailable("1.90", "", DEFAULT).fix


def test_sccache_is_pinned_and_fails_soon_without_a_network() -> None:
    """Builds continue without it; zig, which they need, is tried again."""
    assert set(sccache.WHEEL.hashes) == {"amd64", "arm64"}
    assert all(re.fullmatch("[0-9a-f]{64}", each) for each in sccache.WHEEL.hashes.values())
    both = (sccache.installed(), wheels.installed(zig.WHEELS, zig.HOME))
    asked = [str(made._ctx.selections) for made in both]
    assert ["--retries" in one for one in asked] == [True, False]
    assert all(sccache.WHEEL.hashes[machine] in asked[0] for machine in sccache.WHEEL.hashes)
