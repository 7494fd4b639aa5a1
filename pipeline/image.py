"""Define the multi-platform image: its variants, exports and publishing."""

import copy
import dataclasses
import functools
import json
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Annotated, Self

import dagger
from dagger import Doc, dag, field, function, object_type

from pipeline import upload
from pipeline.abi import verify as gate
from pipeline.attestation import attest, materials
from pipeline.attestation.materials import Inputs, Material
from pipeline.build import compile as build
from pipeline.build import custom_containers
from pipeline.build.plan import Plan
from pipeline.concurrent import each, together
from pipeline.config import arguments
from pipeline.config.request import untrusted
from pipeline.errors import UnsupportedPlatform
from pipeline.git import metadata
from pipeline.git.metadata import Base
from pipeline.git.tags import UNNAMED
from pipeline.native import debian
from pipeline.native.natives import Needs
from pipeline.oci import accounts, docker_archive, normalize, runtime
from pipeline.oci import layout as layouts
from pipeline.oci import smoke as smoke_run
from pipeline.oci.base import REGISTRY, REWRITTEN, RegistryBase
from pipeline.oci.layout import EngineLayout, Layout
from pipeline.oci.report import ImageRow, as_table
from pipeline.oci.report import as_json as rows_as_json
from pipeline.printable import say
from pipeline.progress import events
from pipeline.publishing import PublishRequest, publishes
from pipeline.registry.artifacts import Artifact
from pipeline.registry.bases import fetched, read
from pipeline.registry.publish import RegistryLogin, by_host, deliver
from pipeline.registry.receipt import BaseLayers, Receipt
from pipeline.releases import PYTHON, base_for
from pipeline.targets import Libc, Strategy, Target, parse

AT_ONCE = 4
"""Number of platforms assembled in parallel."""

SMALL_BASE_BYTES = 64_000_000
"""The compressed size of bases up to which an image is exported without compression."""

NORMALIZE = ("python3", "/normalize.py")
PACK = ("python3", "/docker_archive.py")
LAYOUT = "/layout"


@object_type
class Variant:
    """The image of a platform."""

    platform: Annotated[str, Doc("OCI platform, for example linux/arm64.")] = field()
    triple: Annotated[str, Doc("The rustc triple it was compiled for.")] = field()
    container: Annotated[dagger.Container, Doc("The image, as a container of its platform.")] = field()
    base: Annotated[dagger.Container | None, Doc("The image it starts from, if any.")] = field()
    binaries: Annotated[dagger.Directory, Doc("The stripped binaries.")] = field()
    symbols: Annotated[dagger.Directory, Doc("The debug symbols taken out of the binaries.")] = field()
    size: Annotated[int, Doc("Total size of the binaries in bytes.")] = field()
    # The base as its registry has it; None if it is in none, or could not be read there.
    registry_base: RegistryBase | None = dataclasses.field(init=False, default=None)
    base_name: str = dataclasses.field(init=False, default="")
    # Whether a caller replaced the container, and the names of programs that differ from the build's.
    replaced: bool = dataclasses.field(init=False, default=False)
    changed: list[str] = dataclasses.field(init=False, default_factory=list)
    # The unit graphs, metadata and lock file of the build, not part of the interface.
    crates: dagger.Directory = dataclasses.field(init=False)
    # The requirements of its programs, to check a replacement of the container.
    demand: gate.Requirements = dataclasses.field(init=False, default_factory=gate.Requirements)

    @property
    def base_bytes(self) -> int | None:
        """Return the compressed size of its base; None if it is unknown."""
        if self.base is None:
            return 0
        return sum(blob.size for blob in self.registry_base.blobs) if self.registry_base else None

    @property
    def names(self) -> list[str]:
        """Return the names of its programs."""
        return [PurePosixPath(path).name for path in self.demand.programs]


