"""Test archives of compiled state, any part of which may be missing."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import cargo_driver as driver
import pytest
from cargo_driver import Volume
from test_inputs import TWO, build, compiled, write

from engine import prerequisites
from engine.log import to_stderr
from pipeline.build import cache_archive

UNSET = object()
CARGO = [f"cargo/{name}" for name in cache_archive.DOWNLOADS]
BUILD = [f"build/{name}" for name in cache_archive.COMPILED]


@pytest.fixture(scope="module", autouse=True)
def zstd() -> None:
    if not shutil.which("zstd"):
        prerequisites.install_packages(["zstd"], to_stderr)


def tree(top: Path, *names: str) -> Path:
    for name in names:
        path = top / name / "inner/file"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return top


def pack(top: Path, archive: Path, *names: str) -> None:
    """Run pack.sh with paths of a directory, which are relative to the root in its archive."""
    paths = [str(top / name).lstrip("/") for name in names]
    subprocess.run(["bash", str(driver.HERE / "pack.sh"), str(archive), *paths], check=True)


def unpack(archive: Path, folder: Path, prefix: str, *parts: str) -> subprocess.CompletedProcess[str]:
    command = ["bash", str(driver.HERE / "unpack.sh"), str(archive), str(folder), prefix, *parts]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def found(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("there", [CARGO + BUILD, BUILD, CARGO, BUILD[:1], CARGO[-1:], []], ids=len)
def test_the_parts_that_an_archive_has_are_unpacked(tmp_path: Path, there: list[str]) -> None:
    """Regression: a project without dependencies failed with `cargo/*: Not found in archive`."""
    top = tree(tmp_path / "from", *there, "cargo/config.toml", "other")
    archive, prefix = tmp_path / "state.tar.zst", str(tmp_path / "from").lstrip("/")
    pack(top, archive, *CARGO, *BUILD, "other", *([] if there else ["cargo"]))
    for name, parts in (("cargo", cache_archive.DOWNLOADS), ("build", cache_archive.COMPILED)):
        folder = tmp_path / "to" / name
        done = unpack(archive, folder, f"{prefix}/{name}", *parts)
        assert (done.returncode, done.stderr) == (0, "")
        wanted = {f"{part}/inner/file" for part in parts if f"{name}/{part}" in there}
        assert found(folder) == wanted, "nothing else, and no temporary files"


def test_what_is_there_already_stays(tmp_path: Path) -> None:
    archive = tmp_path / "state.tar.zst"
    pack(tree(tmp_path / "from", *BUILD), archive, *BUILD)
    there = tree(tmp_path / "to", "target")
    prefix = str(tmp_path / "from/build").lstrip("/")
    assert unpack(archive, there, prefix, *cache_archive.COMPILED).returncode == 0
    assert found(there) == {"target/inner/file"}


@pytest.mark.parametrize("damage", ["cut", "text", "gone"])
def test_an_archive_that_cannot_be_read_is_an_error(tmp_path: Path, damage: str) -> None:
    archive = tmp_path / "state.tar.zst"
    pack(tree(tmp_path / "from", *BUILD), archive, *BUILD)
    if damage == "gone":
        archive.unlink()
    else:
        archive.write_bytes(archive.read_bytes()[:-20] if damage == "cut" else b"no archive")
    prefix = str(tmp_path / "from/build").lstrip("/")
    done = unpack(archive, tmp_path / "to", prefix, *cache_archive.COMPILED)
    assert done.returncode != 0
    assert done.stderr and "Not found in archive" not in done.stderr
    assert found(tmp_path / "to") == set(), "nothing of it is used"


@pytest.mark.parametrize("lost", ["", "target", "src", "state"])
def test_a_build_from_an_archive_ships_what_the_sources_say(tmp_path: Path, lost: str) -> None:
    volume, source = Volume(tmp_path), write(tmp_path / "source", TWO)
    build(volume, source)
    parts = [f"build/{name}" for name in cache_archive.COMPILED if name != lost]
    archive = ["tar", "-C", str(tmp_path), "--zstd", "-cf", str(tmp_path / "state.tar.zst"), *parts]
    subprocess.run(archive, check=True)
    shutil.rmtree(volume.state)
    write(source, {**TWO, "app/src/main.rs": TWO["app/src/main.rs"].replace('"{}"', '"changed {}"')})
    done = build(volume, source, state=UNSET)
    assert volume.prints() == "changed core\n"
    assert compiled(done) == ({"app", "core-lib"} if lost else {"app"})
