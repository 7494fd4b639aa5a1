"""What a build would do and why, as data: for a person as text, for a program as JSON, for CI as a matrix.

Nothing is compiled for it: the manifests are read, and the engine asks registries for the digests of the
base images. `docs/plan.schema.json` describes the JSON.
"""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import dagger
from dagger import dag

from pipeline.build import compile as build
from pipeline.build.custom_containers import BUILDER
from pipeline.build.plan import Plan
from pipeline.ci import config as ci_config
from pipeline.concurrent import each
from pipeline.config import settings
from pipeline.config.settings import Merged
from pipeline.errors import BaseImageUnavailable
from pipeline.native.natives import Needs
from pipeline.oci import accounts
from pipeline.oci.runtime import SCRATCH, SUPPLIED, Runtime
from pipeline.targets import Libc, Target
from pipeline.toolchain import builder as toolchain
from pipeline.toolchain import zig
from pipeline.toolchain.versions import GLIBC_OF, PYTHON

VERSION = 1
"""Of the JSON document; a field that goes or changes its meaning raises it."""

AT_ONCE = 8
"""Images that the engine is asked about at the same time."""

# start of a package's name -> why it is installed
REASONS = {
    "binutils-": "archives and strips",
    "ca-certificates": "root certificates, for cargo and for the image",
    "pkgconf": "tells build scripts where libraries are",
    "rsync": "brings the sources to the compiled state by content",
    "gcc-": "C compiler and linker",
    "g++-": "C++ compiler",
    "libc6-dev-": "headers and start files of the C library",
}


@dataclass(frozen=True)
class PlannedPackage:
    """A Debian package that would be installed.

    Attributes:
        name: its name.
        place: `builder`, `target` (into the builder, of the target's architecture) or `image`.
        why: for what, and for which crate.
    """

    name: str
    place: str
    why: str


@dataclass(frozen=True)
class PlannedCrate:
    """A crate with native code, and what is done about it."""

    crate: str
    version: str
    wants: str
    why: str


@dataclass(frozen=True)
class BaseImage:
    """An image that something starts from: its name as it is set, and what the name means now.

    Attributes:
        name: as it is set, for example debian:bookworm-slim.
        digest: what the registry has under that name now; empty for `scratch` and what was supplied.
    """

    name: str
    digest: str


@dataclass(frozen=True)
class TargetPlan:
    """What would happen for one platform.

    Attributes:
        platform: OCI platform.
        triple: rustc triple.
        cpu: the oldest processor that the code runs on.
        runner: GitHub's runner that is such a machine, or one that builds for it.
        base: the image that the final image starts from.
        packages: installed for this platform.
        natives: the crates with native code.
        environment: set in the builder for this platform.
    """

    platform: str
    triple: str
    cpu: str
    runner: str
    base: BaseImage
    packages: tuple[PlannedPackage, ...]
    natives: tuple[PlannedCrate, ...]
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Setting:
    """A setting's value and where it came from."""

    name: str
    value: Any
    origin: str


@dataclass(frozen=True)
class Preview:
    """What a build would do.

    Attributes:
        version: of this document's form.
        rust: Rust version.
        libc: `gnu` or `musl`.
        glibc: oldest glibc the programs run on; empty for the builder's own.
        binaries: their names; the first is the entrypoint.
        commands: the cargo calls.
        builder: the image that everything is compiled in.
        tools: images that other steps run in.
        packages: installed into the builder whatever the platform.
        cache: name of the volume with compiled state.
        targets: for each platform, in the order asked for.
        tags: addresses it would be pushed to.
        labels: of the image's config.
        warnings: what a person may want to change.
        settings: every setting and where it came from.
    """

    version: int
    rust: str
    libc: str
    glibc: str
    binaries: tuple[str, ...]
    commands: tuple[tuple[str, ...], ...]
    builder: BaseImage
    tools: tuple[BaseImage, ...]
    packages: tuple[PlannedPackage, ...]
    cache: str
    targets: tuple[TargetPlan, ...]
    tags: tuple[str, ...]
    labels: Mapping[str, str]
    warnings: tuple[str, ...]
    settings: tuple[Setting, ...]


async def of(plan: Plan, runtime: Runtime, merged: Merged, tags: Sequence[str] = ()) -> Preview:
    """What a plan would do; the engine is asked what the base images are now.

    Args:
        plan: the plan.
        runtime: how the final image is set up.
        merged: the settings it was made from.
        tags: addresses it would be pushed to.

    Raises:
        BaseImageUnavailable: the engine cannot find a base image.
    """
    names = sorted({plan.image, PYTHON, *_bases(plan, runtime)} - {SCRATCH, SUPPLIED, BUILDER})
    digests = await each(names, _digest, AT_ONCE)
    return draw(plan, runtime, merged, dict(zip(names, digests, strict=True)), tags)


