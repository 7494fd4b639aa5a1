"""Describe what a build would do and why: as text, as JSON, and as a matrix for CI.

Nothing is compiled. The manifests are read, and the engine resolves the digests of the base images.
`docs/plan.schema.json` describes the JSON.
"""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

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
from pipeline.releases import GLIBC_OF, PYTHON
from pipeline.sdk import dag, dagger
from pipeline.targets import Libc, Target
from pipeline.toolchain import builder as toolchain

VERSION = 1
"""Version of the JSON document; removing a field or changing its meaning raises it."""

AT_ONCE = 8
"""Images resolved concurrently."""

# start of a package's name -> why it is installed
REASONS = {
    "binutils-": "archives and strips",
    "ca-certificates": "root certificates, for cargo and for the image",
    "pkgconf": "tells build scripts where libraries are",
    "gcc-": "C compiler and linker",
    "g++-": "C++ compiler",
    "libc6-dev-": "headers and start files of the C library",
}


@dataclass(frozen=True)
class PlannedPackage:
    """A Debian package to install.

    Attributes:
        name: the package's name.
        place: `builder`, `target` (into the builder, of the target's architecture) or `image`.
        why: its purpose, and the crate that needs it.
    """

    name: str
    place: str
    why: str


@dataclass(frozen=True)
class PlannedCrate:
    """A crate with native code, and how it is built."""

    crate: str
    version: str
    wants: str
    why: str


@dataclass(frozen=True)
class BaseImage:
    """An image that a build step or the final image starts from.

    Attributes:
        name: as set, for example debian:trixie-slim.
        digest: current digest in the registry; empty for `scratch` and for a custom container.
    """

    name: str
    digest: str


@dataclass(frozen=True)
class TargetPlan:
    """The plan for one platform.

    Attributes:
        platform: OCI platform.
        triple: rustc triple.
        cpu: the oldest processor the code runs on.
        runner: GitHub's runner of this architecture, or one that can build for it.
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
    """The value of a setting and its source.

    Attributes:
        name: its key in Cargo.toml.
        value: its value.
        origin: `default`, a table of Cargo.toml, an environment variable, an option or an argument.
    """

    name: str
    value: Any
    origin: str


@dataclass(frozen=True)
class Preview:
    """The plan of a build.

    Attributes:
        version: version of this document's format.
        rust: Rust version.
        libc: `gnu` or `musl`.
        glibc: oldest glibc the programs run on; empty for the builder's.
        binaries: names of the programs; the first is the entrypoint.
        commands: the cargo calls.
        builder: the image that compiles.
        tools: images of other build steps.
        packages: installed into the builder for every platform.
        cache: name of the cache volume with compiled state.
        targets: one plan per platform, in the order requested.
        tags: addresses the image would be pushed to.
        labels: labels of the image's config.
        warnings: settings worth changing.
        settings: every setting with its source.
        suggestions: smaller bases that the programs can have.
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
    suggestions: tuple[str, ...] = ()


async def of(plan: Plan, runtime: Runtime, merged: Merged, tags: Sequence[str] = ()) -> Preview:
    """Describe what a plan would do; the engine resolves the base images.

    Args:
        plan: the plan to describe.
        runtime: the setup of the final image.
        merged: the settings of the plan.
        tags: addresses the image would be pushed to.

    Raises:
        BaseImageUnavailable: the engine cannot find a base image.
    """
    names = sorted({plan.image, PYTHON, *_bases(plan, runtime)} - {SCRATCH, SUPPLIED, BUILDER})
    digests = await each(names, _digest, AT_ONCE)
    return draw(plan, runtime, merged, dict(zip(names, digests, strict=True)), tags)


def draw(
    plan: Plan, runtime: Runtime, merged: Merged, digests: Mapping[str, str], tags: Sequence[str] = ()
) -> Preview:
    """Describe what a plan would do, given the digests of its base images by name."""
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
            Setting(
                settings.key(name),
                _plain(settings.disclosed(name, getattr(merged.settings, name))),
                merged.origins[name],
            )
            for name in settings.NAMES
        ),
        suggestions=tuple(suggestions(plan, runtime)),
    )


def _bases(plan: Plan, runtime: Runtime) -> list[str]:
    """Return the name of each platform's base image."""
    return [runtime.base_of(target) for target in plan.request.targets]


