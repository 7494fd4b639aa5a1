"""Assemble the final image from its base and settings, without running anything in it."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline import programs, releases
from pipeline.build.custom_containers import Supplied
from pipeline.build.plan import Plan
from pipeline.config.request import pairs
from pipeline.config.settings import USER, Settings
from pipeline.errors import BaseImageUnavailable
from pipeline.git import metadata
from pipeline.git.context import BuildContext
from pipeline.oci import accounts
from pipeline.oci.health import Health, health, stop_signal
from pipeline.releases import Release, base_for
from pipeline.sdk import dag, dagger
from pipeline.targets import Libc, Target
from pipeline.toolchain import builder as toolchain

SCRATCH = "scratch"
"""The name of the empty base, which is not an image."""

SUPPLIED = "the supplied runtime"
"""The name shown for a custom runtime container."""

PROGRAMS = "/usr/local/bin"

ROOT = "0:0"
"""The owner of all files but volumes."""


@dataclass(frozen=True)
class Runtime:
    """The settings of the final image.

    Attributes:
        base: the base image, pulled for each target platform; `scratch` is empty.
        packages: Debian packages to add, besides those that the programs need.
        user: the user of the process; by default an unprivileged account, empty keeps the base's user.
        ports: TCP ports that the image exposes.
        args: default arguments after the entrypoint.
        env: environment variables of the process.
        labels: labels of the image's config.
        workdir: the working directory; empty keeps the base's.
        entrypoint: the command; by default the first program.
        health: the health check to set; None leaves the base's.
        no_healthcheck: remove the base's health check.
        stop_signal: the signal that stops the process; empty keeps the base's.
        volumes: paths of volumes, added to those of the base.
        files: files to add over the base's root filesystem.
        supplied: custom containers that replace `base`, by platform.
        pinned: the full names of the bases with their digests, by name, so that all pulls are equal.
    """

    base: str = releases.DEFAULT.base
    packages: tuple[str, ...] = ()
    user: str = USER
    ports: tuple[int, ...] = ()
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    workdir: str = ""
    entrypoint: tuple[str, ...] = ()
    health: Health | None = None
    no_healthcheck: bool = False
    stop_signal: str = ""
    volumes: tuple[str, ...] = ()
    files: dagger.Directory | None = None
    supplied: Supplied = field(default_factory=Supplied)
    pinned: Mapping[str, str] = field(default_factory=dict)

    @property
    def directories(self) -> tuple[str, ...]:
        """Return the directories that the image must have."""
        return tuple(dict.fromkeys((*self.volumes, *filter(None, [self.workdir]))))

    @property
    def config(self) -> dict[str, Any]:
        """Return fields of the image's config that the engine cannot set."""
        signal = {"StopSignal": self.stop_signal} if self.stop_signal else {}
        return {**signal, **({"Volumes": {path: {} for path in self.volumes}} if self.volumes else {})}

    def base_of(self, target: Target) -> str:
        """Return the name of a platform's base."""
        return SUPPLIED if self.supplied.runtime(target) else base_for(self.base, target)

    def layers(self, programs: Sequence[str]) -> tuple[str, ...]:
        """Return what makes each layer above the base, for the history; see `assemble`."""
        files = ("the project's files",) if self.files is not None else ()
        own = ("volumes and working directory",) if self.directories else ()
        return ("certificates, accounts and libraries", *files, *own, f"programs {', '.join(programs)}")

    def reference(self, target: Target) -> str:
        """Return the full name of a platform's base with its digest; "" without an image."""
        return self.pinned.get(self.base_of(target), "")

    def described(self, target: Target, digest: str = "") -> dict[str, str]:
        """Return the labels of a platform's image, with its base.

        Args:
            target: the platform.
            digest: the digest of the base's manifest for the platform; by default the pinned one.
        """
        base = metadata.Base.of(self.reference(target))
        named = metadata.of_base(replace(base, digest=digest or base.digest))
        return dict(sorted({**named, **self.labels}.items()))


def default_base(libc: Libc, release: Release) -> str:
    """Return the default base of the final image: static programs need none."""
    return SCRATCH if libc is Libc.MUSL else release.base


async def assemble(
    runtime: Runtime,
    base: dagger.Container,
    programs: Mapping[str, dagger.File],
    host: dagger.Container,
    added: dagger.Directory | None = None,
) -> dagger.Container:
    """Assemble a platform's image: the base with root certificates, a user and the programs.

    The programs are a separate layer, so that a change of the code uploads only this layer. The caller's
    files are another layer.

    Args:
        runtime: the settings of the image.
        base: the base image of this platform.
        programs: the files to put on PATH, by name; the first is the default entrypoint.
        host: a native container, for files that are the same on every platform.
        added: Debian packages that the programs need, from `debian.runtime_files`.
    """
    bare = runtime.base == SCRATCH
    system = _ordinary(host) if bare else dag.directory()
    system = system.with_file(toolchain.CERTIFICATES, host.file(toolchain.CERTIFICATES), permissions=0o644)
    if added is not None:
        system = added.with_directory("/", system)
    if bare or runtime.user in accounts.OWN:
        system = await _with_accounts(system, base)
    folder = dag.directory()
    for name, program in programs.items():
        folder = folder.with_file(f"{PROGRAMS}/{name}", program, permissions=0o755)
    container = base.with_directory("/", system, owner=ROOT)
    if runtime.files is not None:
        container = container.with_directory("/", runtime.files, owner=ROOT)
    user = await _numeric(runtime.user or await base.user(), container)
    if runtime.directories:
        container = await _with_directories(container, runtime, user or ROOT)
    container = container.with_directory("/", folder, owner=ROOT).with_user(user)
    return _configured(container, runtime, next(iter(programs)))


