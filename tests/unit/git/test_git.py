import dataclasses
import subprocess
from pathlib import Path

import pytest
from repositories import EPOCH, commit, git, repository

from pipeline import errors
from pipeline.git import metadata, tags
from pipeline.git.ci import Event
from pipeline.git.context import BuildContext
from pipeline.git.facts import (
    ASK,
    Facts,
    browsable,
    differences,
    explain,
    listed,
    parse,
    read_here,
    read_if_any,
    require_clean,
    require_release,
)
from pipeline.git.metadata import Description


def test_a_fresh_repository(tmp_path: Path) -> None:
    here = repository(tmp_path)
    revision = git(here, "rev-parse", "HEAD")
    facts = read_here(here)
    assert facts == Facts(revision=revision, time=EPOCH, branch="main")
    assert facts.short == revision[:7]


def test_tags_of_this_commit_and_of_others(tmp_path: Path) -> None:
    here = repository(tmp_path)
    git(here, "tag", "v1.0.0")
    commit(here, "second")
    git(here, "tag", "--annotate", "--message", "x", "v1.1.0")
    git(here, "tag", "app/v1.1.0")
    facts = read_here(here)
    assert set(facts.tags) == {"v1.1.0", "app/v1.1.0"}
    assert set(facts.all_tags) == {"v1.0.0", "v1.1.0", "app/v1.1.0"}


def test_from_a_folder_of_the_repository(tmp_path: Path) -> None:
    here = repository(tmp_path)
    (here / "crates").mkdir()
    assert read_here(here / "crates") == read_here(here)


def test_a_detached_head_has_no_branch(tmp_path: Path) -> None:
    here = repository(tmp_path)
    git(here, "checkout", "--quiet", "--detach")
    assert read_here(here).branch == ""


def test_dirty_is_what_differs_from_the_commit(tmp_path: Path) -> None:
    here = repository(tmp_path)
    commit(here, ".gitignore", "target\n")
    (here / "target").write_text("built")
    assert not read_here(here).dirty
    (here / "new.rs").write_text("")
    (here / "dist").mkdir()
    (here / "dist/page").write_text("")
    facts = read_here(here)
    assert not facts.dirty
    assert facts.untracked == ("dist/", "new.rs")
    (here / "first").write_text("changed")
    assert read_here(here).changed == ("first",)
    git(here, "add", "first")
    assert read_here(here).dirty


@pytest.mark.parametrize("name", ["a b", 'quo"te', "back\\slash", "über", "line\nbreak", "-dash"])
def test_a_changed_file_of_any_name(tmp_path: Path, name: str) -> None:
    here = repository(tmp_path)
    (here / name).write_text("new")
    assert read_here(here).untracked == (name,)
    git(here, "add", "--", name)
    assert read_here(here).changed == (name,)


def test_credentials_are_no_part_of_the_checkout(tmp_path: Path) -> None:
    """Regression: google-github-actions/auth adds a file before every build, which made a release dirty."""
    here = repository(tmp_path)
    (here / "gha-creds-0123456789abcdef.json").write_text("{}")
    (here / "cosign.key").write_text("")
    assert read_here(here).untracked == ()
    require_clean(read_here(here))


@pytest.mark.parametrize("flag", ["--assume-unchanged", "--skip-worktree"])
def test_a_file_that_git_was_told_not_to_look_at(tmp_path: Path, flag: str) -> None:
    here = repository(tmp_path)
    git(here, "update-index", flag, "first")
    index = (here / ".git/index").read_bytes()
    assert not read_here(here).dirty
    (here / "first").write_text("changed")
    assert read_here(here).changed == ("first",)
    assert (here / ".git/index").read_bytes() == index


def test_what_a_sparse_checkout_leaves_out_is_not_changed(tmp_path: Path) -> None:
    here = repository(tmp_path)
    (here / "service").mkdir()
    commit(here, "service/main.rs")
    git(here, "sparse-checkout", "set", "other")
    assert not (here / "service/main.rs").exists()
    assert not read_here(here).dirty


def test_changes_in_a_submodule_whatever_it_says_of_them(tmp_path: Path) -> None:
    """`ignore = all` in .gitmodules hid them from git status."""
    library, here = repository(tmp_path / "library"), repository(tmp_path / "here")
    git(here, "submodule", "--quiet", "add", str(library), "vendor/library")
    git(here, "config", "--file", ".gitmodules", "submodule.vendor/library.ignore", "all")
    git(here, "add", ".gitmodules")
    git(here, "commit", "--quiet", "--message", "submodule")
    assert not read_here(here).dirty
    (here / "vendor/library/first").write_text("changed")
    (here / "vendor/library/new").write_text("")
    facts = read_here(here)
    assert facts.changed == ("vendor/library/first",)
    assert facts.untracked == ("vendor/library/new",)
    git(here / "vendor/library", "checkout", "--quiet", "first")
    commit(here / "vendor/library", "second")
    assert read_here(here).changed == ("vendor/library",)


