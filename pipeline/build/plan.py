"""Plan a build before compiling: turn a build request into a plan.

Three commands run with minimal inputs, so that each is cached separately: describe the project, fetch its
dependencies, resolve them. They use the project's skeleton, which does not change with the code.
"""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline import cargo_toml, releases
from pipeline.build import cache_archive, custom_containers, scripts
from pipeline.concurrent import each
from pipeline.config import credentials, fetching, private, workspace
from pipeline.config.fetching import FetchConfiguration
from pipeline.config.project_files import AT_ONCE, Files, in_engine
from pipeline.config.request import BuildRequest
from pipeline.config.workspace import Location
from pipeline.errors import (
    BaseImageUnavailable,
    CompileError,
    InvalidManifest,
    LockMissing,
    RustTooOld,
    UnsupportedLibc,
    printed,
)
from pipeline.native import configuration, preflight
from pipeline.native.natives import Needs
from pipeline.printable import say
from pipeline.progress import events
from pipeline.project import diagnostics, metadata, rust_version, selection, tree
from pipeline.project.diagnostics import Phase
from pipeline.project.metadata import Binary, Project
from pipeline.project.rust_version import Declared
from pipeline.project.skeleton import skeleton
from pipeline.releases import Release
from pipeline.sdk import dag, dagger
from pipeline.targets import Strategy
from pipeline.toolchain import builder as toolchain
from pipeline.toolchain import channel, zig
from pipeline.toolchain.channel import DEFAULT, Toolchain

MADE = ("debug", "release", "doc", "*-*-*", ".rustc_info.json")
OUTPUT = ["target", *(f"**/target/{name}" for name in MADE)]
"""cargo's output: `target` at the top, and in other directories only cargo's own names below `target`, which
may also be the name of a module."""

IGNORED = [*OUTPUT, "**/node_modules", "**/.venv", *private.PATTERNS]
"""Patterns of files left out of the source: build output, history and keys."""

CONFIGURATION = "/opt/rust-multiarch/configuration"
"""The configuration of the fetch, in the container."""

FETCH = ["cargo", "fetch", "--locked"]
"""The command that downloads everything in the lock file."""


@dataclass(frozen=True)
class Plan:
    """The plan of a build, made before compiling."""

    request: BuildRequest
    rust: str
    """The Rust version, with a custom builder's system: compiled state depends on it."""
    native: dagger.Container
    """A container with Rust on the build platform: from `toolchain.native`, or a custom builder."""
    skeleton: dagger.Directory
    """The files of the source that cargo needs before compiling."""
    fetched: dagger.Directory
    """Cargo's home with the dependencies of the project."""
    project: Project
    binaries: tuple[Binary, ...]
    commands: tuple[tuple[str, ...], ...]
    """The cargo commands: one, unless targets need different values of a variable without a triple."""
    needs: tuple[Needs, ...] = ()
    """The needs of the native dependencies, in the order of the targets."""
    pinned: Toolchain = DEFAULT
    """The used settings of the project's toolchain file."""
    warnings: tuple[str, ...] = ()
    """Warnings about the choice of Rust."""
    lock: str = field(default="", repr=False)
    """Cargo.lock."""
    programs: tuple[tuple[str, str], ...] = ()
    """The compiler and wrappers that are scripts of the project, by the variable that overrides each."""

    @property
    def image(self) -> str:
        """Return the name of the builder's image, or a description of a custom builder."""
        if self.request.builder is not None:
            return custom_containers.BUILDER
        return toolchain.rust_image(self.rust, self.request.debian)


async def plan(request: BuildRequest) -> Plan:
    """Plan a build from the manifests and the lock file, and fetch its dependencies.

    Raises:
        UnsupportedLibc: a target cannot be built, or a package cannot be linked, with the C library.
        CannotCrossCompile: native dependencies cannot be built; the message lists all of them.
        NotACargoProject, LockMissing: a required file is missing.
        ProjectError: see `selection.choose` and `diagnostics.explain`.
        MissingCredentials: see `diagnostics.explain`.
        BaseImageUnavailable: the Rust version has no image.
        RustTooOld: a crate requires a newer Rust, and the request or the project chooses this one.
        UnusableContainer: see `custom_containers.adopt`.
    """
    zig.check(request.targets, request.libc, request.glibc, request.debian.glibc)
    _check_target_packages(request)
    compiler = await _compiler(request)
    try:
        return await _plan(request, compiler)
    except _Needed as needed:
        newer = await _newer(request, compiler, needed)
    try:
        return await _plan(request, newer)
    except _Needed as needed:
        raise _too_old(needed, request, newer) from None


