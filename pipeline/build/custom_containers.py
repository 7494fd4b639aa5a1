"""Containers that the caller supplies in place of ours: what they have to be, and its check.

A runtime is any container of the platform it is for. A builder is a container of the build platform with

* `cargo` and `rustc` on PATH,
* `apt-get`, for the cross compilers and what native libraries need,
* `rustup`, or the standard library of every target already there.

Its user, its working directory and its `CARGO_HOME` are replaced; a `config.toml` in that home keeps
counting, so a builder may bring registries and mirrors of its own. Whether its C library fits the runtime is
for the ABI gate to say.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace

import dagger
from dagger import dag

from pipeline.errors import InvalidArgument, PlatformError, UnusableContainer
from pipeline.targets import Target, parse
from pipeline.toolchain import builder as toolchain

BUILDER = "the supplied builder"
CARGO_CONFIG = "/.cargo/config.toml"
"""Where cargo looks last before its home, so that the project's own configuration still wins."""


@dataclass(frozen=True)
class SuppliedRuntime:
    """What one platform's image starts from."""

    platform: str
    container: dagger.Container


@dataclass(frozen=True)
class Supplied:
    """Every container that the caller supplies.

    Attributes:
        builder: what to compile in; None means the official Rust image.
        runtimes: what images start from; platforms that are not in here start from the usual base.
    """

    builder: dagger.Container | None = None
    runtimes: tuple[SuppliedRuntime, ...] = ()

    def with_runtime(self, platform: str, container: dagger.Container) -> Supplied:
        """The same with a platform's runtime, in place of one it may have."""
        others = tuple(runtime for runtime in self.runtimes if runtime.platform != platform)
        return replace(self, runtimes=(*others, SuppliedRuntime(platform, container)))

    def runtime(self, target: Target) -> dagger.Container | None:
        """What the image of a platform starts from, where it was supplied."""
        return next((one.container for one in self.runtimes if one.platform == target.platform), None)


@dataclass(frozen=True)
class Found:
    """What a builder says of itself.

    Attributes:
        missing: programs that it lacks.
        version: of rustc, for example 1.96.0.
        system: the distribution, for example debian 12.
        toolchain: the name rustup has for the compiler; empty without rustup.
        cargo_home: where cargo's own configuration lies.
        without_std: triples it has no standard library for; empty with rustup, which adds them.
        certificates: whether root certificates are there.
    """

    missing: tuple[str, ...]
    version: str
    system: str
    toolchain: str
    cargo_home: str
    without_std: tuple[str, ...]
    certificates: bool


async def check_platform(container: dagger.Container, target: Target, what: str) -> None:
    """Refuse a container of another platform.

    Args:
        container: what was supplied.
        target: the platform it has to have.
        what: what it is, for the message.

    Raises:
        UnusableContainer: it has another platform.
    """
    found = await container.platform()
    if _normal(found) != target.platform:
        raise UnusableContainer(
            f"{what} is a container of {found}, not of {target.platform}",
            where=what,
            fix=f"make it with dag.container(platform={target.platform!r})",
        )


def _normal(platform: str) -> str:
    try:
        return parse(platform).platform
    except PlatformError:  # not a target of ours, so not the one that was wanted either
        return platform


