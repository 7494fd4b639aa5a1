"""Test that without a source the project around the caller's directory is built."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT
from crates import LOCK, MANIFEST

from pipeline import errors

SECONDS = 600
MAIN = "fn main() {}\n"
Call = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def call(engine) -> Call:
    """Run `dagger call` in a directory, with this module by default."""

    def run(*words: str, cwd: Path, module: Path = ROOT, code: int = 0) -> subprocess.CompletedProcess[str]:
        dagger = os.environ.get("_EXPERIMENTAL_DAGGER_CLI_BIN", "dagger")
        command = [dagger, "call", "-m", str(module), *words]
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=SECONDS)
        done.stderr = re.sub(r"\x1b\[[0-9;]*m", "", done.stderr)
        assert done.returncode == code, done.stderr
        return done

    return run


def write(root: Path, files: dict[str, str]) -> Path:
    """Write files and make their directory a git checkout, which Dagger uses as a workspace."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    return root


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Make a cargo workspace with one member, in a subdirectory of its repository."""
    return write(
        tmp_path / "checkout",
        {
            ".gitignore": "*.secret\n",
            "rust/Cargo.toml": '[workspace]\nmembers = ["tools/*"]\nresolver = "2"\n',
            "rust/Cargo.lock": LOCK.format(name="hello"),
            "rust/tools/hello/Cargo.toml": MANIFEST.format(name="hello"),
            "rust/tools/hello/src/main.rs": MAIN,
            "rust/left.secret": "",
            "rust/target/debug/left": "",
        },
    )


SOURCE = ("builder", "--platform", "linux/amd64", "directory", "--path")


def test_the_cargo_workspace_around_a_subdirectory(call: Call, checkout: Path) -> None:
    inside = checkout / "rust/tools/hello/src"
    entries = call(*SOURCE, "/source/rust", "entries", cwd=inside).stdout.split()
    assert entries == ["Cargo.lock", "Cargo.toml", "tools/"], "and neither output nor what git ignores"
    main = (*SOURCE, ".", "file", "--path", "src/main.rs", "contents")
    assert call(*main, cwd=inside).stdout.strip() == MAIN.strip()
    (inside / "main.rs").write_text("fn main() { changed() }\n")
    assert "changed" in call(*main, cwd=inside).stdout


TRACKED = (
    "rust/film.secret",
    "rust/a [1]*.secret",
    "rust/target/kept.txt",
    "rust/node_modules/kept.js",
    ".netrc",
)
NEVER = "rust/gha-creds-1.json"


def test_a_tracked_file_that_gitignore_names_is_handed_over(call: Call, checkout: Path) -> None:
    for path in (*TRACKED, NEVER):
        (checkout / path).parent.mkdir(parents=True, exist_ok=True)
        (checkout / path).write_text(path)
    add = ["git", "-C", str(checkout), "add", "--force", *TRACKED, NEVER]
    subprocess.run(add, check=True)
    shown = call(*SOURCE, "/source", "glob", "--pattern", "**/*", cwd=checkout / "rust").stdout.splitlines()
    assert [path for path in TRACKED if path not in shown] == []
    assert not {NEVER, ".git/", "rust/left.secret", "rust/target/debug/left"} & set(shown)


def test_a_source_that_is_passed_has_tracked_files_too(call: Call, checkout: Path) -> None:
    """Also right after a call whose source the engine has filtered by .gitignore, of the same directory."""
    (checkout / "rust/film.secret").write_text("")
    subprocess.run(["git", "-C", str(checkout), "add", "--force", "rust/film.secret"], check=True)
    listing = (*SOURCE, "/source", "glob", "--pattern", "**/*.secret")
    for _ in range(2):
        for words in ((), ("--source", ".")):
            shown = call(*words, *listing, cwd=checkout / "rust").stdout.split()
            assert "film.secret" in {path.removeprefix("rust/") for path in shown}, words


def test_the_same_file_is_no_change_of_the_checkout_that_is_passed(call: Call, checkout: Path) -> None:
    git = ["git", "-c", "user.name=me", "-c", "user.email=me@example.invalid", "-C", str(checkout)]
    (checkout / "rust/film.secret").write_text("")
    subprocess.run([*git, "add", "--force", "."], check=True)
    subprocess.run([*git, "commit", "--quiet", "--message", "all"], check=True)
    words = ("--repository", str(checkout), "--require-clean", "plan", "--as-json")
    assert json.loads(call(*words, cwd=checkout / "rust/tools/hello").stdout)["labels"]


def test_a_worktree_says_what_it_lacks(call: Call, checkout: Path, tmp_path: Path) -> None:
    git = ["git", "-c", "user.name=me", "-c", "user.email=me@example.invalid", "-C", str(checkout)]
    subprocess.run([*git, "add", "rust"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--message", "all"], check=True)
    subprocess.run([*git, "worktree", "add", "--quiet", str(tmp_path / "other")], check=True)
    done = call(*SOURCE, "/source/rust", "entries", cwd=tmp_path / "other/rust")
    assert "Cargo.toml" in done.stdout
    assert "warning: this is a git worktree or submodule" in done.stderr


ORIGIN = "the caller's rust/tools/hello/Cargo.toml"


def test_the_member_that_is_called_in_is_built(call: Call, checkout: Path) -> None:
    shown = json.loads(call("plan", "--as-json", cwd=checkout / "rust/tools/hello/src").stdout)
    (package,) = (one for one in shown["settings"] if one["name"] == "package")
    assert package == {"name": "package", "value": "hello", "origin": ORIGIN}


def test_an_explicit_source_wins(call: Call, checkout: Path, tmp_path: Path) -> None:
    other = write(
        tmp_path / "other",
        {
            "Cargo.toml": MANIFEST.format(name="other"),
            "Cargo.lock": LOCK.format(name="other"),
            "src/main.rs": MAIN,
            "target/debug/left": "",
        },
    )
    shown = call("--source", str(other), *SOURCE, ".", "entries", cwd=checkout / "rust").stdout.split()
    assert "Cargo.toml" in shown and "src/" in shown and "target/" not in shown


def test_no_project_is_an_error_and_never_our_sample(call: Call, tmp_path: Path) -> None:
    """The default source in this repository's .env applies only to calls in this repository."""
    (tmp_path / "empty").mkdir()
    done = call("natives", cwd=write(tmp_path, {}) / "empty", code=errors.NotACargoProject.exit_code)
    assert "there is no Cargo.toml in the caller's directory or its parents" in done.stderr
    assert "--source path/to/project" in done.stderr


