"""Test that git in a container of the engine gives the same facts as git on this machine."""

import dataclasses
from pathlib import Path

import dagger
import pytest
from repositories import commit, git, repository

from pipeline import errors
from pipeline.git.facts import read, read_here

pytestmark = pytest.mark.anyio


def handed_over(session: dagger.Client, path: Path) -> dagger.Directory:
    """Return a repository as passed to the module: without the files in its .gitignore."""
    return session.host().directory(str(path), gitignore=True, no_cache=True)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    made = repository(tmp_path / "repository")
    git(made, "tag", "v1.0.0")
    commit(made, "built.txt", "committed although it is ignored")
    commit(made, ".gitignore", "target\nbuilt.txt\n")
    git(made, "tag", "v1.1.0")
    git(made, "remote", "add", "origin", "git@git.example:me/app.git")
    (made / "target").mkdir()
    (made / "target/app").write_text("a program")
    return made


async def test_the_same_facts_as_here(session, here: Path) -> None:
    facts = await read(handed_over(session, here))
    assert dataclasses.replace(facts, changed=()) == read_here(here)
    assert (facts.tags, facts.all_tags) == (("v1.1.0",), ("v1.0.0", "v1.1.0"))
    assert facts.remote == "https://git.example/me/app"
    assert facts.changed == ("built.txt",), "an image without it is not of that commit"


async def test_a_dirty_tree(session, here: Path) -> None:
    (here / "first").write_text("changed")
    assert (await read(handed_over(session, here))).dirty


async def test_a_shallow_clone(session, here: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", "--depth", "1", "--no-tags", f"file://{here}", "clone")
    facts = await read(handed_over(session, tmp_path / "clone"))
    assert dataclasses.replace(facts, changed=()) == read_here(tmp_path / "clone")
    assert facts.shallow and facts.all_tags == ()


async def test_a_directory_without_git(session, tmp_path: Path) -> None:
    (tmp_path / "main.rs").write_text("")
    with pytest.raises(errors.NotAGitRepository, match="no git repository here"):
        await read(handed_over(session, tmp_path))
