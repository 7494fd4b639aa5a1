"""Define the module's main object: its functions and settings."""

import copy
import dataclasses
import inspect
import re
from collections.abc import Sequence
from typing import Annotated, Any, Self

import anyio
import dagger
from dagger import Doc, Ignore, check, dag, function, object_type

from pipeline import image, releases
from pipeline.abi import verify as gate
from pipeline.attestation import attest, carried
from pipeline.build import checks, entries_directory
from pipeline.build.compile import archive, compile
from pipeline.build.compile import builder as native_builder
from pipeline.build.custom_containers import Supplied, check_platform
from pipeline.build.plan import IGNORED, Plan, plan
from pipeline.build.reproduce import twice
from pipeline.concurrent import each, together
from pipeline.config import arguments, caller, compile_cache, request
from pipeline.config.arguments import Arguments
from pipeline.config.compile_cache import CREDENTIALS, credential
from pipeline.config.credentials import (
    Access,
    BuildSecret,
    GitToken,
    RegistryToken,
    gitconfig,
    registry_index,
    registry_variable,
)
from pipeline.config.project_files import InEngine, in_engine
from pipeline.config.request import BuildRequest, check_trusted
from pipeline.config.settings import (
    COMPILED,
    Layer,
    Merged,
    Settings,
    Value,
    crates_of,
    from_project,
    given,
    key,
    merge,
    under,
)
from pipeline.config.workspace import Location, find, manifest_directory
from pipeline.errors import InvalidArgument, InvalidSetting, NotACargoProject, first
from pipeline.git import context, minimal, missing
from pipeline.git import tags as rules
from pipeline.git.context import BuildContext
from pipeline.image import Image
from pipeline.native import preflight
from pipeline.oci import normalize, runtime
from pipeline.oci.base import RegistryBase
from pipeline.preview import data as preview
from pipeline.preview import text
from pipeline.printable import say
from pipeline.project import metadata
from pipeline.project.selection import named_one
from pipeline.publishing import (
    AddressArgument,
    AlsoArgument,
    NoClobberArgument,
    PlainHttpArgument,
    PublishRequest,
    ReceiptArgument,
    TagsArgument,
    UsernameArgument,
    publishes,
    requested,
    spell_out,
)
from pipeline.registry.address import open_to_tags, tagged
from pipeline.registry.artifacts import Artifact
from pipeline.registry.merge import MergedIndex
from pipeline.registry.publish import join
from pipeline.registry.receipt import Receipt
from pipeline.targets import Libc, parse, select

AT_ONCE = 4
"""Number of images assembled in parallel."""