@object_type
class Image:
    """A multi-platform image that was built."""

    name: Annotated[str, Doc("The binary it starts.")] = field()
    variants: Annotated[list[Variant], Doc("One image per platform, in the requested order.")] = field()
    tags: Annotated[list[str], Doc("Its tags by git and the tag rules; empty without a repository.")] = field(
        default=list
    )
    # Not part of the interface: the results of the ABI check, the time and annotations, the SLSA provenance.
    verified: str = dataclasses.field(init=False, default="")
    terms: str = dataclasses.field(init=False, default="")
    origin: str = dataclasses.field(init=False, default="")
    # The reason if the tag rules give no tag; not part of the interface.
    unnamed: str = dataclasses.field(init=False, default="")
    # True for an image that may not be published.
    untrusted: bool = dataclasses.field(init=False, default=False)
    # Inputs of the build for its provenance, not part of the interface.
    inputs: Inputs = dataclasses.field(init=False, default_factory=Inputs)
    # State of `with_registry_auth`, not part of the interface.
    logins: list[RegistryLogin] = dataclasses.field(init=False, default_factory=list)

    @function
    def variant(
        self, platform: Annotated[str, Doc("Platform of the variant, for example linux/arm64.")]
    ) -> Variant:
        """Return the variant of a platform."""
        return self.of(platform)

    def of(self, platform: str) -> Variant:
        """Return the variant of a platform.

        Raises:
            UnsupportedPlatform: the image does not have it.
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
        container: Annotated[dagger.Container, Doc("The new container of the variant.")],
        programs: Annotated[
            list[str] | None, Doc("Additional programs in it to check, as absolute paths.")
        ] = None,
    ) -> Self:
        """Replace the container of a platform, and check its programs again."""
        before = self.of(platform)
        target = parse(before.platform)
        await custom_containers.check_platform(container, target, f"the variant of {target.platform}")
        demand = dataclasses.replace(before.demand, programs=(*before.demand.programs, *(programs or [])))
        verified = await gate.verify([gate.VerifyRequest(container, target, demand)])
        variant = copy.copy(before)
        variant.container, variant.demand = await container.sync(), demand
        if before.base is not None and not await _starts_with(container, before.base):
            variant.base, variant.registry_base = container, None
        known = gate.digests(self.verified)[before.platform]
        other = {one.program for one in verified if known.get(one.path) != one.digest}
        variant.replaced, variant.changed = True, sorted({*before.changed, *other})
        changed = copy.copy(self)
        changed.variants = [variant if v is before else v for v in self.variants]
        changed.verified = gate.replaced(self.verified, target.platform, verified)
        return changed

    @function
    async def layout(self) -> dagger.Directory:
        """Return the image as an OCI layout directory, reproducibly."""
        return await self._complete()

    async def _complete(self) -> dagger.Directory:
        """Return the normalized layout with all layers."""
        bases: list[Callable[[], Awaitable[dagger.Directory]]] = [
            functools.partial(_layers, variant.registry_base, variant.base)
            for variant in self.variants
            if variant.base is not None and variant.registry_base is not None
        ]
        found, *layers = await each([self._normalized, *bases], lambda made: made(), AT_ONCE)
        for directory in layers:
            found = found.with_directory("blobs/sha256", directory)
        return found

    @function
    async def tarball(self) -> dagger.File:
        """Return the image as an OCI archive, a tar file of the layout."""
        pack = ["tar", "--sort=name", "--mtime=@0", "--owner=0:0", "--group=0:0", "--mode=u=rwX,go=rX"]
        packing = dag.container().from_(PYTHON).with_mounted_directory(LAYOUT, await self._complete())
        return packing.with_exec([*pack, "-C", LAYOUT, "-cf", "/image.tar", "."]).file("/image.tar")

    @function
    async def docker_archive(
        self,
        platform: Annotated[
            str, Doc("The platform; by default the only one, else the engine's platform.")
        ] = "",
        tags: Annotated[list[str] | None, Doc("Names of the loaded image, for example app:1.")] = None,
    ) -> dagger.File:
        """Return a platform's image as an archive for `docker load` and `podman load`."""
        if not platform and len(self.variants) == 1:
            platform = self.variants[0].platform
        variant = self.of(platform or await dag.default_platform())
        packing = _program(PACK, docker_archive).with_mounted_directory(LAYOUT, await self._complete())
        return packing.with_exec([*PACK, LAYOUT, "/image.tar", variant.platform, *(tags or [])]).file(
            "/image.tar"
        )

    @function
    async def report(self, as_json: Annotated[bool, Doc("Return JSON instead of a table.")] = False) -> str:
        """Return platform, triple, sizes and digest of every variant, as a table or as JSON."""
        return rows_as_json(await self.rows()) if as_json else await self.table()

    @function
    async def smoke(
        self,
        command: Annotated[list[str] | None, arguments.SMOKE_COMMAND] = None,
        seconds: Annotated[int, arguments.SMOKE_SECONDS] = smoke_run.SECONDS,
    ) -> str:
        """Smoke-test each platform, foreign ones with the engine's emulators; list those skipped."""
        variants = [(variant.platform, variant.container) for variant in self.variants]
        return smoke_run.as_text(await smoke_run.run(variants, command or [], seconds))

    @function
    def with_registry_auth(
        self,
        host: Annotated[str, Doc("The registry, for example ghcr.io.")],
        username: Annotated[str, Doc("User name at the registry.")],
        password: Annotated[dagger.Secret, Doc("Password or token at the registry.")],
    ) -> Self:
        """Add credentials for a registry."""
        changed = copy.copy(self)
        changed.logins = [*self.logins, RegistryLogin(host, username, password)]
        return changed

    @function(cache="never")
    @publishes
    async def publish(self, request: PublishRequest) -> Receipt:
        """Push an OCI index with exactly these variants; return its address with the digest."""
        return await self.push(request)

    async def push(self, request: PublishRequest) -> Receipt:
        """Push the image and its attachments."""
        if self.untrusted:
            raise untrusted("image")
        if self.unnamed and request.lacks_tags:
            raise UNNAMED[self.unnamed]()
        to = request.destinations(self.name, self.tags)

        replaced = [v.platform for v in self.variants if v.replaced]
        if request.attachments.provenance and replaced:
            what = f"warning: the provenance leaves out {', '.join(replaced)}, whose image was replaced"
            say(what)

        async def attach(layout: Layout, folder: Path) -> list[Artifact]:
            terms = normalize.terms(self.terms)
            options, name, inputs = request.attachments, to[0].name, self.inputs
            return await attest.attach(
                layout, self._parts(), options, name, terms, self.origin, inputs, folder
            )

        # Layers that only the engine can read are pushed from the layout.
        bases = {v.platform: v.registry_base for v in self.variants if v.registry_base is not None}
        direct = all(base.way == REGISTRY for base in bases.values())
        receipt = await deliver(
            await self._normalized() if direct else await self._complete(),
            to,
            {**request.logins, **by_host(self.logins)},
            clobber=request.clobber,
            plain_http=request.plain_http,
            service=request.service,
            attach=attach,
            bases=bases,
        )
        return dataclasses.replace(receipt, bases=tuple(map(_origin, filter(_has_base, self.variants))))

    async def _normalized(self) -> dagger.Directory:
        """Return the normalized layout, without the layers of bases in registries.

        Raises:
            VerificationError: a program in it is not the one that was checked.
        """
        checked = gate.digests(self.verified)
        written = self._normalizing({platform: [*paths] for platform, paths in checked.items()})
        known = {v.platform for v in self.variants if v.registry_base is not None and v.registry_base.blobs}
        gate.compare(checked, json.loads(await written.stdout()), known)
        return written.directory(LAYOUT)

    async def prepare_layout(self) -> None:
        """Write the layout before the programs are checked, for `layout` and pushes.

        The engine has the result then, unless a program's path in the image has links.
        """
        await self._normalizing({v.platform: list(v.demand.programs) for v in self.variants}).sync()

    def _normalizing(self, programs: Mapping[str, Sequence[str]]) -> dagger.Container:
        """Return a container that writes the layout, and prints the digests of programs by platform."""
        terms = dataclasses.replace(normalize.terms(self.terms), programs=programs)
        normalizing = _normalizer().with_new_file("/terms.json", terms.as_json())
        pairs = []
        for number, variant in enumerate(self.variants):
            image, base = f"/images/{number}.tar", f"/bases/{number}"
            normalizing = normalizing.with_mounted_file(image, export(variant.container, variant.base_bytes))
            if variant.registry_base is not None:
                base += ".json"
                normalizing = normalizing.with_new_file(base, variant.registry_base.as_json())
                image += f"={base}"
            elif variant.base is not None:
                normalizing = normalizing.with_mounted_directory(base, _normalized_base(variant.base))
                image += f"={base}"
            pairs.append(image)
        return normalizing.with_exec([*NORMALIZE, "image", LAYOUT, "/terms.json", *pairs])

    def _parts(self) -> list[attest.BuiltPlatform]:
        """Return the variants for `attest.attach`."""
        return [
            attest.BuiltPlatform(
                platform=v.platform,
                triple=v.triple,
                programs=tuple(name for name in v.names if name not in v.changed),
                base=v.base,
                container=v.container,
                binaries=v.binaries,
                symbols=v.symbols,
                crates=v.crates,
                replaced=v.replaced,
            )
            for v in self.variants
        ]

    async def table(self) -> str:
        """Return platform, triple, sizes and digest of every variant as a table."""
        return as_table(await self.rows())

    async def rows(self) -> list[ImageRow]:
        """Return platform, triple, sizes and digest of every variant."""
        events.enter("normalizing")
        layout = await EngineLayout.open(await self._normalized())
        platforms = await layouts.platforms(layout, await layouts.walk(layout))
        found = {parse(one.platform).platform: one for one in platforms}
        return [
            ImageRow(v.platform, v.triple, v.size, found[v.platform].layer_bytes, found[v.platform].digest)
            for v in self.variants
        ]


