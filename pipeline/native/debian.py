"""Download a target's Debian packages with the build platform's apt, and unpack them without running them.

Foreign architectures are not added to the builder's dpkg: packages that are not `Multi-Arch: same` could then
be installed for only one target, and maintainer scripts would run. Instead apt has a separate state for each
architecture, and its downloads are unpacked. Debian's library directories are separate for each architecture,
and the cross compilers and pkg-config look there.

Maintainer scripts do not run, so what they create (links of update-alternatives, users, caches) is missing.
The loader needs no cache for Debian's library directories.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from pipeline import programs
from pipeline.errors import PackageUnavailable, VerificationError, printed
from pipeline.native import dpkg
from pipeline.sdk import dag, dagger
from pipeline.targets import Target

SONAMES = "/opt/rust-multiarch/sonames"
"""Directory in the builder with a file per architecture, mapping shared libraries to packages."""

DPKG = "/var/lib/dpkg"
PROGRAM = "native/debian.sh"

# Messages of apt (apt-pkg/cacheset.cc).
_MISSING = re.compile(r"Unable to locate package (\S+)|Package '?([^\s']+)'? has no installation candidate")


def with_development(
    container: dagger.Container, target: Target, packages: Sequence[str]
) -> dagger.Container:
    """Return a builder with development packages of a target's architecture."""
    if not packages:
        return container
    return container.with_exec(programs.command(PROGRAM, "development", target.debian, *packages))


def with_lists(container: dagger.Container, target: Target) -> dagger.Container:
    """Return a Debian container with the package lists of a target's architecture."""
    return container.with_exec(programs.command(PROGRAM, "lists", target.debian))


async def runtime_files(
    base: dagger.Container, native: dagger.Container, target: Target, packages: Iterable[str]
) -> dagger.Directory | None:
    """Return the files of packages that a base image lacks; None if it has all of them.

    Dependencies are resolved with the base's dpkg status. Each package is recorded in
    `/var/lib/dpkg/status.d`, as in distroless images, for scanners.

    Args:
        base: the base image for the target; nothing in it runs.
        native: a Debian container of the build platform, whose apt is used.
        target: the platform.
        packages: the required packages, without architectures.

    Raises:
        VerificationError: the base is not Debian.
        PackageUnavailable: Debian does not have a package for the target.
    """
    present = {package.name for package in (await dpkg.read(base)).packages}
    missing = sorted(set(packages) - present)
    if not missing:
        return None
    if not present and await base.exists("/etc/os-release"):
        raise VerificationError(
            f"the base image is not Debian, so {', '.join(missing)} cannot be added",
            where=f"runtime base, {target.platform}",
            fix="use a Debian base, or enable the crates' vendored or bundled features",
        )
    described = base.directory(DPKG) if present else dag.directory()
    command = programs.command(PROGRAM, "runtime", "/base", "/packages", target.debian, *missing)
    native = with_lists(native, target)
    unpacked = native.with_mounted_directory("/base", described).with_exec(command)
    try:
        return await unpacked.directory("/packages").sync()
    except dagger.ExecError as error:
        raise unavailable(printed(error), f"the runtime image, {target.platform}") or error from error


def unavailable(output: str, where: str) -> PackageUnavailable | None:
    """Return the error for packages that apt does not find; None if its output has no such message.

    Args:
        output: the output of apt.
        where: the place, for the message.
    """
    names = dict.fromkeys(name for found in _MISSING.findall(output) for name in found if name)
    if not names:
        return None
    return PackageUnavailable(
        f"Debian has no package {', '.join(names)} for this release and architecture",
        where=where,
        fix="check the spelling at packages.debian.org, or leave the package out",
        output=output,
    )
