"""Test the requirements of custom containers, without an engine."""

import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.build import custom_containers
from pipeline.build.custom_containers import Supplied
from pipeline.errors import InvalidArgument, UnusableContainer
from pipeline.targets import parse

INSPECT = Path(custom_containers.__file__).with_name("inspect.sh")
TRIPLES = ("x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu")
FOUND = """home /usr/local/cargo
certificates
rustc 1.96.0 (abc 2026-01-01)
system debian 12
toolchain 1.96.0-x86_64-unknown-linux-gnu
"""

RUSTC = """case "$*" in
    --version) echo "rustc 1.90.0 (x)" ;;
    *{triple}) echo {library} ;;
    *) echo /none ;;
esac"""


def container(platform: str) -> SimpleNamespace:
    async def answer() -> str:
        return platform

    return SimpleNamespace(platform=answer)


def test_what_a_builder_says() -> None:
    found = custom_containers.read(FOUND, TRIPLES)
    assert found == custom_containers.Found(
        missing=(),
        version="1.96.0",
        system="debian 12",
        toolchain="1.96.0-x86_64-unknown-linux-gnu",
        cargo_home="/usr/local/cargo",
        without_std=(),
        certificates=True,
    )
    custom_containers.accept(found, "")
    assert not custom_containers.read("home /root/.cargo\n", TRIPLES).certificates


@pytest.mark.parametrize("rust", ["", "1", "1.96", "1.96.0"])
def test_the_requested_version_is_accepted(rust: str) -> None:
    custom_containers.accept(custom_containers.read(FOUND, TRIPLES), rust)


@pytest.mark.parametrize("rust", ["1.95", "1.9", "1.96.1"])
def test_another_version_is_refused(rust: str) -> None:
    with pytest.raises(InvalidArgument, match=f"is {rust}, .* has Rust 1.96.0"):
        custom_containers.accept(custom_containers.read(FOUND, TRIPLES), rust)


def test_everything_that_is_missing_is_named() -> None:
    with pytest.raises(UnusableContainer, match="has no cargo on PATH, no apt-get on PATH\n"):
        custom_containers.accept(
            custom_containers.read("missing cargo\nmissing apt-get\nhome /root/.cargo\n", TRIPLES), ""
        )
    lacking = FOUND + f"without {TRIPLES[1]}\n"
    with pytest.raises(UnusableContainer, match="no standard library for aarch64-unknown-linux-gnu"):
        custom_containers.accept(custom_containers.read(lacking, TRIPLES), "")


@pytest.mark.parametrize("rustup", [True, False])
def test_the_inspection_runs_in_any_shell(tmp_path: Path, rustup: bool) -> None:
    """The programs print the same as the real ones; apt-get is missing."""
    library = tmp_path / "lib"
    library.mkdir()
    programs = {
        "cargo": "",
        "rustc": RUSTC.format(triple=TRIPLES[0], library=library),
        **({"rustup": 'echo "stable-x86_64-unknown-linux-gnu (default)"'} if rustup else {}),
        **{name: f'exec /usr/bin/{name} "$@"' for name in ("cut", "head")},
    }
    for name, text in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    command = ["/bin/sh", str(INSPECT), "/none", *TRIPLES]
    environment = {"PATH": str(tmp_path), "HOME": "/home/me"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found = custom_containers.read(done.stdout, TRIPLES)
    assert (found.missing, found.version) == (("apt-get",), "1.90.0")
    assert found.cargo_home == "/home/me/.cargo"
    assert found.toolchain == ("stable-x86_64-unknown-linux-gnu" if rustup else "")
    assert found.without_std == (() if rustup else TRIPLES[1:])


def test_the_default_toolchain_of_the_builder_is_used(tmp_path: Path) -> None:
    """With `FROM rust:1.96` and `rustup default nightly`, the toolchain is nightly."""
    output = run_inspection(
        tmp_path, 'echo "nightly-x86_64-unknown-linux-gnu (default)"', RUST_VERSION="1.96.0"
    )
    assert custom_containers.read(output, TRIPLES).toolchain == "nightly-x86_64-unknown-linux-gnu"


def test_a_toolchain_that_the_builder_names_comes_first(tmp_path: Path) -> None:
    output = run_inspection(
        tmp_path, 'echo "stable (default)"', RUST_VERSION="1.96.0", RUSTUP_TOOLCHAIN="beta"
    )
    assert custom_containers.read(output, TRIPLES).toolchain == "beta"


def test_a_rustup_without_a_default_toolchain_uses_the_images(tmp_path: Path) -> None:
    output = run_inspection(tmp_path, 'echo "no active toolchain" >&2; exit 1', RUST_VERSION="1.96.0")
    assert custom_containers.read(output, TRIPLES).toolchain == "1.96.0"


def run_inspection(folder: Path, rustup: str, **environment: str) -> str:
    """Return what the inspection prints in a builder with a rustup of this text."""
    for name, text in {"cargo": "", "rustc": "echo 'rustc 1.96.0 (x)'", "rustup": rustup}.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    command = ["/bin/sh", str(INSPECT), "/none", *TRIPLES]
    path = f"{folder}:/usr/bin:/bin"
    return subprocess.run(
        command, env={"PATH": path, **environment}, capture_output=True, text=True, check=True
    ).stdout


def test_a_runtime_belongs_to_one_platform_and_the_last_one_counts() -> None:
    arm64, amd64 = parse("linux/arm64"), parse("linux/amd64")
    first, second, other = container("a"), container("b"), container("c")
    state = Supplied().with_runtime("linux/arm64", first).with_runtime("linux/amd64", other)  # type: ignore[arg-type]
    assert state.runtime(arm64) is first and state.runtime(amd64) is other
    state = state.with_runtime("linux/arm64", second)  # type: ignore[arg-type]
    assert state.runtime(arm64) is second and state.runtime(amd64) is other
    assert state.runtime(parse("linux/386")) is None


@pytest.mark.anyio
@pytest.mark.parametrize("platform", ["linux/arm64", "linux/arm64/v8"])
async def test_a_container_of_the_platform(platform: str) -> None:
    await custom_containers.check_platform(container(platform), parse("linux/arm64"), "it")  # type: ignore[arg-type]


@pytest.mark.anyio
@pytest.mark.parametrize("platform", ["linux/amd64", "windows/amd64"])
async def test_a_container_of_another_platform(platform: str) -> None:
    with pytest.raises(UnusableContainer, match=f"it has the platform {platform} instead of linux/arm64"):
        await custom_containers.check_platform(container(platform), parse("linux/arm64"), "it")  # type: ignore[arg-type]
