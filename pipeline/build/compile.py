"""Compile a plan into a directory of binaries per triple.

Compiled state is kept in a cache volume of the project. The volume records the inputs of everything compiled
in it, and state.sh removes results of other inputs before cargo runs.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from dataclasses import dataclass, replace
from functools import partial

from pipeline.build import auditable, cache_archive, compile_cache, plan_file, scripts
from pipeline.build.plan import Plan, build_commands
from pipeline.config.request import BuildRequest
from pipeline.errors import InvalidArgument, RustMultiarchError, printed
from pipeline.native import debian, natives, preflight
from pipeline.progress import events
from pipeline.project import diagnostics, packages, unit_graph
from pipeline.project.metadata import relocated
from pipeline.sdk import dag, dagger
from pipeline.targets import TARGETS, Strategy
from pipeline.toolchain import builder as toolchain
from pipeline.toolchain import zig

OUTPUT = "/output"
LISTED = "programs"
"""The directory below it with a file per triple, for `programs`."""


SAFE = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
"""Variables that let git read a repository of another user."""


@dataclass(frozen=True)
class Program:
    """A compiled program: its size in bytes, and the Debian packages of its shared libraries."""

    size: int
    packages: tuple[str, ...]


def programs(listed: str) -> dict[str, Program]:
    """Parse the output of compile.sh: the programs of a triple, by name."""
    rows = [line.split() for line in listed.splitlines()]
    return {name: Program(int(size), tuple(packages)) for name, size, *packages in rows}


def builder(plan: Plan, source: dagger.Directory | None = None) -> dagger.Container:
    """Return the builder of a plan, prepared for cargo.

    Args:
        plan: the plan.
        source: the source to mount; the plan's source by default.
    """
    request = plan.request
    native = plan.native
    if request.build_platform and request.builder is None:
        native = toolchain.native(
            plan.rust,
            request.debian,
            request.build_platform,
            plan.pinned.components,
            plan.pinned.targets,
        )
    container = toolchain.builder(
        native,
        request.targets,
        request.libc,
        request.packages,
        request.glibc,
        request.build_platform,
        cache_key(plan),
    )
    container = preflight.prepared(container, request.targets, plan.needs, request.target_packages)
    state = with_compiled_state(container, plan)
    home = toolchain.with_fetched(state, plan.fetched)
    container = toolchain.with_source(home, source or request.source, request.directory)
    if request.git_metadata:
        # The files belong to root, and a custom builder may run as another user.
        container = toolchain.with_variables(container, SAFE.items())
    return toolchain.with_variables(container, request.build_args)


def with_secrets(container: dagger.Container, plan: Plan) -> dagger.Container:
    """Add the build secrets to a container's environment, for one command."""
    for secret in plan.request.build_secrets:
        container = container.with_secret_variable(secret.name, secret.value)
    return container


async def ready(container: dagger.Container, plan: Plan) -> None:
    """Make a plan's builder in the engine, so that its failures differ from those of a later command.

    Raises:
        PackageUnavailable: Debian does not have a package of the builder.
        BaseImageUnavailable: the Rust version has no image.
        RustMultiarchError: another step failed, such as the download of a standard library.
    """
    try:
        await container.sync()
    except dagger.ExecError as error:
        output = printed(error)
        raise debian.unavailable(output, "the builder") or RustMultiarchError(
            "the builder cannot be prepared",
            where="the builder",
            fix="see the output above; if a download failed, check the network and try again",
            output=output,
        ) from error
    except dagger.QueryError as error:
        raise toolchain.unavailable(
            plan.rust, str(error), plan.request.debian, plan.request.build_platform
        ) from error


def with_compiled_state(container: dagger.Container, plan: Plan) -> dagger.Container:
    """Mount a project's compiled state in a container, locked.

    The engine has a separate volume for each sharing mode of a name.
    """
    volume, locked = dag.cache_volume(cache_volume(plan)), dagger.CacheSharingMode.LOCKED
    return container.with_mounted_cache(toolchain.BUILD, volume, sharing=locked)


def cache_volume(plan: Plan) -> str:
    """Return the name of the volume with a project's compiled state."""
    return f"rust-multiarch-build-{cache_key(plan)}"


def cache_key(plan: Plan) -> str:
    """Return the key of a project's compiled state: its repository, directory, members, toolchain and trust.

    Profiles and triples have separate directories in the volume. Different sources, even of different
    projects, may share a volume, since state.sh removes results of other inputs.
    """
    chosen = [toolchain.compilers(target, plan.request.libc, plan.request.glibc) for target in TARGETS]
    # The compilers are included, since cargo would link C code that was compiled with other flags.
    request = plan.request
    project = [plan.project.identity, request.origin, request.directory]
    names = [
        *project,
        plan.rust,
        request.debian.name,
        zig.VERSION,
        request.build_platform,
        request.apart,
        "untrusted" if request.untrusted else "",
    ]
    text = "\n".join([*names, *map(repr, chosen)])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


