"""What cargo is told and what it answers, without running it.

`cargo metadata` describes the project, a `Choice` says what of it is wanted, and the functions here turn
the two into the binaries to build and the command line that builds them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.errors import (
    BinaryNotChosen,
    BuildScriptRanTarget,
    CompileError,
    InvalidArgument,
    InvalidManifest,
    LinkError,
    LockOutOfDate,
    MissingCredentials,
    NoBinary,
    RustMultiarchError,
    UnknownBinary,
    UnknownFeature,
    UnknownPackage,
)
from pipeline.native.natives import suggest
from pipeline.project import features


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


@dataclass(frozen=True)
class Package:
    """One workspace member, as `cargo metadata` describes it.

    Attributes:
        bins: its binaries, each with the features without which cargo leaves it out.
        features: its features, each with what it switches on.
    """

    name: str
    version: str
    bins: Mapping[str, tuple[str, ...]]
    features: Mapping[str, tuple[str, ...]]
    default_run: str | None
    is_default: bool


@dataclass(frozen=True)
class Project:
    """The workspace: its members in cargo's order, and all that cargo says of them as JSON."""

    packages: tuple[Package, ...]
    metadata: str = field(default="", repr=False)

    @property
    def identity(self) -> str:
        """What names the project in a cache key: its members, whatever folder they lie in."""
        return "+".join(sorted(package.name for package in self.packages))


@dataclass(frozen=True)
class Binary:
    """A binary to build and the package that has it."""

    package: str
    name: str
    version: str


def read_metadata(text: str) -> Project:
    """The project from the JSON of `cargo metadata --no-deps --format-version 1`."""
    document = json.loads(text)
    defaults = set(document.get("workspace_default_members") or document["workspace_members"])
    packages = (_package(entry, entry["id"] in defaults) for entry in document["packages"])
    return Project(tuple(packages), text)


def _package(entry: dict[str, Any], is_default: bool) -> Package:
    bins = [target for target in entry["targets"] if "bin" in target["kind"]]
    return Package(
        name=entry["name"],
        version=entry["version"],
        bins={target["name"]: tuple(target.get("required-features", ())) for target in bins},
        features={name: tuple(others) for name, others in entry["features"].items()},
        default_run=entry.get("default_run"),
        is_default=is_default,
    )


def choose(project: Project, choice: Choice) -> tuple[Binary, ...]:
    """The binaries a choice names, as `cargo run` would choose where it names none.

    Raises:
        UnknownPackage, UnknownBinary, UnknownFeature: a name the project does not have; the message
            lists those it has.
        NoBinary: the packages are libraries, or a binary needs features that are not chosen.
        BinaryNotChosen: several binaries and none chosen, unless it is to be every one; the message lists
            them. Two of one name, which cargo puts into one file.
    """
    chosen, packages = named(project, choice), _selected(project, choice)
    lacking = {binary: names for package in packages for binary, names in _lacking(package, choice).items()}
    for binary in chosen:
        if lacking[binary]:
            raise _needing(binary, lacking[binary])
    if chosen:
        return chosen
    if not lacking:
        raise NoBinary(
            "there is no binary to build, only libraries: " + ", ".join(p.name for p in packages),
            where="Cargo.toml",
            fix="add src/main.rs or a [[bin]] section, or choose a package that has one",
        )
    # As cargo does: a binary whose features are not on is not there, unless it is named.
    found = [binary for binary, names in lacking.items() if not names]
    if not found:
        raise _needing(*next(iter(lacking.items())))
    if choice.every:
        return tuple(named_one(found, binary.name) for binary in found)
    defaults = [b for b in found if any(p.name == b.package and p.default_run == b.name for p in packages)]
    if len(found) > 1 and len(defaults) != 1:
        raise BinaryNotChosen(
            "the project has several binaries: " + _listing(found),
            where="Cargo.toml",
            fix=f"choose with --bin, for example --bin {found[0].name}, or set default-run",
        )
    return (found[0],) if len(found) == 1 else (defaults[0],)


def named(project: Project, choice: Choice) -> tuple[Binary, ...]:
    """The binaries a choice names; none where it names none, as for checks, which need none.

    Raises:
        UnknownPackage, UnknownBinary, UnknownFeature, BinaryNotChosen: see `choose`.
    """
    packages = _selected(project, choice)
    _check_features(packages, choice)
    found = [binary for package in packages for binary in _lacking(package, choice)]
    return tuple(named_one(found, name) for name in choice.bins)


