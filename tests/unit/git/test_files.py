from pathlib import Path

import pytest
from repositories import commit, git, repository

from pipeline import errors
from pipeline.git.files import listing


def write(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")


@pytest.fixture
def here(tmp_path: Path) -> Path:
    made = repository(tmp_path / "here")
    commit(made, ".gitignore", "*.mp4\nnode_modules\n")
    (made / "assets").mkdir()
    commit(made, "assets/tracked.mp4")
    write(made / "assets/other.mp4")
    write(made / "node_modules/a/b")
    write(made / "dist/page")
    return made


def test_a_tracked_file_is_not_ignored_whatever_gitignore_says(here: Path) -> None:
    found = listing(here)
    assert found.ignored == ("assets/other.mp4", "node_modules/")
    assert found.untracked == ("dist/",)
    assert found.tracked == (".gitignore", "assets/tracked.mp4", "first")


def test_names_of_any_form(here: Path) -> None:
    for name in (" blank ", "li\nne.mp4", "über.mp4", '"quoted".mp4'):
        write(here / name)
    assert set(listing(here).ignored) >= {"li\nne.mp4", "über.mp4", '"quoted".mp4'}
    assert " blank " in listing(here).untracked


def test_submodules_have_their_own_rules(here: Path, tmp_path: Path) -> None:
    library = repository(tmp_path / "library")
    commit(library, ".gitignore", "*.o\n")
    commit(library, "tracked.o")
    git(here, "submodule", "--quiet", "add", str(library), "vendor/library")
    write(here / "vendor/library/other.o")
    write(here / "vendor/library/new")
    found = listing(here)
    assert "vendor/library/other.o" in found.ignored
    assert "vendor/library/new" in found.untracked
    assert {"vendor/library", "vendor/library/tracked.o"} <= set(found.tracked)


def test_without_a_repository_gitignore_decides(tmp_path: Path) -> None:
    write(tmp_path / "a/x.o")
    write(tmp_path / "b/y.o")
    (tmp_path / ".gitignore").write_text("*.o\n")
    assert set(listing(tmp_path).ignored) == {"a/", "b/"}
    assert listing(tmp_path).tracked == ()
    assert listing(tmp_path, ["a"]).ignored == ("a/",)


def test_a_repository_that_git_cannot_read(here: Path) -> None:
    (here / ".git/index").write_text("no index")
    with pytest.raises(errors.NotAGitRepository, match="cannot list"):
        listing(here)
