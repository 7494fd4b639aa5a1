"""From a plan to one directory of binaries per triple.

Compiled state lives in a cache volume of the project. What makes that safe is state.sh: the volume knows what
all that is compiled in it was made of, and what was made of anything else is dropped before cargo runs.
"""

from __future__ import annotations

import hashlib
import shlex
from dataclasses import dataclass, replace
from functools import partial

import dagger
from dagger import dag

from pipeline.build import auditable, cache_archive, plan_file, scripts
from pipeline.build.plan import Plan, build_commands
from pipeline.errors import InvalidArgument, RustMultiarchError, printed
from pipeline.native import debian, natives, preflight
from pipeline.progress import events
from pipeline.project import diagnostics, packages, unit_graph
from pipeline.project.metadata import relocated
from pipeline.targets import TARGETS, Strategy
from pipeline.toolchain import builder as toolchain
from pipeline.toolchain import zig

OUTPUT = "/output"
LISTED = "programs"
"""Below it, a file for each triple, which `programs` reads."""


SAFE = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
"""Variables that let git read a repository of another user."""


@dataclass(frozen=True)
class Program:
    """A finished program: its size in bytes, and the Debian packages with the libraries that it links."""

    size: int
    packages: tuple[str, ...]


def programs(listed: str) -> dict[str, Program]:
    """The programs of one triple by name, from the lines that compile.sh writes."""
    rows = [line.split() for line in listed.splitlines()]
    return {name: Program(int(size), tuple(packages)) for name, size, *packages in rows}


def builder(plan: Plan, source: dagger.Directory | None = None) -> dagger.Container:
    """The builder of a plan, ready to run cargo.

    Args:
        plan: what is to be built.
        source: what it is run on; the plan's source where it is left out.
    """
    request = plan.request
    native = plan.native
    if request.build_platform and request.builder is None:
        native = toolchain.native(
            plan.rust, request.build_platform, plan.pinned.components, plan.pinned.targets
        )
    container = toolchain.builder(
        native, request.targets, request.libc, request.packages, request.glibc, request.build_platform
    )
    container = preflight.prepared(container, request.targets, plan.needs, request.target_packages)
    state = with_compiled_state(container, plan)
    container = toolchain.with_source(state, source or request.source, request.directory)
    if request.git_metadata:
        # The files are root's, and the program may not run as root in a supplied builder.
        container = toolchain.with_variables(container, SAFE.items())
    return toolchain.with_variables(container, request.build_args)


def with_secrets(container: dagger.Container, plan: Plan) -> dagger.Container:
    """Return a container with the secrets of the compile in its environment, for one command."""
    for secret in plan.request.build_secrets:
        container = container.with_secret_variable(secret.name, secret.value)
    return container


async def ready(container: dagger.Container, plan: Plan) -> None:
    """Have the engine make a plan's builder, so that what makes that fail is not taken for a failing command.

    Raises:
        PackageUnavailable: Debian has no package that the builder is to have.
        BaseImageUnavailable: no builder image for the Rust version.
        RustMultiarchError: anything else failed on the way, such as the download of a standard library.
    """
    try:
        await container.sync()
    except dagger.ExecError as error:
        output = printed(error)
        raise debian.unavailable(output, "the builder") or RustMultiarchError(
            "the builder could not be made ready",
            where="the builder",
            fix="see above what failed; where it is a download, try again or check the network",
            output=output,
        ) from error
    except dagger.QueryError as error:
        raise toolchain.unavailable(plan.rust, str(error), plan.request.build_platform) from error


def with_compiled_state(container: dagger.Container, plan: Plan) -> dagger.Container:
    """A container with a project's compiled state, for one at a time.

    To the engine a volume of another sharing mode is another volume, whatever its name.
    """
    volume, locked = dag.cache_volume(cache_volume(plan)), dagger.CacheSharingMode.LOCKED
    return container.with_mounted_cache(toolchain.BUILD, volume, sharing=locked)


def cache_volume(plan: Plan) -> str:
    """The name of the volume with a project's compiled state."""
    return f"rust-multiarch-build-{cache_key(plan)}"


def cache_key(plan: Plan) -> str:
    """Return the key of a project's compiled state: its repository, place in it, members and toolchain.

    Profiles and triples have their own directories inside. Different sources, even of different projects, may
    share a volume: state.sh drops what does not fit.
    """
    chosen = [toolchain.compilers(target, plan.request.libc, plan.request.glibc) for target in TARGETS]
    # What build scripts compiled with other flags would be linked again: cargo looks at names alone.
    request = plan.request
    project = [plan.project.identity, request.origin, request.directory]
    names = [*project, plan.rust, zig.VERSION, request.build_platform, request.apart]
    text = "\n".join([*names, *map(repr, chosen)])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