async def _with_directories(container: dagger.Container, runtime: Runtime, owner: str) -> dagger.Container:
    """Add a layer with the volumes, owned by the image's user, and the working directory, owned by root.

    Docker and Podman give a new volume the owner of its directory in the image. Without one it is root's, and
    the user could not write to it. A directory of the project's files gets the owner; one of the base keeps
    its own. A working directory that the image lacks cannot be made on a read-only root filesystem.
    """
    made = container
    for path in runtime.directories:
        volume, given = path in runtime.volumes, dag.directory()
        if volume and runtime.files is not None and await runtime.files.exists(path):
            given = runtime.files.directory(path)
        elif await container.exists(path):
            continue
        made = made.with_directory(path, given, owner=owner if volume else ROOT)
    return container.with_directory("/", container.rootfs().diff(made.rootfs()))


async def _numeric(user: str, container: dagger.Container) -> str:
    """Resolve a user to numbers with the account files of the finished image."""
    if accounts.is_numeric(user) or not user:
        return accounts.numeric(user, {}) if user else ""
    names = [path for path in accounts.FILES if await container.exists(path)]
    return accounts.numeric(user, {path: await container.file(path).contents() for path in names})


def _configured(container: dagger.Container, runtime: Runtime, program: str) -> dagger.Container:
    entrypoint = runtime.entrypoint or (f"{PROGRAMS}/{program}",)
    container = container.with_entrypoint(list(entrypoint)).with_default_args(list(runtime.args))
    if runtime.no_healthcheck:
        container = container.without_docker_healthcheck()
    if runtime.health:
        container = runtime.health.on(container)
    if runtime.workdir:
        container = container.with_workdir(runtime.workdir)
    for port in runtime.ports:
        container = container.with_exposed_port(port)
    for name, value in runtime.env.items():
        container = container.with_env_variable(name, value)
    for name, value in runtime.labels.items():
        container = container.with_label(name, value)
    return container


async def start(runtime: Runtime, target: Target) -> tuple[Runtime, dagger.Container]:
    """Return a platform's base container, and the runtime with the base's name.

    Raises:
        BaseImageUnavailable: see `base_image`.
    """
    name, given = runtime.base_of(target), runtime.supplied.runtime(target)
    pulled = given or await base_image(runtime.reference(target) or name, target)
    return replace(runtime, base=name), pulled


async def base_image(image: str, target: Target) -> dagger.Container:
    """Pull an image for a platform; `scratch` is an empty container.

    Raises:
        BaseImageUnavailable: the engine cannot pull it for the platform.
    """
    empty = dag.container(platform=dagger.Platform(target.platform))
    container = empty.with_rootfs(dag.directory()) if image == SCRATCH else empty.from_(image)
    try:
        return await container.sync()
    except dagger.QueryError as error:
        raise BaseImageUnavailable(
            f"the engine cannot pull {image} for {target.platform}",
            where="the runtime",
            fix="check the name and the network; on the embedded engine run "
            f"`rust-multiarch engine start --platform {target.platform}` once; if the base has no image "
            "for the platform, choose another base or build with --libc musl, which needs none",
            output=str(error),
        ) from error


async def resolved(image: str, target: Target) -> str:
    """Return the full name of a base with the current digest of its tag; "" for `scratch`.

    Raises:
        BaseImageUnavailable: see `base_image`.
    """
    return "" if image == SCRATCH else await (await base_image(image, target)).image_ref()


def _ordinary(host: dagger.Container) -> dagger.Directory:
    """Return the files that an empty base lacks: time zones and `/tmp`."""
    quiet = host.with_env_variable("DEBIAN_FRONTEND", "noninteractive")
    return quiet.with_exec(programs.command("oci/system.sh")).directory("/system")


async def _with_accounts(system: dagger.Directory, base: dagger.Container) -> dagger.Directory:
    """Add the base's account files, or root's lines if it has none, with the line of the added account."""
    for path, (root, own) in accounts.FILES.items():
        present = await base.file(path).contents() if await base.exists(path) else root
        system = system.with_new_file(path, accounts.extended(present, own), permissions=0o644)
    return system


async def setup(settings: Settings, plan: Plan, at: BuildContext | None, supplied: Supplied) -> Runtime:
    """Return the settings of the final image, whose labels are also its annotations.

    Raises:
        BaseImageUnavailable: the engine cannot pull the base.
    """
    base = settings.runtime_base or default_base(settings.libc, plan.request.debian)
    targets = [target for target in plan.request.targets if not supplied.runtime(target)]
    of = {base_for(base, target): target for target in targets}
    pinned = {name: await resolved(name, target) for name, target in of.items()}
    # These labels are the same for all platforms; `Runtime.described` adds those of a platform's base.
    same = len(pinned) == 1 and not supplied.runtimes
    found = metadata.Base.of(next(iter(pinned.values()))) if same else metadata.Base()
    labels = metadata.labels(
        metadata.describe(plan.project.metadata, plan.binaries[0].package),
        at,
        replace(found, digest=""),
        dict(pairs("labels", settings.labels)),
        settings.source_date_epoch,
    )
    return Runtime(
        base=base,
        packages=tuple(settings.runtime_packages),
        user=settings.user,
        ports=tuple(settings.ports),
        args=tuple(settings.args),
        env=dict(pairs("runtime-env", settings.runtime_env)),
        labels=labels,
        workdir=settings.working_directory,
        entrypoint=tuple(settings.entrypoint),
        health=health(settings, has_shell=base != SCRATCH or bool(supplied.runtimes)),
        no_healthcheck=settings.no_healthcheck,
        stop_signal=stop_signal(settings.stop_signal),
        volumes=tuple(map(posixpath.normpath, settings.volumes)),
        supplied=supplied,
        pinned=pinned,
    )
