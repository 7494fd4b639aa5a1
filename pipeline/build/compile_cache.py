"""Take compiled dependencies from a cache that all projects of an engine share, by sccache.

Only dependencies from registries and git are in it. cached_rustc.sh adds to sccache's key what sccache does
not look at. The projects of a trust level share a volume, since each build script can write to it.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, replace

from pipeline import cargo_toml
from pipeline.build import entries_directory
from pipeline.build.plan import Plan
from pipeline.config import compile_cache
from pipeline.config.request import BuildRequest
from pipeline.printable import say
from pipeline.sdk import dag, dagger
from pipeline.toolchain import builder as toolchain
from pipeline.toolchain import sccache

DIRECTORY = "/compile-cache"
SIZE = "10G"
"""The size of the volume above which sccache removes the crates that were not used for the longest time."""

STATISTICS, WARNINGS, USED = "compile-cache.json", "compile-cache.txt", "compile-cache.used"
"""The files in the output of compile.sh with the numbers of sccache, with why it is not used, and with the
paths of the entries that the build used or made."""

PREFIX = "RUST_MULTIARCH_STORE_"
"""The start of variables with credentials of the store, which compile.sh hides from cargo."""

PUBLIC = f"{toolchain.CARGO_HOME}/registry/src/index.crates.io-"
EVERY = (f"{toolchain.CARGO_HOME}/registry/src/", f"{toolchain.CARGO_HOME}/git/checkouts/")


def volume(untrusted: bool) -> str:
    """Return the name of the volume with the crates of trusted or of untrusted projects."""
    return "rust-multiarch-compiled-untrusted" if untrusted else "rust-multiarch-compiled"


def used(request: BuildRequest) -> bool:
    """Return True if a build uses the cache.

    A build that is compared with another one compiles everything, and so does an emulated compiler.
    """
    return request.compile_cache is not None and not request.apart and not request.build_platform


def store(request: BuildRequest) -> compile_cache.SharedStore | None:
    """Return the store behind the volume; None for an untrusted build, which could write to it."""
    return None if request.compile_cache is None or request.untrusted else request.compile_cache.store


def outside(request: BuildRequest) -> entries_directory.Outside | None:
    """Return the directory that the volume starts from, and that gets what a build adds; None without one."""
    named = request.compile_cache is not None and request.compile_cache.directory
    return entries_directory.current() if named else None


def crates(request: BuildRequest) -> tuple[str, ...]:
    """Return the starts of the paths of crates that may be in the cache.

    With credentials for private dependencies, those are only crates of crates.io, since every project of the
    engine can read the cache.
    """
    access = request.access
    private = access.registries or access.git or access.agent is not None
    return (PUBLIC,) if private else EVERY


def rows(request: BuildRequest) -> list[tuple[str, ...]]:
    """Return the rows of the plan file; none if the cache is not used."""
    if not used(request):
        return []
    behind = store(request)
    variables = {"SCCACHE_DIR": DIRECTORY, "SCCACHE_CACHE_SIZE": SIZE}
    modes = ["SCCACHE_LOCAL_RW_MODE"]
    found: list[tuple[str, ...]] = [("sccache", sccache.PROGRAM)]
    if behind is not None:
        kind = compile_cache.KINDS[behind.kind]
        variables |= {"SCCACHE_MULTILEVEL_CHAIN": f"disk,{kind.level}", **dict(behind.variables)}
        # A store that is gone does not fail what was compiled.
        variables["SCCACHE_MULTILEVEL_WRITE_ERROR_POLICY"] = "ignore"
        modes.append(kind.mode)
        found.append(("remote", behind.address))
        found += [("credential", variable) for variable, _ in _credentials(request)]
    if request.build_secrets:
        # A crate that contains a secret must not be where others can read it.
        variables |= dict.fromkeys(modes, "READ_ONLY")
    if outside(request):
        found.append(("used", DIRECTORY))
    found += [("cached", start) for start in crates(request)]
    return [*found, *(("store", name, value) for name, value in variables.items())]


def _credentials(request: BuildRequest) -> list[tuple[str, dagger.Secret]]:
    """Return the credentials of the store, each with sccache's variable for it."""
    behind = store(request)
    known = compile_cache.KINDS[behind.kind].credentials if behind else {}
    return [(known[each.name], each.value) for each in request.store_secrets if each.name in known]


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0]


