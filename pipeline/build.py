"""From a source directory to one directory of binaries per triple.

Four commands run in the builder, each with only what it needs, so each is cached by itself: describe the
project, fetch its dependencies, resolve them, compile. The first three see the project's outline, which a
change of code leaves as it is. Compiled state lives in a cache volume of the project; what makes
that safe is that sources enter it by content: only a file whose bytes changed gets a new time stamp, and
cargo, which judges by time stamps, then rebuilds exactly what changed, whichever commit was built before.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import dagger
from dagger import dag

from pipeline import access, cargo, messages, stages, state, supplied, toolchain, zig
from pipeline.access import Access
from pipeline.attestation import auditable, crates
from pipeline.cargo import Binary, Choice, Project
from pipeline.errors import InvalidArgument, InvalidManifest, LockMissing, NotACargoProject, UnsupportedLibc
from pipeline.native import debian, preflight, tree
from pipeline.native.natives import Needs
from pipeline.outline import outline
from pipeline.targets import TARGETS, Libc, Strategy, Target

KEYS = ["**/cosign.key"]
"""Where cosign puts a private key if nobody says otherwise: it is not for the engine's cache."""

IGNORED = ["**/target", "**/.git", "**/node_modules", "**/.venv", *KEYS]
"""Left out of the source: build output, history and keys, which no compile reads."""

OUTPUT = "/output"


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
        builder: the container to compile in, where one is supplied; see `pipeline.supplied`.
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
    project: Project
    binaries: tuple[Binary, ...]
    commands: tuple[tuple[str, ...], ...]
    """The cargo calls: one, unless targets disagree about a variable that all of one call read."""
    needs: tuple[Needs, ...] = ()
    """What the native dependencies imply, in the order of the targets."""

    @property
    def image(self) -> str:
        """What the builder starts from: an image's name, or that it was supplied."""
        return supplied.BUILDER if self.order.builder is not None else toolchain.rust_image(self.rust)


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
    stages.enter("reading the project")
    names = await order.source.entries()
    _check_source(names)
    rust, native = await _native(order, names)
    project, read = await _described(order, native)
    binaries = cargo.choose(project, order.choice)
    stages.enter("fetching dependencies")
    await _fetch(read, native)
    needs = await _examine(read, native, binaries)
    return Plan(order, rust, native, project, binaries, build_commands(order, binaries, needs), needs)


async def _native(order: Order, names: Sequence[str]) -> tuple[str, dagger.Container]:
    """The Rust version and the container that has it."""
    if order.builder is not None:
        if order.strategy is Strategy.EMULATED:
            raise supplied.not_emulated()
        return await supplied.adopt(order.builder, order.triples, order.rust, order.build_platform)
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
            fix="run `cargo generate-lockfile` and commit Cargo.lock",
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
    needed = access.programs(await order.source.file("Cargo.lock").contents())
    container = toolchain.with_packages(container, needed) if needed else container
    lines = [shlex.join(FETCH)]
    if order.state is not None:
        container = state.mount(container, order.state)
        lines = [*state.downloads_lines(), *lines]
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


def builder(plan: Plan) -> dagger.Container:
    """The builder of a plan, ready to run cargo on the source."""
    order = plan.order
    native = plan.native
    if order.build_platform and order.builder is None:
        native = toolchain.native(plan.rust, order.build_platform)
    container = toolchain.builder(
        native, order.targets, order.libc, order.packages, order.glibc, order.build_platform
    )
    container = preflight.prepared(container, order.targets, plan.needs, order.target_packages)
    container = (
        container.with_mounted_directory(toolchain.SOURCE, order.source)
        .with_mounted_cache(
            toolchain.BUILD,
            dag.cache_volume(cache_volume(plan)),
            sharing=dagger.CacheSharingMode.LOCKED,
        )
        .with_env_variable("CARGO_TARGET_DIR", f"{toolchain.BUILD}/target")
        .with_workdir(toolchain.SOURCE)
    )
    for name, value in order.build_args:
        container = container.with_env_variable(name, value)
    return container


def cache_volume(plan: Plan) -> str:
    """The name of the volume with a project's compiled state."""
    return f"rust-multiarch-build-{cache_key(plan)}"


def cache_key(plan: Plan) -> str:
    """What separates one project's compiled state from another's: its members and the toolchain.

    Profiles and triples have directories of their own inside; different sources of one project may
    share it, since sources enter by content.
    """
    chosen = [toolchain.compilers(target, plan.order.libc, plan.order.glibc) for target in TARGETS]
    # What build scripts compiled with other flags would be linked again: cargo looks at names alone.
    order = plan.order
    names = [plan.project.identity, plan.rust, zig.VERSION, order.build_platform, order.apart]
    text = "\n".join([*names, *map(repr, chosen)])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


FETCH = ["cargo", "fetch", "--locked"]
"""The download of everything the lock file names, once, before anything else asks for it."""


def sync_lines() -> list[str]:
    """Shell lines that bring the sources into the cache volume by content and go there."""
    source, work = toolchain.SOURCE, f"{toolchain.BUILD}/src"
    return [
        f"mkdir -p {work}",
        f"rsync -rlp --checksum --delete --exclude=/target {source}/ {work}/",
        f"cd {work}",
    ]