def _normalizer() -> dagger.Container:
    return _program(NORMALIZE, normalize)


def _program(command: Sequence[str], module: ModuleType) -> dagger.Container:
    """Return a container with a module of this package as a program."""
    # Uploaded as a file, since the engine logs the text of `with_new_file`.
    path = Path(str(module.__file__))
    program = upload.directory(path.parent, include=[path.name]).file(path.name)
    return dag.container().from_(PYTHON).with_file(command[-1], program)


def export(container: dagger.Container, base_bytes: int | None = None) -> dagger.File:
    """Export a container, with layers that Python before 3.14 can unpack, so not in zstd.

    The normalizer compresses layers anew, so the engine need not. But the export has the base's layers too,
    and the engine keeps it: those of a large base stay compressed.

    Args:
        container: the container.
        base_bytes: the compressed size of its base; None if it is unknown.
    """
    small = base_bytes is not None and base_bytes <= SMALL_BASE_BYTES
    compression = dagger.ImageLayerCompression
    return container.as_tarball(forced_compression=compression.Uncompressed if small else compression.Gzip)


def _normalized_base(base: dagger.Container) -> dagger.Directory:
    """Return a base's normalized layout, with the same bytes on every engine."""
    normalizing = _normalizer().with_mounted_file("/base.tar", export(base))
    return normalizing.with_exec([*NORMALIZE, "base", LAYOUT, "/base.tar"]).directory(LAYOUT)


