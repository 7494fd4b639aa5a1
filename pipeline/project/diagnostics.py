"""Map messages of cargo, rustc and the linker to errors with a next step."""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.errors import (
    BuildScriptRanTarget,
    CompileError,
    FetchFailed,
    InvalidArgument,
    InvalidManifest,
    LinkError,
    LockOutOfDate,
    MissingCredentials,
    NotUploaded,
    ReadsUnknown,
    RustMultiarchError,
    RustTooOld,
    UnknownFeature,
)


class Phase(enum.Enum):
    """The phase of a cargo command; a message has a meaning only in some phases."""

    DESCRIBE = "describe"
    """Read the manifests, without fetching anything or running the project's code."""
    FETCH = "fetch"
    """Download the dependencies."""
    RESOLVE = "resolve"
    """Resolve the crates to compile; cargo runs rustc for information about the target."""
    COMPILE = "compile"
    """Compile; the project's build scripts, macros and tests run and may print anything."""


BEFORE = frozenset({Phase.DESCRIBE, Phase.FETCH, Phase.RESOLVE})
COMPILE = frozenset({Phase.COMPILE})
ANY = BEFORE | COMPILE


@dataclass(frozen=True)
class KnownMessage:
    """A message of cargo, rustc or the linker and what it means to the user.

    Attributes:
        pattern: a regular expression; `^` is the start of a line. It is matched without the source code that
            a compiler quotes.
        error: the class of the error.
        what: what is wrong, with the pattern's groups.
        fix: what to do next, with the pattern's groups and `{suggestion}`.
        phases: the phases in which the message can occur.
    """

    pattern: str
    error: type[RustMultiarchError]
    what: str
    fix: str
    phases: frozenset[Phase] = ANY


_LD = r"(?:\S*/)?(?:[\w-]+-)?(?:ld|lld|rust-lld|mold)(?:\.\w+)?: (?:error: |fatal: )?"
"""The start of a linker's messages; rustc shows them in a note."""

_MARKER = r"<<<<<<<|=======|>>>>>>>|\|\|\|\|\|\|\|"

# fmt: off
OWN_MESSAGES: tuple[KnownMessage, ...] = (
    KnownMessage(r"^error: the build read files that were not uploaded: (?P<name>[^\n]+)",
            NotUploaded, "the build read files outside of its packages, which were not uploaded: {name}",
            "pass --whole-repository; private keys are never uploaded, and what a sparse checkout leaves out "
            "has to be checked out first", COMPILE),
    KnownMessage(r"^error: files in the engine differ from those on disk: (?P<name>[^\n]+)",
            NotUploaded, "files in the engine differ from those on disk: {name}; they changed during the "
            "upload, or without a new time stamp, and then the engine keeps its copy",
            "run `touch` on the named files, and repeat the command", COMPILE),
    KnownMessage(r"^error: the file system of the engine does not record access times",
            ReadsUnknown, "only a part of the repository was uploaded, and this engine cannot see if more "
            "is read", "pass --whole-repository", COMPILE),
)
"""Messages of `pipeline/build/state.sh`."""