async def _plan(request: BuildRequest, compiler: _Compiler) -> Plan:
    events.enter("reading the project")
    files = in_engine(request.source)
    location = await workspace.find(files, request.directory)
    lock = await _read_lock(files, location)
    native = compiler.container
    configured = workspace.merged(await workspace.texts(files, request.directory, workspace.CONFIGURATIONS))
    configurations = [configured, *map(cargo_toml.read, request.choice.configurations)]
    compiling = tuple(
        (variable, program)
        for variable, program in configuration.programs(configurations).items()
        if configuration.in_project(program)
    )
    project, read = await _described(request, native, [program for _, program in compiling])
    choose = selection.named if request.tests else selection.choose
    binaries = choose(project, request.choice)
    events.enter("fetching dependencies")
    fetched = await _fetch(read, native, location, lock, configured)
    written = await _build_scripts(request, project)
    resolving = toolchain.with_fetched(_with_project(native, read), fetched)
    needs = await _examine(read, resolving, compiler, binaries, lock, configurations, written)
    said = [*compiler.warnings, *(warning for each in needs for warning in each.warnings)]
    for warning in dict.fromkeys(said):
        say(f"warning: {warning}")
    commands = build_commands(request, binaries, needs, lock)
    return Plan(
        request,
        compiler.rust,
        native,
        read.source,
        fetched,
        project,
        binaries,
        commands,
        needs,
        compiler.pinned,
        compiler.warnings,
        lock,
        compiling,
    )


class _Needed(Exception):
    """Crates require a newer Rust than the compiler's.

    Attributes:
        newer: the crates, the one that requires the newest Rust first.
        rustc: the compiler's version.
    """

    def __init__(self, newer: Sequence[Declared], rustc: str) -> None:
        super().__init__()
        self.newer = newer
        self.rustc = rustc


@dataclass(frozen=True)
class _Compiler:
    """The Rust version of a build, its container, and warnings about settings that are not used."""

    rust: str
    container: dagger.Container
    pinned: Toolchain = DEFAULT
    warnings: tuple[str, ...] = ()


async def _compiler(request: BuildRequest) -> _Compiler:
    """Return the Rust of a build: the option's, else the toolchain file's, else the default.

    Raises:
        InvalidManifest: the toolchain file is invalid or not supported.
        CompileError: rustup cannot install the Rust version or a component here.
    """
    if request.builder is not None:
        if request.strategy is Strategy.EMULATED:
            raise custom_containers.not_emulated()
        rust, container = await custom_containers.adopt(
            request.builder, request.triples, request.rust, request.build_platform
        )
        return _Compiler(rust, container, warnings=await _not_followed(request, rust))
    if request.rust:
        container = await _installed(request.rust, Toolchain(), request.debian)
        said = await _not_followed(request, request.rust)
        return _Compiler(request.rust, container, warnings=said)
    pinned = await _pinned(request)
    rust = pinned.channel or releases.RUST
    try:
        return _Compiler(rust, await _installed(rust, pinned, request.debian), pinned)
    except CompileError:
        if not (channel.is_nightly(rust) and request.cargo_environment.get("RUSTC_BOOTSTRAP")):
            raise
    # Projects use a nightly for unstable features, which this variable enables in a stable Rust.
    pinned = replace(pinned, channel="")
    used = releases.RUST
    warning = f"{pinned.file} asks for {rust}, which cannot be installed here: Rust {used} is used instead"
    return _Compiler(used, await _installed(used, pinned, request.debian), pinned, (warning,))


async def _newer(request: BuildRequest, compiler: _Compiler, needed: _Needed) -> _Compiler:
    """Return the Rust that the crates require, unless the request or the project chooses another.

    Raises:
        RustTooOld: it is chosen, or the required version has no image.
    """
    if request.builder is not None or request.rust or compiler.pinned.channel:
        raise _too_old(needed, request, compiler)
    first = needed.newer[0]
    try:
        container = await _installed(first.rust, compiler.pinned, request.debian)
    except BaseImageUnavailable as error:
        raise _too_old(needed, request, compiler, error.output) from error
    warning = (
        f"{first.name} {first.version} needs Rust {first.rust}, which is used instead of {compiler.rust}"
    )
    return replace(compiler, rust=first.rust, container=container, warnings=(*compiler.warnings, warning))


async def _installed(rust: str, pinned: Toolchain, release: Release) -> dagger.Container:
    """Return the official image of a Rust version, with the toolchain file's components and targets."""
    image = toolchain.native(rust, release, "", pinned.components, pinned.targets)
    try:
        return await image.sync()
    except dagger.ExecError as error:
        raise _not_installed(rust, pinned, release, printed(error)) from error
    except dagger.QueryError as error:
        raise toolchain.unavailable(rust, str(error), release) from error