def _selected(project: Project, choice: Choice) -> list[Package]:
    if not choice.package:
        wanted = [p for p in project.packages if p.is_default]
        # A binary named outright may live outside the default members.
        return list(project.packages) if choice.bins else wanted
    packages = [p for p in project.packages if p.name == choice.package]
    if not packages:
        raise UnknownPackage(
            f"the workspace has no package {choice.package!r}",
            where="Cargo.toml",
            fix="choose one of " + ", ".join(p.name for p in project.packages),
        )
    return packages


def _lacking(package: Package, choice: Choice) -> dict[Binary, list[str]]:
    """The binaries of a package, each with the features that it needs and that are not on."""
    asked = [name.removeprefix(f"{package.name}/") for name in choice.features]
    asked += package.features if choice.all_features else []
    asked += [] if choice.no_default_features else ["default"]
    enabled = features.enabled(package.features, asked)
    return {
        Binary(package.name, name, package.version): [each for each in required if each not in enabled]
        for name, required in package.bins.items()
    }


def _needing(binary: Binary, lacking: Sequence[str]) -> NoBinary:
    return NoBinary(
        f"the binary {binary.name} needs {'features that are' if lacking[1:] else 'a feature that is'} "
        f"not chosen: {', '.join(lacking)}",
        where="Cargo.toml",
        fix=f"pass --features {','.join(lacking)}",
    )


def _check_features(packages: Sequence[Package], choice: Choice) -> None:
    for feature in choice.features:
        package, _, name = feature.rpartition("/")
        if package and all(p.name != package for p in packages):
            continue  # a feature of a dependency: cargo's to judge
        if not any(name in p.features for p in packages):
            known = sorted({f for p in packages for f in p.features} - {"default"})
            raise UnknownFeature(
                f"no selected package has a feature {name!r}",
                where="Cargo.toml",
                fix=("use one of " + ", ".join(known)) if known else "the project declares no features",
            )


def named_one(found: Sequence[Binary], name: str) -> Binary:
    """The only one of some binaries that has a name.

    Raises:
        UnknownBinary, BinaryNotChosen: none has it, or binaries of several packages.
    """
    matches = [binary for binary in found if binary.name == name]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise BinaryNotChosen(
            f"several packages have a binary {name!r}: " + ", ".join(m.package for m in matches),
            where="Cargo.toml",
            fix="choose the package with --package",
        )
    raise UnknownBinary(
        f"there is no binary {name!r}",
        where="Cargo.toml",
        fix=("choose one of " + _listing(found)) if found else "the selected packages are libraries",
    )


def _listing(binaries: Iterable[Binary]) -> str:
    return ", ".join(
        f"{b.name}" if b.name == b.package else f"{b.name} (package {b.package})" for b in binaries
    )


def spdx(license: str | None) -> str:
    """A manifest's license as an SPDX expression; old ones write MIT/Apache-2.0 for a choice (cargo book)."""
    return re.sub(r"\s*/\s*", " OR ", license or "")


def feature_arguments(choice: Choice) -> list[str]:
    """The feature flags of a choice, the same for every cargo command."""
    flags = [("--all-features", choice.all_features), ("--no-default-features", choice.no_default_features)]
    chosen = [flag for flag, wanted in flags if wanted]
    return chosen + (["--features", ",".join(choice.features)] if choice.features else [])


def package_arguments(binaries: Sequence[Binary]) -> list[str]:
    """`--package` once for each package that has a chosen binary."""
    names = dict.fromkeys(binary.package for binary in binaries)
    return [argument for name in names for argument in ("--package", name)]


def build_command(choice: Choice, binaries: Sequence[Binary], triples: Sequence[str]) -> list[str]:
    """The one `cargo build` that makes every binary for every triple.

    A single call with several `--target`s compiles proc-macros and build scripts once and keeps every
    core busy over all the targets.
    """
    command = ["cargo", "build", "--locked", "--profile", choice.profile]
    command += package_arguments(binaries)
    command += [argument for binary in binaries for argument in ("--bin", binary.name)]
    command += feature_arguments(choice)
    command += [argument for triple in triples for argument in ("--target", triple)]
    return command + list(choice.arguments)


def profile_directory(profile: str) -> str:
    """Where cargo puts a profile's output below the triple's directory (the cargo book, "Profiles")."""
    return {"dev": "debug", "test": "debug", "bench": "release"}.get(profile, profile)


@dataclass(frozen=True)
class Failure:
    """A message of cargo, rustc or the linker and what it means to the user."""

    pattern: str
    error: type[RustMultiarchError]
    what: str
    fix: str


