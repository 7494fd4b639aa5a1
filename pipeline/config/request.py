"""What settings amount to: the order of a build, and how the final image is set up."""

from __future__ import annotations

import dagger

from pipeline.build.custom_containers import Supplied
from pipeline.build.plan import Order, Plan
from pipeline.config.credentials import Access
from pipeline.config.settings import Settings
from pipeline.errors import InvalidArgument, NotAGitRepository
from pipeline.git import facts as git
from pipeline.git import metadata
from pipeline.git.ci import of_ref
from pipeline.git.context import Situation
from pipeline.oci import runtime
from pipeline.project.selection import Choice
from pipeline.targets import Strategy, parse, select


def order(settings: Settings, source: dagger.Directory, access: Access, epoch: int) -> Order:
    """The order that settings amount to.

    Args:
        settings: what was set.
        source: the project.
        access: what private dependencies are fetched with.
        epoch: time of everything that is built, in seconds since 1970.

    Raises:
        PlatformError and its kin: see `targets.select`.
        InvalidArgument: a build argument is not NAME=value.
    """
    return Order(
        source=source,
        targets=select(settings.platforms),
        choice=Choice(
            package=settings.package,
            bins=listed(settings.bin),
            # Cargo takes spaces between features too.
            features=tuple(name for item in listed(settings.features) for name in item.split()),
            all_features=settings.all_features,
            no_default_features=settings.no_default_features,
            profile=settings.profile,
            arguments=tuple(settings.cargo_args),
        ),
        libc=settings.libc,
        glibc=settings.glibc,
        rust=settings.rust_version,
        build_args=(("SOURCE_DATE_EPOCH", str(epoch)), *pairs("build-args", settings.build_args)),
        access=access,
        target_packages=tuple(settings.target_packages),
        packages=tuple(settings.builder_packages),
        strategy=settings.strategy,
        build_platform=parse(settings.build_platform).platform if settings.build_platform else "",
    )


def builders(settings: Settings) -> list[str]:
    """The platforms besides the engine's own that the compiler runs on."""
    if settings.strategy is Strategy.EMULATED:
        return [target.platform for target in select(settings.platforms)]
    return [parse(settings.build_platform).platform] if settings.build_platform else []


async def situation(
    settings: Settings, known: Situation | None, repository: dagger.Directory | None
) -> Situation | None:
    """What git and CI say, checked; None where nothing can be asked.

    Args:
        settings: what was set.
        known: what was found out already.
        repository: the git checkout to ask otherwise.

    Raises:
        InvalidArgument: a time before 1970.
        DirtyTree: the checkout has changes and must not.
        NotAGitRepository: it must not have changes, and there is no checkout that git reads.
    """
    if settings.source_date_epoch < 0:
        raise InvalidArgument(
            f"{settings.source_date_epoch} is before 1970",
            where="--source-date-epoch",
            fix="give seconds since 1970, as `git log -1 --format=%ct` prints them",
        )
    at = known
    if at is None and repository is not None:
        at = Situation(await git.read(repository), of_ref(settings.ref))
    if settings.require_clean:
        if at is None:
            raise NotAGitRepository(
                "there is no git repository that can be read, so whether it is clean cannot be known",
                where="--require-clean",
                fix="build from a checkout that git reads; in Dagger pass it as --repository",
            )
        git.require_clean(at.facts)
    return at


def time_of(settings: Settings, at: Situation | None) -> int:
    """The time of everything that is built, in seconds since 1970."""
    return settings.source_date_epoch or (at.facts.time if at else 0)


async def setup(settings: Settings, plan: Plan, at: Situation | None, supplied: Supplied) -> runtime.Runtime:
    """How the final image is set up; its labels are its annotations too.

    Raises:
        BaseImageUnavailable: the engine cannot pull the base.
        InvalidArgument: a label or variable is not NAME=value.
    """
    base = settings.runtime_base or runtime.BASES[settings.libc]
    # Labels are the same for all platforms, and of a supplied container no image's name is known.
    names = {runtime.base_for(base, target) for target in plan.order.targets}
    same = len(names) == 1 and not supplied.runtimes
    found = await runtime.resolved(names.pop(), plan.order.targets[0]) if same else ""
    labels = metadata.labels(
        metadata.describe(plan.project.metadata, plan.binaries[0].package),
        at,
        metadata.Base.of(found),
        dict(pairs("labels", settings.labels)),
        settings.source_date_epoch or None,
    )
    return runtime.Runtime(
        base=base,
        packages=tuple(settings.runtime_packages),
        user=settings.user,
        ports=tuple(settings.ports),
        args=tuple(settings.args),
        env=dict(pairs("env", settings.env)),
        labels=labels,
        workdir=settings.working_directory,
        entrypoint=tuple(settings.entrypoint),
        supplied=supplied,
    )


def listed(items: list[str]) -> tuple[str, ...]:
    """Items that may be comma-separated, as cargo takes its own lists, one by one."""
    return tuple(name for item in items for part in item.split(",") if (name := part.strip()))


def pairs(option: str, items: list[str]) -> tuple[tuple[str, str], ...]:
    """`NAME=value` items taken apart at the first `=`.

    Raises:
        InvalidArgument: an item has no `=` or no name.
    """
    found = []
    for item in items:
        name, equals, value = item.partition("=")
        if not equals or not name:
            raise InvalidArgument(f"{item!r} is not NAME=value", where=f"--{option}", fix="write NAME=value")
        found.append((name, value))
    return tuple(found)