def _not_installed(rust: str, pinned: Toolchain, release: Release, output: str) -> CompileError:
    """Return the error for a Rust version, component or target that rustup cannot install."""
    file = pinned.file or "--rust-version"
    wanted = ", ".join([*pinned.components, *pinned.targets])
    more = f"{file} wants {wanted} in it, which rustup cannot install here"
    kind = "a nightly Rust" if channel.is_nightly(rust) else rust
    what = (
        f"the project needs {kind}: {file} asks for {rust}, which rustup cannot install here"
        if toolchain.by_rustup(rust, release)
        else more
    )
    fix = f"hand in a builder that has it, or pass --rust-version {releases.RUST}, which goes before {file}"
    if channel.is_nightly(rust):
        fix += "; with --build-arg RUSTC_BOOTSTRAP=1 that takes unstable features too"
    return CompileError(what, where=file, fix=fix, output=output)


async def _not_followed(request: BuildRequest, rust: str) -> tuple[str, ...]:
    """Return a warning if the toolchain file has another Rust version than the used one."""
    try:
        pinned = await _pinned(request)
    except InvalidManifest as error:
        return (f"{error.what}; Rust {rust} is used",)
    same = not pinned.channel or f"{rust}.".replace(" ", ".").startswith(f"{pinned.channel}.")
    return () if same else (f"{pinned.file} asks for Rust {pinned.channel}, and Rust {rust} is used",)


def build_commands(
    request: BuildRequest, binaries: Sequence[Binary], needs: Sequence[Needs], lock: str = ""
) -> tuple[tuple[str, ...], ...]:
    """Return one `cargo build` for all targets, or one per group of targets with the same `Needs.common`."""

    def command(triples: Sequence[str]) -> tuple[str, ...]:
        words = selection.build_command(request.choice, binaries, triples, lock)
        return metadata.relocated(words, toolchain.SOURCE, toolchain.WORK)

    if preflight.agree(needs):
        return (command(request.triples),)
    sets: dict[tuple[str, ...], list[str]] = {}
    for triple, of_target in zip(request.triples, needs, strict=True):
        variables = tuple(f"{name}={value}" for name, value in of_target.common.items())
        sets.setdefault(variables, []).append(triple)
    return tuple(("env", *variables, *command(triples)) for variables, triples in sets.items())


def _check_target_packages(request: BuildRequest) -> None:
    reason = toolchain.compilers(request.targets[0], request.libc, request.glibc).not_debian
    if request.target_packages and reason:
        raise UnsupportedLibc(
            f"{', '.join(request.target_packages)} cannot be linked: {reason}",
            where="target packages",
            fix="leave the packages out, or build with libc gnu and no glibc version",
        )


async def _read_lock(files: Files, location: Location) -> str:
    lock = posixpath.join(location.workspace, workspace.LOCK)
    text = await files.read(lock)
    if text is None:
        raise LockMissing(
            f"the source has no {lock}, so two builds of it could differ",
            where="source",
            fix="run `cargo generate-lockfile` and commit Cargo.lock; if it exists already, remove it from "
            ".gitignore",
        )
    return text


async def _pinned(request: BuildRequest) -> Toolchain:
    """Return the settings of the project's toolchain file.

    Raises:
        InvalidManifest: see `channel.read`.
    """
    found = await workspace.texts(in_engine(request.source), request.directory, workspace.TOOLCHAINS)
    return channel.read(found[0][1], posixpath.basename(found[0][0])) if found else DEFAULT


async def _described(
    request: BuildRequest, native: dagger.Container, started: Sequence[str]
) -> tuple[Project, BuildRequest]:
    """Return the project, and the request with the skeleton as its source; see `skeleton`."""
    reduced = replace(request, source=await skeleton(request.source, native, started))
    try:
        return await _describe(reduced, native), reduced
    except InvalidManifest:
        # The cause may be the skeleton, or a custom builder without Debian's tools.
        return await _describe(request, native), request


async def _describe(request: BuildRequest, native: dagger.Container) -> Project:
    more = request.choice.everywhere
    command = ["cargo", "metadata", "--no-deps", "--offline", "--format-version", "1", *more]
    try:
        return metadata.read_metadata(await _with_project(native, request).with_exec(command).stdout())
    except dagger.ExecError as error:
        raise diagnostics.explain(
            error.stderr, shlex.join(command), diagnostics.DESCRIBING, phase=Phase.DESCRIBE
        ) from error