def test_a_project_that_git_ignores_is_named(call: Call, checkout: Path) -> None:
    (checkout / ".gitignore").write_text("rust\n")
    done = call("natives", cwd=checkout / "rust", code=errors.NotACargoProject.exit_code)
    assert "git ignores rust/Cargo.toml" in done.stderr
    words = ("--source", ".", "--bin", "hello", "natives", "--as-json")
    assert json.loads(call(*words, cwd=checkout / "rust").stdout)["natives"]


def test_a_dependency_beside_the_repository_and_the_advice_for_it(call: Call, tmp_path: Path) -> None:
    files = {"lib/Cargo.toml": MANIFEST.format(name="lib"), "lib/src/lib.rs": ""}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    entry = '\n[[package]]\nname = "lib"\nversion = "0.1.0"\n'
    lock = LOCK.format(name="app") + 'dependencies = [\n "lib",\n]\n' + entry
    app = write(
        tmp_path / "app",
        {
            "Cargo.toml": MANIFEST.format(name="app") + '[dependencies]\nlib = { path = "../lib" }\n',
            "Cargo.lock": lock,
            "src/main.rs": MAIN,
        },
    )
    done = call("natives", cwd=app, code=errors.InvalidManifest.exit_code)
    assert "pass a directory that has both as the source" in done.stderr
    words = ("--source", "..", "--manifest-path", "app/Cargo.toml", "natives", "--as-json")
    assert json.loads(call(*words, cwd=app).stdout)["natives"]


def test_a_call_in_this_repository_finds_the_sample(call: Call) -> None:
    assert "sample-app" in call(*SOURCE, ".", "file", "--path", "Cargo.toml", "contents", cwd=ROOT).stdout


def test_another_module_without_a_source(call: Call, checkout: Path) -> None:
    """The workspace is that of the other module's caller."""
    done = call("around", cwd=checkout / "rust/tools", module=ROOT / "tests/consumer")
    assert done.stdout.split() == ["Cargo.lock", "Cargo.toml", "tools/"]