def test_a_release_is_built_from_its_commit(tmp_path: Path) -> None:
    here = repository(tmp_path)
    (here / "new").write_text("")
    require_release(read_here(here), "v1.2.3")
    (here / "first").write_text("changed")
    with pytest.raises(errors.DirtyTree, match=r"v1\.2\.3 .*: first\n.*\n.*--allow-dirty"):
        require_release(read_here(here), "v1.2.3")


def test_a_repository_that_cannot_be_read_is_not_none(tmp_path: Path) -> None:
    """Regression: with a checkout owned by another user, tags and labels were silently left out."""
    assert read_if_any(tmp_path) is None
    here = repository(tmp_path / "checkout")
    (here / "crates").mkdir()
    assert read_if_any(here / "crates") == read_here(here)
    (here / ".git/HEAD").write_text("nonsense")
    with pytest.raises(errors.NotAGitRepository):
        read_if_any(here / "crates")


def test_a_signed_commit_of_somebody_who_has_signatures_shown(tmp_path: Path) -> None:
    here = repository(tmp_path / "checkout")
    head, _, message = git(here, "cat-file", "commit", "HEAD").partition("\n\n")
    signature = "-----BEGIN PGP SIGNATURE-----\n \n -----END PGP SIGNATURE-----"
    (tmp_path / "signed").write_text(f"{head}\ngpgsig {signature}\n\n{message}\n")
    signed = git(here, "hash-object", "-t", "commit", "-w", str(tmp_path / "signed"))
    git(here, "reset", "--quiet", "--hard", signed)
    program = tmp_path / "gpg"
    program.write_text("#!/bin/sh\necho 'gpg: Signature made on some day' >&2\nexit 1\n")
    program.chmod(0o755)
    git(here, "config", "gpg.program", str(program))
    git(here, "config", "log.showSignature", "true")
    assert "gpg: Signature made" in git(here, "log", "-1", "--format=%ct"), "git does show it"
    assert read_here(here) == Facts(revision=signed, time=EPOCH, branch="main")


def test_how_a_person_has_git_show_things_does_not_matter(tmp_path: Path) -> None:
    """`column.ui` writes several tags in a line, `status.showUntrackedFiles` hides what is new."""
    here = repository(tmp_path)
    for name in ("v1.0.0", "v1.0.1"):
        git(here, "tag", name)
    git(here, "config", "column.ui", "always")
    git(here, "config", "status.showUntrackedFiles", "no")
    (here / "new.rs").write_text("")
    facts = read_here(here)
    assert facts.tags == facts.all_tags == ("v1.0.0", "v1.0.1")
    assert facts.untracked == ("new.rs",)


def test_a_clean_tree_can_be_required(tmp_path: Path) -> None:
    here = repository(tmp_path)
    require_clean(read_here(here))
    (here / "first").write_text("changed")
    (here / "new").write_text("")
    with pytest.raises(errors.DirtyTree, match=r"changed: first; not tracked: new\n.*--require-clean"):
        require_clean(read_here(here))


def test_what_is_built_besides_the_commit_is_named(tmp_path: Path) -> None:
    here = repository(tmp_path)
    assert differences(read_here(here)) == []
    (here / "first").write_text("changed")
    (here / "new").write_text("")
    changed, new = differences(read_here(here))
    assert changed.endswith(": first") and new.endswith(": new")


def test_files_that_only_this_clone_ignores(tmp_path: Path) -> None:
    """The command line leaves them out; Dagger knows only .gitignore, so a module's build has them."""
    here = repository(tmp_path)
    (here / ".git/info/exclude").write_text("secret.rs\n")
    (here / "secret.rs").write_text("")
    assert read_here(here).untracked == ()
    ran = subprocess.run(["sh", ASK, ".gitignore"], cwd=here, capture_output=True, text=True, check=True)
    assert parse(ran.stdout).untracked == ("secret.rs",)
    commit(here, ".gitignore", "secret.rs\n")
    ran = subprocess.run(["sh", ASK, ".gitignore"], cwd=here, capture_output=True, text=True, check=True)
    assert parse(ran.stdout).untracked == ()


