"""Test the errors for messages of cargo, rustc and the linker."""

# ruff: noqa: E501  the messages are as long as they are

from __future__ import annotations

import re

import pytest

from pipeline import errors
from pipeline.project import diagnostics
from pipeline.project.diagnostics import KNOWN_MESSAGES, KnownMessage, Phase

MERGE = (
    "error: failed to parse lock file at: /source/Cargo.lock\n\nCaused by:\n  TOML parse error at line 9, column 9\n"
    "    |\n  9 | <<<<<<< HEAD\n    |         ^\n  key with no value, expected `=`"
)
TORN = (
    "error: failed to parse lock file at: /source/Cargo.lock\n\nCaused by:\n  TOML parse error at line 3, column 1\n"
    "    |\n  3 | [[pack\n    |       ^\n  unclosed array table"
)
NEWER = (
    "error: failed to parse lock file at: /source/Cargo.lock\n\nCaused by:\n  lock file version `99` was found, but "
    "this version of Cargo does not understand this lock file, perhaps Cargo needs to be updated?"
)
NIGHTLY = (
    "error: failed to run `rustc` to learn about target-specific information\n\nCaused by:\n  process didn't exit "
    "successfully: `rustc - --crate-name ___` (exit status: 1)\n  --- stderr\n  error: the option `Z` is only accepted "
    "on the nightly compiler"
)
PATH = (
    "error: failed to get `common` as a dependency of package `app v0.1.0 (/source)`\n\nCaused by:\n"
    "  failed to load source for dependency `common`\n\nCaused by:\n  unable to update /common\n\n"
    "Caused by:\n  failed to read `/common/Cargo.toml`\n\nCaused by:\n  No such file or directory"
)
ROOT = (
    "error: failed to parse manifest at `/source/Cargo.toml`\n\nCaused by:\n"
    "  error inheriting `version` from workspace root manifest's `workspace.package.version`\n\n"
    "Caused by:\n  failed to find a workspace root"
)
SCRIPT = (
    "error: failed to run custom build command for `app v0.1.0 (/build/src)`\n\nCaused by:\n"
    "  process didn't exit successfully\n  --- stderr\n  thread 'main' panicked at build.rs:1:60:\n"
    '  failed to run git: Os { code: 2, kind: NotFound, message: "No such file or directory" }'
)
OLD = (
    "error: rustc 1.96.0 is not supported by the following packages:\n  a@0.1.0 requires rustc 1.199\n"
    "  b@2.0.0 requires rustc 1.99"
)
GIT = (
    SCRIPT.partition("  thread")[0] + "  fatal: not a git repository (or any of the parent directories): .git"
)
REGISTRY = "/cargo/registry/src/index.crates.io-1949cf8c6b5b557f"
DEPENDENCY = (
    "error[E0282]: type annotations needed for `Box<_>`\n  --> "
    f"{REGISTRY}/time-0.3.29/src/parse/mod.rs:83:9\n   |"
)