async def _layers(known: RegistryBase, base: dagger.Container) -> dagger.Directory:
    """Return a base's layers with the registry's bytes: the engine's, where it still has them."""
    # Without a forced compression, the engine exports the bytes that it pulled.
    writing = _normalizer().with_mounted_file("/base.tar", base.as_tarball())
    writing = writing.with_new_file("/base.json", known.as_json())
    written = writing.with_exec([*NORMALIZE, "blobs", "/blobs", "/base.json", "/base.tar"])
    found, missing = written.directory("/blobs"), (await written.stdout()).split()
    if not missing:
        return found
    with tempfile.TemporaryDirectory(prefix="rust-multiarch-") as folder:
        return found.with_directory("/", await fetched(known, missing, Path(folder)))


def _has_base(variant: Variant) -> bool:
    return variant.base is not None


def _origin(variant: Variant) -> BaseLayers:
    """Return the origin of the base's layers, for the receipt."""
    base = variant.registry_base
    if base is None:
        return BaseLayers(variant.platform, variant.base_name, "", REWRITTEN)
    return BaseLayers(variant.platform, base.name, base.digest, base.way)


async def _starts_with(container: dagger.Container, base: dagger.Container) -> bool:
    """Return True if a container's first layers are those of a base."""
    normalizing = _normalizer().with_mounted_file("/image.tar", export(container))
    normalizing = normalizing.with_mounted_directory("/base", _normalized_base(base))
    return await normalizing.with_exec([*NORMALIZE, "compare", "/base", "/image.tar"]).stdout() == "same\n"


async def prepare(
    plan: Plan, setup: runtime.Runtime, mirrors: Mapping[str, str], known: dict[str, RegistryBase]
) -> None:
    """Pull each base, and read it in its registry or normalize it.

    This does not need the programs, so it runs while they are compiled.

    Args:
        plan: the plan.
        setup: the settings of the image.
        mirrors: addresses of mirrors of registries, by host.
        known: receives the bases that are in a registry, by platform.

    Raises:
        BaseImageUnavailable: see `runtime.start`.
    """
    targets = plan.request.targets
    references = {target.platform: setup.reference(target) for target in targets}
    known |= await read({key: value for key, value in references.items() if value}, mirrors)
    for target in targets:
        of_target, base = await runtime.start(setup, target)
        if of_target.base != runtime.SCRATCH and target.platform not in known:
            if references[target.platform]:
                what = f"warning: {references[target.platform]} cannot be read in its registry"
                say(f"{what}; its layers for {target.platform} are packed again, with other digests")
            await _normalized_base(base).sync()