def compile_script(plan: Plan) -> str:
    """The shell program that compiles and collects, for `toolchain.SHELL`.

    Binaries land in `/output/<triple>/`, stripped, with their symbols beside them in
    `/output/symbols/<triple>/` and linked to by build id and debug link; `/output/packages/<triple>/` has a
    file for each that names the Debian packages with the libraries it links.
    """
    lines = state.compiled_lines() if plan.order.state is not None else []
    lines += [*sync_lines(), f"mkdir -p {OUTPUT}", *map(messages.reported, plan.commands)]
    directory = cargo.profile_directory(plan.order.choice.profile)
    for target in plan.order.targets:
        triple = target.triple(plan.order.libc)
        for binary in plan.binaries:
            built = f"{toolchain.BUILD}/target/{triple}/{directory}/{binary.name}"
            lines += _collect(target.tools, built, triple, binary.name)
            program, packages = f"{OUTPUT}/{triple}/{binary.name}", f"{OUTPUT}/packages/{triple}"
            lines += debian.needed_script(target, [program], f"{packages}/{binary.name}")
    return "\n".join(lines)


def _collect(tools: str, built: str, triple: str, name: str) -> list[str]:
    folder, symbols = f"{OUTPUT}/{triple}", f"{OUTPUT}/symbols/{triple}"
    add_section = auditable.add(triple, name)
    return [
        f"mkdir -p {folder} {symbols}",
        f"cd {symbols}",
        f"{tools}-objcopy --only-keep-debug {built} {name}.debug",
        f"{tools}-objcopy --strip-all {add_section} --add-gnu-debuglink={name}.debug {built} {folder}/{name}",
        f"chmod 755 {folder}/{name}",
        f"touch -d @0 {folder}/{name} {name}.debug",
    ]


async def compile(plan: Plan) -> dagger.Directory:
    """Compile and collect: `<triple>/<binary>`, `symbols/<triple>/<binary>.debug`, `crates/`.

    `crates/` is what cargo said of the build before it, which `crates.load` reads.

    Raises:
        CompileError, LinkError, BuildScriptRanTarget: cargo failed; its output is carried whole.
        ProjectError: see `cargo.explain`.
    """
    output = dag.directory()
    for leg in legs(plan):
        output = output.with_directory("/", await (await _compile(leg)).directory(OUTPUT).sync())
    return output


async def archive(plan: Plan) -> dagger.File:
    """The compiled state after a build of a plan, for `Order.state` elsewhere.

    Raises:
        InvalidArgument: the plan compiles each target apart, so there is no one state.
        CompileError and its kin: see `compile`.
    """
    if plan.order.strategy is Strategy.EMULATED:
        raise InvalidArgument(
            "the emulated strategy has a state for each platform",
            where="--strategy",
            fix="leave the strategy out, or build one platform at a time with --build-platform",
        )
    return state.pack(await _compile(plan))


def legs(plan: Plan) -> list[Plan]:
    """The parts of a plan that are compiled apart: one, or one for each target on the target's platform."""
    order = plan.order
    if order.strategy is Strategy.CROSS:
        return [plan]
    parts = []
    for target, needs in zip(order.targets, plan.needs, strict=True):
        own = replace(order, targets=(target,), build_platform=target.platform, strategy=Strategy.CROSS)
        commands = build_commands(own, plan.binaries, (needs,))
        parts.append(replace(plan, order=own, commands=commands, needs=(needs,)))
    return parts


async def _compile(plan: Plan) -> dagger.Container:
    container = builder(plan)
    if plan.order.state is not None:
        container = state.mount(container, plan.order.state)
    where = "; ".join(map(shlex.join, plan.commands))
    counts = {triple: needs.crates for triple, needs in zip(plan.order.triples, plan.needs, strict=True)}
    platforms = [target.platform for target in plan.order.targets]
    stages.enter(stages.COMPILING, platforms[0] if len(platforms) == 1 else "", counts)
    asked = crates.ask(container, plan.commands, plan.order.triples[0])
    try:
        await container.sync()
    except dagger.ExecError:
        raise
    except dagger.QueryError as error:
        raise toolchain.unavailable(plan.rust, str(error), plan.order.build_platform) from error
    try:
        sections = await auditable.directory((await crates.load(asked)).graphs)
        container = container.with_mounted_directory(auditable.FOLDER, sections)
        compiled = await container.with_exec([*toolchain.SHELL, compile_script(plan)]).sync()
        return compiled.with_directory(f"{OUTPUT}/crates", asked)
    except dagger.ExecError as error:
        first = plan.order.targets[0]
        chosen = toolchain.compilers(first, plan.order.libc, plan.order.glibc)
        # On stdout there is only what `messages` makes of it.
        raise cargo.explain(error.stderr, where, debian=not chosen.not_debian) from error


def printed(error: dagger.ExecError) -> str:
    """All that a failed command printed."""
    return "\n".join(filter(None, (error.stdout, error.stderr)))
