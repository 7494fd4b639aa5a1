"""Map messages of cargo, rustc and the linker to errors with a next step."""

from __future__ import annotations

import enum
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
    RustTooOld,
    UnknownFeature,
)


class Phase(enum.Enum):
    """What a command of cargo's does; a message means something in the phases that it can come from."""

    DESCRIBE = "describe"
    """Reads the manifests: nothing is fetched, and nothing of the project runs."""
    FETCH = "fetch"
    """Downloads the dependencies."""
    RESOLVE = "resolve"
    """Finds out what is compiled, for which cargo asks rustc about the target."""
    COMPILE = "compile"
    """Compiles, by which build scripts, macros and tests of the project run and print what they like."""


BEFORE = frozenset({Phase.DESCRIBE, Phase.FETCH, Phase.RESOLVE})
COMPILE = frozenset({Phase.COMPILE})
ANY = BEFORE | COMPILE


@dataclass(frozen=True)
class Failure:
    """A message of cargo, rustc or the linker and what it means to the user.

    Attributes:
        pattern: a regular expression; `^` is the start of a line. Source code that a compiler quotes is not
            there when it is looked for.
        error: the error it is.
        what: what is wrong, with the pattern's groups.
        fix: what to do next, with the pattern's groups and `{suggestion}`.
        phases: the phases in which the message can come up.
    """

    pattern: str
    error: type[RustMultiarchError]
    what: str
    fix: str
    phases: frozenset[Phase] = ANY


_LD = r"(?:\S*/)?(?:[\w-]+-)?(?:ld|lld|rust-lld|mold)(?:\.\w+)?: (?:error: |fatal: )?"
"""What a linker starts its lines with; rustc shows them in a note."""

_MARKER = r"<<<<<<<|=======|>>>>>>>|\|\|\|\|\|\|\|"

