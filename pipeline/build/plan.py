"""What a build amounts to, known before any compiler starts: an order becomes a plan.

Three commands run for it, each with only what it needs, so each is cached by itself: describe the project,
fetch its dependencies, resolve them. They see the project's outline, which a change of code leaves as it is.
"""

from __future__ import annotations

import posixpath
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import dagger

from pipeline.build import cache_archive, custom_containers
from pipeline.config import credentials, private, workspace
from pipeline.config.request import BuildRequest
from pipeline.config.settings import Files, InEngine
from pipeline.config.workspace import Location
from pipeline.errors import InvalidManifest, LockMissing, UnsupportedLibc, printed
from pipeline.native import preflight
from pipeline.native.natives import Needs
from pipeline.progress import events
from pipeline.project import diagnostics, metadata, selection, tree
from pipeline.project.metadata import Binary, Project
from pipeline.project.skeleton import outline
from pipeline.targets import Strategy
from pipeline.toolchain import builder as toolchain
from pipeline.toolchain import zig

MADE = ("debug", "release", "doc", "*-*-*", ".rustc_info.json")
OUTPUT = ["target", *(f"**/target/{name}" for name in MADE)]
"""What cargo writes: all of it at the top, and elsewhere what has a name that cargo gave it, for `target` is
a good name for a module too."""

IGNORED = [*OUTPUT, "**/node_modules", "**/.venv", *private.PATTERNS]
"""Left out of the source: build output, history and keys, which no compile reads."""

FETCH = ["cargo", "fetch", "--locked"]
"""The download of everything the lock file names, once, before anything else asks for it."""


@dataclass(frozen=True)
class Plan:
    """What a build will do, known before any compiler starts."""

    request: BuildRequest
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
            custom_containers.BUILDER if self.request.builder is not None else toolchain.rust_image(self.rust)
        )


async def plan(request: BuildRequest) -> Plan:
    """What an order amounts to, from the manifests and the lock file; its dependencies are fetched for that.

    Raises:
        UnsupportedLibc: a target cannot be built with the C library, or a package not linked with it.
        CannotCrossCompile: a native dependency that cannot be built; all are named at once.
        NotACargoProject, LockMissing: a file that every build needs is not there.
        ProjectError: see `selection.choose` and `diagnostics.explain`.
        MissingCredentials: a private dependency; see `diagnostics.explain`.
        BaseImageUnavailable: no builder image for the Rust version.
        UnusableContainer: a supplied builder; see `supplied.adopt`.
    """
    zig.check(request.targets, request.libc, request.glibc)
    _check_target_packages(request)
    events.enter("reading the project")
    files = InEngine(request.source)
    location = await workspace.find(files, request.directory)
    await _check_lock(files, location)
    rust, native = await _native(request)
    project, read = await _described(request, native)
    choose = selection.named if request.tests else selection.choose
    binaries = choose(project, request.choice)
    events.enter("fetching dependencies")
    configured = workspace.merged(await workspace.texts(files, request.directory, workspace.CONFIGURATIONS))
    await _fetch(read, native, location, configured)
    scripts = await _build_scripts(request, project)
    needs = await _examine(read, native, binaries, configured, scripts)
    for warning in dict.fromkeys(warning for each in needs for warning in each.warnings):
        print(f"warning: {warning}", file=sys.stderr, flush=True)
    commands = build_commands(request, binaries, needs)
    return Plan(request, rust, native, read.source, project, binaries, commands, needs)


async def _native(request: BuildRequest) -> tuple[str, dagger.Container]:
    """The Rust version and the container that has it."""
    if request.builder is not None:
        if request.strategy is Strategy.EMULATED:
            raise custom_containers.not_emulated()
        return await custom_containers.adopt(
            request.builder, request.triples, request.rust, request.build_platform
        )
    rust = request.rust or await _pinned(request) or toolchain.RUST
    image = toolchain.native(rust)
    try:
        await image.sync()
    except dagger.QueryError as error:
        raise toolchain.unavailable(rust, str(error)) from error
    return rust, image


