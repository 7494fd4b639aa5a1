"""Make the build request, a frozen record of the merged settings, once per command or function call."""

from __future__ import annotations

import itertools
import posixpath
import re
from dataclasses import dataclass, field, replace
from typing import Self

from pipeline.config import compile_cache
from pipeline.config.compile_cache import CompileCache
from pipeline.config.credentials import Access, BuildSecret
from pipeline.config.settings import Settings, listed
from pipeline.errors import InvalidArgument, Untrusted
from pipeline.releases import DEFAULT, Release, release
from pipeline.sdk import dagger
from pipeline.targets import Libc, Strategy, Target, parse, select

CREDENTIAL = re.compile(
    r"(?:^|_)(?:TOKEN|SECRETS?|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?|(?:API|PRIVATE|ACCESS|SECRET)_?KEY)(?:_|$)",
    re.IGNORECASE,
)
"""Names of variables with secrets, which as build arguments would be in the engine's log and cache."""


DEVELOPMENT = "rust-multiarch-run"
"""The cargo profile of the command `run`."""


@dataclass(frozen=True)
class Choice:
    """The parts of a project to build, in cargo's terms; empty values mean cargo's default.

    Attributes:
        package: the workspace member to build.
        bins: the binaries to build.
        features: the cargo features to enable.
        all_features: enable all features.
        no_default_features: disable the default features.
        profile: the cargo profile (`release`, `dev` or a custom one).
        arguments: additional arguments of `cargo build`.
        every: without named binaries, build all that the features allow, instead of the default binary.
    """

    package: str = ""
    bins: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    all_features: bool = False
    no_default_features: bool = False
    profile: str = "release"
    arguments: tuple[str, ...] = ()
    every: bool = False

    def for_development(self) -> Self:
        """Return the choice in a profile of its own: as its profile, but incremental and without LTO."""
        profile = f"profile.{DEVELOPMENT}"
        settings = (
            f'{profile}.inherits="{self.profile}"',
            f"{profile}.incremental=true",
            f'{profile}.lto="off"',  # `false` is thin LTO between the parts of a crate
        )
        arguments = [word for setting in settings for word in ("--config", setting)]
        return replace(self, profile=DEVELOPMENT, arguments=(*self.arguments, *arguments))

    @property
    def everywhere(self) -> tuple[str, ...]:
        """Return the arguments for every cargo command: `-Z` flags and `--config`."""
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
        """Return the TOML texts of `--config`."""
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
"""Variables that change cargo's behaviour, so every call gets them."""


@dataclass(frozen=True)
class BuildRequest:
    """A request for a build.

    Attributes:
        source: the project, with the files of its repository that it needs.
        targets: the targets to build for.
        choice: the binaries to build, and how.
        libc: the C library of the binaries.
        glibc: the oldest glibc they run on; empty means the distribution's.
        debian: the Debian release of the builder and of the default base.
        rust: the Rust version; empty means the project's, else the default.
        build_args: environment variables of the compilation, `NAME=value`.
        build_secrets: secret environment variables of only the compilation.
        packages: additional Debian packages of the builder.
        access: the credentials for private dependencies.
        target_packages: additional Debian packages to link with, installed for each target.
        tests: prepare the builder for the tests of the whole workspace.
        build_platform: the platform of the compiler; the engine's platform if empty.
        strategy: cross-compile all targets, or run a compiler on each target's platform.
        state: an archive of compiled state to use if the engine has none.
        apart: a unique word for separate compiled state.
        git_metadata: the source has a git directory for build scripts.
        absent: a list of the repository's files that are not in the source; see `pipeline.git.absent`.
        digests: a list of the digests of its files on the user's machine; see `pipeline.git.absent`.
        directory: the directory in the source to run cargo in; empty for the source itself.
        origin: the address of the project's repository; empty if unknown.
        builder: a custom container to compile in; see `pipeline.build.custom_containers`.
        untrusted: the project is of a stranger, so its caches are separate.
        compile_cache: the cache of compiled dependencies; None for none.
        store_secrets: the credentials of its store.
    """

    source: dagger.Directory
    targets: tuple[Target, ...]
    choice: Choice = field(default_factory=Choice)
    libc: Libc = Libc.GNU
    glibc: str = ""
    debian: Release = DEFAULT
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
    absent: dagger.File | None = None
    digests: dagger.File | None = None
    builder: dagger.Container | None = None
    untrusted: bool = False
    compile_cache: CompileCache | None = None
    store_secrets: tuple[BuildSecret, ...] = ()

    def with_commit(self, commit: dagger.Directory, place: str) -> Self:
        """Return the request with a git directory in its source, and git in its builder.

        Args:
            commit: see `pipeline.git.minimal`.
            place: the directory in the source to add it to; empty for the source itself.
        """
        source = self.source.with_directory(posixpath.join(place, ".git"), commit)
        return replace(
            self, source=source, packages=tuple(dict.fromkeys([*self.packages, "git"])), git_metadata=True
        )

    @property
    def triples(self) -> list[str]:
        """Return the rustc triple of every target, in order."""
        return [target.triple(self.libc) for target in self.targets]

    @property
    def cargo_environment(self) -> dict[str, str]:
        """Return the build arguments that cargo reads; others are only for the project's code."""
        return {name: value for name, value in self.build_args if CARGO_READS.match(name)}


