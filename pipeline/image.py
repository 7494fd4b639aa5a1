"""The multi-platform image: its variants, and the ways out of it."""

import copy
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Annotated, Self

import dagger
from dagger import Doc, dag, field, function, object_type

from pipeline import upload
from pipeline.abi import verify as gate
from pipeline.attestation import attest
from pipeline.build import compile as build
from pipeline.build import custom_containers
from pipeline.build.plan import Plan
from pipeline.concurrent import each
from pipeline.errors import UnsupportedPlatform
from pipeline.git.tags import UNNAMED
from pipeline.native import debian
from pipeline.native.natives import Needs
from pipeline.oci import accounts, docker_archive, normalize, runtime
from pipeline.oci import smoke as smoke_run
from pipeline.oci.layout import Layout
from pipeline.oci.report import ImageRow, as_table, manifests
from pipeline.oci.report import as_json as rows_as_json
from pipeline.progress import events
from pipeline.registry.address import destinations, named, open_to_tags, tagged
from pipeline.registry.artifacts import Artifact
from pipeline.registry.publish import RegistryLogin, deliver
from pipeline.targets import Libc, Target, parse
from pipeline.toolchain.versions import BASE, PYTHON

AddressArgument = Annotated[
    str,
    Doc(
        "Where to push, for example ghcr.io/me/app:1.2.3; without a tag, git and the tag rules give them. "
        "{bin} stands for the binary's name."
    ),
]
UsernameArgument = Annotated[str | None, Doc("User name at the registry.")]
TagsArgument = Annotated[list[str] | None, Doc("Further tags of the image, at every address.")]
AlsoArgument = Annotated[list[str] | None, Doc("Further addresses to push the same image to.")]
NoClobberArgument = Annotated[bool | None, Doc("Move no tag that names another image already.")]
PlainHttpArgument = Annotated[list[str] | None, Doc("Registries that are spoken to without TLS.")]
RegistryArgument = Annotated[
    dagger.Service | None,
    Doc("What the address's registry is reached through, for one on your machine tcp://127.0.0.1:5000."),
]
# Null and not false where nothing is given: bindings for TypeScript demand every option that cannot be null.
ByDigestArgument = Annotated[bool | None, Doc("Set no tag: what is pushed is found by its digest alone.")]
ReceiptArgument = Annotated[bool | None, Doc("Return all that was done, as JSON, instead of the address.")]
SbomArgument = Annotated[bool | None, Doc("Attach a CycloneDX bill of materials to each platform's image.")]
ProvenanceArgument = Annotated[bool | None, Doc("Attach SLSA provenance: what was built from what, and how.")]
SymbolsArgument = Annotated[bool | None, Doc("Attach the debug symbols of each platform's binaries.")]
SignKeyArgument = Annotated[
    dagger.Secret | None,
    Doc("Private key to sign the image and what is attached with: cosign's, or an EC key on P-256 in PEM."),
]
SignPasswordArgument = Annotated[dagger.Secret | None, Doc("Password of the private key.")]
PasswordArgument = Annotated[dagger.Secret | None, Doc("Password or token at the registry.")]

AT_ONCE = 4
"""Platforms that are assembled at the same time."""

SEAL = ("python3", "/seal.py")
PACK = ("python3", "/docker_archive.py")
LAYOUT = "/layout"


@object_type
class Variant:
    """One platform's image."""

    platform: Annotated[str, Doc("OCI platform, for example linux/arm64.")] = field()
    triple: Annotated[str, Doc("The rustc triple it was compiled for.")] = field()
    container: Annotated[dagger.Container, Doc("The image, as a container of its platform.")] = field()
    base: Annotated[dagger.Container | None, Doc("The image it starts from, if any.")] = field()
    binaries: Annotated[dagger.Directory, Doc("The stripped binaries.")] = field()
    symbols: Annotated[dagger.Directory, Doc("The debug symbols taken out of the binaries.")] = field()
    crates: Annotated[
        dagger.Directory, Doc("What cargo said of the build: its units, metadata and lock.")
    ] = field()
    size: Annotated[int, Doc("Bytes of the binaries together.")] = field()
    # What its programs have to be, for checking a container that takes its place.
    demand: gate.Demand = dataclasses.field(init=False, default_factory=gate.Demand)