def draw(
    plan: Plan, runtime: Runtime, merged: Merged, digests: Mapping[str, str], tags: Sequence[str] = ()
) -> Preview:
    """What a plan would do, once the digests of its base images are known by their names."""
    bases = _bases(plan, runtime)
    return Preview(
        version=VERSION,
        rust=plan.rust,
        libc=plan.request.libc.value,
        glibc=plan.request.glibc,
        binaries=tuple(binary.name for binary in plan.binaries),
        commands=plan.commands,
        builder=BaseImage(plan.image, digests.get(plan.image, "")),
        tools=(BaseImage(PYTHON, digests[PYTHON]),),
        packages=tuple(_tools(toolchain.HOST_PACKAGES)),
        cache=build.cache_volume(plan),
        targets=tuple(
            target_plan(target, needs, plan, BaseImage(base, digests.get(base, "")), runtime.packages)
            for target, needs, base in zip(plan.request.targets, plan.needs, bases, strict=True)
        ),
        tags=tuple(tags),
        labels=runtime.labels,
        warnings=tuple(warnings(plan, runtime)),
        settings=tuple(
            Setting(settings.key(name), _plain(getattr(merged.settings, name)), merged.origins[name])
            for name in settings.NAMES
        ),
    )


def _bases(plan: Plan, runtime: Runtime) -> list[str]:
    """What each platform's image starts from, by name."""
    return [runtime.base_of(target) for target in plan.request.targets]


async def _digest(name: str) -> str:
    """What a registry has under a name now; of an image for several platforms, the index."""
    try:
        reference = await dag.container().from_(name).image_ref()
    except dagger.QueryError as error:
        raise BaseImageUnavailable(
            f"the engine cannot find {name}",
            where="plan",
            fix="check the name and the network",
            output=str(error),
        ) from error
    return reference.partition("@")[2]


def target_plan(
    target: Target, needs: Needs, plan: Plan, base: BaseImage, added: Sequence[str] = ()
) -> TargetPlan:
    """What would happen for one platform of a plan."""
    libc, glibc = plan.request.libc, plan.request.glibc
    named = {"target": plan.request.target_packages, "builder": plan.request.packages, "image": added}
    asked = [PlannedPackage(name, place, "asked for") for place, names in named.items() for name in names]
    packages = [*_tools(toolchain.compilers(target, libc, glibc).packages), *_wanted(needs), *asked]
    return TargetPlan(
        platform=target.platform,
        triple=target.triple(libc),
        cpu=target.cpu,
        runner=runner(target),
        base=base,
        packages=tuple({(package.name, package.place): package for package in packages}.values()),
        natives=tuple(PlannedCrate(r.crate, r.version, r.wants, r.why) for r in needs.reasons),
        environment={**toolchain.environment(target, libc, glibc), **needs.env, **needs.common},
    )


def _tools(names: Iterable[str]) -> list[PlannedPackage]:
    """Packages of the toolchain with what they are for."""
    found = ((name, (why for start, why in REASONS.items() if name.startswith(start))) for name in names)
    return [PlannedPackage(name, "builder", next(reasons)) for name, reasons in found]


def _wanted(needs: Needs) -> list[PlannedPackage]:
    """Packages of native crates with the crate that wants each."""
    places = {"builder": needs.host, "target": needs.target, "image": needs.runtime}

    def why(name: str) -> str:
        reasons = (reason for reason in needs.reasons if name in reason.wants.split())
        return "; ".join(dict.fromkeys(f"{reason.who} {reason.why}" for reason in reasons))

    return [PlannedPackage(name, place, why(name)) for place, names in places.items() for name in names]


def runner(target: Target) -> str:
    """GitHub's runner of a platform's own architecture, else one that builds for it."""
    return ci_config.runner(ci_config.system("github"), target.platform)


def warnings(plan: Plan, runtime: Runtime) -> list[str]:
    """What works as it is and that a person may want to know before it does."""
    return [*_too_old(plan, runtime), *_unpinned(runtime), *_risky(plan, runtime), *_told(plan)]


def _too_old(plan: Plan, runtime: Runtime) -> Iterable[str]:
    floor = tuple(map(int, plan.request.glibc.split("."))) if plan.request.glibc else zig.BUILDER_GLIBC
    for base in dict.fromkeys(_bases(plan, runtime)):
        has = GLIBC_OF.get(base)
        if has and has < floor and plan.request.libc is Libc.GNU:
            yield (
                f"{base} has glibc {_dotted(has)}, older than the {_dotted(floor)} that is linked with: "
                "a program that needs newer symbols will be refused"
            )


def _unpinned(runtime: Runtime) -> Iterable[str]:
    if re.search(r"(^|/)[^/:@]+(:latest)?$", runtime.base) and runtime.base != SCRATCH:
        yield f"{runtime.base} names no version: it will be another image some day"


def _risky(plan: Plan, runtime: Runtime) -> Iterable[str]:
    if runtime.user and accounts.is_root(runtime.user):
        yield "the program runs as root"
    if plan.request.choice.profile == "dev":
        yield "profile dev: the programs are not optimised"


def _told(plan: Plan) -> Iterable[str]:
    yield from dict.fromkeys(warning for needs in plan.needs for warning in needs.warnings)
    for name in sorted({name for needs in plan.needs for name in needs.unknown}):
        yield f"{name} is not in the table of native crates: it is tried as it is"


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, enum.Enum) else value


def as_matrix(targets: Iterable[Target], libc: Libc) -> str:
    """A GitHub matrix in one line: `{"include": [{"platform", "triple", "runner"}, …]}`."""
    rows = [
        {"platform": target.platform, "triple": target.triple(libc), "runner": runner(target)}
        for target in targets
    ]
    return json.dumps({"include": rows})


def as_json(preview: Preview) -> str:
    """The preview as a JSON document, described by docs/plan.schema.json."""
    return json.dumps(asdict(preview), indent=2)