def inputs(plan: Plan, archive: dagger.File | None, files: dagger.Directory | None) -> Inputs:
    """Return the inputs of a plan's build that its provenance names."""
    if plan.request.strategy is not Strategy.CROSS:  # each platform has its own builder
        return Inputs(archive=archive, files=files)
    return Inputs(plan.native, build.builder(plan), archive, files)


async def bases(plan: Plan, setup: runtime.Runtime) -> list[Material]:
    """Return the base of each platform as it was resolved, for the provenance."""
    found = []
    for target in plan.request.targets:
        of_target, base = await runtime.start(setup, target)
        if of_target.base != runtime.SCRATCH:
            found.append(await _base(base, target))
    return found


async def _base(base: dagger.Container, target: Target) -> Material:
    """Return an image by its reference; a container that is no image by the digest of its manifest."""
    try:
        return materials.image(Base.of(await base.image_ref()))
    except dagger.QueryError:
        index = json.loads(await _normalized_base(base).file("index.json").contents())
        return Material(name=f"the runtime of {target.platform}", digest=index["manifests"][0]["digest"])


async def assemble(
    plan: Plan,
    setup: runtime.Runtime,
    output: dagger.Directory,
    terms: normalize.Terms,
    tags: Sequence[str] = (),
    known: Mapping[str, RegistryBase] | None = None,
    layout: bool = True,
) -> Image:
    """Assemble the image of a plan, and check every program against its runtime.

    Args:
        plan: the plan.
        setup: the settings of the image.
        output: the output of `build.compile`.
        terms: the time and annotations of the image.
        tags: the tags for addresses without a tag.
        known: the bases that are in a registry, by platform.
        layout: write the image's layout while the programs are checked.

    Raises:
        VerificationError: a program does not match the root filesystem of its image.
        BaseImageUnavailable: see `runtime.assemble`.
    """
    names = [binary.name for binary in plan.binaries]

    async def one(of: tuple[Target, Needs]) -> Variant:
        return await _variant(plan, setup, output, *of, (known or {}).get(of[0].platform))

    variants = await each(zip(plan.request.targets, plan.needs, strict=True), one, AT_ONCE)
    await _warn_of_root(variants)
    events.enter("verifying")
    made = Image(name=names[0], variants=variants, tags=list(tags))
    made.terms = terms.as_json()
    subjects = [gate.VerifyRequest(v.container, parse(v.platform), v.demand) for v in variants]
    verify = functools.partial(gate.verify, subjects)
    verified, _ = await together(verify, made.prepare_layout) if layout else (await verify(), None)
    made.verified = gate.as_json(verified)
    return made


async def _warn_of_root(variants: Sequence[Variant]) -> None:
    """Print a warning if images run as root."""
    users = [(variant.platform, await variant.container.user()) for variant in variants]
    if roots := [platform for platform, user in users if accounts.is_root(user)]:
        what = f"warning: the program runs as root ({', '.join(roots)}); clusters with runAsNonRoot refuse it"
        say(f"{what}. Remove --user, or choose another user.")


async def _variant(
    plan: Plan,
    setup: runtime.Runtime,
    output: dagger.Directory,
    target: Target,
    needs: Needs,
    known: RegistryBase | None,
) -> Variant:
    """Assemble a platform's image, before the ABI check."""
    events.enter("assembling", target.platform)
    triple = target.triple(plan.request.libc)
    names = [binary.name for binary in plan.binaries]
    binaries = output.directory(triple)
    made = build.programs(await output.file(f"{build.LISTED}/{triple}").contents())
    setup = dataclasses.replace(setup, labels=setup.described(target, known.digest if known else ""))
    of_target, base = await runtime.start(setup, target)
    linked = [package for name in names for package in made[name].packages]
    native = dag.container().from_(base_for(plan.request.debian.base, target))
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
        size=sum(made[name].size for name in names),
    )
    variant.registry_base, variant.base_name = known, metadata.Base.of(setup.reference(target)).name
    variant.crates = output.directory("crates")
    paths = tuple(f"{runtime.PROGRAMS}/{name}" for name in names)
    static = plan.request.libc is Libc.MUSL
    variant.demand = gate.Requirements(paths, of_target.base, static, plan.request.glibc)
    events.enter(events.READY, target.platform)
    return variant
