"""What a build amounts to, known before any compiler starts: an order becomes a plan.

Three commands run for it, each with only what it needs, so each is cached by itself: describe the project,
fetch its dependencies, resolve them. They see the project's outline, which a change of code leaves as it is.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import dagger

from pipeline.build import cache_archive, custom_containers
from pipeline.config import credentials
from pipeline.config.credentials import Access
from pipeline.errors import InvalidManifest, LockMissing, NotACargoProject, UnsupportedLibc, printed
from pipeline.native import preflight
from pipeline.native.natives import Needs
from pipeline.progress import events
from pipeline.project import selection as cargo
from pipeline.project import tree
from pipeline.project.selection import Binary, Choice, Project
from pipeline.project.skeleton import outline
from pipeline.targets import Libc, Strategy, Target
from pipeline.toolchain import builder as toolchain
from pipeline.toolchain import zig

KEYS = ["**/cosign.key"]
"""Where cosign puts a private key if nobody says otherwise: it is not for the engine's cache."""

MADE = ("debug", "release", "doc", "*-*-*", ".rustc_info.json")
OUTPUT = ["target", *(f"**/target/{name}" for name in MADE)]
"""What cargo writes: all of it at the top, and elsewhere what has a name that cargo gave it, for `target` is
a good name for a module too."""

IGNORED = [*OUTPUT, "**/.git", "**/node_modules", "**/.venv", *KEYS]
"""Left out of the source: build output, history and keys, which no compile reads."""

FETCH = ["cargo", "fetch", "--locked"]
"""The download of everything the lock file names, once, before anything else asks for it."""


@dataclass(frozen=True)
class Order:
    """A build as it was asked for.

    Attributes:
        source: the project, with Cargo.toml at its top.
        targets: what to build for.
        choice: which binaries and how.
        libc: C library of the binaries.
        glibc: oldest glibc they run on; empty means the distribution's.
        rust: Rust version; empty means the project's own, else this module's.
        build_args: environment of the compile, `NAME=value`.
        packages: further Debian packages of the builder.
        access: what private dependencies are fetched with.
        target_packages: further Debian packages to link with, installed for each target.
        tests: the builder is for the whole workspace and its tests too.
        build_platform: what the compiler runs on; the engine's own where it is empty.
        strategy: one compiler for every target, or for each target one on its own platform.
        state: an archive of compiled state to start from, where the engine has none.
        apart: a word that keeps the compiled state from that of every other build.
        builder: the container to compile in, where one is supplied; see `pipeline.build.custom_containers`.
    """

    source: dagger.Directory
    targets: tuple[Target, ...]
    choice: Choice = field(default_factory=Choice)
    libc: Libc = Libc.GNU
    glibc: str = ""
    rust: str = ""
    build_args: tuple[tuple[str, str], ...] = ()
    packages: tuple[str, ...] = ()
    access: Access = field(default_factory=Access)
    target_packages: tuple[str, ...] = ()
    tests: bool = False
    build_platform: str = ""
    strategy: Strategy = Strategy.CROSS
    state: dagger.File | None = None
    apart: str = ""
    builder: dagger.Container | None = None

    @property
    def triples(self) -> list[str]:
        """The rustc triple of every target, in order."""
        return [target.triple(self.libc) for target in self.targets]


@dataclass(frozen=True)
class Plan:
    """What a build will do, known before any compiler starts."""

    order: Order
    rust: str
    """The version of Rust, and of a supplied builder its system too: what compiled state depends on."""
    native: dagger.Container
    """Rust on the build platform, as `toolchain.native` gives it or as it was supplied."""
    outline: dagger.Directory
    """No more of the source than cargo needs before a compile."""
    project: Project
    binaries: tuple[Binary, ...]
    commands: tuple[tuple[str, ...], ...]
    """The cargo calls: one, unless targets disagree about a variable that all of one call read."""
    needs: tuple[Needs, ...] = ()
    """What the native dependencies imply, in the order of the targets."""

    @property
    def image(self) -> str:
        """What the builder starts from: an image's name, or that it was supplied."""
        return (
            custom_containers.BUILDER if self.order.builder is not None else toolchain.rust_image(self.rust)
        )


async def plan(order: Order) -> Plan:
    """What an order amounts to, from the manifests and the lock file; its dependencies are fetched for that.

    Raises:
        UnsupportedLibc: a target cannot be built with the C library, or a package not linked with it.
        CannotCrossCompile: a native dependency that cannot be built; all are named at once.
        NotACargoProject, LockMissing: a file that every build needs is not there.
        ProjectError: see `cargo.choose` and `cargo.explain`.
        MissingCredentials: a private dependency; see `cargo.explain`.
        BaseImageUnavailable: no builder image for the Rust version.
        UnusableContainer: a supplied builder; see `supplied.adopt`.
    """
    zig.check(order.targets, order.libc, order.glibc)
    _check_target_packages(order)
    events.enter("reading the project")
    names = await order.source.entries()
    _check_source(names)
    rust, native = await _native(order, names)
    project, read = await _described(order, native)
    choose = cargo.named if order.tests else cargo.choose
    binaries = choose(project, order.choice)
    events.enter("fetching dependencies")
    await _fetch(read, native)
    needs = await _examine(read, native, binaries)
    commands = build_commands(order, binaries, needs)
    return Plan(order, rust, native, read.source, project, binaries, commands, needs)