PLACES = (toolchain.SOURCE, toolchain.BUILD, plan_file.PATH)
"""The first arguments of compile.sh and check.sh."""


def with_plan(container: dagger.Container, text: str, request: BuildRequest) -> dagger.Container:
    """Add the shell programs, their plan file and the request's lists of files to a container."""
    container = scripts.added(container).with_new_file(plan_file.PATH, text)
    for path, listed in ((plan_file.ABSENT, request.absent), (plan_file.DIGESTS, request.digests)):
        container = container if listed is None else container.with_mounted_file(path, listed)
    return container


async def compile(plan: Plan) -> dagger.Directory:
    """Compile a plan into `<triple>/<binary>`, `symbols/<triple>/<binary>.debug`, `programs/` and `crates/`.

    `crates/` has cargo's unit graphs, for `unit_graph.load`.

    Raises:
        CompileError, LinkError, BuildScriptRanTarget: cargo failed; the error has its complete output.
        PackageUnavailable: Debian does not have a package of the builder.
        ProjectError: see `diagnostics.explain`.
    """
    output = dag.directory()
    for leg in legs(await compile_cache.prepared(plan)):
        made = await (await _compile(leg)).directory(OUTPUT).sync()
        output = output.with_directory("/", await compile_cache.reported(made, leg))
    return output


async def archive(plan: Plan) -> dagger.File:
    """Return the compiled state after a build of a plan, for `BuildRequest.state` on another engine.

    Raises:
        InvalidArgument: the plan compiles each target separately, with separate states, or a build secret is
            in the state.
        CompileError and its subclasses: see `compile`.
    """
    if plan.request.strategy is Strategy.EMULATED:
        raise InvalidArgument(
            "the emulated strategy has a separate compiled state for each platform",
            where="--strategy",
            fix="leave the strategy out, or build one platform at a time with --build-platform",
        )
    secrets = plan.request.build_secrets
    packed = cache_archive.pack(await _compile(plan), plan.fetched, secrets)
    try:
        return await packed.sync()
    except dagger.ExecError as error:
        raise _not_packed(error) from error


def _not_packed(error: dagger.ExecError) -> RustMultiarchError:
    """Return the error for compiled state that cannot be packed."""
    said = printed(error)
    match = re.search(
        r"^error: the value of the build secret (\w+) is in the compiled state$", said, re.MULTILINE
    )
    if match is None:
        return RustMultiarchError(
            "the compiled state cannot be packed",
            where="--cache-to",
            fix="see the output above; build without --cache-to (export-cache in Dagger)",
            output=said,
        )
    return InvalidArgument(
        f"the value of the build secret {match[1]} is in the compiled state, which cargo records",
        where="--cache-to",
        fix="build without --cache-to (export-cache in Dagger), or let no code declare the variable "
        f"(`rerun-if-env-changed={match[1]}`, `option_env!`)",
    )


def legs(plan: Plan) -> list[Plan]:
    """Split a plan into separate compilations: one, or one per target on the target's platform."""
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
    await ready(container, plan)
    # The skeleton does not change with the code, so the result is cached.
    asking = await unit_graph.with_stable(builder(plan, plan.skeleton), plan.skeleton, toolchain.SOURCE)
    everywhere = plan.request.choice.everywhere
    commands = [relocated(words, toolchain.WORK, toolchain.SOURCE) for words in plan.commands]
    asked = unit_graph.ask(asking, commands, plan.request.triples[0], everywhere)
    try:
        sections = await auditable.directory((await unit_graph.load(asked)).graphs)
        container = container.with_mounted_directory(auditable.FOLDER, sections)
        described = asked.directory(plan.request.triples[0]).file(unit_graph.METADATA)
        local = packages.read(await described.contents(), toolchain.SOURCE)
        container = with_plan(container, plan_file.compiling(plan, local), plan.request)
        container = with_secrets(compile_cache.mounted(container, plan.request), plan)
        compiled = await container.with_exec(scripts.command("compile.sh", *PLACES, OUTPUT)).sync()
        for secret in plan.request.build_secrets:
            compiled = compiled.without_secret_variable(secret.name)
        compiled = compile_cache.unmounted(compiled, plan.request)
        return compiled.with_directory(f"{OUTPUT}/crates", asked)
    except dagger.ExecError as error:
        first = plan.request.targets[0]
        chosen = toolchain.compilers(first, plan.request.libc, plan.request.glibc)
        # stdout has only the converted messages.
        raise diagnostics.explain(
            error.stderr, where, suggest=partial(natives.suggest, debian=not chosen.not_debian)
        ) from error
