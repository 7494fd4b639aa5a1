"""The module's main object: thin functions over the core, in the order a user meets them."""

import copy
import dataclasses
import sys
from typing import Annotated, Any, Self

import dagger
from dagger import Doc, Ignore, check, dag, function, object_type

from pipeline import checks, git, image, metadata, preflight, runtime, seal, tags
from pipeline import verify as gate
from pipeline.access import Access, GitToken, RegistryToken, gitconfig, registry_variable
from pipeline.address import destinations, tagged
from pipeline.build import IGNORED, Order, Plan, compile, plan
from pipeline.build import builder as native_builder
from pipeline.cargo import Choice
from pipeline.ci import of_ref
from pipeline.errors import InvalidArgument
from pipeline.image import (
    AddressArgument,
    AlsoArgument,
    Image,
    NoClobberArgument,
    PasswordArgument,
    PlainHttpArgument,
    ReceiptArgument,
    RegistryArgument,
    TagsArgument,
    UsernameArgument,
)
from pipeline.publish import join
from pipeline.situation import Situation
from pipeline.targets import DEFAULT_PLATFORMS, Libc, parse, select


@object_type
class RustMultiarch:
    """Build one Rust project into one container image for many platforms, without emulation."""

    source: Annotated[
        dagger.Directory,
        Doc("The cargo project: the directory with Cargo.toml and Cargo.lock."),
        Ignore(IGNORED),
    ]
    platforms: Annotated[
        list[str], Doc("OCI platforms to build for, for example linux/amd64,linux/arm64.")
    ] = dataclasses.field(default_factory=lambda: list(DEFAULT_PLATFORMS))
    package: Annotated[str, Doc("Workspace member to build from.")] = ""
    bin: Annotated[list[str], Doc("Binaries to put into the image; the first is its entrypoint.")] = (
        dataclasses.field(default_factory=list)
    )
    features: Annotated[list[str], Doc("Cargo features to switch on.")] = dataclasses.field(
        default_factory=list
    )
    all_features: Annotated[bool, Doc("Switch on every cargo feature.")] = False
    no_default_features: Annotated[bool, Doc("Leave the default cargo features out.")] = False
    profile: Annotated[str, Doc("Cargo profile: release, dev or one of the project's own.")] = "release"
    cargo_args: Annotated[list[str], Doc("Further arguments of `cargo build`, passed on as they are.")] = (
        dataclasses.field(default_factory=list)
    )
    build_args: Annotated[list[str], Doc("Environment of the compile, each NAME=value.")] = dataclasses.field(
        default_factory=list
    )
    rust_version: Annotated[
        str, Doc("Rust version; the project's rust-toolchain.toml decides where this is empty.")
    ] = ""
    libc: Annotated[Libc, Doc("C library of the binaries: gnu, or musl for static ones.")] = Libc.GNU
    glibc: Annotated[str, Doc("Oldest glibc the binaries run on, for example 2.17.")] = ""
    target_packages: Annotated[
        list[str], Doc("Further Debian packages to link with, installed for each platform: libfoo-dev.")
    ] = dataclasses.field(default_factory=list)
    runtime_base: Annotated[
        str,
        Doc("Image the final image starts from; empty: debian for gnu, scratch (no files at all) for musl."),
    ] = ""
    user: Annotated[str, Doc("User the program runs as; the default has no rights.")] = runtime.USER
    ports: Annotated[list[int], Doc("TCP ports the image declares.")] = dataclasses.field(
        default_factory=list
    )
    args: Annotated[list[str], Doc("Default arguments of the program.")] = dataclasses.field(
        default_factory=list
    )
    env: Annotated[list[str], Doc("Environment of the program, each NAME=value.")] = dataclasses.field(
        default_factory=list
    )
    labels: Annotated[list[str], Doc("Labels of the image, each NAME=value.")] = dataclasses.field(
        default_factory=list
    )
    source_date_epoch: Annotated[
        int, Doc("Time of everything in the image, in seconds since 1970; the commit's where it is 0.")
    ] = 0
    repository: Annotated[
        dagger.Directory | None,
        Doc("The git checkout with its .git, for tags, labels and the time; usually the source again."),
    ] = None
    ref: Annotated[
        str, Doc("The git ref that CI builds, for example refs/tags/v1.2.3; git's own checkout if empty.")
    ] = ""
    tag_rules: Annotated[
        list[str], Doc("Rules of the tags, as docker's metadata action has them, for example type=sha.")
    ] = dataclasses.field(default_factory=list)
    require_clean: Annotated[bool, Doc("Refuse a checkout with changes that are not committed.")] = False
    # State of the `with_…` functions; no argument of the constructor.
    access: Access = dataclasses.field(init=False, default_factory=Access)
    # Set where git and the environment of CI can be asked directly, which is on the command line.
    situation: Situation | None = dataclasses.field(init=False, default=None)

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
    async def build(self) -> Image:
        """Compile every platform and assemble the image; the log ends with a summary."""
        at = await self._situation()
        epoch = self.source_date_epoch or (at.facts.time if at else 0)
        planned = await plan(self._order(epoch))
        print(preflight.as_text(planned.order.targets, planned.needs), file=sys.stderr, flush=True)
        setup, annotations = await self._runtime(planned, at)
        manifests = {target.platform: annotations for target in planned.order.targets}
        terms = seal.Terms(epoch, annotations, manifests)
        built = await image.assemble(planned, setup, await compile(planned), terms, self._names(at))
        print(await built.report(), file=sys.stderr, flush=True)
        return built

    @function
    async def binary(
        self,
        platform: Annotated[str, Doc("Platform of the binary, for example linux/arm64.")],
        name: Annotated[str, Doc("Which binary, where the build has several.")] = "",
    ) -> dagger.File:
        """One platform's compiled binary, stripped."""
        target = parse(platform)
        planned = await plan(dataclasses.replace(self._order(), targets=(target,)))
        output = await compile(planned)
        return output.file(f"{target.triple(planned.order.libc)}/{name or planned.binaries[0].name}")

    @function(cache="never")
    async def publish(
        self,
        address: AddressArgument,
        tags: TagsArgument = None,
        also: AlsoArgument = None,
        username: UsernameArgument = "",
        password: PasswordArgument = None,
        no_clobber: NoClobberArgument = False,
        plain_http: PlainHttpArgument = None,
        registry: RegistryArgument = None,
        as_json: ReceiptArgument = False,
    ) -> str:
        """Build, then push one index with exactly these platforms; returns its address with the digest."""
        destinations([address, *(also or [])], tags or [])
        built = await self.build()
        return await built.publish(
            address, tags, also, username, password, no_clobber, plain_http, registry, as_json
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
        username: UsernameArgument = "",
        password: PasswordArgument = None,
        no_clobber: NoClobberArgument = False,
        plain_http: PlainHttpArgument = None,
        registry: RegistryArgument = None,
        as_json: ReceiptArgument = False,
    ) -> str:
        """Join images built elsewhere into one index; pulls no layer, returns its address with the digest."""
        names = self._names(await self._situation())
        to = destinations(tagged([address, *(also or [])], names), tags or [])
        receipt = await join(
            images,
            to,
            {to[0].host: (username, password)} if password else {},
            annotations=dict(pairs("annotations", annotations or [])),
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
        order = self._order()
        if platform:
            order = dataclasses.replace(order, targets=(parse(platform),))
        return native_builder(await plan(order))

    @function
    async def natives(self, as_json: Annotated[bool, Doc("As JSON instead of lines.")] = False) -> str:
        """What the native dependencies need for each platform and why, found out without compiling."""
        planned = await plan(self._order())
        shown = preflight.as_json if as_json else preflight.as_text
        return shown(planned.order.targets, planned.needs)

    @function
    async def verify(
        self,
        binary: Annotated[dagger.File, Doc("The program.")],
        platform: Annotated[str, Doc("Platform of program and image, for example linux/arm64.")],
        image: Annotated[str, Doc("Image it would ship in; scratch for an empty one.")] = runtime.BASE,
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
        order = dataclasses.replace(self._order(), targets=select(platforms), tests=True)
        return await checks.test(await plan(order), order.targets)

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
        order = dataclasses.replace(self._order(), targets=(here,), libc=Libc.GNU, glibc="", tests=True)
        return await plan(order)

    def _with_access(self, **opened: Any) -> Self:
        changed = copy.copy(self)
        changed.access = dataclasses.replace(self.access, **opened)
        return changed

    def _order(self, epoch: int = 0) -> Order:
        return Order(
            source=self.source,
            targets=select(self.platforms),
            choice=Choice(
                package=self.package,
                bins=listed(self.bin),
                features=listed(self.features),
                all_features=self.all_features,
                no_default_features=self.no_default_features,
                profile=self.profile,
                arguments=tuple(self.cargo_args),
            ),
            libc=self.libc,
            glibc=self.glibc,
            rust=self.rust_version,
            build_args=(
                ("SOURCE_DATE_EPOCH", str(epoch)),
                *pairs("build-args", self.build_args),
            ),
            access=self.access,
            target_packages=tuple(self.target_packages),
        )

    def _names(self, at: Situation | None) -> tuple[str, ...]:
        """What an image is called where an address names no tag."""
        return tags.from_text(self.tag_rules, at) if at else ()

    async def _situation(self) -> Situation | None:
        """What git and CI say, checked; None where nothing can be asked."""
        if self.source_date_epoch < 0:
            raise InvalidArgument(
                f"{self.source_date_epoch} is before 1970",
                where="--source-date-epoch",
                fix="give seconds since 1970, as `git log -1 --format=%ct` prints them",
            )
        at = self.situation
        if at is None and self.repository is not None:
            at = Situation(await git.read(self.repository), of_ref(self.ref))
        if at is not None and self.require_clean:
            git.require_clean(at.facts)
        return at

    async def _runtime(self, plan: Plan, at: Situation | None) -> tuple[runtime.Runtime, dict[str, str]]:
        """How the final image is set up, and its annotations, which are its labels again."""
        base = self.runtime_base or runtime.BASES[self.libc]
        found = await runtime.resolved(base, plan.order.targets[0])
        labels = metadata.labels(
            metadata.describe(plan.project.metadata, plan.binaries[0].package),
            at,
            metadata.Base.of(found),
            dict(pairs("labels", self.labels)),
            self.source_date_epoch or None,
        )
        setup = runtime.Runtime(
            base=base,
            user=self.user,
            ports=tuple(self.ports),
            args=tuple(self.args),
            env=dict(pairs("env", self.env)),
            labels=labels,
        )
        return setup, labels


def listed(items: list[str]) -> tuple[str, ...]:
    """Items that may be comma-separated, as cargo takes its own lists, one by one."""
    return tuple(name for item in items for name in item.split(",") if name)


def pairs(option: str, items: list[str]) -> tuple[tuple[str, str], ...]:
    """`NAME=value` items taken apart at the first `=`.

    Raises:
        InvalidArgument: an item has no `=` or no name.
    """
    found = []
    for item in items:
        name, equals, value = item.partition("=")
        if not equals or not name:
            raise InvalidArgument(f"{item!r} is not NAME=value", where=f"--{option}", fix="write NAME=value")
        found.append((name, value))
    return tuple(found)
