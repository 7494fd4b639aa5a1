"""The runtime: the base of the final image and what is set on it, without running anything of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import dagger
from dagger import dag

from pipeline.errors import BaseImageUnavailable
from pipeline.targets import Target

BASE = "debian:bookworm-slim"
USER, UID = "app", 10001
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
PROGRAMS = "/usr/local/bin"


@dataclass(frozen=True)
class Runtime:
    """How the final image is set up.

    Attributes:
        base: image to start from; pulled for each target platform.
        user: who the process runs as; the default is a user of our own without any rights.
        ports: TCP ports the image declares.
        args: default arguments after the entrypoint.
        env: environment of the process.
        labels: labels of the image's config.
    """

    base: str = BASE
    user: str = USER
    ports: tuple[int, ...] = ()
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


async def assemble(
    runtime: Runtime,
    base: dagger.Container,
    programs: Mapping[str, dagger.File],
    roots: dagger.File,
) -> dagger.Container:
    """One platform's image: the base with root certificates, a user and the programs added.

    Two layers are added, so that a change of the code uploads the programs alone.

    Args:
        runtime: how it is set up.
        base: the image it starts from, of its platform.
        programs: the files to put on PATH, by name; the first is the entrypoint.
        roots: the bundle of root certificates, which is the same on every platform.
    """
    system = dag.directory().with_file(CERTIFICATES, roots, permissions=0o644)
    if runtime.user == USER:
        system = await _with_accounts(system, base)
    folder = dag.directory()
    for name, program in programs.items():
        folder = folder.with_file(f"{PROGRAMS}/{name}", program, permissions=0o755)
    container = base.with_directory("/", system, owner="0:0").with_directory("/", folder, owner="0:0")
    return _configured(container, runtime, next(iter(programs)))


def _configured(container: dagger.Container, runtime: Runtime, entrypoint: str) -> dagger.Container:
    container = container.with_user(runtime.user).with_entrypoint([f"{PROGRAMS}/{entrypoint}"])
    container = container.with_default_args(list(runtime.args))
    for port in runtime.ports:
        container = container.with_exposed_port(port)
    for name, value in runtime.env.items():
        container = container.with_env_variable(name, value)
    for name, value in runtime.labels.items():
        container = container.with_label(name, value)
    return container


async def base_image(image: str, target: Target) -> dagger.Container:
    """An image for a platform.

    Raises:
        BaseImageUnavailable: the engine cannot pull it for the platform.
    """
    container = dag.container(platform=dagger.Platform(target.platform)).from_(image)
    try:
        return await container.sync()
    except dagger.QueryError as error:
        raise BaseImageUnavailable(
            f"the engine cannot pull {image} for {target.platform}",
            where="the runtime",
            fix="check the name and the network; on the embedded engine run "
            f"`rust-multiarch engine start --platform {target.platform}` once",
            output=str(error),
        ) from error


async def _with_accounts(system: dagger.Directory, base: dagger.Container) -> dagger.Directory:
    """The base's account files with our own user added, as files to lay over it."""
    lines = {
        "/etc/passwd": f"{USER}:x:{UID}:{UID}::/nonexistent:/usr/sbin/nologin\n",
        "/etc/group": f"{USER}:x:{UID}:\n",
    }
    for path, line in lines.items():
        present = await base.file(path).contents() if await base.exists(path) else ""
        system = system.with_new_file(path, present + line, permissions=0o644)
    return system
