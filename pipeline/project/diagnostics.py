"""Map messages of cargo, rustc and the linker to errors with a next step."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.errors import (
    BuildScriptRanTarget,
    CompileError,
    InvalidArgument,
    InvalidManifest,
    LinkError,
    LockOutOfDate,
    MissingCredentials,
    RustMultiarchError,
    UnknownFeature,
)


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
    Failure(r"failed to run custom build command for `(?P<name>\S+) (?s:.*?)not a git repository",
            CompileError, "the build script of {name} asks git, and .git is no part of the source",
            "pass --git-metadata, which hands over the commit and its tags; or have the build script take a "
            "variable, and pass that with --build-arg"),
    Failure(r"failed to run custom build command for `(?P<name>\S+) (?s:.*?)kind: NotFound",
            CompileError, "the build script of {name} did not find a program or a file",
            "see above which; a program's Debian package is added with --builder-packages, git with "
            "--git-metadata"),
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


def unsuggested(name: str) -> str:
    """Return the general next step for a library or header that was not found."""
    return "install its development package for the target with --target-packages"


def explain(
    output: str,
    where: str,
    otherwise: Failure = COMPILING,
    suggest: Callable[[str], str] = unsuggested,
    rows: Sequence[Failure] = FAILURES,
) -> RustMultiarchError:
    """The error that a failed cargo command's output means, carrying that output whole.

    Args:
        output: all that the command printed.
        where: the command.
        otherwise: what the failure means where no row knows it.
        suggest: returns the next step for a library or header that was not found, by its name.
        rows: what it may mean; none where the output is not cargo's alone.
    """
    known = (failure for failure in rows if re.search(failure.pattern, output))
    failure = next(known, otherwise)
    match = re.search(failure.pattern, output)
    names = {name: text for name, text in match.groupdict().items() if text} if match else {}
    fix = failure.fix.format(**names, suggestion=suggest(names.get("name", "")))
    return failure.error(failure.what.format(**names), where=where, fix=fix, output=output)