@object_type
class Image:
    """A multi-platform image that was built."""

    name: Annotated[str, Doc("The binary it starts.")] = field()
    variants: Annotated[list[Variant], Doc("One image per platform, in the order asked for.")] = field()
    verified: Annotated[str, Doc("What was verified of every program, as JSON.")] = field()
    terms: Annotated[str, Doc("The time and the annotations it is sealed with, as JSON.")] = field()
    tags: Annotated[list[str], Doc("What git and the tag rules call it; none without a repository.")] = field(
        default=list
    )
    origin: Annotated[str, Doc("Where it comes from: a SLSA provenance predicate, as JSON.")] = field(
        default=str
    )
    # Why the tag rules give no tag, a word of theirs; no part of the interface.
    unnamed: str = dataclasses.field(init=False, default="")
    # State of `with_registry_auth`, no part of the interface.
    logins: list[RegistryLogin] = dataclasses.field(init=False, default_factory=list)

    @function
    def variant(
        self, platform: Annotated[str, Doc("Platform of the variant, for example linux/arm64.")]
    ) -> Variant:
        """One platform's variant."""
        return self.of(platform)

    def of(self, platform: str) -> Variant:
        """Return the variant of a platform.

        Raises:
            UnsupportedPlatform: the image has none.
        """
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
    async def with_variant(
        self,
        platform: Annotated[str, Doc("Platform of the variant, for example linux/arm64.")],
        container: Annotated[dagger.Container, Doc("The variant's container as it is to be.")],
        programs: Annotated[
            list[str] | None, Doc("Further programs in it to check, as absolute paths.")
        ] = None,
    ) -> Self:
        """The same image with a changed container for one platform, whose programs are checked again."""
        before = self.of(platform)
        target = parse(before.platform)
        await custom_containers.check_platform(container, target, f"the variant of {target.platform}")
        demand = dataclasses.replace(before.demand, programs=(*before.demand.programs, *(programs or [])))
        verified = await gate.verify([gate.VerifyRequest(container, target, demand)])
        variant = copy.copy(before)
        variant.container, variant.demand = await container.sync(), demand
        if before.base is not None and not await _starts_with(container, before.base):
            variant.base = container
        changed = copy.copy(self)
        changed.variants = [variant if v is before else v for v in self.variants]
        changed.verified = gate.replaced(self.verified, target.platform, verified)
        return changed

    @function
    def layout(self) -> dagger.Directory:
        """The image as an OCI layout directory, the same bytes for the same content."""
        return self._sealed().directory(LAYOUT)

    @function
    def tarball(self) -> dagger.File:
        """The image as an OCI archive: the layout in one tar file."""
        pack = ["tar", "--sort=name", "--mtime=@0", "--owner=0:0", "--group=0:0", "--mode=u=rwX,go=rX"]
        return self._sealed().with_exec([*pack, "-C", LAYOUT, "-cf", "/sealed.tar", "."]).file("/sealed.tar")

    @function
    async def docker_archive(
        self,
        platform: Annotated[
            str, Doc("The platform; the only one, or else the engine's own, where none is given.")
        ] = "",
        tags: Annotated[list[str] | None, Doc("What the loaded image is called, for example app:1.")] = None,
    ) -> dagger.File:
        """One platform's image as a file that `docker load` and `podman load` take, under these names."""
        if not platform and len(self.variants) == 1:
            platform = self.variants[0].platform
        variant = self.of(platform or await dag.default_platform())
        packing = _program(PACK, docker_archive).with_mounted_directory(LAYOUT, self.layout())
        return packing.with_exec([*PACK, LAYOUT, "/image.tar", variant.platform, *(tags or [])]).file(
            "/image.tar"
        )

    @function
    async def report(self, as_json: Annotated[bool, Doc("As JSON instead of a table.")] = False) -> str:
        """Platform, triple, sizes and digest of every variant, as a table or as JSON."""
        return rows_as_json(await self.rows()) if as_json else await self.table()

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

    @function
    def with_registry_auth(
        self,
        host: Annotated[str, Doc("The registry, for example ghcr.io.")],
        username: Annotated[str, Doc("User name at the registry.")],
        password: Annotated[dagger.Secret, Doc("Password or token at the registry.")],
    ) -> Self:
        """The same image, with credentials for one more registry."""
        changed = copy.copy(self)
        changed.logins = [*self.logins, RegistryLogin(host, username, password)]
        return changed

    @function(cache="never")
    async def publish(
        self,
        address: AddressArgument,
        tags: TagsArgument = None,
        also: AlsoArgument = None,
        username: UsernameArgument = None,
        password: PasswordArgument = None,
        no_clobber: NoClobberArgument = None,
        plain_http: PlainHttpArgument = None,
        registry: RegistryArgument = None,
        sbom: SbomArgument = None,
        provenance: ProvenanceArgument = None,
        symbols: SymbolsArgument = None,
        sign_key: SignKeyArgument = None,
        sign_password: SignPasswordArgument = None,
        as_json: ReceiptArgument = None,
        by_digest: ByDigestArgument = None,
    ) -> str:
        """Push one OCI index with exactly these variants; returns its address with the digest."""
        addresses = [named(one, self.name) for one in (address, *(also or []))]
        if self.unnamed and not by_digest and any(map(open_to_tags, addresses)):
            raise UNNAMED[self.unnamed]()
        to = destinations(tagged(addresses, self.tags), tags or [])
        if by_digest:
            to = tuple(dataclasses.replace(destination, tags=()) for destination in to)
        logins = self.logins
        if password is not None:
            logins = [RegistryLogin(to[0].host, username or "", password), *logins]
        options = await attest.options(bool(sbom), bool(provenance), bool(symbols), sign_key, sign_password)

        async def attach(layout: Layout) -> list[Artifact]:
            terms = normalize.terms(self.terms)
            return await attest.attach(layout, self._parts(), options, to[0].name, terms, self.origin)

        receipt = await deliver(
            self.layout(),
            to,
            logins,
            clobber=not no_clobber,
            plain_http=plain_http or (),
            service=registry,
            attach=attach,
        )
        print(receipt.as_text(), file=sys.stderr, flush=True)
        return receipt.as_json() if as_json else receipt.references[0]

    def _sealed(self) -> dagger.Container:
        """A container with the sealed layout in it."""
        sealing = _sealer().with_new_file("/terms.json", self.terms)
        pairs = []
        for number, variant in enumerate(self.variants):
            image, base = f"/images/{number}.tar", f"/bases/{number}"
            sealing = sealing.with_mounted_file(image, _tarball(variant.container))
            if variant.base is not None:
                sealing = sealing.with_mounted_directory(base, _sealed_base(variant.base))
                image += f"={base}"
            pairs.append(image)
        return sealing.with_exec([*SEAL, "image", LAYOUT, "/terms.json", *pairs])

    def _parts(self) -> list[attest.BuiltPlatform]:
        """The variants, as what is attached to them needs them."""
        return [
            attest.BuiltPlatform(
                platform=v.platform,
                triple=v.triple,
                programs=tuple(PurePosixPath(path).name for path in v.demand.programs),
                container=v.container,
                binaries=v.binaries,
                symbols=v.symbols,
                crates=v.crates,
            )
            for v in self.variants
        ]

    async def table(self) -> str:
        """Return platform, triple, sizes and digest of every variant for people to read."""
        return as_table(await self.rows())

    async def rows(self) -> list[ImageRow]:
        """Platform, triple, sizes and digest of every variant, as data."""
        events.enter("sealing")
        found = {manifest.platform: manifest for manifest in await manifests(self.layout())}
        return [
            ImageRow(v.platform, v.triple, v.size, found[v.platform].image_bytes, found[v.platform].digest)
            for v in self.variants
        ]