# What cargo, rustc and ld print, each reproduced by hand: the phase, the output, the error, words of what is
# wrong and of what to do.
SAID: list[tuple[Phase, str, type[errors.RustMultiarchError], str, str]] = [
    (Phase.COMPILE, "error: the build read files that were not uploaded: VERSION docs/a.md",
     errors.NotUploaded, "not uploaded: VERSION docs/a.md", "--whole-repository"),
    (Phase.COMPILE, "error: files in the engine differ from those on disk: src/main.rs",
     errors.NotUploaded, "on disk: src/main.rs; they changed", "touch"),
    (Phase.COMPILE, "error: the file system of the engine does not record access times, and files were not uploaded",
     errors.ReadsUnknown, "cannot see if more is read", "--whole-repository"),
    (Phase.FETCH, "error: the lock file /s/Cargo.lock needs to be updated but --locked was passed to prevent this",
     errors.LockOutOfDate, "does not match the manifests", "commit Cargo.lock"),
    (Phase.FETCH, "error: cannot update the lock file /s/Cargo.lock because --locked was passed",
     errors.LockOutOfDate, "does not match", "commit"),
    (Phase.FETCH, NEWER, errors.InvalidManifest, "it has version 99", "--rust-version"),
    (Phase.FETCH, MERGE, errors.InvalidManifest, "Cargo.lock has the markers of a merge in it, in line 9", "keep the lines of one side"),
    (Phase.FETCH, TORN, errors.InvalidManifest, "Cargo.lock cannot be read: line 3 is no TOML", "generate-lockfile"),
    (Phase.FETCH, "error: failed to parse lock file at: /source/Cargo.lock\n\nCaused by:\n  something else",
     errors.InvalidManifest, "Cargo.lock cannot be read", "generate-lockfile"),
    (Phase.RESOLVE, "error: the package 'app' does not contain this feature: nope",
     errors.UnknownFeature, "a feature does not exist: nope", "[features]"),
    (Phase.FETCH, "fatal: could not read Username for 'https://git.example': terminal prompts disabled",
     errors.MissingCredentials, "private dependency", "token"),
    (Phase.FETCH, "error: no token found for `private`, please run `cargo login`",
     errors.MissingCredentials, "private dependency", "token"),
    (Phase.DESCRIBE, PATH, errors.InvalidManifest, "a path dependency is not in the source: /common", "--manifest-path"),
    (Phase.DESCRIBE, ROOT, errors.InvalidManifest, "member of a workspace, whose root is not in it", "root"),
    (Phase.DESCRIBE, "  this version of Cargo is older than the `2027` edition, and only supports `2015` editions.",
     errors.RustTooOld, "edition 2027", "--rust-version"),
    (Phase.COMPILE, OLD, errors.RustTooOld, "Rust 1.96.0 is too old: a@0.1.0 needs 1.199", "--rust-version 1.199"),
    (Phase.COMPILE, "error[E0554]: `#![feature]` may not be used on the stable release channel",
     errors.CompileError, "the project needs a nightly Rust", "hand in a builder"),
    (Phase.RESOLVE, NIGHTLY, errors.CompileError, "the project needs a nightly Rust", "RUSTC_BOOTSTRAP=1"),
    (Phase.DESCRIBE, "  feature `edition2027` is required", errors.CompileError, "nightly", "hand in"),
    (Phase.COMPILE, "error[E0658]: use of unstable library feature `strict_provenance`",
     errors.CompileError, "has not made stable: use of unstable library feature", "--rust-version"),
    (Phase.COMPILE, 'error: "/usr/lib/rust/library/Cargo.lock" does not exist, unable to build with the standard library',
     errors.CompileError, "rust-src", "components"),
    (Phase.COMPILE, GIT, errors.CompileError, "the build script of app asks git", "--git-metadata"),
    (Phase.COMPILE, SCRIPT, errors.CompileError,
     "the build script of app did not find a program or a file", "--builder-packages"),
    (Phase.COMPILE,
     "error: couldn't read `src/../web/index.html`: No such file or directory (os error 2)\n --> src/main.rs:1:29",
     errors.CompileError, "the code reads a file that is not in the source: src/../web/index.html", "--include-ignored"),
    (Phase.COMPILE, "error: profile `dist` is not defined", errors.InvalidManifest, "dist is not defined", "release"),
    (Phase.COMPILE, "zstd: /*stdin*\\: unsupported format \ntar: Child returned status 1",
     errors.InvalidArgument, "unsupported format", "write it anew"),
    (Phase.COMPILE, "/usr/bin/ld: cannot find -lssl: No such file or directory",
     errors.LinkError, "found no library 'ssl'", "--target-packages"),
    (Phase.COMPILE,
     "  = note: /usr/lib/gcc-cross/aarch64-linux-gnu/12/../../bin/ld: cannot find -lpq: No such file or directory",
     errors.LinkError, "found no library 'pq'", "--target-packages"),
    (Phase.COMPILE, "  = note: rust-lld: error: unable to find library -lfrob",
     errors.LinkError, "found no library 'frob'", "--target-packages"),
    (Phase.COMPILE, "          aarch64-linux-gnu-ld.bfd: cannot find -lz",
     errors.LinkError, "found no library 'z'", "--target-packages"),
    (Phase.COMPILE, "  The system library `libsystemd` required by crate `x-sys` was not found.",
     errors.LinkError, "the crate x-sys found no library 'libsystemd'", "--target-packages"),
    (Phase.COMPILE, "  cargo:warning=wrapper.h:1:10: fatal error: 'expat.h' file not found",
     errors.LinkError, "a C header is missing for the target: expat.h", "--target-packages"),
    (Phase.COMPILE, "src/a.c:1:10: fatal error: uuid/uuid.h: No such file or directory",
     errors.LinkError, "uuid/uuid.h", "--target-packages"),
    (Phase.COMPILE, "could not execute process `/b/run`: Exec format error (os error 8)",
     errors.BuildScriptRanTarget, "a build script ran a program", "--strategy emulated"),
    (Phase.COMPILE, "  ./configure: line 12: ./conftest: cannot execute binary file: Exec format error",
     errors.BuildScriptRanTarget, "a build script ran a program", "--strategy emulated"),
    (Phase.COMPILE, '  ran: Os { code: 8, kind: Uncategorized, message: "Exec format error" }',
     errors.BuildScriptRanTarget, "a build script ran a program", "--strategy emulated"),
    (Phase.COMPILE, "  thread 'main' panicked at build.rs:9:1:\n  Exec format error (os error 8)",
     errors.BuildScriptRanTarget, "a build script ran a program", "--strategy emulated"),
    (Phase.COMPILE, DEPENDENCY, errors.CompileError, "the dependency time 0.3.29 does not compile", "cargo update"),
    (Phase.FETCH, "  [6] Couldn't resolve host name (Could not resolve host: index.crates.io)",
     errors.FetchFailed, "could not be downloaded", "network"),
]  # fmt: skip
IDS = [f"{number}-{row[2].__name__}" for number, row in enumerate(SAID)]