async def adopt(
    container: dagger.Container, triples: Sequence[str], rust: str = "", platform: str = ""
) -> tuple[str, dagger.Container]:
    """A supplied builder as `toolchain.native` would give it: what it is, and the container.

    Args:
        container: the builder.
        triples: what it is to build for.
        rust: the Rust version that was asked for; empty for whatever the builder has.
        platform: what it has to run on; the engine's own where it is empty.

    Raises:
        UnusableContainer: it lacks something; all of it is named.
        InvalidArgument: it has another version of Rust than was asked for.
    """
    await check_platform(container, parse(platform or await dag.default_platform()), BUILDER)
    container = container.with_user("0").with_workdir("/")
    try:
        found = read(await container.with_exec(["sh", "-c", inspection(triples)]).stdout(), triples)
    except dagger.ExecError as error:
        raise UnusableContainer(
            "the supplied builder has no shell to run commands with",
            where=BUILDER,
            fix="start from an image such as " + toolchain.rust_image(toolchain.RUST),
            output=error.stderr,
        ) from error
    accept(found, rust)
    config = f"{found.cargo_home}/config.toml"
    if await container.exists(config):
        container = container.with_file(CARGO_CONFIG, container.file(config))
    if not found.certificates:
        container = toolchain.with_packages(container, ["ca-certificates"])
    if found.toolchain:
        container = container.with_env_variable("RUSTUP_TOOLCHAIN", found.toolchain)
    return f"{found.version} on {found.system}", toolchain.with_cargo_home(container)


def not_emulated() -> InvalidArgument:
    """The error for one builder where every platform was to have one of its own."""
    return InvalidArgument(
        "a supplied builder is of one platform, and the emulated strategy wants one of each",
        where="strategy",
        fix="leave the strategy out, or the builder",
    )


def inspection(triples: Sequence[str]) -> str:
    """The shell program whose output `read` understands; it succeeds whatever is missing."""
    return f"""
    for program in cargo rustc apt-get; do command -v $program >/dev/null || echo "missing $program"; done
    echo "home ${{CARGO_HOME:-${{HOME:-/root}}/.cargo}}"
    [ ! -s {toolchain.CERTIFICATES} ] || echo certificates
    rustc --version
    (. /etc/os-release && echo "system $ID $VERSION_ID")
    if command -v rustup >/dev/null; then
        # RUST_VERSION is what the base image was made with, whatever `rustup default` chose after that.
        active=$(rustup show active-toolchain 2>/dev/null | head -n 1 | cut -d ' ' -f 1 || :)
        echo "toolchain ${{RUSTUP_TOOLCHAIN:-${{active:-$RUST_VERSION}}}}"
    else
        for triple in {shlex.join(triples)}; do
            [ -d "$(rustc --print target-libdir --target $triple)" ] || echo "without $triple"
        done
    fi
    true
    """


def read(output: str, triples: Sequence[str]) -> Found:
    """What `inspection` printed, as data."""
    said: dict[str, list[str]] = {}
    for line in output.splitlines():
        name, _, value = line.partition(" ")
        said.setdefault(name, []).append(value)
    version = re.match(r"[\d.]+", said.get("rustc", [""])[0])
    return Found(
        missing=tuple(said.get("missing", ())),
        version=version.group() if version else "",
        system=said.get("system", [""])[0],
        toolchain=said.get("toolchain", [""])[0],
        cargo_home=said["home"][0],
        without_std=tuple(triple for triple in triples if triple in said.get("without", ())),
        certificates="certificates" in said,
    )


def accept(found: Found, rust: str) -> None:
    """Refuse a builder that does not keep the contract.

    Args:
        found: what it says of itself.
        rust: the Rust version that was asked for, or nothing.

    Raises:
        UnusableContainer: it lacks programs or standard libraries; all of them are named.
        InvalidArgument: it has another version of Rust than was asked for.
    """
    lacking = [f"no {program} on PATH" for program in found.missing]
    lacking += [f"no standard library for {triple}" for triple in found.without_std if not found.missing]
    if lacking:
        raise UnusableContainer(
            f"the supplied builder has {', '.join(lacking)}",
            where=BUILDER,
            fix="install it there; a builder needs cargo, rustc and apt-get, and rustup or each target's std",
        )
    if rust and not f"{found.version}.".startswith(f"{rust}."):
        raise InvalidArgument(
            f"Rust {rust} was asked for and the supplied builder has {found.version}",
            where="--rust-version",
            fix="leave the version out, or supply a builder that has it",
        )
