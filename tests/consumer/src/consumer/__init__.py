"""A module of somebody else's that builds on rust-multiarch, in the ways that module authors do."""

from typing import Annotated

import dagger
from dagger import Doc, dag, function, object_type

PLATFORMS = ["linux/amd64", "linux/arm64"]
DEBIAN = "debian:trixie-slim"
RUST = "rust:1.96-slim-trixie"
PROGRAM = "/usr/local/bin/hello"

Source = Annotated[dagger.Directory, Doc("The cargo project, whose one binary is called hello.")]
Address = Annotated[str, Doc("Where to push.")]
Registry = Annotated[dagger.Service, Doc("What the registry of the address is reached through.")]


@object_type
class Consumer:
    """Builds a project with rust-multiarch and does something of its own with what comes out."""

    @function(cache="never")
    async def ship(self, source: Source, address: Address, registry: Registry) -> str:
        """Add a file to every variant, hand them back, publish the image."""
        image = dag.rust_multiarch(source=source, platforms=PLATFORMS, labels=["made.by=consumer"]).build()
        for platform in PLATFORMS:
            container = image.variant(platform).container()
            image = image.with_variant(platform, container.with_new_file("/etc/motd", f"for {platform}\n"))
        return await image.publish(address, registry=registry)

    @function
    async def spoiled(self, source: Source) -> str:
        """Hand back a variant whose C library is gone."""
        image = dag.rust_multiarch(source=source, platforms=PLATFORMS).build()
        container = image.variant("linux/arm64").container()
        container = container.without_file("/usr/lib/aarch64-linux-gnu/libc.so.6")
        return await image.with_variant("linux/arm64", container).report()

    @function
    async def swapped(self, source: Source) -> str:
        """Hand back one platform's variant as another's."""
        image = dag.rust_multiarch(source=source, platforms=PLATFORMS).build()
        return await image.with_variant("linux/arm64", image.variant("linux/amd64").container()).report()

    @function(cache="never")
    async def on_own_runtime(self, source: Source, address: Address, registry: Registry) -> str:
        """A runtime of our own under each platform."""
        project = dag.rust_multiarch(source=source, platforms=PLATFORMS)
        for platform in PLATFORMS:
            base = dag.container(platform=dagger.Platform(platform)).from_(DEBIAN)
            base = base.with_new_file("/etc/company", f"{platform}\n").with_env_variable("COMPANY", "ours")
            project = project.with_runtime(platform, base)
        return await project.build().publish(address, registry=registry)

    @function
    async def in_own_builder(self, source: Source) -> str:
        """A builder of our own, whose environment the compile sees; what the program prints."""
        builder = dag.container().from_(RUST).with_env_variable("GIT_COMMIT_SHA", "from-the-builder")
        project = dag.rust_multiarch(source=source, platforms=["linux/amd64"]).with_builder(builder)
        container = project.build().variant("linux/amd64").container()
        return await container.with_exec([], use_entrypoint=True).stdout()

    @function
    async def in_a_poor_builder(self, source: Source) -> str:
        """A builder without cargo."""
        project = dag.rust_multiarch(source=source).with_builder(dag.container().from_(DEBIAN))
        return await project.build().report()

    @function(cache="never")
    async def around(self) -> list[str]:
        """What is in the project around the caller's directory."""
        return await dag.rust_multiarch().builder().directory(".").entries()