@pytest.mark.parametrize(("phase", "output", "kind", "what", "fix"), SAID, ids=IDS)
def test_what_is_said_becomes_an_error_and_a_next_step(
    phase: Phase, output: str, kind: type[errors.RustMultiarchError], what: str, fix: str
) -> None:
    error = diagnostics.explain(f"   Compiling other v1.0.0\n{output}\n", where="cargo build", phase=phase)
    assert type(error) is kind
    assert what in error.what and fix in error.fix
    assert output.strip() in error.render() and error.where == "cargo build"


def row_of(phase: Phase, output: str) -> KnownMessage | None:
    text = diagnostics.said(output)
    return next(
        (row for row in KNOWN_MESSAGES if phase in row.phases and re.search(row.pattern, text, re.MULTILINE)),
        None,
    )


def test_every_row_is_tried() -> None:
    assert {row_of(phase, output) for phase, output, *_ in SAID} == set(KNOWN_MESSAGES)


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("output", [row[1] for row in SAID], ids=IDS)
def test_quoted_source_means_nothing(output: str, phase: Phase) -> None:
    """Regression: a type error in the code of an authentication server was explained as missing credentials."""
    lines = output.splitlines()
    quoted = "\n".join(
        f"{number:>3} |     {line}\n    |     ^^^^ {line}" for number, line in enumerate(lines, 7)
    )
    changed = "\n".join(f"{number:>3} + {line}\n{number:>3} ~ {line}" for number, line in enumerate(lines, 7))
    text = (
        "   Compiling login v0.1.0 (/build/src)\nerror[E0308]: mismatched types\n --> src/main.rs:7:5\n    |\n"
        f"{quoted}\n    |\nhelp: try this\n    |\n{changed}\n    |\n\n"
        'error: could not compile `login` (bin "login") due to 1 previous error\n'
    )
    error = diagnostics.explain(text, "cargo build", phase=phase)
    assert (type(error), error.what) == (errors.CompileError, "cargo could not build the project")


@pytest.mark.parametrize(
    "said",
    [
        "Authentication failed for me: authentication required",
        "no token found for `me`",
        "Host key verification failed",
        "failed to find a workspace root",
        "does not contain this feature: x",
        "Connection refused",
    ],
)
@pytest.mark.parametrize(
    "way",
    [
        "error: {}\n --> src/main.rs:1:1\n  |",
        "error: failed to run custom build command for `a v1.0.0`\n  --- stderr\n  thread 'main' panicked:\n  {}",
        "error: proc macro panicked\n  = help: message: {}",
    ],
)
def test_what_the_projects_code_says_while_it_is_compiled_means_nothing(said: str, way: str) -> None:
    error = diagnostics.explain(way.format(said), "cargo build")
    assert (type(error), error.what) == (errors.CompileError, "cargo could not build the project")


def test_the_projects_own_code_is_no_dependency() -> None:
    assert "the dependency" not in str(
        diagnostics.explain(DEPENDENCY.replace(REGISTRY, "services"), "cargo build")
    )


@pytest.mark.parametrize(
    "otherwise",
    [diagnostics.DESCRIBING, diagnostics.FETCHING, diagnostics.RESOLVING, diagnostics.COMPILING],
)
def test_what_no_row_knows_is_told_by_the_command_that_failed(otherwise: KnownMessage) -> None:
    error = diagnostics.explain("error: key with no value", "cargo metadata", otherwise=otherwise)
    assert (type(error), error.what, error.fix) == (otherwise.error, otherwise.what, otherwise.fix)
    assert "on your machine" not in error.fix