PLACES = (toolchain.SOURCE, toolchain.BUILD, plan_file.PATH)
"""The first arguments of compile.sh and check.sh."""


def with_plan(container: dagger.Container, text: str) -> dagger.Container:
    """A container with the shell programs and the file that tells them what to do."""
    return scripts.added(container).with_new_file(plan_file.PATH, text)


async def compile(plan: Plan) -> dagger.Directory:
    """Compile and collect: `<triple>/<binary>`, `symbols/<triple>/<binary>.debug`, `programs/`, `crates/`.

    `crates/` is what cargo said of the build before it, which `crates.load` reads.

    Raises:
        CompileError, LinkError, BuildScriptRanTarget: cargo failed; its output is carried whole.
        PackageUnavailable: Debian has no package that the builder is to have.
        ProjectError: see `diagnostics.explain`.
    """
    output = dag.directory()
    for leg in legs(plan):
        output = output.with_directory("/", await (await _compile(leg)).directory(OUTPUT).sync())
    return output


async def archive(plan: Plan) -> dagger.File:
    """The compiled state after a build of a plan, for `BuildRequest.state` elsewhere.

    Raises:
        InvalidArgument: the plan compiles each target apart, so there is no one state.
        CompileError and its kin: see `compile`.
    """
    if plan.request.strategy is Strategy.EMULATED:
        raise InvalidArgument(
            "the emulated strategy has a state for each platform",
            where="--strategy",
            fix="leave the strategy out, or build one platform at a time with --build-platform",
        )
    return cache_archive.pack(await _compile(plan))


def legs(plan: Plan) -> list[Plan]:
    """The parts of a plan that are compiled apart: one, or one for each target on the target's platform."""
    request = plan.request
    if request.strategy is Strategy.CROSS:
        return [plan]
    parts = []
    for target, needs in zip(request.targets, plan.needs, strict=True):
        own = replace(request, targets=(target,), build_platform=target.platform, strategy=Strategy.CROSS)
        commands = build_commands(own, plan.binaries, (needs,), plan.lock)
        parts.append(replace(plan, request=own, commands=commands, needs=(needs,)))
    return parts


async def _compile(plan: Plan) -> dagger.Container:
    container = builder(plan)
    if plan.request.state is not None:
        container = cache_archive.mount(container, plan.request.state)
    where = "; ".join(map(shlex.join, plan.commands))
    counts = {triple: needs.crates for triple, needs in zip(plan.request.triples, plan.needs, strict=True)}
    platforms = [target.platform for target in plan.request.targets]
    events.enter(events.COMPILING, platforms[0] if len(platforms) == 1 else "", counts)
    # A change of code leaves the outline as it is, and with it the answer.
    asking = await unit_graph.with_stable(builder(plan, plan.outline), plan.outline, toolchain.SOURCE)
    everywhere = plan.request.choice.everywhere
    commands = [relocated(words, toolchain.WORK, toolchain.SOURCE) for words in plan.commands]
    asked = unit_graph.ask(asking, commands, plan.request.triples[0], everywhere)
    await ready(container, plan)
    try:
        sections = await auditable.directory((await unit_graph.load(asked)).graphs)
        container = container.with_mounted_directory(auditable.FOLDER, sections)
        described = asked.directory(plan.request.triples[0]).file(unit_graph.METADATA)
        local = packages.read(await described.contents(), toolchain.SOURCE)
        container = with_plan(container, plan_file.compiling(plan, local))
        container = with_secrets(container, plan)
        compiled = await container.with_exec(scripts.command("compile.sh", *PLACES, OUTPUT)).sync()
        for secret in plan.request.build_secrets:
            compiled = compiled.without_secret_variable(secret.name)
        return compiled.with_directory(f"{OUTPUT}/crates", asked)
    except dagger.ExecError as error:
        first = plan.request.targets[0]
        chosen = toolchain.compilers(first, plan.request.libc, plan.request.glibc)
        # On stdout there is only what `messages` makes of it.
        raise diagnostics.explain(
            error.stderr, where, suggest=partial(natives.suggest, debian=not chosen.not_debian)
        ) from error