async def _native(order: Order, names: Sequence[str]) -> tuple[str, dagger.Container]:
    """The Rust version and the container that has it."""
    if order.builder is not None:
        if order.strategy is Strategy.EMULATED:
            raise custom_containers.not_emulated()
        return await custom_containers.adopt(order.builder, order.triples, order.rust, order.build_platform)
    rust = order.rust or await _pinned(order.source, names) or toolchain.RUST
    image = toolchain.native(rust)
    try:
        await image.sync()
    except dagger.QueryError as error:
        raise toolchain.unavailable(rust, str(error)) from error
    return rust, image


def build_commands(
    order: Order, binaries: Sequence[Binary], needs: Sequence[Needs]
) -> tuple[tuple[str, ...], ...]:
    """One `cargo build` for all targets, or one for each set of targets that agree on `Needs.common`."""
    if preflight.agree(needs):
        return (tuple(cargo.build_command(order.choice, binaries, order.triples)),)
    sets: dict[tuple[str, ...], list[str]] = {}
    for triple, of_target in zip(order.triples, needs, strict=True):
        variables = tuple(f"{name}={value}" for name, value in of_target.common.items())
        sets.setdefault(variables, []).append(triple)
    return tuple(
        ("env", *variables, *cargo.build_command(order.choice, binaries, triples))
        for variables, triples in sets.items()
    )


def _check_target_packages(order: Order) -> None:
    reason = toolchain.compilers(order.targets[0], order.libc, order.glibc).not_debian
    if order.target_packages and reason:
        raise UnsupportedLibc(
            f"{', '.join(order.target_packages)} cannot be linked: {reason}",
            where="target packages",
            fix="leave the packages out, or build with libc gnu and no glibc version",
        )


def _check_source(names: Sequence[str]) -> None:
    if "Cargo.toml" not in names:
        raise NotACargoProject(
            "the source has no Cargo.toml at its top",
            where="source",
            fix="pass the directory that holds Cargo.toml",
        )
    if "Cargo.lock" not in names:
        raise LockMissing(
            "the source has no Cargo.lock, so two builds of it could differ",
            where="source",
            fix="run `cargo generate-lockfile` and commit Cargo.lock; of a workspace, pass the directory "
            "that has it and choose the member with --package",
        )


async def _pinned(source: dagger.Directory, names: Sequence[str]) -> str:
    for name in ("rust-toolchain", "rust-toolchain.toml"):
        if name in names:
            return toolchain.pinned_version(await source.file(name).contents())
    return ""


async def _described(order: Order, native: dagger.Container) -> tuple[Project, Order]:
    """The project, and the order with no more of its source than cargo needs before a compile."""
    outlined = replace(order, source=await outline(order.source, native))
    try:
        return await _describe(outlined, native), outlined
    except InvalidManifest:
        # It may be the outline that is at fault, or a supplied builder without Debian's tools.
        return await _describe(order, native), order


async def _describe(order: Order, native: dagger.Container) -> Project:
    command = ["cargo", "metadata", "--no-deps", "--offline", "--format-version", "1"]
    try:
        return cargo.read_metadata(await _with_project(native, order).with_exec(command).stdout())
    except dagger.ExecError as error:
        raise cargo.explain(error.stderr, shlex.join(command), otherwise=cargo.DESCRIBING) from error


async def _fetch(order: Order, native: dagger.Container) -> None:
    """Have all dependencies in cargo's home, which every builder shares; only this sees the credentials."""
    container = _with_project(native, order)
    needed = await credentials.needed(order.source)
    container = toolchain.with_packages(container, needed) if needed else container
    lines = [shlex.join(FETCH)]
    if order.state is not None:
        container = cache_archive.mount(container, order.state)
        lines = [*cache_archive.downloads_lines(), *lines]
    try:
        await order.access.grant(container).with_exec(["sh", "-ec", "\n".join(lines)]).sync()
    except dagger.ExecError as error:
        raise cargo.explain(printed(error), shlex.join(FETCH)) from error


def _with_project(container: dagger.Container, order: Order) -> dagger.Container:
    return container.with_mounted_directory(toolchain.SOURCE, order.source).with_workdir(toolchain.SOURCE)


async def _examine(order: Order, native: dagger.Container, binaries: Sequence[Binary]) -> tuple[Needs, ...]:
    packages = ["--workspace"] if order.tests else cargo.package_arguments(binaries)
    selection = [*packages, *cargo.feature_arguments(order.choice)]
    commands = [tree.command(selection, triple, order.tests) for triple in order.triples]
    container = _with_project(native, order)
    try:
        return await preflight.examine(container, commands, order.targets, order.libc, order.glibc)
    except dagger.ExecError as error:
        raise cargo.explain(printed(error), shlex.join(commands[0])) from error