async def _fetch(
    request: BuildRequest,
    native: dagger.Container,
    location: Location,
    lock: str,
    configured: Mapping[str, Any],
) -> dagger.Directory:
    """Fetch all dependencies, and return cargo's home with them; only this step has the credentials."""
    needed = credentials.programs(lock, configured)
    container = toolchain.with_packages(native, needed) if needed else native
    archive = ""
    if request.state is not None:
        container, archive = cache_archive.mount(container, request.state), cache_archive.ARCHIVE
    files, tokens = in_engine(request.source), request.access.registries
    chosen = await fetching.configuration(files, request.directory, request.choice.everywhere, tokens)
    container, arguments = _configured(scripts.added(container), chosen)
    container = toolchain.with_variables(container, fetching.variables(request.cargo_environment).items())
    container = toolchain.with_source(container, request.source, request.directory)
    container = toolchain.with_downloads(container, request.untrusted)
    fetch = [*FETCH, *arguments]
    places = (toolchain.DOWNLOADS, toolchain.SOURCE, posixpath.join(location.workspace, workspace.LOCK))
    command = scripts.command("fetch.sh", *places, CONFIGURATION, archive, *fetch)
    try:
        fetched = await request.access.grant(container).with_exec(command).sync()
    except dagger.ExecError as error:
        raise diagnostics.explain(
            printed(error), shlex.join(fetch), diagnostics.FETCHING, phase=Phase.FETCH
        ) from error
    return fetched.directory(toolchain.CARGO_HOME)


def _configured(
    container: dagger.Container, chosen: FetchConfiguration
) -> tuple[dagger.Container, list[str]]:
    """Return a container with the configuration of a fetch, and the arguments of its command."""
    folder = dag.directory()
    for path, text in chosen.files.items():
        folder = folder.with_new_file(path, text)
    container = container.with_directory(CONFIGURATION, folder)
    paths = [f"{CONFIGURATION}-{number}.toml" for number in range(len(chosen.given))]
    for path, text in zip(paths, chosen.given, strict=True):
        container = container.with_new_file(path, text)
    waiting = iter(paths)
    return container, [next(waiting) if word == fetching.FILE else word for word in chosen.arguments]


def _with_project(container: dagger.Container, request: BuildRequest) -> dagger.Container:
    """Return a container with the project as its working directory, and cargo's variables."""
    container = toolchain.with_source(container, request.source, request.directory)
    return toolchain.with_variables(container, request.cargo_environment.items())


async def _build_scripts(request: BuildRequest, project: Project) -> dict[str, str]:
    """Return the text of each build script, by package name."""
    files = in_engine(request.source)
    paths = {
        name: posixpath.relpath(path, toolchain.SOURCE)
        for name, path in metadata.build_scripts(project.metadata).items()
        if path.startswith(f"{toolchain.SOURCE}/")
    }
    texts = await each(paths.values(), files.read, AT_ONCE)
    return {name: text or "" for name, text in zip(paths, texts, strict=True)}


async def _examine(
    request: BuildRequest,
    container: dagger.Container,
    compiler: _Compiler,
    binaries: Sequence[Binary],
    lock: str,
    configurations: Sequence[Mapping[str, Any]],
    written: Mapping[str, str],
) -> tuple[Needs, ...]:
    """Return the needs of the native dependencies, and check that every crate supports this Rust.

    Raises:
        _Needed: a crate requires a newer Rust.
    """
    packages = (
        ["--workspace"] if request.tests else selection.package_arguments(request.choice, binaries, lock)
    )
    roots = None if request.tests else frozenset((b.package, b.version) for b in binaries)
    chosen = [*packages, *selection.feature_arguments(request.choice), *request.choice.everywhere]
    commands = [tree.command(chosen, triple, request.tests) for triple in request.triples]
    try:
        found = await preflight.examine(
            container,
            commands,
            roots,
            request.targets,
            request.libc,
            request.glibc,
            configurations,
            written,
            request.git_metadata,
            request.choice.everywhere,
            request.cargo_environment,
        )
    except dagger.ExecError as error:
        raise diagnostics.explain(
            printed(error), shlex.join(commands[0]), diagnostics.RESOLVING, phase=Phase.RESOLVE
        ) from error
    newer = rust_version.too_new(found.declared, found.rustc, found.crates)
    if newer and rust_version.IGNORE not in request.choice.arguments:
        raise _Needed(newer, found.rustc)
    return found.needs


def _too_old(needed: _Needed, request: BuildRequest, compiler: _Compiler, output: str = "") -> RustTooOld:
    """Return the error for packages that need a newer Rust."""
    wanted = needed.newer[0].rust
    fix = f"pass --rust-version {wanted}"
    if request.builder is not None:
        fix = f"hand in a builder with Rust {wanted}"
    elif compiler.pinned.is_version:
        fix = f"write {wanted} into {compiler.pinned.file}, or {fix}"
    return RustTooOld(
        f"Rust {needed.rustc} is too old: "
        + ", ".join(f"{each.name} {each.version} needs {each.rust}" for each in needed.newer),
        where="rust-version",
        fix=f"{fix}; of a dependency, `cargo update --package NAME --precise VERSION` takes an older release",
        output=output,
    )
