"""The module's main object: thin functions over the core, in the order a user meets them."""

import copy
import dataclasses
import inspect
import re
import sys
from collections.abc import Sequence
from typing import Annotated, Any, Self

import anyio
import dagger
from dagger import Doc, Ignore, check, dag, function, object_type

from pipeline import image
from pipeline.abi import verify as gate
from pipeline.attestation import attest
from pipeline.build import checks
from pipeline.build.compile import archive, compile
from pipeline.build.compile import builder as native_builder
from pipeline.build.custom_containers import Supplied, check_platform
from pipeline.build.plan import IGNORED, Plan, plan
from pipeline.build.reproduce import twice
from pipeline.config import caller, request
from pipeline.config.credentials import (
    Access,
    BuildSecret,
    GitToken,
    RegistryToken,
    gitconfig,
    registry_variable,
)
from pipeline.config.request import BuildRequest
from pipeline.config.settings import (
    USER,
    InEngine,
    Merged,
    Settings,
    Value,
    crates_of,
    from_project,
    given,
    merge,
)
from pipeline.config.workspace import Location, find, manifest_directory
from pipeline.errors import InvalidArgument, NotACargoProject, first
from pipeline.git import context, minimal
from pipeline.git import tags as rules
from pipeline.git.context import Situation
from pipeline.image import (
    AddressArgument,
    AlsoArgument,
    ByDigestArgument,
    Image,
    NoClobberArgument,
    PasswordArgument,
    PlainHttpArgument,
    ProvenanceArgument,
    ReceiptArgument,
    RegistryArgument,
    SbomArgument,
    SignKeyArgument,
    SignPasswordArgument,
    SymbolsArgument,
    TagsArgument,
    UsernameArgument,
)
from pipeline.native import preflight
from pipeline.oci import normalize, runtime
from pipeline.preview import data as preview
from pipeline.preview import text
from pipeline.project import metadata
from pipeline.project.selection import named_one
from pipeline.registry.address import destinations, named, open_to_tags, tagged
from pipeline.registry.publish import join
from pipeline.targets import DEFAULT_PLATFORMS, Libc, parse, select
from pipeline.toolchain.versions import BASE


