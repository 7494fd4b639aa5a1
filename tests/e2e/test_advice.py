"""Test that the next step of a message, taken from the message itself and followed, ends in success."""

import re
import shlex
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from crates import LOCK, MANIFEST
from repositories import git
from test_cli import run

FILES: Mapping[str, str] = {
    "Cargo.toml": MANIFEST.format(name="app"),
    "Cargo.lock": LOCK.format(name="app"),
    "src/main.rs": "fn main() {}\n",
}
TWO = "\n[[package]]\nname = 'other'\nversion = '0.1.0'\n"


def options(message: str, pattern: str) -> list[str]:
    """Return the options that a message names, by a pattern with one group."""
    (found,) = re.findall(pattern, message)
    return shlex.split(found)


def shell(command: str) -> Callable[[str, Path], list[str]]:
    """Return a step that runs a command of the message."""

    def follow(message: str, project: Path) -> list[str]:
        assert f"`{command}`" in message
        subprocess.run(shlex.split(command), cwd=project, check=True, capture_output=True)
        return []

    return follow


def passing(pattern: str, *more: str) -> Callable[[str, Path], list[str]]:
    """Return a step that passes the options in a message."""
    return lambda message, project: [*options(message, pattern), *more]


def without_markers(message: str, project: Path) -> list[str]:
    assert "keep the lines of one side" in message and "`cargo update --workspace`" in message
    lock = project / "Cargo.lock"
    lock.write_text(re.sub(r"<<<<<<< .*\n(?s:(.*?))=======\n(?s:.*?)>>>>>>> .*\n", r"\1", lock.read_text()))
    subprocess.run(["cargo", "update", "--workspace", "--offline"], cwd=project, check=True)
    return []


def first_of(option: str) -> Callable[[str, Path], list[str]]:
    """Return a step that passes the first of the names that a message lists."""
    return lambda message, project: [option, *options(message, r"(?:choose|use) one of (\w+)")]


@dataclass(frozen=True)
class Mistake:
    """A project or a command with a mistake.

    Attributes:
        error: the error's name and exit code.
        follow: does what the message says, and returns options.
        files: the files that differ from `FILES`.
        words: options of the mistaken command.
        command: the command; `plan` where the mistake is found before the compile.
    """

    error: tuple[str, int]
    follow: Callable[[str, Path], list[str]]
    files: Mapping[str, str | None] = field(default_factory=dict)
    words: tuple[str, ...] = ()
    command: str = "plan"


BUILD_SCRIPT = "fn main() {{ {} }}\n"
BINARIES = {"src/main.rs": None, "src/bin/one.rs": "fn main() {}\n", "src/bin/two.rs": "fn main() {}\n"}
BIN = '[[bin]]\nname = "app"\npath = "src/main.rs"\n'
FEATURE = f'\n[features]\nspecial = []\n{BIN}required-features = ["special"]\n'
LINKS_Z = (
    'extern "C" { fn zlibVersion() -> *const u8; }\n'
    "fn main() { assert!(!unsafe { zlibVersion() }.is_null()) }\n"
)
HEADER = (
    'let cc = std::env::var("CC_x86_64_unknown_linux_gnu").unwrap();'
    'std::fs::write("/tmp/a.c", "#include <zlib.h>\\n").unwrap();'
    'let mut compile = std::process::Command::new(cc); compile.args(["-c", "/tmp/a.c", "-o", "/tmp/a.o"]);'
    "assert!(compile.status().unwrap().success())"
)