KNOWN_MESSAGES: tuple[KnownMessage, ...] = (
    *OWN_MESSAGES,
    KnownMessage(r"^error: (?:the )?(?:lock file|Cargo\.lock).*needs? to be updated but --locked was passed"
            r"|^error: cannot (?:update|create) the lock file .* because --locked was passed",
            LockOutOfDate, "Cargo.lock does not match the manifests",
            "run `cargo update --workspace` (or any cargo build without --locked) and commit Cargo.lock"),
    KnownMessage(r"^ *lock file version `?(?P<name>\d+)`? "
            r"(?:was found, but this version of Cargo does not understand|requires)",
            InvalidManifest, "Cargo.lock was written by a newer cargo than this one: it has version {name}",
            "pass --rust-version with the Rust that wrote it, or name that in rust-toolchain.toml", BEFORE),
    KnownMessage(r"^error: failed to parse lock file at: \S*?(?P<file>Cargo\.lock)\n\nCaused by:\n"
            rf" +TOML parse error at line (?P<line>\d+)[^\n]*\n +\|\n *\d+ \| (?:{_MARKER})",
            InvalidManifest, "{file} has the markers of a merge in it, in line {line}",
            "keep the lines of one side, run `cargo update --workspace`, and commit Cargo.lock",
            BEFORE),
    KnownMessage(r"^error: failed to parse lock file at: \S*?(?P<file>Cargo\.lock)\n\nCaused by:\n"
            r" +TOML parse error at line (?P<line>\d+)",
            InvalidManifest, "{file} cannot be read: line {line} is no TOML",
            "take it from an earlier commit, `git checkout HEAD~ -- Cargo.lock`, or write it anew with "
            "`cargo generate-lockfile`", BEFORE),
    KnownMessage(r"^error: failed to parse lock file at: \S*?(?P<file>Cargo\.lock)$",
            InvalidManifest, "{file} cannot be read",
            "see above why; `cargo generate-lockfile` writes it anew", BEFORE),
    KnownMessage(r"does not contain (?:this|these) features?: (?P<name>[^\n]+)",
            UnknownFeature, "a feature does not exist: {name}", "check the spelling against [features]",
            BEFORE),
    KnownMessage(r"could not read Username|failed to authenticate when downloading|authentication required"
            r"|Authentication failed for|require a credential-provider|no token found for"
            r"|Host key verification failed|Permission denied \(publickey",
            MissingCredentials, "a private dependency could not be fetched without credentials",
            "pass an ssh agent socket or a token for its host or registry", frozenset({Phase.FETCH})),
    KnownMessage(r"unable to update (?P<name>/\S+)\n\nCaused by:\n +failed to read `\S+Cargo\.toml`",
            InvalidManifest, "a path dependency is not in the source: {name}",
            "pass a directory that has both as the source, and name the project in it with --manifest-path; "
            "a git submodule has to be checked out", BEFORE),
    KnownMessage(r"failed to find a workspace root",
            InvalidManifest, "the source is a member of a workspace, whose root is not in it",
            "pass the workspace's root as the source, and choose the member with --package", BEFORE),
    KnownMessage(r"^ *this version of Cargo is older than the `(?P<name>\d+)` edition",
            RustTooOld, "the project is of edition {name}, which this Rust does not know",
            "pass a newer --rust-version, or name one in rust-toolchain.toml", BEFORE),
    KnownMessage(r"^error: rustc (?P<have>\S+) is not supported by the following packages?:\n"
            r"(?: +[^\n]*\n)*? +(?P<crate>[^\n]*?) requires rustc (?P<name>[\d.]+)",
            RustTooOld, "Rust {have} is too old: {crate} needs {name}",
            "pass --rust-version {name}, or the newest that cargo names above"),
    KnownMessage(r"^ *error(?:\[E0554\]: `?#!\[feature"
            r"|: the option `Z` is only accepted on the nightly compiler)"
            r"|^ *(?:feature `[^`]+` is required|the cargo feature `[^`]+` requires a nightly)"
            r"|^error: the `-Z` flag is only accepted on the nightly channel",
            CompileError, "the project needs a nightly Rust",
            "hand in a builder that has one, name a nightly in rust-toolchain.toml, or set RUSTC_BOOTSTRAP=1 "
            "as a build argument"),
    KnownMessage(r"^error\[E0658\]: (?P<name>[^\n]+)",
            CompileError, "the code uses what this Rust has not made stable: {name}",
            "pass a newer --rust-version, or name one in rust-toolchain.toml", COMPILE),
    KnownMessage(r'^error: "(?P<name>[^"\n]+)" does not exist, unable to build with the standard library',
            CompileError, "`build-std` needs the component rust-src, and it is not there",
            'add `components = ["rust-src"]` to rust-toolchain.toml, or leave RUSTC_BOOTSTRAP out'),
    KnownMessage(r"^error: failed to run custom build command for `(?P<name>\S+) "
            r"(?s:.*?)not a git repository",
            CompileError, "the build script of {name} asks git, and .git is no part of the source",
            "pass --git-metadata, which hands over the commit and its tags; or have the build script take a "
            "variable, and pass that with --build-arg", COMPILE),
    KnownMessage(r"^error: failed to run custom build command for `(?P<name>\S+) (?s:.*?)kind: NotFound",
            CompileError, "the build script of {name} did not find a program or a file",
            "see above which; a program's Debian package is added with --builder-packages, git with "
            "--git-metadata", COMPILE),
    KnownMessage(r"^error: couldn't read `?(?P<name>[^\n`]+?)`?: No such file or directory",
            CompileError, "the code reads a file that is not in the source: {name}",
            "if .gitignore names it, pass --include-ignored; if a build makes it, make it first", COMPILE),
    KnownMessage(r"^error: profile `(?P<name>[^`]+)` is not defined",
            InvalidManifest, "the profile {name} is not defined",
            "use release, dev or a profile that Cargo.toml defines"),
    KnownMessage(r"^zstd: [^\n]*stdin[^\n:]*: ?(?P<name>[^\n]+?) *\ntar: ",
            InvalidArgument, "the archive of compiled state cannot be read: {name}",
            "build without it and write it anew"),
    KnownMessage(rf"^(?: *= note: )? *{_LD}(?:cannot find|unable to find library) -l ?(?P<name>[\w.+-]+)",
            LinkError, "the linker found no library {name!r} for the target",
            "{suggestion}", COMPILE),
    KnownMessage(r"^ *(?:error: |cargo:warning=)?The system library `(?P<name>[^`]+)` required by crate "
            r"`(?P<crate>[^`]+)` was not found",
            LinkError, "the crate {crate} found no library {name!r} for the target", "{suggestion}", COMPILE),
    KnownMessage(r"^[^\n|]*[\w.+-]+:\d+:(?:\d+:)? fatal error: '?(?P<name>[\w./+-]+\.h(?:pp)?)'?:? "
            r"(?:No such file or directory|file not found)",
            LinkError, "a C header is missing for the target: {name}", "{suggestion}", COMPILE),
    KnownMessage(r"(?:could not execute process `|^ *\S[^\n]*: (?:line \d+: )?[^\n]*)(?:`[^\n]*: )?"
            r"(?:Exec format error \(os error 8\)|Exec format error$|cannot execute binary file)"
            r'|^ *[^\n"]*kind: [^\n]*message: "Exec format error"'
            r"|^ *Exec format error \(os error 8\)$",
            BuildScriptRanTarget, "a build script ran a program of the target on the build platform",
            "the project cannot cross-compile as it is: build it with `--strategy emulated`", COMPILE),
    KnownMessage(r"^error(?:\[E\d+\])?: [^\n]+\n +--> \S*/registry/src/[^/\n]+/"
            r"(?P<name>[\w-]+)-(?P<version>\d+\.\d+\.[^/\n]+)/",
            CompileError, "the dependency {name} {version} does not compile with this Rust",
            "run `cargo update --package {name}` for a release that does and commit Cargo.lock, or set "
            "rust-version to a Rust of the time of that release", COMPILE),
    KnownMessage(r"(?:Could not resolve host|Couldn't resolve host|spurious network error|Connection refused"
            r"|Operation timed out|Failed to connect to|failed to download from"
            r"|[Tt]emporary failure in name resolution|failed to lookup address information"
            r"|SSL connect error)",
            FetchFailed, "the dependencies could not be downloaded",
            "see above which host did not answer, check the network from the engine, and run it again",
            frozenset({Phase.FETCH})),
)
# fmt: on