@object_type
class RustMultiarch:
    """Build one Rust project into one container image for many platforms, without emulation."""

    source: Annotated[
        dagger.Directory,
        Doc("The cargo project: the directory with Cargo.toml and Cargo.lock."),
    ]
    # None means not given: Cargo.toml decides then, else the default in `Settings`.
    platforms: Annotated[
        list[str] | None,
        Doc("OCI platforms to build for; " + ",".join(DEFAULT_PLATFORMS) + " by default."),
    ] = None
    package: Annotated[str | None, Doc("Workspace member to build from.")] = None
    bin: Annotated[list[str] | None, Doc("Binaries to put into the image; the first is its entrypoint.")] = (
        None
    )
    features: Annotated[list[str] | None, Doc("Cargo features to switch on.")] = None
    all_features: Annotated[bool | None, Doc("Switch on every cargo feature.")] = None
    no_default_features: Annotated[bool | None, Doc("Leave the default cargo features out.")] = None
    cargo_profile: Annotated[
        str | None, Doc("Cargo profile: release (the default), dev or one of the project's own.")
    ] = None
    cargo_args: Annotated[
        list[str] | None, Doc("Further arguments of `cargo build`, passed on as they are.")
    ] = None
    build_args: Annotated[list[str] | None, Doc("Environment of the compile, each NAME=value.")] = None
    rust_version: Annotated[
        str | None, Doc("Rust version; the project's rust-toolchain.toml decides where this is empty.")
    ] = None
    # Text, not an enum: Dagger v0.21.8 takes an enum argument's default of None for one of its members.
    libc: Annotated[
        str | None, Doc("C library of the binaries: gnu (the default), or musl for static ones.")
    ] = None
    glibc: Annotated[str | None, Doc("Oldest glibc the binaries run on, for example 2.17.")] = None
    target_packages: Annotated[
        list[str] | None,
        Doc("Further Debian packages to link with, installed for each platform: libfoo-dev."),
    ] = None
    builder_packages: Annotated[
        list[str] | None,
        Doc("Further Debian packages of the builder, for programs that build scripts start: git, nodejs."),
    ] = None
    strategy: Annotated[
        str | None,
        Doc("cross (the default): one native compiler for all; emulated: each platform's own, under QEMU."),
    ] = None
    build_platform: Annotated[
        str | None, Doc("Platform that the compiler runs on; the engine's own by default.")
    ] = None
    runtime_base: Annotated[
        str | None,
        Doc("Image the final image starts from; empty: debian for gnu, scratch (no files at all) for musl."),
    ] = None
    runtime_packages: Annotated[
        list[str] | None,
        Doc("Further Debian packages of the final image, unpacked without running anything: tzdata."),
    ] = None
    user: Annotated[
        str | None,
        Doc(
            f"User the program runs as; the default, {USER}, has no rights. A name is written as its number; "
            "empty keeps the base's."
        ),
    ] = None
    ports: Annotated[list[int] | None, Doc("TCP ports the image declares.")] = None
    working_directory: Annotated[
        str | None, Doc("Directory the program starts in; the base's where it is empty.")
    ] = None
    entrypoint: Annotated[
        list[str] | None,
        Doc("Command that starts the image, word by word; the first binary where it is empty."),
    ] = None
    args: Annotated[list[str] | None, Doc("Default arguments of the program.")] = None
    runtime_env: Annotated[list[str] | None, Doc("Environment of the program, each NAME=value.")] = None
    labels: Annotated[list[str] | None, Doc("Labels of the image, each NAME=value.")] = None
    health_cmd: Annotated[
        str | None,
        Doc('Health check: a line for the image\'s shell, or a JSON list: ["/usr/local/bin/app","--check"].'),
    ] = None
    health_interval: Annotated[str | None, Doc("Time between two health checks, for example 30s.")] = None
    health_timeout: Annotated[str | None, Doc("Time after which a health check has failed.")] = None
    health_start_period: Annotated[
        str | None, Doc("Time after the start in which failed health checks do not count.")
    ] = None
    health_start_interval: Annotated[
        str | None, Doc("Time between two health checks in the start period.")
    ] = None
    health_retries: Annotated[
        int | None, Doc("Failed health checks in a row that make the container unhealthy.")
    ] = None
    no_healthcheck: Annotated[bool | None, Doc("Leave the base's health check out.")] = None
    stop_signal: Annotated[
        str | None, Doc("Signal that stops the program, for example SIGINT; SIGTERM where it is empty.")
    ] = None
    index: Annotated[
        bool | None, Doc("Make an index also for one platform, which otherwise gets a plain manifest.")
    ] = None
    source_date_epoch: Annotated[
        int | None,
        Doc("Time of everything in the image, in seconds since 1970; the commit's where it is not given."),
    ] = None
    ref: Annotated[
        str | None,
        Doc("The git ref that CI builds, for example refs/tags/v1.2.3; git's own checkout if empty."),
    ] = None
    tag_rules: Annotated[
        list[str] | None,
        Doc("Rules of the tags, as docker's metadata action has them, for example type=sha."),
    ] = None
    require_clean: Annotated[bool | None, Doc("Refuse a checkout with changes that are not committed.")] = (
        None
    )
    allow_dirty: Annotated[bool | None, Doc("Take a release from changed files; its tags end in -dirty.")] = (
        None
    )
    git_metadata: Annotated[
        bool | None,
        Doc("Let build scripts ask git: hand over the commit and its tags, install git."),
    ] = None
    repository: Annotated[
        dagger.Directory | None,
        # No Ignore: the engine refuses one on what may be null, when another module is the caller.
        Doc("The git checkout with its .git, for tags, labels and the time; usually the source again."),
    ] = None
    manifest_path: Annotated[
        str | None,
        Doc("The project's Cargo.toml in the source, where it is not at the top: services/api/Cargo.toml."),
    ] = None
    files: Annotated[
        dagger.Directory | None, Doc("Files to lay over the root file system of every image.")
    ] = None
    # State of the `with_…` functions; no argument of the constructor.
    access: Access = dataclasses.field(init=False, default_factory=Access)
    build_secrets: tuple[BuildSecret, ...] = dataclasses.field(init=False, default=())
    supplied: Supplied = dataclasses.field(init=False, default_factory=Supplied)
    # Set where git and the environment of CI can be asked directly, which is on the command line.
    situation: Situation | None = dataclasses.field(init=False, default=None)
    # The archive of `with_cache`.
    state: dagger.File | None = dataclasses.field(init=False, default=None)
    # The `.git` directory for build scripts, and where in the source it belongs.
    commit: dagger.Directory | None = dataclasses.field(init=False, default=None)
    commit_place: str = dataclasses.field(init=False, default="")
    # Where the command line got what it gives: names of options and of environment variables.
    origins: dict[str, str] = dataclasses.field(init=False, default_factory=dict)

    @classmethod
    async def create(
        cls,
        ws: Annotated[dagger.Workspace, Doc("The caller's workspace; Dagger gives it.")],
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
        module = cls(source=caller.source(ws, IGNORED), **given)
        if module.manifest_path is None:
            module.manifest_path = await caller.manifest_path(ws)
            module.origins = {"manifest_path": f"the caller's {module.manifest_path}"}
        return module

    @function
    def with_registry_token(
        self,
        name: Annotated[str, Doc("Name of the registry in the project's .cargo/config.toml.")],
        token: Annotated[dagger.Secret, Doc("Its token.")],
    ) -> Self:
        """The same project, with a token for an alternative cargo registry."""
        registry_variable(name)
        return self._with_access(registries=(*self.access.registries, RegistryToken(name, token)))

    @function
    def with_git_token(
        self,
        host: Annotated[str, Doc("Host that private git dependencies are on, for example github.com.")],
        token: Annotated[dagger.Secret, Doc("Password or token for it.")],
        username: Annotated[str, Doc("User name; hosts that take tokens take any.")] = "git",
    ) -> Self:
        """The same project, with a token for git dependencies over https."""
        gitconfig([(host, username)])
        return self._with_access(git=(*self.access.git, GitToken(host, token, username)))

    @function
    def with_build_secret(
        self,
        name: Annotated[str, Doc("Name of the variable that the compile sees.")],
        secret: Annotated[dagger.Secret, Doc("Its value; it gets into no image, state, plan or provenance.")],
    ) -> Self:
        """The same project, with a secret in the environment of the compile alone."""
        if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
            raise InvalidArgument(
                f"{name!r} is not the name of a variable", where="--build-secret", fix="write it as API_TOKEN"
            )
        changed = copy.copy(self)
        changed.build_secrets = (*self.build_secrets, BuildSecret(name, secret))
        return changed

    @function
    def with_ssh(
        self,
        agent: Annotated[dagger.Socket, Doc("Socket of an ssh agent, for example $SSH_AUTH_SOCK.")],
        known_hosts: Annotated[
            dagger.File | None, Doc("Public keys of hosts; those of GitHub, GitLab and Bitbucket are known.")
        ] = None,
    ) -> Self:
        """The same project, with an ssh agent for git dependencies over ssh."""
        return self._with_access(agent=agent, known_hosts=known_hosts)

    @function
    def with_cache(
        self, archive: Annotated[dagger.File, Doc("What `export-cache` gave after an earlier build.")]
    ) -> Self:
        """The same project, that starts from an archive of compiled state where the engine has none."""
        changed = copy.copy(self)
        changed.state = archive
        return changed

    @function(cache="never")
    async def export_cache(self) -> dagger.File:
        """Build, then give the compiled state as an archive, for a CI that keeps nothing between runs."""
        settings, at = await self._asked()
        return await archive(await plan(self._request(settings, at)))

    @function(cache="never")
    async def reproduce(self) -> str:
        """Compile twice from nothing and compare; says which file differs, if one does."""
        settings, at = await self._asked()
        files = await twice(await plan(self._request(settings, at)))
        return f"reproducible: {files} files are the same in two builds that shared nothing but the sources"

    @function
    def with_builder(
        self,
        container: Annotated[
            dagger.Container,
            Doc("Has cargo, rustc and apt-get; the standard library of every target, or rustup."),
        ],
    ) -> Self:
        """The same project, compiled in a container of yours instead of the official Rust image."""
        changed = copy.copy(self)
        changed.supplied = dataclasses.replace(self.supplied, builder=container)
        return changed

    @function
    async def with_runtime(
        self,
        platform: Annotated[str, Doc("Platform of the container, for example linux/arm64.")],
        container: Annotated[dagger.Container, Doc("What the platform's image starts from.")],
    ) -> Self:
        """The same project, with a container of yours under one platform's image; call it once for each."""
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
        print(await built.table(), file=sys.stderr, flush=True)
        return built

    async def assembled(self) -> Image:
        """What `build` gives, without its summary."""
        (built,) = await self._build(apart=False)
        return built

    @function
    async def images(self) -> list[Image]:
        """Compile every platform once and assemble an image for each binary, with nothing of the others."""
        built = await self._build(apart=True)
        for each in built:
            print(await each.table(), file=sys.stderr, flush=True)
        return built

    @function
    async def plan(
        self,
        tags: Annotated[list[str] | None, Doc("Addresses it would be pushed to.")] = None,
        as_json: Annotated[bool, Doc("As JSON, described by docs/plan.schema.json.")] = False,
        matrix: Annotated[bool, Doc("Only a CI matrix: a platform, triple and native runner each.")] = False,
    ) -> str:
        """What would happen and why, without compiling anything."""
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
        """The plan and what `build.compile` put out for it, without any image."""
        settings, at = await self._asked()
        planned = await plan(self._request(settings, at))
        return planned, await compile(planned)

    @function
    async def binary(
        self,
        platform: Annotated[str, Doc("Platform of the binary, for example linux/arm64.")],
        name: Annotated[str, Doc("Which binary, where the build has several.")] = "",
    ) -> dagger.File:
        """One platform's compiled binary, stripped."""
        target = parse(platform)
        settings, at = await self._asked()
        planned = await plan(dataclasses.replace(self._request(settings, at), targets=(target,)))
        chosen = named_one(planned.binaries, name or planned.binaries[0].name)
        output = await compile(planned)
        return output.file(f"{target.triple(planned.request.libc)}/{chosen.name}")

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
        """Build, then push one index with exactly these platforms; returns its address with the digest."""
        destinations([named(one, "bin") for one in (address, *(also or []))], tags or [])
        # Refused before anything is built.
        await attest.options(key=sign_key, password=sign_password)
        settings, at = await self._asked()
        context.check_release(settings, at)
        built = await self._summed_up()
        return await built.publish(
            address=address,
            tags=tags,
            also=also,
            username=username,
            password=password,
            no_clobber=no_clobber,
            plain_http=plain_http,
            registry=registry,
            sbom=sbom,
            provenance=provenance,
            symbols=symbols,
            sign_key=sign_key,
            sign_password=sign_password,
            as_json=as_json,
            by_digest=by_digest,
        )

    @function(cache="never")
    async def merge(
        self,
        images: Annotated[
            list[str], Doc("Images that registries have, each with a tag or a digest: host/name@sha256:….")
        ],
        address: AddressArgument,
        tags: TagsArgument = None,
        also: AlsoArgument = None,
        annotations: Annotated[list[str] | None, Doc("Annotations of the index, each NAME=value.")] = None,
        username: UsernameArgument = None,
        password: PasswordArgument = None,
        no_clobber: NoClobberArgument = None,
        plain_http: PlainHttpArgument = None,
        registry: RegistryArgument = None,
        as_json: ReceiptArgument = None,
    ) -> str:
        """Join images built elsewhere into one index; pulls no layer, returns its address with the digest."""
        addresses = [address, *(also or [])]
        names: tuple[str, ...] = ()
        if any(map(open_to_tags, addresses)):
            settings, at = await self._asked()
            names = rules.needed(settings.tag_rules, at) if at else ()
        to = destinations(tagged(addresses, names), tags or [])
        receipt = await join(
            images,
            to,
            {to[0].host: (username or "", password)} if password else {},
            annotations=dict(request.pairs("annotations", annotations or [])),
            clobber=not no_clobber,
            plain_http=plain_http or (),
            service=registry,
        )
        print(receipt.as_text(), file=sys.stderr, flush=True)
        return receipt.as_json() if as_json else receipt.references[0]

    @function
    async def builder(
        self,
        platform: Annotated[str, Doc("Platform it can build for; all that were asked for when empty.")] = "",
    ) -> dagger.Container:
        """The native build container, with the project in it and every variable set."""
        return native_builder(await self._planned(**({"targets": (parse(platform),)} if platform else {})))

    @function
    async def natives(self, as_json: Annotated[bool, Doc("As JSON instead of lines.")] = False) -> str:
        """What the native dependencies need for each platform and why, found out without compiling."""
        planned = await self._planned()
        shown = preflight.as_json if as_json else preflight.as_text
        return shown(planned.request.targets, planned.needs)

    @function
    async def verify(
        self,
        binary: Annotated[dagger.File, Doc("The program.")],
        platform: Annotated[str, Doc("Platform of program and image, for example linux/arm64.")],
        image: Annotated[str, Doc("Image it would ship in; scratch for an empty one.")] = BASE,
        static: Annotated[bool, Doc("The program has to be static.")] = False,
        as_json: Annotated[bool, Doc("As JSON instead of a line.")] = False,
    ) -> str:
        """Check any program against any image: architecture, loader, libraries, symbol versions."""
        target = parse(platform)
        container = await runtime.base_image(image, target)
        verified = [await gate.verify_file(binary, container, target, image, static)]
        return gate.as_json(verified) if as_json else gate.as_text(verified)

    @function
    @check
    async def test(
        self,
        platforms: Annotated[
            list[str] | None, Doc("Run the tests for these platforms under QEMU instead of natively.")
        ] = None,
    ) -> str:
        """Run the project's own tests."""
        if not platforms:
            return await checks.test(await self._checked())
        planned = await self._planned(targets=select(platforms), tests=True)
        return await checks.test(planned, planned.request.targets)

    @function
    @check
    async def lint(
        self, deny_warnings: Annotated[bool, Doc("Treat every warning as an error.")] = False
    ) -> str:
        """Run clippy over the whole workspace."""
        return await checks.lint(await self._checked(), deny_warnings)

    @function
    @check
    async def fmt(self) -> str:
        """Check the formatting of the whole workspace; changes no file."""
        return await checks.fmt(await self._checked())

    async def _checked(self) -> Plan:
        """The plan of the project's own checks: on the build platform, whatever is built for."""
        here = parse(await dag.default_platform())
        return await self._planned(targets=(here,), libc=Libc.GNU, glibc="", tests=True)

    def _with_access(self, **opened: Any) -> Self:
        changed = copy.copy(self)
        changed.access = dataclasses.replace(self.access, **opened)
        return changed

    async def merged(self) -> Merged:
        """The settings: what was given, over the tables of the project's Cargo.toml.

        Raises:
            InvalidSetting: a table has a key or a value that no setting has.
        """
        outright = given(vars(self), self._origin)
        location = await self._location()
        if location.package and "package" not in outright:
            outright = {**outright, "package": Value(location.package, self._origin("manifest_path"))}
        package = outright["package"].value if "package" in outright else ""
        return merge(*await from_project(self._workspace(location), package), outright)

    def _workspace(self, location: Location) -> InEngine:
        """The files of the workspace."""
        return InEngine(self.source.directory(location.workspace) if location.workspace else self.source)

    def _origin(self, name: str) -> str:
        """Return where an argument's value came from."""
        return self.origins.get(name, f"argument {name}")

    @property
    def _directory(self) -> str:
        """The directory in the source that cargo is run in."""
        return manifest_directory(self.manifest_path or "")

    async def _location(self) -> Location:
        """Where the project is in the source; its top, where there is none."""
        try:
            return await find(InEngine(self.source), self._directory)
        except NotACargoProject:
            return Location(self._directory, self._directory)

    async def _asked(self) -> tuple[Settings, Situation | None]:
        """The settings, and what git and CI say."""
        settings = (await self.merged()).settings
        return settings, await self._situation(settings)

    async def _situation(self, settings: Settings) -> Situation | None:
        crates = await crates_of(self._workspace(await self._location()), settings)
        return await context.situation(settings, self.situation, self.repository, crates)

    async def _build(self, *, apart: bool) -> list[Image]:
        """The image of all binaries, or one of each."""
        settings, at = await self._asked()
        request = self._request(settings, at)
        choice = dataclasses.replace(request.choice, every=apart)
        planned = await plan(dataclasses.replace(request, choice=choice))
        print(preflight.as_text(planned.request.targets, planned.needs), file=sys.stderr, flush=True)
        chosen = [(one,) for one in planned.binaries] if apart else [planned.binaries]
        parts = [dataclasses.replace(planned, binaries=binaries) for binaries in chosen]
        known = [_of_part(at, part) for part in parts]
        setups = [await self._setup(settings, part, of) for part, of in zip(parts, known, strict=True)]
        named_by = [rules.known(settings.tag_rules, of) if of else ((), "") for of in known]
        for warning in dict.fromkeys(rules.unread(settings.tag_rules, of) for of in known if of):
            if warning:
                print(f"warning: {warning}", file=sys.stderr, flush=True)
        try:
            async with anyio.create_task_group() as group:
                # The bases are the same for all parts.
                group.start_soon(image.prepare, planned, setups[0])
                output = await compile(planned)
        except BaseExceptionGroup as errors:
            raise first(errors) from None
        built = []
        for part, setup, of, (names, unnamed) in zip(parts, setups, known, named_by, strict=True):
            manifests = {target.platform: setup.labels for target in planned.request.targets}
            terms = normalize.Terms(
                epoch=context.time_of(settings, at),
                index=setup.labels,
                manifests=manifests,
                config={"StopSignal": setup.stop_signal} if setup.stop_signal else {},
                always_index=settings.index,
            )
            origin = await attest.origin(part, output, of, settings, setup.labels)
            made = await image.assemble(part, setup, output, terms, names, origin)
            made.unnamed = unnamed
            built.append(made)
        return built

    async def _setup(self, settings: Settings, plan: Plan, at: Situation | None) -> runtime.Runtime:
        """How the final image is set up, with what only a caller in Dagger can hand in."""
        found = await runtime.setup(settings, plan, at, self.supplied)
        return dataclasses.replace(found, files=self.files)

    async def _planned(self, **changes: Any) -> Plan:
        """The plan of what is not shipped: git is not asked; some of the order's fields may be changed."""
        settings = (await self.merged()).settings
        return await plan(dataclasses.replace(self._request(settings, None), **changes))

    def _request(self, settings: Settings, at: Situation | None) -> BuildRequest:
        requested = request.build_request(settings, self.source, self.access, context.time_of(settings, at))
        requested = dataclasses.replace(
            requested,
            state=self.state,
            builder=self.supplied.builder,
            directory=self._directory,
            origin=self.situation.facts.remote if self.situation else "",
            build_secrets=self.build_secrets,
        )
        commit = self.commit
        if settings.git_metadata and commit is None:
            commit = minimal.of_repository(self.repository)
        return requested if commit is None else requested.with_commit(commit, self.commit_place)


def _of_part(at: Situation | None, part: Plan) -> Situation | None:
    """What git and CI say, where a git tag may be that of the package of a plan's first binary."""
    return at and dataclasses.replace(at, crates=metadata.crates_of(part.project, part.binaries[0].package))


def _spell_out(constructor: Any, fields: Sequence[dataclasses.Field[Any]]) -> None:
    """Give a constructor that takes any further arguments the fields' names, types and descriptions.

    Dagger reads them off the signature.
    """
    function = constructor.__func__
    signature = inspect.signature(function)
    own = [one for one in signature.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
    further = [
        inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=one.default, annotation=one.type)
        for one in fields
        if one.init and one.name not in signature.parameters
    ]
    function.__signature__ = signature.replace(parameters=[*own, *further])
    function.__annotations__ = {one.name: one.annotation for one in own[1:] + further}


_spell_out(RustMultiarch.create, dataclasses.fields(RustMultiarch))  # type: ignore[arg-type]