MISTAKES: Mapping[str, Mistake] = {
    "no lock file": Mistake(("LockMissing", 21), shell("cargo generate-lockfile"), {"Cargo.lock": None}),
    "an old lock file": Mistake(
        ("LockOutOfDate", 22),
        shell("cargo update --workspace"),
        {
            "Cargo.toml": FILES["Cargo.toml"] + '[dependencies]\nother.path = "other"\n',
            "other/Cargo.toml": MANIFEST.format(name="other"),
            "other/src/lib.rs": "",
        },
    ),
    "a lock file with the markers of a merge": Mistake(
        ("InvalidManifest", 29),
        without_markers,
        {"Cargo.lock": f"{FILES['Cargo.lock']}<<<<<<< HEAD\n=======\n{TWO}>>>>>>> other\n"},
    ),
    "a lock file that is ignored": Mistake(
        ("LockMissing", 21), passing(r"or pass (--[\w-]+)"), {".gitignore": "Cargo.lock\n"}
    ),
    "several binaries": Mistake(("BinaryNotChosen", 23), passing(r"for example (--bin \w+)"), BINARIES),
    "an unknown binary": Mistake(("UnknownBinary", 24), first_of("--bin"), BINARIES, ("--bin", "none")),
    "an unknown package": Mistake(("UnknownPackage", 25), first_of("--package"), {}, ("--package", "none")),
    "an unknown feature": Mistake(
        ("UnknownFeature", 26),
        first_of("--features"),
        {"Cargo.toml": FILES["Cargo.toml"] + "\n[features]\nspecial = []\n"},
        ("--features", "none"),
    ),
    "a binary that needs a feature": Mistake(
        ("NoBinary", 27),
        passing(r"pass (--features \w+)"),
        {"Cargo.toml": FILES["Cargo.toml"] + FEATURE},
    ),
    "no project in the directory": Mistake(
        ("NotACargoProject", 20),
        lambda message, project: [str(project / options(message, r"directory with Cargo\.toml: (\w+)")[0])],
        {
            **dict.fromkeys(FILES),
            **{f"service/{name}": text for name, text in FILES.items()},
        },
    ),
    "an unknown profile": Mistake(
        ("InvalidManifest", 29),
        lambda message, project: ["--profile", *options(message, r"use (release),")],
        {},
        ("--profile", "none"),
        "binary",
    ),
    "a file that is ignored": Mistake(
        ("CompileError", 30),
        passing(r"pass (--include-ignored)"),
        {
            ".gitignore": "*.html\n",
            "src/main.rs": 'fn main() { print!(include_str!("x.html")) }',
            "src/x.html": "x",
        },
        command="binary",
    ),
    "a build script that asks git": Mistake(
        ("CompileError", 30),
        passing(r"git with (--git-metadata)"),
        {
            "build.rs": BUILD_SCRIPT.format(
                'let git = std::process::Command::new("git").arg("rev-parse").arg("HEAD").output();'
                "assert!(git.unwrap().status.success())"
            )
        },
        command="binary",
    ),
    "a build script that starts a program": Mistake(
        ("CompileError", 30),
        lambda message, project: [*options(message, r"added with (--builder-packages)"), "file"],
        {"build.rs": BUILD_SCRIPT.format('std::process::Command::new("file").status().unwrap();')},
        command="binary",
    ),
    "a library that is not there": Mistake(
        ("LinkError", 31),
        passing(r"(--target-packages [\w-]+)"),
        {
            "build.rs": BUILD_SCRIPT.format('println!("cargo:rustc-link-lib=z")'),
            "src/main.rs": LINKS_Z,
        },
        command="binary",
    ),
    "a header that is not there": Mistake(
        ("LinkError", 31),
        passing(r"(--target-packages [\w-]+)"),
        {"build.rs": BUILD_SCRIPT.format(HEADER)},
        command="binary",
    ),
}  # fmt: skip


@pytest.fixture
def project(tmp_path: Path) -> Path:
    made = tmp_path / "project"
    made.mkdir()
    return made


@pytest.mark.parametrize("name", MISTAKES)
def test_a_next_step_that_is_followed_ends_in_success(engine: object, project: Path, name: str) -> None:
    mistake = MISTAKES[name]
    for path, text in {**FILES, **mistake.files}.items():
        if text is not None:
            (project / path).parent.mkdir(parents=True, exist_ok=True)
            (project / path).write_text(text)
    git(project, "init", "--quiet")
    git(project, "add", ".")
    git(project, "commit", "--quiet", "--message", "all")
    command = [mistake.command, "--platform", "linux/amd64"]
    if mistake.command == "binary":
        command += ["--output", str(project.parent / "out")]
    refused = run(*command, *mistake.words, cwd=project, code=mistake.error[1])
    assert f"{mistake.error[0]}: " in refused.stderr
    message = refused.stderr[refused.stderr.index(f"{mistake.error[0]}: ") :]
    run(*command, *mistake.follow(message, project), cwd=project)
