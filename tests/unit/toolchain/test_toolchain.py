import re

import pytest

from pipeline.targets import TARGETS, Libc, parse
from pipeline.toolchain import builder as toolchain
from pipeline.toolchain.versions import BASE

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
    assert named == ["x86_64", "aarch64", "armv7", "i686", "powerpc64le", "s390x", "riscv64"]


def test_builder_and_runtime_are_one_distribution() -> None:

    assert toolchain.DISTRIBUTION in BASE
    assert toolchain.rust_image("1.96") == "rust:1.96-slim-bookworm"
    assert toolchain.rust_image("nightly-2026-01-01") == toolchain.rust_image(toolchain.RUST)


def test_an_unavailable_rust_image_names_the_version() -> None:
    error = toolchain.unavailable("9.99", "not found")
    assert "rust:9.99-slim-bookworm" in str(error)
    assert error.output == "not found"


def test_an_image_of_another_platform_has_a_hint() -> None:
    assert "engine start --builder linux/arm64" in toolchain.unavailable("1.90", "", "linux/arm64").fix
    assert "--builder" not in toolchain.unavailable("1.90", "").fix
