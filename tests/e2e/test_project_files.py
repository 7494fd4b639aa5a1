"""Test the files of a project in a real engine, whose list of names has links and directories."""

import dagger
import pytest
from dagger import dag

from pipeline.config.project_files import InEngine

pytestmark = pytest.mark.anyio


async def test_files_links_and_directories(session: dagger.Client) -> None:
    source = (
        dag.directory()
        .with_new_file("real/Cargo.toml", "member")
        .with_new_file("real/.cargo/config", "here")
        .with_symlink("real", "linked")
        .with_symlink("linked", "again")
        .with_symlink("real/Cargo.toml", "Cargo.toml")
        .with_symlink("nowhere", "Cargo.lock")
        .with_new_directory("rust-toolchain")
    )
    files = InEngine(source)
    assert await files.read("Cargo.toml") == "member"
    assert await files.read("linked/Cargo.toml") == "member"
    assert await files.read("again/.cargo/config") == "here"
    for absent in ("Cargo.lock", "rust-toolchain", "linked/Cargo.lock", "nowhere/a", "../Cargo.toml"):
        assert await files.read(absent) is None
    assert await InEngine(source, "real").read("Cargo.toml") == "member"
    assert await InEngine(source, "linked").read(".cargo/config") == "here"
    assert await InEngine(source, "real").glob("*.toml") == ["Cargo.toml"]
