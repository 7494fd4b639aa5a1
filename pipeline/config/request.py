"""The build request: the merged settings as one frozen record, made once at each entrance."""

from __future__ import annotations

import itertools
import posixpath
import re
from dataclasses import dataclass, field, replace
from typing import Self

import dagger

from pipeline.config.credentials import Access, BuildSecret
from pipeline.config.settings import Settings
from pipeline.errors import InvalidArgument
from pipeline.targets import Libc, Strategy, Target, parse, select

CREDENTIAL = re.compile(
    r"(?:^|_)(?:TOKEN|SECRETS?|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?|(?:API|PRIVATE|ACCESS|SECRET)_?KEY)(?:_|$)",
    re.IGNORECASE,
)
"""Names of variables that hold secrets: as build arguments they would be in the engine's log and cache."""


@dataclass(frozen=True)
class Choice:
    """What of a project to build, in cargo's own words; empty means cargo's own default.

    Attributes:
        package: workspace member to build from.
        bins: binaries to build.
        features: cargo features to switch on.
        all_features: switch on every feature.
        no_default_features: leave the default features out.
        profile: cargo profile (`release`, `dev` or one of the project's own).
        arguments: further arguments of `cargo build`, passed on as they are.
        every: where no binary is named, all that the features allow instead of the one cargo would run.
    """

    package: str = ""
    bins: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    all_features: bool = False
    no_default_features: bool = False
    profile: str = "release"
    arguments: tuple[str, ...] = ()
    every: bool = False

    @property
    def everywhere(self) -> tuple[str, ...]:
        """The arguments that every command of cargo's takes: `-Z` flags and `--config`."""
        found: list[str] = []
        words = iter(self.arguments)
        for word in words:
            if word in ("-Z", "--config"):
                found += [word, next(words, "")]
            elif word.startswith(("-Z", "--config=")):
                found.append(word)
        return tuple(found)

    @property
    def configurations(self) -> tuple[str, ...]:
        """What `--config` gives as TOML."""
        words = iter(self.everywhere)
        given = [
            next(words, "") if word == "--config" else word.removeprefix("--config=")
            for word in words
            if word.startswith("--config")
        ]
        return tuple(text for text in given if "=" in text)


CARGO_READS = re.compile(
    r"(?:__)?CARGO(?!_PKG_)|RUSTC|RUSTFLAGS$|RUSTDOCFLAGS$|(?i:https?_proxy|no_proxy|all_proxy)$"
)
"""Variables that change what cargo itself does, so that every call of it gets them."""


@dataclass(frozen=True)
class BuildRequest:
    """A build as it was requested.

    Attributes:
        source: the project and what it uses of its repository.
        targets: what to build for.
        choice: which binaries and how.
        libc: C library of the binaries.
        glibc: oldest glibc they run on; empty means the distribution's.
        rust: Rust version; empty means the project's own, else this module's.
        build_args: environment of the compile, `NAME=value`.
        build_secrets: secrets in the environment of the compile, and nowhere else.
        packages: further Debian packages of the builder.
        access: what private dependencies are fetched with.
        target_packages: further Debian packages to link with, installed for each target.
        tests: the builder is for the whole workspace and its tests too.
        build_platform: what the compiler runs on; the engine's own where it is empty.
        strategy: one compiler for every target, or for each target one on its own platform.
        state: an archive of compiled state to start from, where the engine has none.
        apart: a word that keeps the compiled state from that of every other build.
        git_metadata: the source has a git directory for build scripts.
        directory: where in the source cargo is run, as POSIX writes it; its top where it is empty.
        origin: address of the project's repository; empty where git does not tell.
        builder: the container to compile in, where one is supplied; see `pipeline.build.custom_containers`.
    """

    source: dagger.Directory
    targets: tuple[Target, ...]
    choice: Choice = field(default_factory=Choice)
    libc: Libc = Libc.GNU
    glibc: str = ""
    rust: str = ""
    build_args: tuple[tuple[str, str], ...] = ()
    build_secrets: tuple[BuildSecret, ...] = ()
    packages: tuple[str, ...] = ()
    access: Access = field(default_factory=Access)
    target_packages: tuple[str, ...] = ()
    tests: bool = False
    build_platform: str = ""
    strategy: Strategy = Strategy.CROSS
    state: dagger.File | None = None
    apart: str = ""
    directory: str = ""
    origin: str = ""
    git_metadata: bool = False
    builder: dagger.Container | None = None

    def with_commit(self, commit: dagger.Directory, place: str) -> Self:
        """Return the request with a git directory in its source, and git in its builder.

        Args:
            commit: see `pipeline.git.minimal`.
            place: the directory of the source that it belongs to; its top where it is empty.
        """
        source = self.source.with_directory(posixpath.join(place, ".git"), commit)
        return replace(
            self, source=source, packages=tuple(dict.fromkeys([*self.packages, "git"])), git_metadata=True
        )

    @property
    def triples(self) -> list[str]:
        """The rustc triple of every target, in order."""
        return [target.triple(self.libc) for target in self.targets]

    @property
    def cargo_environment(self) -> dict[str, str]:
        """The build arguments that cargo reads; others are for the project's code alone."""
        return {name: value for name, value in self.build_args if CARGO_READS.match(name)}


