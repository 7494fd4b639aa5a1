from pathlib import Path

import anyio
import pytest

from pipeline.config import workspace
from pipeline.config.project_files import OnDisk
from pipeline.config.workspace import Location
from pipeline.errors import NotACargoProject

MEMBER = '[package]\nname = "orders"\nversion.workspace = true\n'


def write(path: Path, text: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Make a workspace with a lock file, and a member two directories below it without one."""
    write(tmp_path / "Cargo.toml", '[workspace]\nmembers = ["services/*"]\n')
    write(tmp_path / "Cargo.lock")
    write(tmp_path / "services/orders/Cargo.toml", MEMBER)
    write(tmp_path / "services/orders/src/main.rs")
    return tmp_path


def find(root: Path, directory: str) -> Location:
    return anyio.run(workspace.find, OnDisk(root), directory)


def test_a_member_means_its_workspace_and_itself(root: Path) -> None:
    assert find(root, "services/orders") == Location("services/orders", "", "orders")
    assert find(root, "") == Location()


def test_a_lock_file_of_a_members_own_is_no_other_workspace(root: Path) -> None:
    write(root / "services/orders/Cargo.lock")
    assert find(root, "services/orders") == Location("services/orders", "", "orders")


@pytest.mark.parametrize("text", [f"{MEMBER}[workspace]\n", "not = [ toml"])
def test_what_is_no_member_stays_what_it_is(root: Path, text: str) -> None:
    write(root / "services/orders/Cargo.toml", text)
    assert find(root, "services/orders") == Location("services/orders", "services/orders")


def test_a_manifest_is_looked_for_in_the_directories_above(root: Path) -> None:
    assert find(root, "services/orders/src") == Location("services/orders/src", "", "orders")
    assert find(root, "services") == Location("services", "")


@pytest.mark.parametrize(
    ("table", "found"),
    [
        ('exclude = ["services"]', "services/orders"),
        ('exclude = ["services/ord"]', ""),
        ('exclude = ["services"]\nmembers = ["services/orders"]', ""),
    ],
)
def test_a_package_that_the_workspace_leaves_out(root: Path, table: str, found: str) -> None:
    write(root / "Cargo.toml", f"[workspace]\n{table}\n")
    assert find(root, "services/orders").workspace == found


def test_a_package_names_its_workspace(root: Path) -> None:
    write(root / "tools/x/Cargo.toml", '[package]\nname = "x"\nworkspace = "../../other"\n')
    assert find(root, "tools/x") == Location("tools/x", "other", "x")
    write(root / "top/Cargo.toml", '[package]\nname = "top"\nworkspace = ".."\n')
    assert find(root, "top") == Location("top", "", "top")


def test_without_a_manifest_there_is_no_project(tmp_path: Path) -> None:
    with pytest.raises(NotACargoProject, match=r"no Cargo\.toml in services/orders, nor above"):
        find(tmp_path, "services/orders")


@pytest.mark.parametrize(
    ("path", "directory"),
    [("", ""), ("Cargo.toml", ""), ("a/b/Cargo.toml", "a/b"), ("./a//Cargo.toml", "a")],
)
def test_the_directory_of_a_manifest(path: str, directory: str) -> None:
    assert workspace.manifest_directory(path) == directory


@pytest.mark.parametrize(
    "path", ["a", "/a/Cargo.toml", "../Cargo.toml", "a/../../Cargo.toml", "a/cargo.toml"]
)
def test_what_is_no_manifest_of_the_source(path: str) -> None:
    with pytest.raises(NotACargoProject, match="--manifest-path"):
        workspace.manifest_directory(path)


def test_the_nearest_file_comes_first_and_of_two_names_one(tmp_path: Path) -> None:
    write(tmp_path / ".cargo/config.toml", "top")
    write(tmp_path / "a/.cargo/config", "first")
    write(tmp_path / "a/.cargo/config.toml", "second")
    found = anyio.run(workspace.texts, OnDisk(tmp_path), "a/b", workspace.CONFIGURATIONS)
    assert found == [("a/.cargo/config", "first"), (".cargo/config.toml", "top")]


def test_configuration_is_joined_as_cargo_does() -> None:
    near = 'build.target = "near"\n[env]\nNEAR = "1"\n[target.x]\nrustflags = ["near"]\n'
    far = 'build.target = "far"\n[env]\nFAR = "1"\n[target.x]\nrustflags = ["far"]\n'
    assert workspace.merged([("a", near), ("b", "no TOML"), ("c", far)]) == {
        "build": {"target": "near"},
        "env": {"FAR": "1", "NEAR": "1"},
        "target": {"x": {"rustflags": ["far", "near"]}},
    }
