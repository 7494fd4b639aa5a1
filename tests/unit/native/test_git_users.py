import pytest

from pipeline.native import git_users
from pipeline.project.tree import Crate


@pytest.mark.parametrize(
    ("crate", "asks"),
    [
        (Crate("vergen", "8.3.1", frozenset({"git", "gitcl"})), True),
        (Crate("vergen", "9.0.0", frozenset({"build"})), False),
        (Crate("vergen-gix", "1.0.0"), True),
        (Crate("built", "0.7.0"), False),
        (Crate("built", "0.7.0", frozenset({"git2"})), True),
        (Crate("serde", "1.0.0", frozenset({"git"})), False),
    ],
)
def test_crates_that_ask_git(crate: Crate, asks: bool) -> None:
    assert bool(git_users.warnings([crate], {})) is asks


@pytest.mark.parametrize(
    ("code", "asks"),
    [
        ('let told = Command::new("git").args(["describe"]);', True),
        ('std::process::Command::new(\n    "git",\n)', True),
        ('Command::new( "git" )', True),
        ('let repo = git2::Repository::open(".")?;', True),
        ('println!("cargo:rerun-if-changed=.git/HEAD");', False),
        ('Command::new("protoc")', False),
    ],
)
def test_build_scripts_that_ask_git(code: str, asks: bool) -> None:
    assert git_users.starts_git(code) is asks


def test_a_warning_names_who_asks_and_what_to_do() -> None:
    (warning,) = git_users.warnings([], {"app": 'Command::new("git")', "other": ""})
    assert warning.startswith("the build script of app asks git")
    assert "--git-metadata" in warning and "--build-arg" in warning


def test_the_table_has_each_crate_once_and_from_somewhere() -> None:
    assert len({row.name for row in git_users.TABLE}) == len(git_users.TABLE)
    assert all(row.source for row in git_users.TABLE)