def _sealer() -> dagger.Container:
    return _program(SEAL, normalize)


def _program(command: Sequence[str], module: ModuleType) -> dagger.Container:
    """A container that has one of our modules as a program."""
    # As a file, since the engine prints the text of a new one in its log.
    path = Path(str(module.__file__))
    program = upload.directory(path.parent, include=[path.name]).file(path.name)
    return dag.container().from_(PYTHON).with_file(command[-1], program)


def _tarball(container: dagger.Container) -> dagger.File:
    """A container as the sealer reads it: a base may have layers in zstd, which its Python cannot unpack."""
    return container.as_tarball(forced_compression=dagger.ImageLayerCompression.Gzip)


def _sealed_base(base: dagger.Container) -> dagger.Directory:
    """The layout of a base with layers that are the same bytes on every engine."""
    sealing = _sealer().with_mounted_file("/base.tar", _tarball(base))
    return sealing.with_exec([*SEAL, "base", LAYOUT, "/base.tar"]).directory(LAYOUT)


async def _starts_with(container: dagger.Container, base: dagger.Container) -> bool:
    """Whether a container's first layers are those of a base."""
    sealing = _sealer().with_mounted_file("/image.tar", _tarball(container))
    sealing = sealing.with_mounted_directory("/base", _sealed_base(base))
    return await sealing.with_exec([*SEAL, "compare", "/base", "/image.tar"]).stdout() == "same\n"