DESCRIBING = KnownMessage(
    "", InvalidManifest, "cargo cannot read the project's manifests", "correct what cargo names above"
)
FETCHING = KnownMessage(
    "",
    FetchFailed,
    "cargo could not fetch the dependencies",
    "correct what cargo names above, and run it again",
)
RESOLVING = KnownMessage(
    "", CompileError, "cargo could not find out what is to be built", "correct what cargo names above"
)
COMPILING = KnownMessage(
    "", CompileError, "cargo could not build the project", "correct the error that cargo reports above"
)

_QUOTED = re.compile(r"^ *(?:\d+ *[|~+-](?: .*)?|\|.*|\.\.\.)\n?", re.MULTILINE)
"""A line of source code quoted by rustc or a C compiler, or the marks below it."""

_KEPT = re.compile(rf"^ *\d+ \| (?:{_MARKER})")


def said(output: str) -> str:
    """Return the output without the source code quoted by compilers."""
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
    otherwise: KnownMessage = COMPILING,
    suggest: Callable[[str], str] = unsuggested,
    rows: Sequence[KnownMessage] = KNOWN_MESSAGES,
    phase: Phase = Phase.COMPILE,
) -> RustMultiarchError:
    """Return the error for a failed cargo command, with its complete output.

    Args:
        output: the output of the command.
        where: the command.
        otherwise: the meaning of the failure if no known message is found.
        suggest: returns the next step for a library or header that was not found, by its name.
        rows: the known messages to look for; empty if the output is not only cargo's.
        phase: the phase of the command.
    """
    text = said(output)
    possible = [row for row in rows if phase in row.phases]
    known = (row for row in possible if re.search(row.pattern, text, re.MULTILINE))
    message = next(known, otherwise)
    match = re.search(message.pattern, text, re.MULTILINE)
    names = {name: text for name, text in match.groupdict().items() if text} if match else {}
    fix = message.fix.format(**names, suggestion=suggest(names.get("name", "")))
    return message.error(message.what.format(**names), where=where, fix=fix, output=output)