@object_type
class RustMultiarch(Arguments):
    """Build one Rust project into one container image for many platforms, without emulation."""

    source: Annotated[
        dagger.Directory,
        arguments.SOURCE,
    ]
    repository: Annotated[
        dagger.Directory | None,
        # No Ignore, since the engine refuses it on optional arguments if another module is the caller.
        Doc("The git checkout with its .git, for tags, labels and the time; usually the source again."),
    ] = None
    manifest_path: Annotated[
        str | None,
        Doc("The project's Cargo.toml in the source, for example services/api/Cargo.toml."),
    ] = None
    files: Annotated[dagger.Directory | None, Doc("Files to add to the root filesystem of every image.")] = (
        None
    )
    # State of the `with_…` functions, not arguments of the constructor.
    access: Access = dataclasses.field(init=False, default_factory=Access)
    build_secrets: tuple[BuildSecret, ...] = dataclasses.field(init=False, default=())
    store_secrets: tuple[BuildSecret, ...] = dataclasses.field(init=False, default=())
    supplied: Supplied = dataclasses.field(init=False, default_factory=Supplied)
    # Set by the command line, which reads git and the environment of CI directly.
    situation: BuildContext | None = dataclasses.field(init=False, default=None)
    # The archive of `with_cache`.
    state: dagger.File | None = dataclasses.field(init=False, default=None)
    # The `.git` directory for build scripts, and its directory in the source.
    commit: dagger.Directory | None = dataclasses.field(init=False, default=None)
    commit_place: str = dataclasses.field(init=False, default="")
    # Lists of the repository's files that are not in the source, and of the digests of those that are.
    absent: dagger.File | None = dataclasses.field(init=False, default=None)
    digests: dagger.File | None = dataclasses.field(init=False, default=None)
    # Directories of the caller's machine for `files_from`, by path.
    places: dict[str, dagger.Directory] = dataclasses.field(init=False, default_factory=dict)
    # Addresses of mirrors of registries, by host.
    mirrors: dict[str, str] = dataclasses.field(init=False, default_factory=dict)
    # Whether programs are compiled for `run`: incrementally and without LTO.
    development: bool = dataclasses.field(init=False, default=False)
    # Origins of the command line's values: names of options and of environment variables.
    origins: dict[str, str] = dataclasses.field(init=False, default_factory=dict)

    @classmethod
    async def create(
        cls,
        ws: Annotated[dagger.Workspace, Doc("The caller's workspace, set by Dagger.")],
        source: Annotated[
            dagger.Directory | None,
            Doc("The cargo project; the one around the caller's directory where none is given."),
            Ignore(IGNORED),
        ],  # No default: Dagger v0.21.8 fails where an Ignore meets the default None.
        **given: Any,
    ) -> Self:
        """Build a cargo project. Usual arguments: platforms, bin, features, ports and runtime_packages."""
        if source is not None:
            return cls(source=source, **given)
        chosen = given.get("manifest_path")
        manifest = chosen or await caller.manifest_path(ws)
        source = caller.source(ws, manifest, IGNORED)
        if more := await missing.tracked(ws, source):
            source = source.with_directory("/", more)
        module = cls(source=source, **{**given, "manifest_path": manifest})
        if not chosen:
            await caller.check(source, manifest)
            module.origins = {"manifest_path": f"the caller's {manifest}"}
        return module

    @function
    def with_registry_token(
        self,
        name: Annotated[str, Doc("Name of the registry in the project's .cargo/config.toml.")],
        token: Annotated[dagger.Secret, Doc("Its token.")],
        index: Annotated[str, Doc("Address of its index, as in .cargo/config.toml; only it gets the token.")],
    ) -> Self:
        """Add a token for an alternative cargo registry."""
        registry_variable(name)
        added = RegistryToken(name, registry_index(name, index), token)
        return self._with_access(registries=(*self.access.registries, added))

    @function
    def with_git_token(
        self,
        host: Annotated[
            str, Doc("Host of private git dependencies, for example github.com; only https gets the token.")
        ],
        token: Annotated[dagger.Secret, Doc("Password or token for it.")],
        username: Annotated[str, Doc("User name; most hosts accept any with a token.")] = "git",
    ) -> Self:
        """Add a token for git dependencies over https."""
        gitconfig([(host, username)])
        return self._with_access(git=(*self.access.git, GitToken(host, token, username)))

    @function
    def with_build_secret(
        self,
        name: Annotated[str, Doc("Name of the environment variable.")],
        secret: Annotated[dagger.Secret, Doc("Its value, never part of images, state, plans or provenance.")],
    ) -> Self:
        """Add a secret environment variable for the compilation only."""
        if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
            raise InvalidArgument(
                f"{name!r} is not a valid variable name", where="--build-secret", fix="write it as API_TOKEN"
            )
        changed = copy.copy(self)
        changed.build_secrets = (*self.build_secrets, BuildSecret(name, secret))
        return changed

    @function
    def with_compile_cache_secret(
        self,
        name: Annotated[str, Doc("Name of the credential: " + ", ".join(CREDENTIALS) + ".")],
        secret: Annotated[
            dagger.Secret, Doc("Its value. Build scripts can read it: it must be of no use elsewhere.")
        ],
    ) -> Self:
        """Add a credential for the store of compiled dependencies."""
        changed = copy.copy(self)
        changed.store_secrets = (*self.store_secrets, BuildSecret(credential(name), secret))
        return changed

    @function
    def with_ssh(
        self,
        agent: Annotated[dagger.Socket, Doc("Socket of an ssh agent, for example $SSH_AUTH_SOCK.")],
        known_hosts: Annotated[
            dagger.File | None, Doc("Public keys of hosts; those of GitHub, GitLab and Bitbucket by default.")
        ] = None,
    ) -> Self:
        """Use an ssh agent for git dependencies over ssh."""
        return self._with_access(agent=agent, known_hosts=known_hosts)

    @function
    def with_cache(
        self, archive: Annotated[dagger.File, Doc("The output of `export-cache` after an earlier build.")]
    ) -> Self:
        """Use an archive of compiled state if the engine has none."""
        changed = copy.copy(self)
        changed.state = archive
        return changed

    @function(cache="never")
    async def export_cache(self) -> dagger.File:
        """Build and return the compiled state as an archive, for CI that keeps nothing between runs."""
        settings, at = await self._asked()
        check_trusted(settings, "compiled state")
        return await archive(await plan(self._request(settings, at)))

    @function(cache="never")
    async def reproduce(self) -> str:
        """Compile twice without compiled state and compare the files; fail if one differs."""
        settings, at = await self._asked()
        files = await twice(await plan(self._request(settings, at)))
        return f"reproducible: {files} files are identical in two builds that shared only the sources"

    @function
    def with_builder(
        self,
        container: Annotated[
            dagger.Container,
            Doc("A container with cargo, rustc, apt-get, and rustup or every target's standard library."),
        ],
    ) -> Self:
        """Compile in a custom container instead of the official Rust image."""
        changed = copy.copy(self)
        changed.supplied = dataclasses.replace(self.supplied, builder=container)
        return changed

    @function
    async def with_runtime(
        self,
        platform: Annotated[str, Doc("Platform of the container, for example linux/arm64.")],
        container: Annotated[dagger.Container, Doc("The base of the platform's image.")],
    ) -> Self:
        """Use a custom container as the base of a platform's image; call it once for each platform."""
        target = parse(platform)
        await check_platform(container, target, f"the runtime of {target.platform}")
        changed = copy.copy(self)
        changed.supplied = self.supplied.with_runtime(target.platform, container)
        return changed

    @function
    async def build(self) -> Image:
        """Compile every platform and assemble the image; the log ends with a summary."""
        return await self._summed_up()

    async def _summed_up(self) -> Image:
        built = await self.assembled()
        say(await built.table())
        return built

    async def assembled(self) -> Image:
        """Build without a summary."""
        (built,) = await self._build(apart=False)
        return built

    @function
    async def images(self) -> list[Image]:
        """Compile every platform once and assemble a separate image for each binary."""
        built = await self._build(apart=True)
        for made in built:
            say(await made.table())
        return built

    async def images_of(self, binaries: Sequence[str]) -> list[Image]:
        """Compile every platform once and assemble a separate image for each of these binaries."""
        return await self._build(apart=True, binaries=binaries)

    @function
    async def plan(
        self,
        tags: Annotated[list[str] | None, Doc("Addresses to push to.")] = None,
        as_json: Annotated[bool, Doc("Return JSON, in the format of docs/plan.schema.json.")] = False,
        matrix: Annotated[bool, arguments.MATRIX] = False,
    ) -> str:
        """Show what a build would do and why, without compiling."""
        merged = await self.merged()
        if matrix:
            return preview.as_matrix(select(merged.settings.platforms), merged.settings.libc)
        at = await self._situation(merged.settings)
        planned = await plan(self._request(merged.settings, at))
        at = _of_part(at, planned)
        setup = await self._setup(merged.settings, planned, at)
        rules_name = not tags or any(map(open_to_tags, tags))
        named_by = rules.needed if tags else rules.from_text
        names = named_by(merged.settings.tag_rules, at) if at and rules_name else ()
        shown = await preview.of(planned, setup, merged, tagged(tags or [], names) or names)
        if at and (warning := rules.unread(merged.settings.tag_rules, at)):
            shown = dataclasses.replace(shown, warnings=(*shown.warnings, warning))
        return preview.as_json(shown) if as_json else text.as_text(shown)

    async def compiled(self) -> tuple[Plan, dagger.Directory]:
        """Return the plan and the output of `build.compile`, without images."""
        settings, at = await self._asked()
        planned = await plan(self._request(settings, at))
        return planned, await compile(planned)

    @function
    async def binary(
        self,
        platform: Annotated[str, Doc("Platform of the binary, for example linux/arm64.")],
        name: Annotated[str, Doc("Name of the binary; the first by default.")] = "",
    ) -> dagger.File:
        """Return a platform's compiled and stripped binary."""
        target = parse(platform)
        settings, at = await self._asked()
        planned = await plan(dataclasses.replace(self._request(settings, at), targets=(target,)))
        chosen = named_one(planned.binaries, name or planned.binaries[0].name)
        output = await compile(planned)
        return output.file(f"{target.triple(planned.request.libc)}/{chosen.name}")

    @function(cache="never")
    @publishes
    async def publish(self, request: PublishRequest) -> Receipt:
        """Build and push an index with exactly these platforms; return its address with the digest."""
        settings, at = await self._asked()
        check_trusted(settings, "image")
        context.check_release(settings, at)
        built = await self._summed_up()
        return await built.push(request)

    @function(cache="never")
    async def merge(
        self,
        images: Annotated[
            list[str], Doc("Images in registries, each with a tag or a digest: host/name@sha256:….")
        ],
        address: AddressArgument,
        tags: TagsArgument = None,
        also: AlsoArgument = None,
        annotations: Annotated[list[str] | None, Doc("Annotations of the index, each NAME=value.")] = None,
        username: UsernameArgument = None,
        password: Annotated[dagger.Secret | None, arguments.PASSWORD] = None,
        no_clobber: NoClobberArgument = None,
        plain_http: PlainHttpArgument = None,
        registry: Annotated[dagger.Service | None, arguments.REGISTRY] = None,
        as_json: ReceiptArgument = None,
        sbom: Annotated[bool | None, Doc("Require an SBOM of each image.")] = None,
        provenance: Annotated[bool | None, Doc("Require provenance of each image.")] = None,
        sign_key: Annotated[dagger.Secret | None, arguments.MERGE_KEY] = None,
        sign_password: Annotated[dagger.Secret | None, Doc("Password of the private key.")] = None,
        sbom_format: Annotated[str | None, arguments.SBOM_FORMAT] = None,
        legacy_signatures: Annotated[bool | None, arguments.LEGACY_SIGNATURES] = None,
        sign_keyless: Annotated[bool | None, arguments.MERGE_KEYLESS] = None,
        identity_token: Annotated[dagger.Secret | None, arguments.IDENTITY_TOKEN] = None,
        sigstore_config: Annotated[dagger.File | None, arguments.SIGSTORE_CONFIG] = None,
    ) -> str:
        """Merge published images into an index without pulling layers; return its address with the digest."""
        asked = await requested(
            address,
            tags,
            also,
            username,
            password,
            no_clobber,
            plain_http,
            registry,
            sbom,
            provenance,
            sign_key=sign_key,
            sign_password=sign_password,
            as_json=as_json,
            sbom_format=sbom_format,
            legacy_signatures=legacy_signatures,
            sign_keyless=sign_keyless,
            identity_token=identity_token,
            sigstore_config=sigstore_config,
        )
        check_trusted((await self.merged()).settings, "image")
        names: tuple[str, ...] = ()
        if asked.lacks_tags:
            settings, at = await self._asked()
            names = rules.needed(settings.tag_rules, at) if at else ()
        to = asked.destinations(names=names)

        async def attach(merged: MergedIndex) -> list[Artifact]:
            return await carried.attach(merged, asked.attachments, to[0].name)

        receipt = await join(
            images,
            to,
            asked.logins,
            annotations=dict(request.pairs("annotations", annotations or [])),
            clobber=asked.clobber,
            plain_http=asked.plain_http,
            service=asked.service,
            attach=attach,
        )
        return asked.answer(receipt)

    @function
    async def builder(
        self,
        platform: Annotated[str, Doc("Platform it can build for; all platforms by default.")] = "",
    ) -> dagger.Container:
        """Return the native build container, with the project and all variables."""
        return native_builder(await self._planned(**({"targets": (parse(platform),)} if platform else {})))

    @function
    async def natives(self, as_json: Annotated[bool, Doc("Return JSON instead of lines.")] = False) -> str:
        """Show what the native dependencies need for each platform and why, without compiling."""
        planned = await self._planned()
        shown = preflight.as_json if as_json else preflight.as_text
        return shown(planned.request.targets, planned.needs)

    @function
    async def verify(
        self,
        binary: Annotated[dagger.File, arguments.PROGRAM],
        platform: Annotated[str, arguments.PROGRAM_PLATFORM],
        image: Annotated[str, arguments.PROGRAM_IMAGE] = releases.DEFAULT.base,
        static: Annotated[bool, arguments.PROGRAM_STATIC] = False,
        as_json: Annotated[bool, Doc("Return JSON instead of a line.")] = False,
    ) -> str:
        """Check a program against an image: architecture, loader, libraries, symbol versions."""
        target = parse(platform)
        container = await runtime.base_image(image, target)
        verified = [await gate.verify_file(binary, container, target, image, static)]
        return gate.as_json(verified) if as_json else gate.as_text(verified)

    @function
    @check
    async def test(
        self,
        platforms: Annotated[list[str] | None, arguments.TESTED] = None,
    ) -> str:
        """Run the project's tests."""
        if not platforms:
            return await checks.test(await self._checked())
        planned = await self._planned(targets=select(platforms), tests=True)
        return await checks.test(planned, planned.request.targets)

    @function
    @check
    async def lint(self, deny_warnings: Annotated[bool, arguments.DENY_WARNINGS] = False) -> str:
        """Run clippy over the whole workspace."""
        return await checks.lint(await self._checked(), deny_warnings)

    @function
    @check
    async def fmt(self) -> str:
        """Check the formatting of the whole workspace without changing files."""
        return await checks.fmt(await self._checked())

    async def _checked(self) -> Plan:
        """Return the plan of the project's checks, for the build platform."""
        here = parse(await dag.default_platform())
        return await self._planned(targets=(here,), libc=Libc.GNU, glibc="", tests=True)

    def _with_access(self, **opened: Any) -> Self:
        changed = copy.copy(self)
        changed.access = dataclasses.replace(self.access, **opened)
        return changed

    async def merged(self) -> Merged:
        """Merge the arguments with the settings in the project's Cargo.toml.

        Raises:
            InvalidSetting: a table has an unknown key or an invalid value.
        """
        location = await self._location()
        outright = self._outright(location)
        return merge(*await under(self._workspace(location), outright), outright)

    def _outright(self, location: Location) -> Layer:
        """Return the settings given as arguments, and the package that the location implies."""
        outright = given(vars(self), self._origin)
        if location.package and "package" not in outright:
            outright = {**outright, "package": Value(location.package, self._origin("manifest_path"))}
        return outright

    async def _settings_of(self, part: Plan, settings: Settings) -> Settings:
        """Return the settings of a part's image, with the table of its first binary's package.

        Raises:
            InvalidSetting: that table has other settings for the compile than the build has.
        """
        location = await self._location()
        outright, package = self._outright(location), part.binaries[0].package
        merged = merge(*await from_project(self._workspace(location), package), outright)
        for name in COMPILED:
            if getattr(merged.settings, name) != getattr(settings, name):
                raise InvalidSetting(
                    f"{package} has its own value of {key(name)}, and all images are compiled at once",
                    where=merged.origins[name],
                    fix=f"move {key(name)} to [workspace.metadata.rust-multiarch], or build {package} alone",
                )
        return merged.settings

    def _workspace(self, location: Location) -> InEngine:
        """Return the files of the workspace."""
        return in_engine(self.source, location.workspace)

    def _origin(self, name: str) -> str:
        """Return where an argument's value came from."""
        return self.origins.get(name, f"argument {name}")

    @property
    def _directory(self) -> str:
        """Return the directory in the source to run cargo in."""
        return manifest_directory(self.manifest_path or "")

    async def _location(self) -> Location:
        """Return the location of the project in the source; its directory if no project is found."""
        try:
            return await find(in_engine(self.source), self._directory)
        except NotACargoProject:
            return Location(self._directory, self._directory)

    async def _asked(self) -> tuple[Settings, BuildContext | None]:
        """Return the settings, and the state of git and CI."""
        settings = (await self.merged()).settings
        return settings, await self._situation(settings)

    async def _situation(self, settings: Settings) -> BuildContext | None:
        crates = await crates_of(self._workspace(await self._location()), settings)
        return await context.situation(settings, self.situation, self.repository, crates)

    async def _build(self, *, apart: bool, binaries: Sequence[str] = ()) -> list[Image]:
        """Build an image of all binaries, or one of each; of those of the settings, or of other ones."""
        settings, at = await self._asked()
        request = self._request(settings, at)
        choice = dataclasses.replace(request.choice, every=apart)
        if binaries:
            choice = dataclasses.replace(choice, package="", bins=tuple(binaries))
        planned = await plan(dataclasses.replace(request, choice=choice))
        say(preflight.as_text(planned.request.targets, planned.needs))
        chosen = [(one,) for one in planned.binaries] if apart else [planned.binaries]
        parts = [dataclasses.replace(planned, binaries=binaries) for binaries in chosen]
        known = [_of_part(at, part) for part in parts]
        each_of = [await self._settings_of(part, settings) for part in parts]
        setups = [await self._setup(*of) for of in zip(each_of, parts, known, strict=True)]
        pairs = list(zip(each_of, known, strict=True))
        named_by = [rules.known(own.tag_rules, of) if of else ((), "") for own, of in pairs]
        for warning in dict.fromkeys(rules.unread(own.tag_rules, of) for own, of in pairs if of):
            if warning:
                say(f"warning: {warning}")
        bases: dict[str, RegistryBase] = {}
        try:
            async with anyio.create_task_group() as group:
                # All parts have the same bases.
                group.start_soon(image.prepare, planned, setups[0], self.mirrors, bases)
                output = await compile(planned)
        except BaseExceptionGroup as errors:
            raise first(errors) from None

        async def built(number: int) -> Image:
            part, own, setup, of = parts[number], each_of[number], setups[number], known[number]
            tags, unnamed = named_by[number]
            manifests = {
                target.platform: setup.described(
                    target, bases[target.platform].digest if target.platform in bases else ""
                )
                for target in planned.request.targets
            }
            terms = normalize.Terms(
                epoch=context.time_of(settings, at),
                index=setup.labels,
                manifests=manifests,
                config=setup.config,
                always_index=own.index,
                layers=setup.layers([binary.name for binary in part.binaries]),
            )

            async def origin() -> str:
                return await attest.origin(part, output, of, own, await image.bases(part, setup))

            async def assembled() -> Image:
                layout = not self.development
                return await image.assemble(part, setup, output, terms, tags, bases, layout)

            made, of_build = await together(assembled, origin)
            made.origin = of_build
            made.unnamed, made.untrusted = unnamed, settings.untrusted
            made.inputs = image.inputs(part, self.state, self.files)
            return made

        return await each(range(len(parts)), built, AT_ONCE)

    async def _setup(self, settings: Settings, plan: Plan, at: BuildContext | None) -> runtime.Runtime:
        """Return the settings of the final image, with the caller's files."""
        found = await runtime.setup(settings, plan, at, self.supplied)
        return dataclasses.replace(found, files=self.files or await self._files(settings.files_from))

    async def _files(self, path: str) -> dagger.Directory | None:
        """Return a directory of the workspace with files for the image; None for no path.

        Raises:
            InvalidArgument: the workspace has no such directory.
        """
        if not path or path in self.places:
            return self.places.get(path)
        workspace = self._workspace(await self._location()).root
        if not await workspace.exists(path, expected_type=dagger.ExistsType.DIRECTORY_TYPE):
            raise InvalidArgument(
                f"the source has no directory {path}",
                where="files",
                fix="name a directory of the workspace, or pass one as the argument `files`",
            )
        return workspace.directory(path)

    async def _planned(self, **changes: Any) -> Plan:
        """Plan a build that is not published, without git; `changes` replace fields of the request."""
        settings = (await self.merged()).settings
        return await plan(dataclasses.replace(self._request(settings, None), **changes))

    def _request(self, settings: Settings, at: BuildContext | None) -> BuildRequest:
        requested = request.build_request(settings, self.source, self.access, context.time_of(settings, at))
        compile_cache.check(requested.compile_cache, (each.name for each in self.store_secrets))
        compile_cache.check_directory(requested.compile_cache, entries_directory.current() is not None)
        requested = dataclasses.replace(
            requested,
            state=self.state,
            builder=self.supplied.builder,
            directory=self._directory,
            origin=self.situation.facts.remote if self.situation else "",
            build_secrets=self.build_secrets,
            store_secrets=self.store_secrets,
            absent=self.absent,
            digests=self.digests,
        )
        if self.development:
            requested = dataclasses.replace(requested, choice=requested.choice.for_development())
        commit = self.commit
        if settings.git_metadata and commit is None:
            commit = minimal.of_repository(self.repository)
        return requested if commit is None else requested.with_commit(commit, self.commit_place)


def _of_part(at: BuildContext | None, part: Plan) -> BuildContext | None:
    """Return the state of git and CI, with the package of the plan's first binary as a prefix of tags."""
    return at and dataclasses.replace(at, crates=metadata.crates_of(part.project, part.binaries[0].package))


def _spell_out(constructor: Any, fields: Sequence[dataclasses.Field[Any]]) -> None:
    """Give a constructor with **arguments the fields as arguments."""
    function = constructor.__func__
    given = inspect.signature(function).parameters
    own = [one for one in given.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
    more = [
        inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=one.default, annotation=one.type)
        for one in fields
        if one.init and one.name not in given
    ]
    spell_out(function, [*own, *more])


_spell_out(RustMultiarch.create, dataclasses.fields(RustMultiarch))