def build_request(settings: Settings, source: dagger.Directory, access: Access, epoch: int) -> BuildRequest:
    """Return the build request for the merged settings.

    Args:
        settings: the merged settings.
        source: the project.
        access: the credentials for private dependencies.
        epoch: time of everything in the image, in seconds since 1970.

    Raises:
        PlatformError and its subclasses: see `targets.select`.
        InvalidArgument: a build argument is not NAME=value, a profile's name is invalid, or an argument for
            cargo has its own option.
    """
    if not re.fullmatch(r"\w[\w-]*", settings.cargo_profile):
        raise InvalidArgument(
            f"{settings.cargo_profile!r} is not a valid profile name",
            where="--profile",
            fix="use release, dev or a profile of Cargo.toml",
        )
    passed = _passed(settings.cargo_args)
    return BuildRequest(
        source=source,
        targets=select(settings.platforms),
        choice=Choice(
            package=settings.package,
            bins=listed(settings.bin),
            # cargo also accepts features separated by spaces.
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
        debian=release(settings.debian),
        rust=settings.rust_version,
        build_args=(("SOURCE_DATE_EPOCH", str(epoch)), *_build_args(settings)),
        access=access,
        target_packages=tuple(settings.target_packages),
        packages=tuple(settings.builder_packages),
        strategy=settings.strategy,
        build_platform=parse(settings.build_platform).platform if settings.build_platform else "",
        untrusted=settings.untrusted,
        compile_cache=compile_cache.parse(settings.compile_cache),
    )


def check_trusted(settings: Settings, what: str) -> None:
    """Check that a build may write what builds of the repository's own branches, or others, read.

    Args:
        settings: the merged settings.
        what: what it would write, for the message.

    Raises:
        Untrusted: the project is of a stranger.
    """
    if settings.untrusted:
        raise untrusted(what)


def untrusted(what: str) -> Untrusted:
    """Return the error for something that an untrusted build would write."""
    return Untrusted(
        f"an untrusted build, such as that of a fork's pull request, writes no {what}",
        where="--untrusted",
        fix="build it without writing this, or publish from a branch of the repository after the merge",
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
    """Arguments for cargo, with those that choose features separate, since every command needs them."""

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
"""Arguments of `cargo build` that are not accepted, and what to use instead."""


def _passed(words: list[str]) -> _Passed:
    """Parse the arguments for cargo.

    Raises:
        InvalidArgument: an argument is not accepted.
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
    """Return the platforms of the compiler, other than the engine's."""
    if settings.strategy is Strategy.EMULATED:
        return [target.platform for target in select(settings.platforms)]
    return [parse(settings.build_platform).platform] if settings.build_platform else []


def pairs(option: str, items: list[str]) -> tuple[tuple[str, str], ...]:
    """Split `NAME=value` items at the first `=`.

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
