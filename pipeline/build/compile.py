"""From a plan to one directory of binaries per triple.

Compiled state lives in a cache volume of the project; what makes that safe is that sources enter it by
content: only a file whose bytes changed gets a new time stamp, and cargo, which judges by time stamps, then
rebuilds exactly what changed, whichever commit was built before.
"""

from __future__ import annotations

import hashlib
import shlex
from dataclasses import dataclass, replace
from functools import partial

import dagger
from dagger import dag

from pipeline.build import auditable, cache_archive
from pipeline.build.plan import Plan, build_commands
from pipeline.errors import InvalidArgument, RustMultiarchError, printed
from pipeline.native import debian, natives, preflight
from pipeline.progress import events
from pipeline.project import diagnostics, selection, unit_graph
from pipeline.project import output as cargo_output
from pipeline.targets import TARGETS, Libc, Strategy, Target
from pipeline.toolchain import builder as toolchain
from pipeline.toolchain import zig

OUTPUT = "/output"
LISTED = "programs"


@dataclass(frozen=True)
class Program:
    """A finished program: its size in bytes, and the Debian packages with the libraries that it links."""

    size: int
    packages: tuple[str, ...]


def programs(listed: str) -> dict[str, Program]:
    """The programs of one triple by name, from the lines that `compile_script` writes."""
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
        native = toolchain.native(plan.rust, request.build_platform)
    container = toolchain.builder(
        native, request.targets, request.libc, request.packages, request.glibc, request.build_platform
    )
    container = preflight.prepared(container, request.targets, plan.needs, request.target_packages)
    container = toolchain.with_source(
        with_compiled_state(container, plan), source or request.source, request.directory
    ).with_env_variable("CARGO_TARGET_DIR", f"{toolchain.BUILD}/target")
    for name, value in request.build_args:
        container = container.with_env_variable(name, value)
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
    """What separates one project's compiled state from another's: its members and the toolchain.

    Profiles and triples have directories of their own inside; different sources of one project may
    share it, since sources enter by content.
    """
    chosen = [toolchain.compilers(target, plan.request.libc, plan.request.glibc) for target in TARGETS]
    # What build scripts compiled with other flags would be linked again: cargo looks at names alone.
    request = plan.request
    names = [plan.project.identity, plan.rust, zig.VERSION, request.build_platform, request.apart]
    text = "\n".join([*names, *map(repr, chosen)])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def sync_lines() -> list[str]:
    """Shell lines that bring the sources into the cache volume by content and go there.

    Before that they set the linker of every triple whose own was not set already: of the platforms that
    nothing is built for too, since one of them is what build scripts and macros are linked for. Cargo would
    compile all of those again where it is set in one build and not in the next, and a linker that the project
    names is of its author's machine.
    """
    source, work, synced = toolchain.SOURCE, f"{toolchain.BUILD}/src", f"{toolchain.BUILD}/synced"
    return [
        *(_linker_line(toolchain.linker(target.gnu), f"{target.tools}-gcc") for target in TARGETS),
        f"mkdir -p {work}",
        # Where cargo is run, below the source and below its copy.
        f"place=${{PWD#{source}}}",
        # There from a build that ended in the middle of this: what it synced it did not get to act on.
        f"unfinished=0; [ ! -e {synced} ] || unfinished=1",
        f"rsync -rlpi --checksum --delete --exclude=/target {source}/ {work}/ >{synced}",
        f"cd {work}",
        *_looked_for_lines(synced),
        f"rm {synced}",
        f'cd "{work}$place"',
    ]


def _linker_line(variable: str, linker: str) -> str:
    return f'! command -v {linker} >/dev/null || export {variable}="${{{variable}:-{linker}}}"'


