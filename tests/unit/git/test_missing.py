"""The tracked files that a directory from Dagger lacks, found by the index alone."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from repositories import git

from pipeline import errors
from pipeline.git import command, facts, missing

NAMES = ("film.mp4", "a b/film.mp4", "[x]*?.mp4", "!not.mp4", "back\\slash.mp4", "é.mp4", " spaces .mp4 ")


def handed_over(top: Path) -> Path:
    """Return a copy of a checkout as Dagger hands it over: without .git and what .gitignore names."""
    copy = top.with_name("handed over")
    shutil.copytree(top, copy, ignore=shutil.ignore_patterns(".git", "*.mp4*"))
    return copy


def found(index: Path, directory: Path) -> list[str]:
    ran = command.run(["sh", str(missing.PROGRAM), str(index), str(directory)], directory)
    assert ran.returncode == 0, ran.stderr
    return [facts.unquoted(line) for line in ran.stdout.splitlines()]


@pytest.mark.parametrize("prepare", [(), ("update-index", "--split-index")], ids=["one", "split"])
@pytest.mark.parametrize("format", ["sha1", "sha256"])
def test_tracked_files_that_are_not_there(format: str, prepare: tuple[str, ...], tmp_path: Path) -> None:
    top = tmp_path / "checkout"
    for name in (*NAMES, "kept.txt"):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(name)
    (top / ".gitignore").write_text("*.mp4*\n")
    git(top, "init", "--quiet", f"--object-format={format}")
    git(top, "add", "--force", ".")
    if prepare:
        git(top, *prepare)
        assert list((top / ".git").glob("sharedindex.*"))
    (top / "left.mp4").write_text("ignored, and not tracked")
    index = tmp_path / "index"
    index.mkdir()
    for path in (top / ".git").glob("*index*"):
        shutil.copy(path, index)
    assert sorted(found(index, handed_over(top))) == sorted(NAMES)
    assert found(index, top) == []


def test_an_index_that_git_cannot_read(tmp_path: Path) -> None:
    (tmp_path / "index").write_text("not an index")
    ran = command.run(["sh", str(missing.PROGRAM), str(tmp_path), str(tmp_path)], tmp_path)
    assert ran.returncode
    error = facts.explain(ran.stderr, "the caller's workspace")
    assert isinstance(error, errors.NotAGitRepository)
    assert "git cannot read" in str(error) and "the index is damaged" in error.output


@pytest.mark.parametrize("name", NAMES)
def test_a_pattern_is_of_one_path(name: str) -> None:
    """As Dagger's matcher reads it: a path without special characters as it is, any other one as below."""
    (pattern,) = missing.patterns([name])
    assert pattern == pattern.strip() and not pattern.startswith("!")
    assert pattern == name or re.fullmatch(pattern, name), "the syntax of Go and Python for these"


@pytest.mark.parametrize("format", ["sha1", "sha256"])
def test_an_index_without_a_checksum(format: str, tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", f"--object-format={format}")
    (tmp_path / "film.mp4").write_text("")
    git(tmp_path, "-c", "index.skipHash=true", "add", "film.mp4")
    (tmp_path / "film.mp4").unlink()
    assert found(tmp_path / ".git", tmp_path) == ["film.mp4"]


def test_the_program_passes_shellcheck() -> None:
    subprocess.run(["sh", "-n", str(missing.PROGRAM)], check=True)
