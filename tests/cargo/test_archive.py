"""Test archives of compiled state, any part of which may be missing."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import cargo_driver as driver
import pytest
from cargo_driver import Volume
from cargo_registry import fetch, project, served
from test_inputs import TWO, build, compiled, write

from engine import prerequisites
from engine.log import to_stderr

UNSET = object()
PARTS = ("target", "state")
BUILD = [f"build/{name}" for name in PARTS]
PUBLIC = "index.crates.io-1949cf8c6b5b557f"
CODE = 'pub fn said() -> &\'static str { "official" }\n'


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


def pack(top: Path, archive: Path, **secrets: str) -> subprocess.CompletedProcess[str]:
    """Run pack.sh with a cargo home and a volume in a directory."""
    command = ["bash", str(driver.HERE / "pack.sh"), str(archive), str(top / "cargo"), str(top / "build")]
    variables = {**driver.ENVIRONMENT, **secrets, "SECRETS": " ".join(secrets)}
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=False)


def tar(top: Path, archive: Path, *names: str) -> None:
    subprocess.run(["tar", "-C", str(top), "--zstd", "-cf", str(archive), *names], check=True)


def listed(archive: Path) -> set[str]:
    command = ["tar", "--zstd", "-tf", str(archive)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return {line for line in done.stdout.splitlines() if not line.endswith("/")}


def unpack(archive: Path, folder: Path, prefix: str, *parts: str) -> subprocess.CompletedProcess[str]:
    command = ["bash", str(driver.HERE / "unpack.sh"), str(archive), str(folder), prefix, *parts]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def found(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


PRIVATE = (
    "build/src",
    "build/other",
    "build/target/x86/incremental",
    "cargo/config.toml",
    "cargo/bin",
    "cargo/git/db/private",
    "cargo/git/checkouts/private",
    f"cargo/registry/index/{PUBLIC}",
    f"cargo/registry/src/{PUBLIC}",
    "cargo/registry/cache/private.example-0123456789abcdef",
    "cargo/registry/cache/notindex.crates.io-0123456789abcdef",
)


@pytest.mark.parametrize("there", [BUILD, BUILD[:1], BUILD[1:], []], ids=len)
@pytest.mark.parametrize("public", [True, False])
def test_an_archive_has_no_sources_and_nothing_private(
    tmp_path: Path, there: list[str], public: bool
) -> None:
    wanted = [*there, *([f"cargo/registry/cache/{PUBLIC}"] if public else [])]
    top = tree(tmp_path / "from", *wanted, *PRIVATE)
    if BUILD[0] not in there:
        shutil.rmtree(top / "build/target")
    archive = tmp_path / "state.tar.zst"
    assert pack(top, archive).returncode == 0
    prefix = str(top).lstrip("/")
    assert listed(archive) == {f"{prefix}/{name}/inner/file" for name in wanted}


@pytest.mark.parametrize("place", ["build/target", "build/state", "build/target/incremental"])
@pytest.mark.parametrize("value", ["s3cret", "-e", "two\n\nlines"])
def test_a_build_secret_is_not_archived(tmp_path: Path, place: str, value: str) -> None:
    top, archive = tree(tmp_path / "from", *BUILD, place), tmp_path / "state.tar.zst"
    assert pack(top, archive, API=value, EMPTY="").returncode == 0
    (top / place / "inner/file").write_text(f'{{"var":"API","val":"{value}"}}')
    archive.unlink()
    done = pack(top, archive, API=value, EMPTY="")
    if "incremental" in place:
        assert done.returncode == 0
    else:
        assert (done.returncode, archive.exists()) == (3, False)
        assert "the build secret API is in the compiled state" in done.stderr
        assert value not in done.stderr


@pytest.mark.parametrize("there", [BUILD, BUILD[:1], []], ids=len)
def test_only_known_parts_are_unpacked(tmp_path: Path, there: list[str]) -> None:
    """Regression: a project without dependencies failed with `cargo/*: Not found in archive`."""
    top = tree(tmp_path / "from", *there, *PRIVATE, "other")
    if "build/target" not in there:
        shutil.rmtree(top / "build/target")
    shutil.rmtree(top / "build/target/x86", ignore_errors=True)
    archive = tmp_path / "state.tar.zst"
    tar(top, archive, "build", "cargo", "other")
    folder = tmp_path / "to"
    done = unpack(archive, folder, "build", *PARTS)
    assert (done.returncode, done.stderr) == (0, "")
    assert found(folder) == {f"{part}/inner/file" for part in PARTS if f"build/{part}" in there}


def test_crates_of_an_archive_are_compared_with_the_lock_file(tmp_path: Path) -> None:
    with served() as registry:
        names = ("good", "other", "link")
        source = write(
            tmp_path / "source", project(registry, {name: registry.add(name, CODE) for name in names})
        )
        top = tree(tmp_path / "from", *PRIVATE, *BUILD)
        caches = [
            top / "cargo/registry/cache" / name for name in (PUBLIC, "private.example-0123456789abcdef")
        ]
        for folder in caches:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "good-0.1.0.crate").write_bytes(registry.files["/dl/good"])
            (folder / "other-0.1.0.crate").write_text("planted")
            (folder / "unknown-0.1.0.crate").write_bytes(registry.files["/dl/good"])
            (folder / "link-0.1.0.crate").symlink_to("/etc/hostname")
        archive = tmp_path / "state.tar.zst"
        tar(top, archive, "cargo", "build")
        volume = tmp_path / "volume"
        fetched = fetch(source, tmp_path / "home", volume, str(archive))
        assert fetched.done.returncode == 0, fetched.done.stderr
        assert {path.name for path in fetched.home.iterdir()} == {"registry", "git"}
        assert found(volume / "public" / "registry/cache" / PUBLIC) == {"good-0.1.0.crate"}
        assert not list((volume / "public/registry/cache").glob("private*"))
        assert not list((volume / "public/git/db").iterdir())


def test_what_is_there_already_stays(tmp_path: Path) -> None:
    archive = tmp_path / "state.tar.zst"
    tar(tree(tmp_path / "from", *BUILD), archive, *BUILD)
    there = tree(tmp_path / "to", "target")
    assert unpack(archive, there, "build", *PARTS).returncode == 0
    assert found(there) == {"target/inner/file"}


@pytest.mark.parametrize("damage", ["cut", "text", "gone"])
def test_an_archive_that_cannot_be_read_is_an_error(tmp_path: Path, damage: str) -> None:
    archive = tmp_path / "state.tar.zst"
    tar(tree(tmp_path / "from", *BUILD), archive, *BUILD)
    if damage == "gone":
        archive.unlink()
    else:
        archive.write_bytes(archive.read_bytes()[:-20] if damage == "cut" else b"no archive")
    done = unpack(archive, tmp_path / "to", "build", *PARTS)
    assert done.returncode != 0
    assert done.stderr and "Not found in archive" not in done.stderr
    assert found(tmp_path / "to") == set(), "nothing of it is used"


def archived(volume: Volume, top: Path, lost: str = "") -> None:
    """Replace a volume by an archive of it."""
    tar(top, top / "state.tar.zst", *(f"build/{name}" for name in PARTS if name != lost))
    shutil.rmtree(volume.state)


CHANGED = {**TWO, "app/src/main.rs": TWO["app/src/main.rs"].replace('"{}"', '"changed {}"')}


@pytest.mark.parametrize("lost", ["", "target", "state"])
def test_a_build_from_an_archive_ships_what_the_sources_say(tmp_path: Path, lost: str) -> None:
    volume, source = Volume(tmp_path), write(tmp_path / "source", TWO)
    build(volume, source)
    archived(volume, tmp_path, lost)
    write(source, CHANGED)
    done = build(volume, source, state=UNSET)
    assert volume.prints() == "changed core\n"
    assert compiled(done) == ({"app", "core-lib"} if lost else {"app"})


def test_an_archive_of_the_same_sources_compiles_nothing(tmp_path: Path) -> None:
    """A build script that watches files or a directory does not run again either."""
    script = (
        'fn main() { println!("cargo:rerun-if-changed=src"); println!("cargo:rerun-if-changed=a.txt"); }\n'
    )
    files = {**TWO, "core/build.rs": script, "core/a.txt": "a", "note.md": "note"}
    volume, source = Volume(tmp_path), write(tmp_path / "source", files)
    build(volume, source)
    archived(volume, tmp_path)
    assert not any(name.endswith(".rs") for name in listed(tmp_path / "state.tar.zst"))
    write(source, files)
    assert compiled(build(volume, source, state=UNSET)) == set()
    assert compiled(build(volume, source, state=UNSET)) == set()
    write(source, {**files, "core/src/lib.rs": TWO["core/src/lib.rs"].replace("core", "new")})
    assert compiled(build(volume, source, state=UNSET)) == {"app", "core-lib"}
    assert volume.prints() == "new\n"


@pytest.mark.parametrize("killed", [True, False])
def test_files_that_builds_wrote_are_made_again(tmp_path: Path, killed: bool) -> None:
    """They are not in the archive, and the compiled package that reads them is."""
    script = 'fn main() { println!("cargo:rerun-if-changed=build.rs"); '
    script += 'std::fs::write("src/made.rs", "pub fn made() {}").unwrap(); }\n'
    files = {
        **TWO,
        "core/build.rs": script,
        "core/src/lib.rs": f"mod made;\n{TWO['core/src/lib.rs']}",
    }
    volume, source = Volume(tmp_path), write(tmp_path / "source", files)
    build(volume, source)
    archived(volume, tmp_path)
    if killed:
        # The archive is unpacked and the sources restored, and nothing else.
        unpack(tmp_path / "state.tar.zst", volume.state, "build", *PARTS)
        (volume.state / "src").mkdir()
        shutil.copytree(source, volume.state / "src", dirs_exist_ok=True)
        (volume.state / "state/restored").touch()
        (volume.state / "state/current/done").unlink()
    write(source, {**files, "app/src/main.rs": CHANGED["app/src/main.rs"]})
    assert compiled(build(volume, source, state=UNSET)) == {"app", "core-lib"}
    assert (volume.state / "src/core/src/made.rs").exists()
    assert volume.prints() == "changed core\n"
    assert not (volume.state / "state/restored").exists()


def test_the_state_has_no_values_of_variables(tmp_path: Path) -> None:
    volume, source = Volume(tmp_path), write(tmp_path / "source", TWO)
    variables = {"API": "s3cret-value", "LINES": "s3cret\nlines", "EMPTY": ""}
    build(volume, source, variables=variables)
    text = (volume.state / "state/current/environment").read_text()
    assert "s3cret" not in text
    assert {"API", "LINES", "EMPTY"} <= {line.partition("=")[0] for line in text.splitlines()}
    assert all(len(line.partition("=")[2]) == 64 for line in text.splitlines())
