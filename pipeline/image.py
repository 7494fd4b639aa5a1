"""The multi-platform image: its variants, and the ways out of it."""

from typing import Annotated

import dagger
from dagger import Doc, dag, field, function, object_type

from pipeline import runtime, toolchain
from pipeline import smoke as smoke_run
from pipeline import verify as gate
from pipeline.build import Plan
from pipeline.errors import UnsupportedPlatform
from pipeline.publish import push
from pipeline.report import Row, as_table, manifests
from pipeline.report import as_json as rows_as_json
from pipeline.targets import Libc, parse

AddressArgument = Annotated[str, Doc("Where to push, for example ghcr.io/me/app:1.2.3.")]
UsernameArgument = Annotated[str, Doc("User name at the registry.")]
PasswordArgument = Annotated[dagger.Secret | None, Doc("Password or token at the registry.")]


@object_type
class Variant:
    """One platform's image."""

    platform: Annotated[str, Doc("OCI platform, for example linux/arm64.")] = field()
    triple: Annotated[str, Doc("The rustc triple it was compiled for.")] = field()
    container: Annotated[dagger.Container, Doc("The image, as a container of its platform.")] = field()
    binaries: Annotated[dagger.Directory, Doc("The stripped binaries.")] = field()
    symbols: Annotated[dagger.Directory, Doc("The debug symbols taken out of the binaries.")] = field()
    size: Annotated[int, Doc("Bytes of the binaries together.")] = field()


@object_type
class Image:
    """A multi-platform image that was built."""

    variants: Annotated[list[Variant], Doc("One image per platform, in the order asked for.")] = field()
    verified: Annotated[str, Doc("What was verified of every program, as JSON.")] = field()

    @function
    def variant(
        self, platform: Annotated[str, Doc("Platform of the variant, for example linux/arm64.")]
    ) -> Variant:
        """One platform's variant."""
        wanted = parse(platform).platform
        for variant in self.variants:
            if variant.platform == wanted:
                return variant
        raise UnsupportedPlatform(
            f"the image has no variant for {wanted}",
            where="platform",
            fix="choose one of " + ", ".join(v.platform for v in self.variants),
        )

    @function
    def tarball(self) -> dagger.File:
        """The image as an OCI archive: one index with every variant."""
        return dag.container().as_tarball(platform_variants=self._containers())

    @function
    def layout(self) -> dagger.Directory:
        """The image as an OCI layout directory: index.json and blobs."""
        unpack = ["tar", "-xf", "/image.tar", "-C", "/layout"]
        return (
            dag.container()
            .from_(runtime.BASE)
            .with_mounted_file("/image.tar", self.tarball())
            .with_directory("/layout", dag.directory())
            .with_exec(unpack)
            .directory("/layout")
        )

    @function
    async def report(self, as_json: Annotated[bool, Doc("As JSON instead of a table.")] = False) -> str:
        """Platform, triple, sizes and digest of every variant, as a table or as JSON."""
        rows = await self.rows()
        return rows_as_json(rows) if as_json else as_table(rows)

    @function
    async def smoke(
        self,
        command: Annotated[
            list[str] | None, Doc("Arguments after the entrypoint, for example --version.")
        ] = None,
    ) -> str:
        """Start every variant once, foreign ones under the engine's emulator; says which were skipped."""
        variants = [(variant.platform, variant.container) for variant in self.variants]
        return smoke_run.as_text(await smoke_run.run(variants, command or []))

    @function(cache="never")
    async def publish(
        self,
        address: AddressArgument,
        username: UsernameArgument = "",
        password: PasswordArgument = None,
    ) -> str:
        """Push one OCI index with exactly these variants; returns its address with the digest."""
        return await push(self._containers(), address, username, password)

    def _containers(self) -> list[dagger.Container]:
        return [variant.container for variant in self.variants]

    async def rows(self) -> list[Row]:
        """Platform, triple, sizes and digest of every variant, as data."""
        found = {manifest.platform: manifest for manifest in await manifests(self.layout())}
        return [
            Row(v.platform, v.triple, v.size, found[v.platform].image_bytes, found[v.platform].digest)
            for v in self.variants
        ]


async def assemble(plan: Plan, setup: runtime.Runtime, output: dagger.Directory) -> Image:
    """The image of what `build.compile` put out for a plan, every program held against its runtime.

    Raises:
        VerificationError: a program does not fit the root file system it would ship in.
        BaseImageUnavailable: see `runtime.assemble`.
    """
    names = [binary.name for binary in plan.binaries]
    roots = toolchain.native(plan.rust).file(runtime.CERTIFICATES)
    variants = []
    for target in plan.order.targets:
        triple = target.triple(plan.order.libc)
        binaries = output.directory(triple)
        programs = {name: binaries.file(name) for name in names}
        container = await runtime.assemble(setup, target, programs, roots)
        variants.append(
            Variant(
                platform=target.platform,
                triple=triple,
                container=await container.sync(),
                binaries=binaries,
                symbols=output.directory(f"symbols/{triple}"),
                size=sum([await file.size() for file in programs.values()]),
            )
        )
    paths = tuple(f"{runtime.PROGRAMS}/{name}" for name in names)
    static = plan.order.libc is Libc.MUSL
    verified = await gate.verify(
        [gate.Subject(v.container, parse(v.platform), paths, setup.base, static) for v in variants]
    )
    return Image(variants=variants, verified=gate.as_json(verified))
