"""Make stand-ins for the base images from Debian packages, for machines that cannot reach a registry.

The pipeline uses the official names. The engine's mirror setting redirects them to a read-only registry,
whose storage has the stand-ins. A stand-in has the same interface as the official image, not the same bytes.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from engine import apt, making, oci, registry
from engine.locks import exclusive
from engine.log import Log, to_stderr
from engine.making import Maker, check_programs
from engine.paths import Paths, default_root
from engine.recipes import BASES, PYTHON, Base, Job, debian, host, rust
from engine.record import BaseImages
from pipeline.errors import BaseImageUnavailable
from pipeline.releases import DEFAULT, Release, release, with_port
from pipeline.targets import TARGETS, Target, parse

PACKAGES = (*registry.PACKAGES, *making.PACKAGES)
WORKERS = 2


def ensure(
    images: BaseImages,
    *,
    storage: Path,
    cache: Path | None = None,
    log: Log = to_stderr,
) -> list[str]:
    """Make the stand-ins and store them: builder and Python for this machine, Debian for all platforms.

    Stand-ins already made from the same recipe are reused. After an interruption, call it again.

    Args:
        images: the images that builds need; this machine's own are always made.
        storage: the storage of the stand-ins' registry.
        cache: the project's cache directory.
        log: called with each line of progress.

    Returns:
        The names of the stored images; empty if the registry was up to date.

    Raises:
        BaseImageUnavailable: Debian has no port for a builder's platform, or a stand-in cannot be made.
        PrerequisitesMissing: a program or the right to mount is missing.
    """
    store = Paths(cache or default_root()).bases
    store.mkdir(parents=True, exist_ok=True)
    named = dict.fromkeys([DEFAULT, *map(release, images.releases)])
    jobs = jobs_for(map(parse, images.platforms), [*map(parse, images.builders)], host(), store, named)
    with exclusive(store / "lock"):
        missing = [job for job in jobs if not job.made]
        if missing:
            _make(store, missing, log)
        stored = [base.image for base in BASES if _store(store, base, storage, log)]
    return stored


def jobs_for(
    platforms: Iterable[Target],
    builders: Iterable[Target],
    native: Target,
    store: Path,
    releases: Iterable[Release] = (DEFAULT,),
) -> list[Job]:
    """Return the jobs that make the images for these platforms.

    Args:
        platforms: platforms that need a runtime image, besides the machine's own.
        builders: other platforms that the compiler will run on.
        native: the machine's own platform.
        store: the directory of the images.
        releases: the Debian releases of builder and runtime images.

    Raises:
        BaseImageUnavailable: a release has no port to a builder's platform.
    """
    on, beside = dict.fromkeys([native, *builders]), dict.fromkeys([*platforms, *builders])
    jobs = [Job(PYTHON, native, store)]
    for each in releases:
        jobs += [Job(rust(each), _portable(target, each), store) for target in on]
        for target in (one for one in beside if one.port is not None):
            found = debian(with_port(each, target))
            # Libraries missing in an image of another release are installed with that release's apt.
            jobs += [Job(found, place, store) for place in (target, native)]
    with_parents = (one for job in jobs for one in (job.parent, job) if one)
    return list({job.directory: job for job in with_parents}.values())


def _portable(target: Target, release: Release) -> Target:
    if not release.has_port(target):
        raise BaseImageUnavailable(
            f"no stand-in for {rust(release).image} on {target.platform}: "
            f"Debian {release.name} has no {target.debian} port",
            where=target.platform,
            fix="Remove this platform, or run on a machine that can reach docker.io.",
        )
    return target


def _store(store: Path, base: Base, storage: Path, log: Log) -> bool:
    """Store an index with every platform made so far; do nothing if there are none."""
    jobs = (Job(base, target, store) for target in TARGETS)
    made = [job for job in jobs if job.made]
    if not made:
        return False
    stored = oci.store(storage, base.name, base.tag, [job.image for job in made])
    if stored:
        log(f"{base.image}: in the local registry for {', '.join(j.target.platform for j in made)}")
    return stored


def _make(store: Path, missing: list[Job], log: Log) -> None:
    """Make the missing images: first the parents of other images, then the rest in parallel."""
    check_programs()
    # Only the holder of the lock makes images, so these directories are from an interrupted run.
    for leftover in store.glob("making-*"):
        shutil.rmtree(leftover)
    suites = {job.base.suite for job in missing}
    makers = {suite: Maker(store, [apt.release(s) for s in apt.sources(suite)], log) for suite in suites}
    missing = [job for job in missing if job.base.parent or makers[job.base.suite].can_make(job)]
    parents = parents_of(missing)
    for parent in parents.values():
        if not parent.made:
            makers[parent.base.suite].make(parent)
    # The slowest first.
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
    """Return the jobs of all parent images, without duplicates, by directory."""
    return {job.parent.directory: job.parent for job in jobs if job.parent}


def _outdated(store: Path) -> list[Path]:
    """Return the images whose recipe has changed."""
    current = {Job(base, target, store).directory for base in BASES for target in TARGETS}
    return [path for path in store.iterdir() if (path / "manifest.json").is_file() and path not in current]


def main() -> None:
    """Make the stand-ins from the command line: `python3 -m engine.bases --platform linux/arm64`."""
    parser = argparse.ArgumentParser(prog="python3 -m engine.bases", description=ensure.__doc__)
    parser.add_argument("--platform", action="append", default=[], help="a platform for debian, repeatable")
    parser.add_argument("--cache", type=Path, default=default_root(), help="the cache directory")
    options = parser.parse_args()
    storage = registry.stand_ins_storage(options.cache)
    ensure(BaseImages(options.platform), storage=storage, cache=options.cache, log=to_stderr)


if __name__ == "__main__":
    main()