def build_request(settings: Settings, source: dagger.Directory, access: Access, epoch: int) -> BuildRequest:
    """Return the build request for the merged settings.

    Args:
        settings: what was set.
        source: the project.
        access: what private dependencies are fetched with.
        epoch: time of everything that is built, in seconds since 1970.

    Raises:
        PlatformError and its kin: see `targets.select`.
        InvalidArgument: a build argument is not NAME=value, a profile has no name of one, or an argument
            for cargo has an option here.
    """
    if not re.fullmatch(r"\w[\w-]*", settings.cargo_profile):
        raise InvalidArgument(
            f"{settings.cargo_profile!r} is not the name of a profile",
            where="--profile",
            fix="name release, dev or a profile of Cargo.toml",
        )
    passed = _passed(settings.cargo_args)
    return BuildRequest(
        source=source,
        targets=select(settings.platforms),
        choice=Choice(
            package=settings.package,
            bins=listed(settings.bin),
            # Cargo takes spaces between features too.
            features=tuple(
                name for item in listed([*settings.features, *passed.features]) for name in item.split()
            ),
            all_features=settings.all_features or passed.all_features,
            no_default_features=settings.no_default_features or passed.no_default_features,
            profile=settings.cargo_profile,
            arguments=tuple(passed.arguments),
        ),
        libc=settings.libc,
        glibc=settings.glibc,
        rust=settings.rust_version,
        build_args=(("SOURCE_DATE_EPOCH", str(epoch)), *_build_args(settings)),
        access=access,
        target_packages=tuple(settings.target_packages),
        packages=tuple(settings.builder_packages),
        strategy=settings.strategy,
        build_platform=parse(settings.build_platform).platform if settings.build_platform else "",
    )


def _build_args(settings: Settings) -> tuple[tuple[str, str], ...]:
    found = pairs("build-args", settings.build_args)
    for name, _ in found:
        if CREDENTIAL.search(name):
            raise InvalidArgument(
                f"the build argument {name} has the name of a secret",
                where="--build-arg",
                fix=f"pass it as --build-secret {name}=env:VARIABLE (with-build-secret in Dagger)",
            )
    return found


@dataclass
class _Passed:
    """Arguments for cargo, those that choose features apart: every command has to know of them."""

    features: list[str] = field(default_factory=list)
    all_features: bool = False
    no_default_features: bool = False
    arguments: list[str] = field(default_factory=list)


_TAKEN = {
    "--target": "use --platform",
    "--package": "use --package",
    "-p": "use --package",
    "--bin": "use --bin",
    "--profile": "use --profile",
    "--release": "use --profile",
    "-r": "use --profile",
    "--manifest-path": "name the project's directory",
    "--target-dir": "leave it out: `rust-multiarch binary --output` writes the programs to a directory",
    "--message-format": "leave it out: `--progress raw` shows all that cargo prints",
}
"""Arguments of `cargo build` that are chosen here in another way, and how."""


def _passed(words: list[str]) -> _Passed:
    """Return the arguments for cargo taken apart.

    Raises:
        InvalidArgument: one of them is chosen in another way.
    """
    passed = _Passed()
    waiting = iter(words)
    for word in waiting:
        name, equals, value = word.partition("=")
        if word in ("-Z", "--config"):
            passed.arguments += [word, *itertools.islice(waiting, 1)]
        elif name in ("--features", "-F"):
            passed.features.append(value if equals else next(waiting, ""))
        elif word.startswith("-F"):
            passed.features.append(word.removeprefix("-F"))
        elif word in ("--all-features", "--no-default-features"):
            setattr(passed, word.removeprefix("--").replace("-", "_"), True)
        elif name in _TAKEN:
            raise InvalidArgument(f"{name} is not passed on to cargo", where="--cargo-arg", fix=_TAKEN[name])
        else:
            passed.arguments.append(word)
    return passed


def builders(settings: Settings) -> list[str]:
    """The platforms besides the engine's own that the compiler runs on."""
    if settings.strategy is Strategy.EMULATED:
        return [target.platform for target in select(settings.platforms)]
    return [parse(settings.build_platform).platform] if settings.build_platform else []


def listed(items: list[str]) -> tuple[str, ...]:
    """Items that may be comma-separated, as cargo takes its own lists, one by one."""
    return tuple(name for item in items for part in item.split(",") if (name := part.strip()))


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
