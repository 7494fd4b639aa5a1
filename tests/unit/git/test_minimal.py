"""Test that git gives the same answers in the git directory for build scripts as in the checkout."""

import hashlib
import subprocess
from pathlib import Path

import pytest
from repositories import commit, git, repository

from pipeline import errors
from pipeline.git import minimal

QUESTIONS = (
    ("describe", "--tags", "--always", "--long"),
    ("describe", "--tags", "--dirty"),
    ("rev-parse", "HEAD"),
    ("rev-parse", "--short", "HEAD"),
    ("rev-parse", "--abbrev-ref", "HEAD"),
    ("log", "-1", "--format=%ct %an %s"),
    ("rev-list", "--count", "HEAD"),
    ("status", "--porcelain"),
    ("tag", "--points-at", "HEAD"),
    ("show", "-s", "--format=%cI"),
)


def checkout(directory: Path) -> Path:
    made = repository(directory)
    git(made, "tag", "v1.0.0")
    (made / "src").mkdir()
    commit(made, "src/main.rs", "fn main() {}")
    git(made, "tag", "--annotate", "--message", "a release", "v1.1.0")
    commit(made, "README.md")
    git(made, "branch", "secret")
    git(made, "remote", "add", "origin", "https://me:canary@git.example/me/app.git")
    git(made, "config", "core.fsmonitor", "canary")
    return made


@pytest.fixture
def here(tmp_path: Path) -> Path:
    return checkout(tmp_path / "here")


def copied(here: Path, output: Path, missing: tuple[str, ...] = ()) -> Path:
    """Copy a checkout with the minimal git directory instead of its `.git`."""
    subprocess.run(["cp", "-r", str(here), str(output)], check=True)
    subprocess.run(["rm", "-rf", str(output / ".git"), *(str(output / name) for name in missing)], check=True)
    minimal.make(here, output / ".git", missing)
    return output


@pytest.fixture(scope="module", params=["a branch", "detached", "changed", "on a tag"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a checkout in a state, and its copy."""
    folder = tmp_path_factory.mktemp("pair")
    here = checkout(folder / "here")
    if request.param == "detached":
        git(here, "checkout", "--quiet", "--detach")
    if request.param == "changed":
        (here / "first").write_text("changed")
    if request.param == "on a tag":
        git(here, "checkout", "--quiet", "v1.1.0")
    found = copied(here, folder / "copy")
    git(here, "config", "--unset", "core.fsmonitor")
    return here, found


@pytest.mark.parametrize("question", QUESTIONS, ids=" ".join)
def test_it_answers_as_the_checkout(pair: tuple[Path, Path], question: tuple[str, ...]) -> None:
    here, found = pair
    assert git(found, *question) == git(here, *question)


def test_nothing_else_is_in_it(here: Path, tmp_path: Path) -> None:
    found = copied(here, tmp_path / "copy")
    for file in (found / ".git").rglob("*"):
        assert not file.is_file() or b"canary" not in file.read_bytes()
    assert git(found, "branch", "--format=%(refname)") == "refs/heads/main"
    with pytest.raises(subprocess.CalledProcessError):
        git(found, "cat-file", "blob", "HEAD:src/main.rs")


def test_the_same_commit_gives_the_same_bytes(here: Path, tmp_path: Path) -> None:
    def digest(folder: Path) -> str:
        files = sorted(file for file in folder.rglob("*") if file.is_file())
        parts = [str(file.relative_to(folder)).encode() + file.read_bytes() for file in files]
        return hashlib.sha256(b"".join(parts)).hexdigest()

    for name in ("one", "two"):
        minimal.make(here, tmp_path / name)
    assert digest(tmp_path / "one") == digest(tmp_path / "two")


def test_files_that_are_not_handed_over_are_not_missed(here: Path, tmp_path: Path) -> None:
    found = copied(here, tmp_path / "copy", ("README.md",))
    assert git(found, "status", "--porcelain") == ""
    assert git(found, "describe", "--tags", "--dirty") == git(here, "describe", "--tags", "--dirty")


def test_a_shallow_clone(here: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", "--depth", "1", f"file://{here}", "clone")
    found = copied(tmp_path / "clone", tmp_path / "copy")
    assert git(found, "rev-list", "--count", "HEAD") == "1"


def test_what_git_cannot_do_is_an_error(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    with pytest.raises(errors.NotAGitRepository, match="leave --git-metadata out"):
        minimal.make(tmp_path, tmp_path / "out")
