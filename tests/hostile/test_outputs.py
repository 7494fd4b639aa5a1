"""A hostile build script, by what it leaves in the output, links to files of this machine; unlucky runs."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from pipeline import host_files
from pipeline.attestation import attest
from pipeline.errors import UnsafeOutput, WouldOverwrite
from pipeline.native import dpkg

pytestmark = pytest.mark.anyio


def listed(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class Exported:
    """A directory of the engine, with a link that a build script made."""

    def __init__(self, links: dict[str, str], files: dict[str, str]) -> None:
        self.links, self.files = links, files

    def filter(self, include: list[str]) -> Exported:
        return Exported(
            {name: to for name, to in self.links.items() if name in include},
            {name: text for name, text in self.files.items() if name in include},
        )

    async def export(self, folder: str) -> None:
        Path(folder).mkdir(exist_ok=True)
        for name, to in self.links.items():
            (Path(folder) / name).symlink_to(to)
        for name, text in self.files.items():
            (Path(folder) / name).write_text(text)


async def test_a_link_in_the_symbols_is_not_followed(tmp_path: Path) -> None:
    """`app.debug -> /etc/hostname` was pushed as a debug symbol."""
    secret = tmp_path / "secret"
    secret.write_text("s3cret")
    made = Exported({"app.debug": str(secret)}, {"other.debug": "x"})
    with pytest.raises(UnsafeOutput, match=r"app\.debug is a link"):
        await attest._files(made, ["app.debug"], tmp_path / "one")  # type: ignore[arg-type]
    other = tmp_path / "two"
    assert await attest._files(made, ["other.debug"], other) == {"other.debug": other / "other.debug"}  # type: ignore[arg-type]


def test_only_regular_files_leave_a_build(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    assert host_files.regular(tmp_path, ["file"]) == [tmp_path / "file"]
    for name, what in (
        ("link", "a link"),
        ("folder", "no regular"),
        ("pipe", "no regular"),
        ("none", "missing"),
    ):
        with pytest.raises(UnsafeOutput, match=what):
            host_files.regular(tmp_path, ["file", name])


@pytest.mark.parametrize("inside", [True, False])
def test_an_images_links_lead_to_no_file_of_this_machine(tmp_path: Path, inside: bool) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "etc").mkdir(parents=True)
    (root / "etc/real").write_text("inside")
    outside.write_text("outside")
    (root / "etc/os-release").symlink_to("real" if inside else outside)
    assert dpkg._text(root, root / "etc/os-release") == ("inside" if inside else "")
    (root / "up").symlink_to("..")
    assert dpkg._text(root, root / "up/outside") == ""


def test_a_run_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "image.tar"
    target.write_text("old")
    with pytest.raises(OSError, match="disk full"), host_files.replacing(target) as made:
        made.write_text("half")
        raise OSError("disk full")
    assert target.read_text() == "old" and listed(tmp_path) == ["image.tar"]


def test_a_link_in_the_targets_place_is_replaced_and_not_followed(tmp_path: Path) -> None:
    other, target = tmp_path / "other", tmp_path / "image.tar"
    other.write_text("mine")
    target.symlink_to(other)
    with host_files.replacing(target) as made:
        made.write_text("new")
    assert (target.read_text(), other.read_text()) == ("new", "mine")
    assert not target.is_symlink()


def layout(folder: Path, text: str) -> None:
    (folder / "blobs").mkdir(parents=True)
    for name in ("index.json", "oci-layout", "blobs/x"):
        (folder / name).write_text(text)


def test_a_layout_takes_the_place_of_a_layout_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "deep/layout"
    for text in ("old", "new"):
        with host_files.replacing(target) as made:
            layout(made, text)
    assert {path.read_text() for path in target.rglob("*") if path.is_file()} == {"new"}
    assert listed(target.parent) == ["layout"]


def test_a_directory_with_other_files_is_not_replaced(tmp_path: Path) -> None:
    """`--output type=oci,dest=.,tar=false` in a project would have taken the project's place."""
    (tmp_path / "here").mkdir()
    (tmp_path / "here/Cargo.toml").write_text("x")
    with pytest.raises(WouldOverwrite, match=r"Cargo\.toml"), host_files.replacing(tmp_path / "here"):
        raise AssertionError("nothing is built for it")
    assert (tmp_path / "here/Cargo.toml").read_text() == "x"


def test_two_runs_at_once_leave_one_of_them_whole(tmp_path: Path) -> None:
    target, errors = tmp_path / "layout", []

    def run(text: str) -> None:
        try:
            for _ in range(30):
                with host_files.replacing(target) as made:
                    layout(made, text)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(text,)) for text in ("one", "two", "three")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len({path.read_text() for path in target.rglob("*") if path.is_file()}) == 1
    assert listed(tmp_path) == ["layout"]


def test_files_are_moved_into_place_and_over_no_directory(tmp_path: Path) -> None:
    with host_files.beside(tmp_path / "dist") as made:
        (made / "app").write_text("new")
        (made / "sums").write_text("sums")
        places = [(made / "app", tmp_path / "dist/a/app"), (made / "sums", tmp_path / "dist/sums")]
        host_files.move(places, tmp_path / "dist")
    assert (tmp_path / "dist/a/app").read_text() == "new"
    assert listed(tmp_path / "dist") == ["a", "sums"]
    (made := tmp_path / "x").write_text("x")
    with pytest.raises(WouldOverwrite):
        host_files.move([(made, tmp_path / "dist/a")], tmp_path / "dist")