# fmt: off
FAILURES: tuple[Failure, ...] = (
    Failure(r"(?:lock file|Cargo\.lock).*needs? to be updated but --locked was passed"
            r"|cannot update the lock file .* because --locked was passed",
            LockOutOfDate, "Cargo.lock does not fit the manifests",
            "run `cargo update --workspace` (or any cargo build without --locked) and commit Cargo.lock"),
    Failure(r"does not contain (?:this|these) features?: (?P<name>[^\n]+)",
            UnknownFeature, "a feature does not exist: {name}", "check the spelling against [features]"),
    Failure(r"could not read Username|failed to authenticate when downloading|authentication required"
            r"|Authentication failed for|require a credential-provider|no token found for"
            r"|Host key verification failed|Permission denied \(publickey",
            MissingCredentials, "a private dependency could not be fetched without credentials",
            "pass an ssh agent socket or a token for its host or registry"),
    Failure(r"unable to update (?P<name>/\S+)\n\nCaused by:\n +failed to read `\S+Cargo\.toml`",
            InvalidManifest, "a path dependency is not in the source: {name}",
            "pass a directory that has it too as the source, and choose the package with --package; a git "
            "submodule has to be checked out"),
    Failure(r"failed to find a workspace root",
            InvalidManifest, "the source is a member of a workspace, whose root is not in it",
            "pass the workspace's root as the source, and choose the member with --package"),
    Failure(r"error\[E0554\]",
            CompileError, "the project needs a nightly Rust",
            "hand in a builder that has one, or set RUSTC_BOOTSTRAP=1 as a build argument"),
    Failure(r"failed to run custom build command for `(?P<name>\S+) (?s:.*?)kind: NotFound",
            CompileError, "the build script of {name} did not find a program or a file",
            "see above which; a program's Debian package is added to the builder with --builder-packages"),
    Failure(r"error: couldn't read `?(?P<name>[^\n`]+?)`?: No such file or directory",
            CompileError, "the code reads a file that is not in the source: {name}",
            "if .gitignore names it, pass --include-ignored; if a build makes it, make it first"),
    Failure(r"profile `(?P<name>[^`]+)` is not defined",
            InvalidManifest, "the profile {name} is not defined",
            "use release, dev or a profile that Cargo.toml defines"),
    Failure(r"zstd: [^\n]*stdin[^\n:]*: ?(?P<name>[^\n]+?) *\ntar: ",
            InvalidArgument, "the archive of compiled state cannot be read: {name}",
            "build without it and write it anew"),
    Failure(r"(?:cannot find|unable to find library) -l ?(?P<name>[\w.+-]+)",
            LinkError, "the linker found no library {name!r} for the target",
            "{suggestion}"),
    Failure(r"The system library `(?P<name>[^`]+)` required by crate `(?P<crate>[^`]+)` was not found",
            LinkError, "the crate {crate} found no library {name!r} for the target", "{suggestion}"),
    Failure(r"fatal error: '?(?P<name>[\w./+-]+\.h(?:pp)?)'?:? (?:No such file or directory|file not found)",
            LinkError, "a C header is missing for the target: {name}", "{suggestion}"),
    Failure(r"Exec format error|cannot execute binary file",
            BuildScriptRanTarget, "a build script ran a program of the target on the build platform",
            "the project cannot cross-compile as it is: build it with the emulated strategy"),
    Failure(r"error(?:\[E\d+\])?: [^\n]+\n +--> \S*/registry/src/[^/\n]+/"
            r"(?P<name>[\w-]+)-(?P<version>\d+\.\d+\.[^/\n]+)/",
            CompileError, "the dependency {name} {version} does not compile with this Rust",
            "run `cargo update --package {name}` for a release that does and commit Cargo.lock, or set "
            "rust-version to a Rust of the time of that release"),
)
# fmt: on


DESCRIBING = Failure(
    "", InvalidManifest, "cargo cannot read the project's manifests", "correct what cargo names above"
)
COMPILING = Failure(
    "", CompileError, "cargo could not build the project",
    "correct the error that cargo reports above; `cargo build` on your machine shows the same",
)  # fmt: skip


def explain(
    output: str,
    where: str,
    otherwise: Failure = COMPILING,
    debian: bool = True,
    rows: Sequence[Failure] = FAILURES,
) -> RustMultiarchError:
    """The error that a failed cargo command's output means, carrying that output whole.

    Args:
        output: all that the command printed.
        where: the command.
        otherwise: what the failure means where no row knows it.
        debian: whether Debian's libraries can be linked, for what to do next.
        rows: what it may mean; none where the output is not cargo's alone.
    """
    known = (failure for failure in rows if re.search(failure.pattern, output))
    failure = next(known, otherwise)
    match = re.search(failure.pattern, output)
    names = {name: text for name, text in match.groupdict().items() if text} if match else {}
    fix = failure.fix.format(**names, suggestion=suggest(names.get("name", ""), debian))
    return failure.error(failure.what.format(**names), where=where, fix=fix, output=output)
