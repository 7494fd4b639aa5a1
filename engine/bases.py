"""Stand-ins for the base images where no container registry can be reached, made from Debian packages.

The pipeline keeps the official names; the engine's mirror setting sends them to the loopback registry
that these images are pushed to. A stand-in keeps its official image's contract, not its bytes.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from engine import apt, making, oci, registry
from engine.locks import exclusive
from engine.log import Log, to_stderr
from engine.making import Maker, check_programs
from engine.paths import Paths, default_root
from engine.recipes import BASES, LATER, RUST, Base, Job, host, system
from pipeline.errors import BaseImageUnavailable
from pipeline.targets import TARGETS, Target, parse

PACKAGES = (*registry.PACKAGES, *making.PACKAGES)
WORKERS = 2


def ensure(
    platforms: Iterable[str],
    *,
    registry: str,
    cache: Path | None = None,
    builders: Iterable[str] = (),
    log: Log = to_stderr,
) -> list[str]:
    """Have the stand-ins in the registry: builder and Python for this machine, Debian for the platforms.

    What was made before from the same recipe is kept; an interrupted run is simply run again.

    Args:
        platforms: whose runtime image is needed, besides this machine's own.
        registry: `host:port` of the loopback registry.
        cache: the project's cache directory.
        builders: platforms besides this machine's own that the compiler will run on, under QEMU.
        log: takes a line of progress.

    Returns:
        The image names that were pushed; none if the registry had everything.

    Raises:
        BaseImageUnavailable: a builder's platform Debian has no port for, or a stand-in that cannot be made.
        PrerequisitesMissing: a program is missing, or the rights to mount.
    """
    store = Paths(cache or default_root()).bases
    store.mkdir(parents=True, exist_ok=True)
    jobs = jobs_for(map(parse, platforms), list(map(_portable, builders)), host(), store)
    with exclusive(store / "lock"):
        missing = [job for job in jobs if not job.made]
        if missing:
            _make(store, missing, log)
        pushed = [base.image for base in BASES if _push(store, base, registry, log)]
    return pushed


def jobs_for(
    platforms: Iterable[Target], builders: Sequence[Target], native: Target, store: Path
) -> list[Job]:
    """The images that builds for some platforms need.

    Args:
        platforms: whose runtime image is needed, besides the machine's own.
        builders: what the compiler will run on besides it.
        native: the machine's own platform.
        store: where images are kept.
    """
    wanted = dict.fromkeys([native, *platforms, *builders])
    jobs = [Job(system(target), target, store) for target in wanted]
    if LATER in [job.base for job in jobs]:
        # A library that an image of another release lacks is fetched by that release's own apt.
        jobs.append(Job(LATER, native, store))
    jobs += [Job(RUST, target, store) for target in builders if target != native]
    return jobs + [Job(base, native, store) for base in BASES if base.parent]


def _portable(platform: str) -> Target:
    target = parse(platform)
    if not RUST.has(target):
        raise BaseImageUnavailable(
            f"no stand-in for {RUST.image} on {platform}: Debian {RUST.suite} has no {target.debian} port",
            where=platform,
            fix="Leave this platform out, or run where docker.io can be reached.",
        )
    return target


def _push(store: Path, base: Base, registry: str, log: Log) -> bool:
    """Push the index of every platform made so far."""
    jobs = (Job(base, target, store) for target in TARGETS)
    made = [job for job in jobs if job.made]
    pushed = oci.push(registry, base.name, base.tag, [job.image for job in made])
    if pushed:
        log(f"{base.image}: in the local registry for {', '.join(j.target.platform for j in made)}")
    return pushed


def _make(store: Path, missing: list[Job], log: Log) -> None:
    """Make what is missing: the systems that others are layers on first, then the rest side by side."""
    check_programs()
    # Only the holder of the lock makes anything, so what is there was left by a run that died.
    for leftover in store.glob("making-*"):
        shutil.rmtree(leftover)
    suites = {job.base.suite for job in missing}
    makers = {suite: Maker(store, [apt.release(s) for s in apt.sources(suite)], log) for suite in suites}
    missing = [job for job in missing if job.base.parent or makers[job.base.suite].can_make(job)]
    parents = parents_of(missing)
    for parent in parents.values():
        if not parent.made:
            makers[parent.base.suite].make(parent)
    # The long ones first.
    rest = sorted((job for job in missing if not job.made), key=lambda job: job.base.parent is None)
    with ExitStack() as stack:
        lowers = {
            at: stack.enter_context(makers[parent.base.suite].lower(parent)) for at, parent in parents.items()
        }
        pool = stack.enter_context(ThreadPoolExecutor(WORKERS))
        steps = []
        for job in rest:
            lower = lowers[job.parent.directory] if job.parent else None
            steps.append(pool.submit(makers[job.base.suite].make, job, lower))
        for done in steps:
            done.result()
    for old in _outdated(store):
        shutil.rmtree(old)


def parents_of(jobs: Iterable[Job]) -> dict[Path, Job]:
    """The images that others are layers on, each once, by the directory it is kept in."""
    return {job.parent.directory: job.parent for job in jobs if job.parent}


def _outdated(store: Path) -> list[Path]:
    """Images of recipes that are no more."""
    current = {Job(base, target, store).directory for base in BASES for target in TARGETS}
    return [path for path in store.iterdir() if (path / "manifest.json").is_file() and path not in current]


def main() -> None:
    """Make the stand-ins by hand: `python3 -m engine.bases --platform linux/arm64`."""
    parser = argparse.ArgumentParser(prog="python3 -m engine.bases", description=ensure.__doc__)
    parser.add_argument("--platform", action="append", default=[], help="a platform for debian, repeatable")
    parser.add_argument("--port", type=int, default=registry.PORT, help="of the loopback registry")
    parser.add_argument("--cache", type=Path, default=default_root(), help="the cache directory")
    options = parser.parse_args()
    address = registry.ensure(options.port, cache=options.cache)
    ensure(options.platform, registry=address, cache=options.cache, log=to_stderr)


if __name__ == "__main__":
    main()
