"""Test the path that the files of `--files` are uploaded from."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.cli import fresh


@pytest.fixture
def files(tmp_path: Path) -> Path:
    made = tmp_path / "files"
    (made / "etc").mkdir(parents=True)
    (made / "etc/app.conf").write_text("port=1")
    (made / "link").symlink_to("etc/app.conf")
    os.utime(made / "etc/app.conf", (1e9, 1e9))
    return made


def place(files: Path) -> Path:
    with fresh.copied(files) as made:
        return made


def test_the_copy_is_the_same_and_at_the_same_path_for_the_same_content(files: Path) -> None:
    with fresh.copied(files) as made:
        assert (made / "etc/app.conf").read_text() == "port=1"
        assert (made / "etc/app.conf").stat().st_mtime == 1e9
        assert str((made / "link").readlink()) == "etc/app.conf"
        with fresh.copied(files) as other:
            assert other != made and (other / "etc/app.conf").read_text() == "port=1"
    assert not made.parent.exists() and not other.parent.exists()
    assert place(files) == made


@pytest.mark.parametrize(
    "change",
    [
        lambda files: (files / "etc/app.conf").write_text("port=2"),
        lambda files: (files / "etc/app.conf").chmod(0o600),
        lambda files: (files / "etc/app.conf").rename(files / "etc/other.conf"),
        lambda files: (files / "empty").mkdir(),
        lambda files: ((files / "link").unlink(), (files / "link").symlink_to("etc")),
    ],
)
def test_another_content_is_at_another_path(files: Path, change: Callable[[Path], object]) -> None:
    """Regression: an engine kept a file that changed without a new size or time stamp."""
    before = place(files)
    change(files)
    if (files / "etc/app.conf").exists():
        os.utime(files / "etc/app.conf", (1e9, 1e9))
    assert place(files) != before