# fmt: off
FAILURES: tuple[Failure, ...] = (
    Failure(r"^error: (?:the )?(?:lock file|Cargo\.lock).*needs? to be updated but --locked was passed"
            r"|^error: cannot (?:update|create) the lock file .* because --locked was passed",
            LockOutOfDate, "Cargo.lock does not fit the manifests",
            "run `cargo update --workspace` (or any cargo build without --locked) and commit Cargo.lock"),
    Failure(r"^ *lock file version `?(?P<name>\d+)`? "
            r"(?:was found, but this version of Cargo does not understand|requires)",
            InvalidManifest, "Cargo.lock was written by a newer cargo than this one: it has version {name}",
            "pass --rust-version with the Rust that wrote it, or name that in rust-toolchain.toml", BEFORE),
    Failure(r"^error: failed to parse lock file at: \S*?(?P<file>Cargo\.lock)\n\nCaused by:\n"
            rf" +TOML parse error at line (?P<line>\d+)[^\n]*\n +\|\n *\d+ \| (?:{_MARKER})",
            InvalidManifest, "{file} has the markers of a merge in it, in line {line}",
            "keep the lines of one side, run `cargo update --workspace`, and commit Cargo.lock",
            BEFORE),
    Failure(r"^error: failed to parse lock file at: \S*?(?P<file>Cargo\.lock)\n\nCaused by:\n"
            r" +TOML parse error at line (?P<line>\d+)",
            InvalidManifest, "{file} cannot be read: line {line} is no TOML",
            "take it from an earlier commit, `git checkout HEAD~ -- Cargo.lock`, or write it anew with "
            "`cargo generate-lockfile`", BEFORE),
    Failure(r"^error: failed to parse lock file at: \S*?(?P<file>Cargo\.lock)$",
            InvalidManifest, "{file} cannot be read",
            "see above why; `cargo generate-lockfile` writes it anew", BEFORE),
    Failure(r"does not contain (?:this|these) features?: (?P<name>[^\n]+)",
            UnknownFeature, "a feature does not exist: {name}", "check the spelling against [features]",
            BEFORE),
    Failure(r"could not read Username|failed to authenticate when downloading|authentication required"
            r"|Authentication failed for|require a credential-provider|no token found for"
            r"|Host key verification failed|Permission denied \(publickey",
            MissingCredentials, "a private dependency could not be fetched without credentials",
            "pass an ssh agent socket or a token for its host or registry", frozenset({Phase.FETCH})),
    Failure(r"unable to update (?P<name>/\S+)\n\nCaused by:\n +failed to read `\S+Cargo\.toml`",
            InvalidManifest, "a path dependency is not in the source: {name}",
            "pass a directory that has it too as the source, and choose the package with --package; a git "
            "submodule has to be checked out", BEFORE),
    Failure(r"failed to find a workspace root",
            InvalidManifest, "the source is a member of a workspace, whose root is not in it",
            "pass the workspace's root as the source, and choose the member with --package", BEFORE),
    Failure(r"^ *this version of Cargo is older than the `(?P<name>\d+)` edition",
            RustTooOld, "the project is of edition {name}, which this Rust does not know",
            "pass a newer --rust-version, or name one in rust-toolchain.toml", BEFORE),
    Failure(r"^error: rustc (?P<have>\S+) is not supported by the following packages?:\n"
            r"(?: +[^\n]*\n)*? +(?P<crate>[^\n]*?) requires rustc (?P<name>[\d.]+)",
            RustTooOld, "Rust {have} is too old: {crate} needs {name}",
            "pass --rust-version {name}, or the newest that cargo names above"),
    Failure(r"^ *error(?:\[E0554\]: `?#!\[feature|: the option `Z` is only accepted on the nightly compiler)"
            r"|^ *(?:feature `[^`]+` is required|the cargo feature `[^`]+` requires a nightly)"
            r"|^error: the `-Z` flag is only accepted on the nightly channel",
            CompileError, "the project needs a nightly Rust",
            "hand in a builder that has one, name a nightly in rust-toolchain.toml, or set RUSTC_BOOTSTRAP=1 "
            "as a build argument"),
    Failure(r"^error\[E0658\]: (?P<name>[^\n]+)",
            CompileError, "the code uses what this Rust has not made stable: {name}",
            "pass a newer --rust-version, or name one in rust-toolchain.toml", COMPILE),
    Failure(r'^error: "(?P<name>[^"\n]+)" does not exist, unable to build with the standard library',
            CompileError, "`build-std` needs the component rust-src, and it is not there",
            'add `components = ["rust-src"]` to rust-toolchain.toml, or leave RUSTC_BOOTSTRAP out'),
    Failure(r"^error: failed to run custom build command for `(?P<name>\S+) (?s:.*?)not a git repository",
            CompileError, "the build script of {name} asks git, and .git is no part of the source",
            "pass --git-metadata, which hands over the commit and its tags; or have the build script take a "
            "variable, and pass that with --build-arg", COMPILE),
    Failure(r"^error: failed to run custom build command for `(?P<name>\S+) (?s:.*?)kind: NotFound",
            CompileError, "the build script of {name} did not find a program or a file",
            "see above which; a program's Debian package is added with --builder-packages, git with "
            "--git-metadata", COMPILE),
    Failure(r"^error: couldn't read `?(?P<name>[^\n`]+?)`?: No such file or directory",
            CompileError, "the code reads a file that is not in the source: {name}",
            "if .gitignore names it, pass --include-ignored; if a build makes it, make it first", COMPILE),
    Failure(r"^error: profile `(?P<name>[^`]+)` is not defined",
            InvalidManifest, "the profile {name} is not defined",
            "use release, dev or a profile that Cargo.toml defines"),
    Failure(r"^zstd: [^\n]*stdin[^\n:]*: ?(?P<name>[^\n]+?) *\ntar: ",
            InvalidArgument, "the archive of compiled state cannot be read: {name}",
            "build without it and write it anew"),
    Failure(rf"^(?: *= note: )? *{_LD}(?:cannot find|unable to find library) -l ?(?P<name>[\w.+-]+)",
            LinkError, "the linker found no library {name!r} for the target",
            "{suggestion}", COMPILE),
    Failure(r"^ *(?:error: |cargo:warning=)?The system library `(?P<name>[^`]+)` required by crate "
            r"`(?P<crate>[^`]+)` was not found",
            LinkError, "the crate {crate} found no library {name!r} for the target", "{suggestion}", COMPILE),
    Failure(r"^[^\n|]*[\w.+-]+:\d+:(?:\d+:)? fatal error: '?(?P<name>[\w./+-]+\.h(?:pp)?)'?:? "
            r"(?:No such file or directory|file not found)",
            LinkError, "a C header is missing for the target: {name}", "{suggestion}", COMPILE),
    Failure(r"(?:could not execute process `|^ *\S[^\n]*: (?:line \d+: )?[^\n]*)(?:`[^\n]*: )?"
            r"(?:Exec format error \(os error 8\)|Exec format error$|cannot execute binary file)"
            r'|^ *[^\n"]*kind: [^\n]*message: "Exec format error"',
            BuildScriptRanTarget, "a build script ran a program of the target on the build platform",
            "the project cannot cross-compile as it is: build it with `--strategy emulated`", COMPILE),
    Failure(r"^error(?:\[E\d+\])?: [^\n]+\n +--> \S*/registry/src/[^/\n]+/"
            r"(?P<name>[\w-]+)-(?P<version>\d+\.\d+\.[^/\n]+)/",
            CompileError, "the dependency {name} {version} does not compile with this Rust",
            "run `cargo update --package {name}` for a release that does and commit Cargo.lock, or set "
            "rust-version to a Rust of the time of that release", COMPILE),
    Failure(r"(?:Could not resolve host|Couldn't resolve host|spurious network error|Connection refused"
            r"|Operation timed out|Failed to connect to|failed to download from)",
            CompileError, "the dependencies could not be downloaded",
            "see above which host did not answer, check the network from the engine, and run it again",
            frozenset({Phase.FETCH})),
)
# fmt: on


