"""Test that git runs no program of a repository: each test has a program that would create a file."""

import os
import subprocess
from pathlib import Path

import pytest
from repositories import commit, git, repository

from pipeline import errors
from pipeline.cli import ci
from pipeline.git import command
from pipeline.git.facts import read_here, read_if_any


@pytest.fixture
def ran(tmp_path: Path) -> Path:
    """Return the file that exists after a program of the repository ran."""
    return tmp_path / "ran"


@pytest.fixture
def program(tmp_path: Path, ran: Path) -> str:
    """Write a program for a repository's configuration."""
    file = tmp_path / "program"
    file.write_text(f"#!/bin/sh\ntouch {ran}\ncat\n")
    file.chmod(0o755)
    return str(file)


def bare(directory: Path, program: str) -> Path:
    """Make a directory that git accepts as a bare repository, with a program in its configuration."""
    made = repository(directory / "made")
    git(made, "config", "core.fsmonitor", program)
    git(made, "config", "core.bare", "false")
    git(made, "config", "core.worktree", str(directory))
    found = directory / "fixture"
    (made / ".git").rename(found)
    return found


def test_the_attack_works_without_us(tmp_path: Path, program: str, ran: Path) -> None:
    found = bare(tmp_path / "here", program)
    subprocess.run(["git", "status"], cwd=found, capture_output=True, check=False)
    assert ran.exists()


@pytest.mark.parametrize("ask", [read_if_any, ci._image], ids=["facts", "ci init"])
def test_a_bare_repository_that_is_a_directory_of_the_project(
    tmp_path: Path, program: str, ran: Path, ask
) -> None:
    here = repository(tmp_path / "here")
    git(here, "remote", "add", "origin", "git@github.com:me/app.git")
    found = bare(here, program)
    ask(found)
    assert not ran.exists()
    assert read_if_any(bare(tmp_path / "elsewhere", program)) is None
    assert not ran.exists()


SETTINGS = (
    "core.fsmonitor",
    "core.pager",
    "pager.status",
    "pager.config",
    "gpg.program",
    "diff.external",
    "core.sshCommand",
    "credential.helper",
    "core.alternateRefsCommand",
    "alias.status",
    "filter.mine.clean",
    "filter.mine.process",
    "filter.a=b.clean",
    "diff.mine.textconv",
    "diff.mine.command",
)


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("scope", ["--local", "--worktree"])
def test_a_program_of_the_configuration(
    tmp_path: Path, program: str, ran: Path, setting: str, scope: str
) -> None:
    here = repository(tmp_path / "here")
    name = setting.split(".")[1]
    commit(here, ".gitattributes", f"* filter={name} diff={name}\n")
    git(here, "config", "extensions.worktreeConfig", "true")
    git(here, "config", scope, setting, program)
    git(here, "config", scope, "filter.mine.required", "true")
    os.utime(here / "first", (1, 1))
    assert not read_here(here).dirty
    (here / "first").write_text("changed")
    assert read_here(here).changed == ("first",)
    assert not ran.exists()


def test_a_hook(tmp_path: Path, program: str, ran: Path) -> None:
    here = repository(tmp_path / "here")
    for name in ("post-index-change", "reference-transaction", "fsmonitor-watchman"):
        (here / ".git/hooks" / name).write_text(Path(program).read_text())
        (here / ".git/hooks" / name).chmod(0o755)
    os.utime(here / "first", (1, 1))
    git(here, "update-index", "--assume-unchanged", "first")
    ran.unlink(missing_ok=True)
    read_here(here)
    assert not ran.exists()


def test_a_filter_in_a_submodule(tmp_path: Path, program: str, ran: Path) -> None:
    library, here = repository(tmp_path / "library"), repository(tmp_path / "here")
    commit(library, ".gitattributes", "* filter=mine\n")
    git(here, "submodule", "--quiet", "add", str(library), "library")
    git(here, "commit", "--quiet", "--message", "submodule")
    git(here / "library", "config", "filter.mine.clean", program)
    git(here / "library", "config", "core.fsmonitor", program)
    (here / "library/first").write_text("changed")
    assert read_here(here).changed == ("library/first",)
    assert not ran.exists()


def test_the_persons_own_filter_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without git-lfs, for example, each of its files would count as changed."""
    here = repository(tmp_path / "here")
    commit(here, ".gitattributes", "*.big filter=upper\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    (tmp_path / "gitconfig").write_text('[filter "upper"]\n\tclean = tr a-z A-Z\n')
    commit(here, "film.big", "FILM")
    git(here, "config", "filter.upper.clean", "false")
    (here / "film.big").write_text("film")
    assert not read_here(here).dirty
    (here / "film.big").write_text("another")
    assert read_here(here).changed == ("film.big",)


def test_a_partial_clone_fetches_nothing(tmp_path: Path, program: str, ran: Path) -> None:
    origin = repository(tmp_path / "origin")
    git(origin, "config", "uploadpack.allowFilter", "true")
    clone = ["clone", "--quiet", "--no-checkout", "--filter=blob:none", f"file://{origin}", "clone"]
    git(tmp_path, *clone)
    git(tmp_path / "clone", "config", "remote.origin.url", f"ext::{program}")
    git(tmp_path / "clone", "config", "protocol.ext.allow", "always")
    read_here(tmp_path / "clone")
    assert not ran.exists()


def test_variables_of_a_hook_name_another_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, other = repository(tmp_path / "here"), repository(tmp_path / "other")
    commit(other, "second")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    assert read_here(here).revision != read_here(other).revision


def test_settings_that_the_environment_has_already_stay() -> None:
    given = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
    made = command.environment(given)
    assert given.items() - {("GIT_CONFIG_COUNT", "1")} <= made.items()
    assert made["GIT_CONFIG_COUNT"] == str(1 + len(command.OVERRIDES))
    assert made["GIT_CONFIG_KEY_1"] == command.OVERRIDES[0].key


def test_a_git_that_cannot_be_kept_from_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = repository(tmp_path / "here")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/git").write_text("#!/bin/sh\necho git version 2.25.1\n")
    (tmp_path / "bin/git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    with pytest.raises(
        errors.NotAGitRepository, match=r"git 2\.25 cannot be kept .*\n.*\n.*install git 2\.31"
    ):
        read_here(here)