async def _digest(name: str) -> str:
    """Return the current digest of an image; for a multi-platform image, that of the index."""
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
    """Describe one platform of a plan."""
    libc, glibc = plan.request.libc, plan.request.glibc
    named = {"target": plan.request.target_packages, "builder": plan.request.packages, "image": added}
    asked = [PlannedPackage(name, place, "requested") for place, names in named.items() for name in names]
    packages = [*_tools(toolchain.compilers(target, libc, glibc).packages), *_native_packages(needs), *asked]
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
    """Return the toolchain's packages with their purpose."""
    found = ((name, (why for start, why in REASONS.items() if name.startswith(start))) for name in names)
    return [PlannedPackage(name, "builder", next(reasons)) for name, reasons in found]


def _native_packages(needs: Needs) -> list[PlannedPackage]:
    """Return the packages that native crates need, with the crates."""
    places = {"builder": needs.host, "target": needs.target, "image": needs.runtime}

    def why(name: str) -> str:
        reasons = (reason for reason in needs.reasons if name in reason.wants.split())
        return "; ".join(dict.fromkeys(f"{reason.who} {reason.why}" for reason in reasons))

    return [PlannedPackage(name, place, why(name)) for place, names in places.items() for name in names]


def runner(target: Target) -> str:
    """Return GitHub's runner of a platform's architecture, else one that can build for it."""
    return ci_config.runner(ci_config.system("github"), target.platform)


def warnings(plan: Plan, runtime: Runtime) -> list[str]:
    """Return warnings about settings that work but may surprise."""
    return [
        *plan.warnings,
        *_too_old(plan, runtime),
        *_unpinned(runtime),
        *_risky(plan, runtime),
        *_native_warnings(plan),
    ]


def suggestions(plan: Plan, runtime: Runtime) -> Iterable[str]:
    """Yield smaller bases for programs on the default base, the smallest first.

    A shell in the base, or a library besides the C library, needs the default base.
    """
    release = plan.request.debian
    shell = runtime.health is not None and runtime.health.shell
    packages = any(needs.runtime or needs.target for needs in plan.needs)
    if runtime.base != release.base or runtime.supplied.runtimes or runtime.packages or shell or packages:
        return
    if not any(needs.reasons or needs.unknown for needs in plan.needs) and not plan.request.glibc:
        yield "no crate has native code: with --libc musl the programs are static and need no base"
    yield (
        f"the programs need only the C library: --runtime-base {release.small_base} has it without a shell, "
        f"and is smaller than {release.base}"
    )


def _too_old(plan: Plan, runtime: Runtime) -> Iterable[str]:
    glibc = plan.request.glibc
    floor = tuple(map(int, glibc.split("."))) if glibc else plan.request.debian.glibc
    for base in dict.fromkeys(_bases(plan, runtime)):
        has = GLIBC_OF.get(base)
        if has and has < floor and plan.request.libc is Libc.GNU:
            yield (
                f"{base} has glibc {_dotted(has)}, older than the {_dotted(floor)} that is linked against: "
                "programs that need newer symbols will fail the ABI check"
            )


def _unpinned(runtime: Runtime) -> Iterable[str]:
    if re.search(r"(^|/)[^/:@]+(:latest)?$", runtime.base) and runtime.base != SCRATCH:
        yield f"{runtime.base} has no version tag: it may change at any time"


def _risky(plan: Plan, runtime: Runtime) -> Iterable[str]:
    if runtime.user and accounts.is_root(runtime.user):
        yield "the program runs as root"
    if plan.request.choice.profile == "dev":
        yield "profile dev: the programs are not optimised"


def _native_warnings(plan: Plan) -> Iterable[str]:
    yield from dict.fromkeys(warning for needs in plan.needs for warning in needs.warnings)
    for name in sorted({name for needs in plan.needs for name in needs.unknown}):
        yield f"{name} is not in the table of native crates: it is built without extra packages"


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, enum.Enum) else value


def as_matrix(targets: Iterable[Target], libc: Libc) -> str:
    """Return a GitHub Actions matrix: `{"include": [{"platform", "triple", "runner"}, …]}`."""
    rows = [
        {"platform": target.platform, "triple": target.triple(libc), "runner": runner(target)}
        for target in targets
    ]
    return json.dumps({"include": rows})


def as_json(preview: Preview) -> str:
    """Format the preview as JSON, described by docs/plan.schema.json."""
    return json.dumps(asdict(preview), indent=2)