def test_files_added_on_purpose_are_marked_and_do_not_rename_a_release(tmp_path: Path) -> None:
    """Regression: a front end that CI builds made the release `1.2.3-dirty`, with exit code 0."""
    facts = read_here(repository(tmp_path))
    assert facts.exact and not facts.marked
    added = dataclasses.replace(facts, added=("generated.rs",), all_tags=("v1.2.3",))
    assert added.marked and not added.exact and not added.dirty
    at = BuildContext(added, Event(tag="v1.2.3"))
    assert tags.from_text([], at)[0] == "1.2.3" and "latest" in tags.from_text([], at)
    assert metadata.labels(Description("app", "1.2.3"), at)[metadata.DIRTY] == "true"
    require_release(added, "v1.2.3")
    with pytest.raises(errors.DirtyTree, match=r"src/main\.rs"):
        require_release(dataclasses.replace(added, changed=("src/main.rs",)), "v1.2.3")
    assert not dataclasses.replace(facts, untracked=("new.rs",)).exact
    assert differences(added) == ["files that no clean checkout has are built in too: generated.rs"]
    with pytest.raises(errors.DirtyTree, match=r"not tracked: generated\.rs"):
        require_clean(added)


def test_a_long_list_of_files_is_cut() -> None:
    assert listed([str(number) for number in range(12)]) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more"


def test_a_shallow_clone(tmp_path: Path) -> None:
    origin = repository(tmp_path / "origin")
    commit(origin, "second")
    git(tmp_path, "clone", "--quiet", "--depth", "1", f"file://{origin}", "clone")
    facts = read_here(tmp_path / "clone")
    assert facts.shallow
    assert facts.remote == "", "a path of this machine is nobody's business"


def test_the_default_branch_is_the_one_that_origin_has_checked_out(tmp_path: Path) -> None:
    origin = repository(tmp_path / "origin")
    assert read_here(origin).default_branch == "", "it has no origin"
    git(tmp_path, "clone", "--quiet", str(origin), "clone")
    git(tmp_path / "clone", "checkout", "--quiet", "-b", "origin/main")
    assert read_here(tmp_path / "clone").default_branch == "main"
    head = ("symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/feature/trunk")
    git(origin, *head)
    assert read_here(origin).default_branch == "feature/trunk", "as the message of a tag rule advises"


def test_the_remote_without_credentials(tmp_path: Path) -> None:
    here = repository(tmp_path)
    git(here, "remote", "add", "origin", "https://me:canary@git.example/me/app.git")
    assert read_here(here).remote == "https://git.example/me/app"


@pytest.mark.parametrize(
    ("remote", "web"),
    [
        ("https://github.com/me/app.git", "https://github.com/me/app"),
        ("https://token@github.com/me/app", "https://github.com/me/app"),
        ("https://me:token@git.example:8443/a/b/c.git/", "https://git.example:8443/a/b/c"),
        ("https://git.example/me/app.git?token=canary#canary", "https://git.example/me/app"),
        ("http://git.example/me/app", "http://git.example/me/app"),
        ("https://github.com:me/app", ""),
        ("https://[::1/app", ""),
        ("git@github.com:me/app.git", "https://github.com/me/app"),
        ("github.com:me/app", "https://github.com/me/app"),
        ("ssh://git@git.example:2222/me/app.git", "https://git.example/me/app"),
        ("git://git.example/me/app.git", "https://git.example/me/app"),
        ("/srv/git/app.git", ""),
        ("../app", ""),
        ("file:///srv/git/app.git", ""),
        ("", ""),
    ],
)
def test_the_web_address_of_a_remote(remote: str, web: str) -> None:
    assert browsable(remote) == web


def test_no_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(errors.NotAGitRepository, match="no git repository here") as raised:
        read_here(tmp_path)
    assert raised.value.where == str(tmp_path)


def test_no_commit(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    with pytest.raises(errors.NotAGitRepository, match="no commit yet"):
        read_here(tmp_path)


def test_a_repository_that_lies_elsewhere(tmp_path: Path) -> None:
    (tmp_path / ".git").write_text("gitdir: /nowhere/.git/worktrees/x\n")
    with pytest.raises(errors.NotAGitRepository, match="points at a repository elsewhere"):
        read_here(tmp_path)


def test_a_damaged_repository(tmp_path: Path) -> None:
    here = repository(tmp_path)
    (here / ".git/index").write_text("no index")
    with pytest.raises(errors.NotAGitRepository, match="cannot read") as raised:
        read_here(here)
    assert "index" in raised.value.output


def test_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shell = Path(subprocess.run(["which", "sh"], capture_output=True, text=True, check=True).stdout.strip())
    (tmp_path / "sh").symlink_to(shell)
    here = repository(tmp_path / "here")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(errors.NotAGitRepository, match="git is not installed"):
        read_here(here)


def test_a_repository_of_somebody_else() -> None:
    error = explain("fatal: detected dubious ownership in repository at '/x'\nTo add an exception", "/x")
    assert "another user" in error.what
    assert "safe.directory" in error.fix