async def prepared(plan: Plan) -> Plan:
    """Return a plan that uses the cache only if sccache can be installed: a build does not need it."""
    request = plan.request
    if not used(request):
        return plan
    if request.untrusted and request.compile_cache and request.compile_cache.store:
        say("warning: an untrusted build does not use the shared store of compiled dependencies")
    try:
        await sccache.installed().sync()
    except dagger.QueryError as error:
        said = _first_line(error)
        say(f"warning: dependencies are compiled without a cache, since sccache cannot be installed: {said}")
        return replace(plan, request=replace(request, compile_cache=None))
    if directory := outside(request):
        try:
            entries = await directory.read()
            await entries_directory.taken(_with_volume(plan), DIRECTORY, entries).sync()
        except dagger.QueryError as error:
            say(f"warning: the directory of compiled dependencies is not used: {_first_line(error)}")
    return plan


def _with_volume(plan: Plan) -> dagger.Container:
    return plan.native.with_mounted_cache(DIRECTORY, dag.cache_volume(volume(plan.request.untrusted)))


def mounted(container: dagger.Container, request: BuildRequest) -> dagger.Container:
    """Return a container with sccache, the volume and the credentials of the store."""
    if not used(request):
        return container
    container = container.with_mounted_directory(sccache.HOME, sccache.installed())
    container = container.with_mounted_cache(DIRECTORY, dag.cache_volume(volume(request.untrusted)))
    for variable, secret in _credentials(request):
        container = container.with_secret_variable(PREFIX + variable, secret)
    return container


def unmounted(container: dagger.Container, request: BuildRequest) -> dagger.Container:
    """Return a container without the credentials of the store and the volume."""
    if not used(request):
        return container
    for variable, _ in _credentials(request):
        container = container.without_secret_variable(PREFIX + variable)
    return container.without_mount(DIRECTORY)


@dataclass(frozen=True)
class Statistics:
    """The numbers of crates that were taken from the cache and that were not in it."""

    hits: int
    misses: int

    def as_text(self) -> str:
        """Return a line for the summary."""
        return f"compile cache: {self.hits} of {self.hits + self.misses} dependencies were compiled before"


def read(text: str) -> Statistics:
    """Parse sccache's numbers.

    Raises:
        ValueError: it is not its JSON.
    """
    stats = cargo_toml.table(json.loads(text), "stats")

    def count(name: str) -> int:
        counts = cargo_toml.table(stats, name, "counts").values()
        return sum(number for number in counts if type(number) is int)

    return Statistics(count("cache_hits"), count("cache_misses"))


async def reported(output: dagger.Directory, plan: Plan) -> dagger.Directory:
    """Print what the cache had and why it was not used, keep new entries; return the rest of the output."""
    names = [name for name in await output.entries() if name in (STATISTICS, WARNINGS, USED)]
    if WARNINGS in names:
        say((await output.file(WARNINGS).contents()).strip())
    if STATISTICS in names:
        with contextlib.suppress(ValueError):
            found = read(await output.file(STATISTICS).contents())
            if found.hits + found.misses:
                say(found.as_text())
    await kept(output, plan)
    return output.without_files(names) if names else output


async def kept(output: dagger.Directory, plan: Plan) -> None:
    """Keep what a build or check added in the directory of the command line, if it has one."""
    directory = outside(plan.request)
    if directory and USED in await output.entries():
        entries, listed = await directory.read(), output.file(USED)
        await directory.keep(entries_directory.given(_with_volume(plan), DIRECTORY, entries, listed))