def build_commands(
    request: BuildRequest, binaries: Sequence[Binary], needs: Sequence[Needs]
) -> tuple[tuple[str, ...], ...]:
    """One `cargo build` for all targets, or one for each set of targets that agree on `Needs.common`."""
    if preflight.agree(needs):
        return (tuple(selection.build_command(request.choice, binaries, request.triples)),)
    sets: dict[tuple[str, ...], list[str]] = {}
    for triple, of_target in zip(request.triples, needs, strict=True):
        variables = tuple(f"{name}={value}" for name, value in of_target.common.items())
        sets.setdefault(variables, []).append(triple)
    return tuple(
        ("env", *variables, *selection.build_command(request.choice, binaries, triples))
        for variables, triples in sets.items()
    )


def _check_target_packages(request: BuildRequest) -> None:
    reason = toolchain.compilers(request.targets[0], request.libc, request.glibc).not_debian
    if request.target_packages and reason:
        raise UnsupportedLibc(
            f"{', '.join(request.target_packages)} cannot be linked: {reason}",
            where="target packages",
            fix="leave the packages out, or build with libc gnu and no glibc version",
        )


async def _check_lock(files: Files, location: Location) -> None:
    lock = posixpath.join(location.workspace, workspace.LOCK)
    if await files.read(lock) is None:
        raise LockMissing(
            f"the source has no {lock}, so two builds of it could differ",
            where="source",
            fix="run `cargo generate-lockfile` and commit Cargo.lock; a lock file that is there is named by "
            ".gitignore: take it out of it",
        )


async def _pinned(request: BuildRequest) -> str:
    found = await workspace.texts(InEngine(request.source), request.directory, workspace.TOOLCHAINS)
    return toolchain.pinned_version(found[0][1]) if found else ""


async def _described(request: BuildRequest, native: dagger.Container) -> tuple[Project, BuildRequest]:
    """The project, and the order with no more of its source than cargo needs before a compile."""
    outlined = replace(request, source=await outline(request.source, native))
    try:
        return await _describe(outlined, native), outlined
    except InvalidManifest:
        # It may be the outline that is at fault, or a supplied builder without Debian's tools.
        return await _describe(request, native), request


async def _describe(request: BuildRequest, native: dagger.Container) -> Project:
    command = ["cargo", "metadata", "--no-deps", "--offline", "--format-version", "1"]
    try:
        return metadata.read_metadata(await _with_project(native, request).with_exec(command).stdout())
    except dagger.ExecError as error:
        raise diagnostics.explain(
            error.stderr, shlex.join(command), otherwise=diagnostics.DESCRIBING
        ) from error


async def _fetch(
    request: BuildRequest, native: dagger.Container, location: Location, configured: Mapping[str, Any]
) -> None:
    """Have all dependencies in cargo's home, which every builder shares; only this sees the credentials."""
    container = _with_project(native, request)
    lock = await request.source.file(posixpath.join(location.workspace, workspace.LOCK)).contents()
    needed = credentials.programs(lock, configured)
    container = toolchain.with_packages(container, needed) if needed else container
    command = FETCH
    if request.state is not None:
        container = cache_archive.mount(container, request.state)
        command = cache_archive.fetch(FETCH)
    try:
        await request.access.grant(container).with_exec(command).sync()
    except dagger.ExecError as error:
        raise diagnostics.explain(printed(error), shlex.join(FETCH)) from error


def _with_project(container: dagger.Container, request: BuildRequest) -> dagger.Container:
    return toolchain.with_source(container, request.source, request.directory)


async def _build_scripts(request: BuildRequest, project: Project) -> dict[str, str]:
    """The text of the build script of each package that has one, by the package's name."""
    files = InEngine(request.source)
    paths = metadata.build_scripts(project.metadata)
    return {
        name: await files.read(posixpath.relpath(path, toolchain.SOURCE)) or ""
        for name, path in paths.items()
        if path.startswith(f"{toolchain.SOURCE}/")
    }


async def _examine(
    request: BuildRequest,
    native: dagger.Container,
    binaries: Sequence[Binary],
    configured: Mapping[str, Any],
    scripts: Mapping[str, str],
) -> tuple[Needs, ...]:
    packages = ["--workspace"] if request.tests else selection.package_arguments(binaries)
    chosen = [*packages, *selection.feature_arguments(request.choice)]
    commands = [tree.command(chosen, triple, request.tests) for triple in request.triples]
    container = _with_project(native, request)
    try:
        return await preflight.examine(
            container,
            commands,
            request.targets,
            request.libc,
            request.glibc,
            configured,
            scripts,
            request.git_metadata,
        )
    except dagger.ExecError as error:
        raise diagnostics.explain(printed(error), shlex.join(commands[0])) from error
