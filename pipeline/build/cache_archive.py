"""Save and restore compiled state as an archive, for CI runners that keep nothing between runs.

The archive has a project's target directory, the inputs of its content (paths, digests, names of variables),
and the archives of crates from crates.io. It has no sources, git databases or archives of other registries. A
build uses it if the engine has no compiled state, and cargo then compiles everything that is out of date, as
usual. Archives are not trusted: only these parts are unpacked, and crates are compared with the lock file.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.build import scripts
from pipeline.config.credentials import BuildSecret
from pipeline.sdk import dagger
from pipeline.toolchain import builder as toolchain

ARCHIVE = "/state.tar.zst"
PACKAGE = "zstd"


def mount(container: dagger.Container, archive: dagger.File) -> dagger.Container:
    """Return a container that can unpack an archive."""
    container = toolchain.with_packages(scripts.added(container), [PACKAGE])
    return container.with_mounted_file(ARCHIVE, archive)


def pack(
    built: dagger.Container, fetched: dagger.Directory, secrets: Sequence[BuildSecret] = ()
) -> dagger.File:
    """Return the archive of a container that has just run a build.

    Args:
        built: the container.
        fetched: cargo's home as it was fetched: build scripts may have changed the container's.
        secrets: the secrets of the build, which must not be in the archive.
    """
    container = toolchain.with_packages(scripts.added(toolchain.with_fetched(built, fetched)), [PACKAGE])
    for secret in secrets:
        container = container.with_secret_variable(secret.name, secret.value)
    container = container.with_env_variable("SECRETS", " ".join(secret.name for secret in secrets))
    packing = scripts.command("pack.sh", ARCHIVE, toolchain.CARGO_HOME, toolchain.BUILD)
    return container.with_exec(packing).file(ARCHIVE)
