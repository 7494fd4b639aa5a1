import pytest

from pipeline.native import git_users
from pipeline.project.tree import TreeCrate


@pytest.mark.parametrize(
    ("crate", "asks"),
    [
        (TreeCrate("vergen", "8.3.1", frozenset({"git", "gitcl"})), True),
        (TreeCrate("vergen", "9.0.0", frozenset({"build"})), False),
        (TreeCrate("vergen-gix", "1.0.0"), True),
        (TreeCrate("built", "0.7.0"), False),
        (TreeCrate("built", "0.7.0", frozenset({"git2"})), True),
        (TreeCrate("serde", "1.0.0", frozenset({"git"})), False),
    ],
)
def test_crates_that_ask_git(crate: TreeCrate, asks: bool) -> None:
    assert bool(git_users.warnings([crate], {})) is asks


@pytest.mark.parametrize(
    ("code", "asks"),
    [
        ('let told = Command::new("git").args(["describe"]);', True),
        ('std::process::Command::new(\n    "git",\n)', True),
        ('Command::new( "git" )', True),
        ('let repo = git2::Repository::open(".")?;', True),
        ('println!("cargo:rerun-if-changed=.git/HEAD");', False),
        ('println!("cargo:rerun-if-changed=../.git/HEAD");', False),
        ('fs::read_to_string("../../.git/HEAD").unwrap_or_default()', True),
        ('root.join(".git").join("HEAD")', True),
        ('Command::new("sh").args(["-c", "git rev-parse HEAD"])', True),
        ('duct::cmd!("git", "describe")', True),
        ('xshell::cmd!(sh, "git describe --tags")', True),
        ('println!("cargo:warning=see https://git.example/a.git/wiki");', False),
        ('println!("cargo:warning=git is not used");', False),
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
