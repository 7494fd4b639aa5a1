import tomllib
from pathlib import Path

import pytest

from bench import buildkit, services, subjects
from bench.scenarios import Change
from bench.subjects import Copy, Subject


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    original = tmp_path / "original"
    files = {
        "Cargo.toml": "[package]\n",
        "Cargo.lock": "old",
        "src/main.rs": "fn main() {}\n",
        "src/a/b.rs": "",
    }
    subjects.write(original, files)
    bumped = tmp_path / "bumped"
    bumped.write_text("new")
    made = Copy(Subject("x", ("x",)), tmp_path / "copy", original, bumped)
    made.renew({"scripts/more.sh": "more"})
    return made


def changed(copy: Copy) -> set[str]:
    """Return the files that differ from the original."""
    found = set()
    for file in copy.directory.rglob("*"):
        path = file.relative_to(copy.directory)
        other = copy.original / path
        if file.is_file() and (not other.exists() or other.read_bytes() != file.read_bytes()):
            found.add(str(path))
    return found


@pytest.mark.parametrize(
    ("change", "files"),
    [
        (Change.NONE, set()),
        (Change.LINE, {"src/main.rs"}),
        (Change.OWN_CODE, {"src/main.rs", "src/a/b.rs"}),
        (Change.DEPENDENCY, {"Cargo.lock"}),
        (Change.EVERYTHING, {"src/main.rs", "src/a/b.rs", "Cargo.toml"}),
    ],
)
def test_changes_touch_the_expected_files(copy: Copy, change: Change, files: set[str]) -> None:
    copy.change(change, "n1")
    assert changed(copy) == files | {"scripts/more.sh"}


def test_changes_are_never_repeated(copy: Copy) -> None:
    copy.change(Change.LINE, "n1")
    once = (copy.directory / "src/main.rs").read_text()
    copy.change(Change.LINE, "n2")
    twice = (copy.directory / "src/main.rs").read_text()
    assert twice.startswith(once)
    assert twice.count("static BENCH_") == 2


def test_a_fresh_copy_has_no_changes(copy: Copy) -> None:
    copy.change(Change.EVERYTHING, "n1")
    copy.change(Change.DEPENDENCY, "n1")
    copy.renew({})
    assert changed(copy) == set()


def test_a_second_bump_restores_the_version(copy: Copy) -> None:
    copy.change(Change.DEPENDENCY, "n1")
    assert (copy.directory / "Cargo.lock").read_text() == "new"
    copy.change(Change.DEPENDENCY, "n2")
    assert (copy.directory / "Cargo.lock").read_text() == "old"


def test_the_workspace_has_twelve_services_on_three_libraries() -> None:
    files = services.files()
    assert files == services.files()
    packages = {path for path in files if path.endswith("/Cargo.toml")}
    assert len([path for path in packages if path.startswith("services/")]) == 12
    assert len([path for path in packages if path.startswith("libraries/")]) == 3
    for path in packages:
        manifest = tomllib.loads(files[path])
        assert manifest["package"]["name"] == path.split("/")[1]
        source = "src/lib.rs" if path.startswith("libraries") else "src/main.rs"
        assert path.replace("Cargo.toml", source) in files


def test_the_workspace_lock_file_lists_its_members() -> None:
    packages = tomllib.loads(services.LOCK.read_text())["package"]
    own = {package["name"] for package in packages if "source" not in package}
    assert own == {path.split("/")[1] for path in services.files() if path.endswith("/Cargo.toml")}


def test_changed_files_of_generated_subjects_exist() -> None:
    for subject in subjects.SUBJECTS:
        if subject.files:
            assert subject.line in subject.files()


def test_buildkit_configuration_has_a_mirror_only_if_given() -> None:
    with_mirror = tomllib.loads(buildkit.settings(Path("/state"), "127.0.0.1:1", "127.0.0.1:1/bench"))
    assert with_mirror["registry"]["docker.io"] == {"mirrors": ["127.0.0.1:1/bench"]}
    assert with_mirror["registry"]["127.0.0.1:1"] == {"http": True}
    assert with_mirror["root"] == "/state"
    assert "docker.io" not in tomllib.loads(buildkit.settings(Path("/state"), "127.0.0.1:1", ""))["registry"]
    assert buildkit.version().startswith("v0.")
