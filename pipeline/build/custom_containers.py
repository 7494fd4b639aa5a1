"""Check and adopt custom containers: builders and runtimes given by the caller.

A runtime can be any container of its platform. A builder is a container of the build platform with

* `cargo` and `rustc` on PATH,
* `apt-get`, for the cross compilers and native libraries,
* `rustup`, or the standard library of every target.

Its user, its working directory and its `CARGO_HOME` are replaced. A `config.toml` in that home still applies,
so a builder may configure registries and mirrors. The ABI check verifies that its C library matches the
runtime.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeline import programs, releases
from pipeline.errors import InvalidArgument, PlatformError, UnusableContainer
from pipeline.sdk import dag, dagger
from pipeline.targets import Target, parse
from pipeline.toolchain import builder as toolchain

BUILDER = "the supplied builder"
CARGO_CONFIG = "/.cargo/config.toml"
"""The path that cargo reads last before its home, so the project's configuration takes precedence."""


@dataclass(frozen=True)
class SuppliedRuntime:
    """A custom runtime container of a platform."""

    platform: str
    container: dagger.Container


@dataclass(frozen=True)
class Supplied:
    """All custom containers.

    Attributes:
        builder: the container to compile in; None means the official Rust image.
        runtimes: the bases of images; other platforms use the default base.
    """

    builder: dagger.Container | None = None
    runtimes: tuple[SuppliedRuntime, ...] = ()

    def with_runtime(self, platform: str, container: dagger.Container) -> Supplied:
        """Add or replace a platform's runtime."""
        others = tuple(runtime for runtime in self.runtimes if runtime.platform != platform)
        return replace(self, runtimes=(*others, SuppliedRuntime(platform, container)))

    def runtime(self, target: Target) -> dagger.Container | None:
        """Return the custom runtime of a platform; None if it has none."""
        return next((one.container for one in self.runtimes if one.platform == target.platform), None)


@dataclass(frozen=True)
class Found:
    """The properties of a builder.

    Attributes:
        missing: missing programs.
        version: the version of rustc, for example 1.96.0.
        system: the distribution, for example debian 12.
        toolchain: rustup's name of the toolchain; empty without rustup.
        cargo_home: the directory of cargo's configuration.
        without_std: triples without a standard library; empty with rustup, which installs them.
        certificates: true if it has root certificates.
    """

    missing: tuple[str, ...]
    version: str
    system: str
    toolchain: str
    cargo_home: str
    without_std: tuple[str, ...]
    certificates: bool


async def check_platform(container: dagger.Container, target: Target, what: str) -> None:
    """Check the platform of a custom container.

    Args:
        container: the container.
        target: the required platform.
        what: a description for the message.

    Raises:
        UnusableContainer: it has another platform.
    """
    found = await container.platform()
    if _normal(found) != target.platform:
        raise UnusableContainer(
            f"{what} has the platform {found} instead of {target.platform}",
            where=what,
            fix=f"make it with dag.container(platform={target.platform!r})",
        )


def _normal(platform: str) -> str:
    try:
        return parse(platform).platform
    except PlatformError:  # not a supported platform, so not the required one
        return platform


async def adopt(
    container: dagger.Container, triples: Sequence[str], rust: str = "", platform: str = ""
) -> tuple[str, dagger.Container]:
    """Check a custom builder and prepare it like `toolchain.native`; return its version and the container.

    Args:
        container: the builder.
        triples: the triples to build for.
        rust: the required Rust version; empty for any.
        platform: the required platform; the engine's platform if empty.

    Raises:
        UnusableContainer: it lacks something; the message lists everything.
        InvalidArgument: it has another Rust version.
    """
    await check_platform(container, parse(platform or await dag.default_platform()), BUILDER)
    container = container.with_user("0").with_workdir("/")
    inspecting = programs.command("build/inspect.sh", toolchain.CERTIFICATES, *triples)
    try:
        found = read(await container.with_exec(inspecting).stdout(), triples)
    except dagger.ExecError as error:
        raise UnusableContainer(
            "the supplied builder has no shell",
            where=BUILDER,
            fix="start from an image such as " + toolchain.rust_image(releases.RUST, releases.DEFAULT),
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
    home = container.with_env_variable("CARGO_HOME", toolchain.CARGO_HOME)
    return f"{found.version} on {found.system}", home


def not_emulated() -> InvalidArgument:
    """Return the error for a custom builder with the emulated strategy."""
    return InvalidArgument(
        "the emulated strategy needs a builder for each platform, and a custom builder has only one",
        where="strategy",
        fix="remove --strategy, or the custom builder",
    )


def read(output: str, triples: Sequence[str]) -> Found:
    """Parse the output of inspect.sh."""
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
    """Check the properties of a builder.

    Args:
        found: its properties.
        rust: the required Rust version; empty for any.

    Raises:
        UnusableContainer: it lacks programs or standard libraries; the message lists all of them.
        InvalidArgument: it has another Rust version.
    """
    lacking = [f"no {program} on PATH" for program in found.missing]
    lacking += [f"no standard library for {triple}" for triple in found.without_std if not found.missing]
    if lacking:
        raise UnusableContainer(
            f"the supplied builder has {', '.join(lacking)}",
            where=BUILDER,
            fix="install it; a builder needs cargo, rustc and apt-get, and rustup or each target's std",
        )
    if rust and not f"{found.version}.".startswith(f"{rust}."):
        raise InvalidArgument(
            f"--rust-version is {rust}, and the supplied builder has Rust {found.version}",
            where="--rust-version",
            fix="remove --rust-version, or use a builder with this version",
        )