def _looked_for_lines(synced: str) -> list[str]:
    """Shell lines that have the project's own crates compiled again where a file came or went.

    A macro that looks for files (`sqlx::migrate!`, `include_dir!`) can tell cargo which ones it read, but not
    that it looked, so cargo knows of changed files and not of new ones. A link that points elsewhere is as
    old as what it points to. New code is looked for in its own package (`automod::dir!`), of code that went
    cargo knows itself, and vendored crates, which lie beside their checksums, are not the project's own.

    The shell's `unfinished` says that something may have come or gone that nobody acted on.

    Args:
        synced: what rsync said it did (rsync(1), "--itemize-changes").
    """
    folders = r"""
/^cL/ || /^(>f\+|\*deleting )/ && !/(\.rs|\/)$/ { all = 1 }
/^>f\+.*\.rs$/ { path = "./" substr($0, 13); sub(/\/[^\/]*$/, "", path); folders[path] }
END { if (all) print "."; else for (path in folders) print path }
""".strip()
    vendored = r"-type d -exec test -e {}/.cargo-checksum.json \; -prune"
    return [
        f"awk -v all=$unfinished '{folders}' {synced} | while IFS= read -r folder; do",
        '    until [ -e "$folder/Cargo.toml" ] || [ "$folder" = . ]; do folder=${folder%/*}; done',
        '    echo "$folder"',
        "done | sort -u | while IFS= read -r package; do",
        f"""    find "$package" {vendored} -o -name '*.rs' -exec touch -c {{}} +""",
        "done",
    ]


def compile_script(plan: Plan) -> str:
    """The shell program that compiles and collects, for `toolchain.SHELL`.

    Binaries land in `/output/<triple>/`, stripped, with their symbols beside them in
    `/output/symbols/<triple>/` and linked to by build id and debug link. `/output/programs/<triple>` has a
    line for each, which `programs` reads.
    """
    lines = cache_archive.compiled_lines() if plan.request.state is not None else []
    lines += sync_lines()
    for target in plan.request.targets:
        lines += stale_lines(target, plan.request.libc)
    lines += [f"mkdir -p {OUTPUT}/{LISTED}", *map(cargo_output.reported, plan.commands)]
    directory = selection.profile_directory(plan.request.choice.profile)
    for target in plan.request.targets:
        triple = target.triple(plan.request.libc)
        for binary in plan.binaries:
            built = f"{toolchain.BUILD}/target/{triple}/{directory}/{binary.name}"
            lines += _collect(target.tools, built, triple, binary.name)
            program, packages = f"{OUTPUT}/{triple}/{binary.name}", f"/tmp/packages/{triple}/{binary.name}"
            lines += debian.needed_script(target, [program], packages)
            listed = f"{binary.name} $(stat --format=%s {program}) $(cat {packages})"
            lines.append(f"echo {listed} >>{OUTPUT}/{LISTED}/{triple}")
    return "\n".join(lines)


def stale_lines(target: Target, libc: Libc) -> list[str]:
    """Shell lines that drop what was compiled for a target against something that the builder has no more.

    That is another standard library: a builder may get its own from elsewhere with the same compiler, and
    cargo looks at the compiler alone; its crates would be fresh, and rustc could not find them ("can't find
    crate"). Or it is other development packages: what a build script found (`-l z`) is asked once, and the
    next link fails where it is gone, or goes on without it where it came.
    """
    folder = f"{toolchain.BUILD}/target/{target.triple(libc)}"
    packages = (
        "dpkg-query --show --showformat '${Architecture} ${Package} ${Version}\\n' '*-dev' 2>/dev/null"
        f" | awk '$1 == \"{target.debian}\"'"
    )
    return [
        f"there=$({{ ls $(rustc --print target-libdir --target {target.triple(libc)}); {packages} || :; }}"
        " | sha256sum)",
        f'[ "$(cat {folder}/.there 2>/dev/null)" = "$there" ] || rm -rf {folder}',
        f'mkdir -p {folder} && echo "$there" >{folder}/.there',
    ]


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
        commands = build_commands(own, plan.binaries, (needs,))
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
    asked = unit_graph.ask(builder(plan, plan.outline), plan.commands, plan.request.triples[0])
    await ready(container, plan)
    try:
        sections = await auditable.directory((await unit_graph.load(asked)).graphs)
        container = container.with_mounted_directory(auditable.FOLDER, sections)
        compiled = await container.with_exec([*toolchain.SHELL, compile_script(plan)]).sync()
        return compiled.with_directory(f"{OUTPUT}/crates", asked)
    except dagger.ExecError as error:
        first = plan.request.targets[0]
        chosen = toolchain.compilers(first, plan.request.libc, plan.request.glibc)
        # On stdout there is only what `messages` makes of it.
        raise diagnostics.explain(
            error.stderr, where, suggest=partial(natives.suggest, debian=not chosen.not_debian)
        ) from error