async def prepare(plan: Plan, setup: runtime.Runtime) -> None:
    """Have the engine pull each base and bring it into the form in which it is sealed.

    No program is needed for that, so it is done while they are compiled.

    Raises:
        BaseImageUnavailable: see `runtime.start`.
    """
    for target in plan.request.targets:
        of_target, base = await runtime.start(setup, target)
        if of_target.base != runtime.SCRATCH:
            await _sealed_base(base).sync()


async def assemble(
    plan: Plan,
    setup: runtime.Runtime,
    output: dagger.Directory,
    terms: normalize.Terms,
    tags: Sequence[str] = (),
    origin: str = "",
) -> Image:
    """The image of what `build.compile` put out for a plan, every program held against its runtime.

    Args:
        plan: what was built.
        setup: how the image is set up.
        output: the compile's output.
        terms: the time and annotations of the image.
        tags: what it is to be called where an address names no tag.
        origin: see `attest.origin`.

    Raises:
        VerificationError: a program does not fit the root file system it would ship in.
        BaseImageUnavailable: see `runtime.assemble`.
    """
    names = [binary.name for binary in plan.binaries]

    async def one(of: tuple[Target, Needs]) -> Variant:
        return await _variant(plan, setup, output, *of)

    variants = await each(zip(plan.request.targets, plan.needs, strict=True), one, AT_ONCE)
    await _warn_of_root(variants)
    events.enter("verifying")
    subjects = [gate.VerifyRequest(v.container, parse(v.platform), v.demand) for v in variants]
    verified = await gate.verify(subjects)
    return Image(
        name=names[0],
        variants=variants,
        verified=gate.as_json(verified),
        terms=terms.as_json(),
        tags=list(tags),
        origin=origin,
    )


async def _warn_of_root(variants: Sequence[Variant]) -> None:
    """Say on stderr which images run as root, in whatever spelling."""
    users = [(variant.platform, await variant.container.user()) for variant in variants]
    if roots := [platform for platform, user in users if accounts.is_root(user)]:
        what = (
            f"warning: the program runs as root ({', '.join(roots)}); clusters refuse that with runAsNonRoot"
        )
        print(f"{what}. Leave --user out, or name another user.", file=sys.stderr, flush=True)


async def _variant(
    plan: Plan, setup: runtime.Runtime, output: dagger.Directory, target: Target, needs: Needs
) -> Variant:
    """One platform's image, not verified yet."""
    events.enter("assembling", target.platform)
    triple = target.triple(plan.request.libc)
    names = [binary.name for binary in plan.binaries]
    binaries = output.directory(triple)
    made = build.programs(await output.file(f"{build.LISTED}/{triple}").contents())
    of_target, base = await runtime.start(setup, target)
    linked = [package for name in names for package in made[name].packages]
    native = dag.container().from_(runtime.base_for(BASE, target))
    added = await debian.runtime_files(base, native, target, [*needs.runtime, *linked, *setup.packages])
    files = {name: binaries.file(name) for name in names}
    container = await runtime.assemble(of_target, base, files, plan.native, added)
    variant = Variant(
        platform=target.platform,
        triple=triple,
        container=await container.sync(),
        base=None if of_target.base == runtime.SCRATCH else base,
        binaries=binaries,
        symbols=output.directory(f"symbols/{triple}"),
        crates=output.directory("crates"),
        size=sum(made[name].size for name in names),
    )
    paths = tuple(f"{runtime.PROGRAMS}/{name}" for name in names)
    static = plan.request.libc is Libc.MUSL
    variant.demand = gate.Demand(paths, of_target.base, static, plan.request.glibc)
    events.enter(events.READY, target.platform)
    return variant
