"""Test the options of `run`, and how changes of files are found."""

import os
import subprocess
from pathlib import Path

import pytest

from pipeline.cli import run
from pipeline.cli.changes import Changes
from pipeline.config.request import DEVELOPMENT, Choice
from pipeline.config.settings import Settings
from pipeline.errors import InvalidArgument

ONE = Settings(platforms=["linux/amd64"], ports=[8080, 9000])


def test_every_port_of_the_image_is_published_or_moved(tmp_path: Path) -> None:
    assert run.prepare(ONE, tmp_path)["ports"] == {8080: 8080, 9000: 9000}
    assert run.prepare(ONE, tmp_path, publish=["18080:8080", "5000"])["ports"] == {
        8080: 18080, 9000: 9000, 5000: 5000,
    }  # fmt: skip


@pytest.mark.parametrize("text", ["", "x", "1:", ":1", "0", "65536:80", "80:65536", "1:2:3", "-1", "٣"])
def test_a_text_that_is_no_port_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument):
        run.prepare(ONE, tmp_path, publish=[text])


@pytest.mark.parametrize("platforms", [["linux/amd64", "linux/arm64"], ["linux/amd64,linux/arm64"]])
def test_only_one_platform_can_be_started(platforms: list[str], tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="not of 2"):
        run.prepare(Settings(platforms=platforms), tmp_path)


def test_programs_are_compiled_incrementally_in_a_profile_of_their_own() -> None:
    choice = Choice(profile="fast", arguments=("--config", "a=1")).for_development()
    assert choice.profile == DEVELOPMENT
    assert choice.configurations == (
        "a=1",
        f'profile.{DEVELOPMENT}.inherits="fast"',
        f"profile.{DEVELOPMENT}.incremental=true",
        f'profile.{DEVELOPMENT}.lto="off"',
    )


@pytest.fixture(params=["git", "no git"])
def project(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    (tmp_path / ".gitignore").write_text("target\n")
    (tmp_path / "src").mkdir()
    (tmp_path / "src/main.rs").write_text("one")
    (tmp_path / "target").mkdir()
    if request.param == "git":
        subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
        subprocess.run(["git", "add", "."], cwd=tmp_path, check=True)
    return tmp_path


def test_changes_are_content_new_and_removed_files_and_modes(project: Path) -> None:
    main = project / "src/main.rs"
    changes = Changes(project / "src" if (project / ".git").exists() else project)
    assert not changes.happened()
    main.write_text("two, longer")
    assert changes.happened()

    changes = Changes(project)
    (project / "new").mkdir()
    assert not changes.happened()
    (project / "new/file").touch()
    assert changes.happened()

    changes = Changes(project)
    main.chmod(0o755)
    assert changes.happened()

    changes = Changes(project)
    main.unlink()
    assert changes.happened()


def test_a_file_of_the_same_size_is_a_change_by_its_time(project: Path) -> None:
    changes = Changes(project)
    (project / "src/main.rs").write_text("eno")
    os.utime(project / "src/main.rs", ns=(1, 1))
    assert changes.happened()


def test_ignored_files_are_no_change(project: Path) -> None:
    changes = Changes(project)
    (project / "target/out").touch()
    assert not changes.happened()