DESCRIBING = Failure(
    "", InvalidManifest, "cargo cannot read the project's manifests", "correct what cargo names above"
)
FETCHING = Failure(
    "",
    CompileError,
    "cargo could not fetch the dependencies",
    "correct what cargo names above, and run it again",
)
RESOLVING = Failure(
    "", CompileError, "cargo could not find out what is to be built", "correct what cargo names above"
)
COMPILING = Failure(
    "", CompileError, "cargo could not build the project", "correct the error that cargo reports above"
)

_QUOTED = re.compile(r"^ *(?:\d+ *[|~+-](?: .*)?|\|.*|\.\.\.)\n?", re.MULTILINE)
"""A line of source code that rustc or a C compiler shows, with the marks below it."""

_KEPT = re.compile(rf"^ *\d+ \| (?:{_MARKER})")


def said(output: str) -> str:
    """Return what the tools say themselves: their output without the source code that they quote."""
    return "".join(
        line
        for line in output.splitlines(keepends=True)
        if not _QUOTED.fullmatch(line) or _KEPT.match(line) or line.strip() == "|"
    )


def unsuggested(name: str) -> str:
    """Return the general next step for a library or header that was not found."""
    return "install its development package for the target with --target-packages"


def explain(
    output: str,
    where: str,
    otherwise: Failure = COMPILING,
    suggest: Callable[[str], str] = unsuggested,
    rows: Sequence[Failure] = FAILURES,
    phase: Phase = Phase.COMPILE,
) -> RustMultiarchError:
    """The error that a failed cargo command's output means, carrying that output whole.

    Args:
        output: all that the command printed.
        where: the command.
        otherwise: what the failure means where no row knows it.
        suggest: returns the next step for a library or header that was not found, by its name.
        rows: what it may mean; none where the output is not cargo's alone.
        phase: what the command does.
    """
    text = said(output)
    possible = [failure for failure in rows if phase in failure.phases]
    known = (failure for failure in possible if re.search(failure.pattern, text, re.MULTILINE))
    failure = next(known, otherwise)
    match = re.search(failure.pattern, text, re.MULTILINE)
    names = {name: text for name, text in match.groupdict().items() if text} if match else {}
    fix = failure.fix.format(**names, suggestion=suggest(names.get("name", "")))
    return failure.error(failure.what.format(**names), where=where, fix=fix, output=output)
