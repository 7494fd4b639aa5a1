from pathlib import Path

import pytest

from pipeline.config.workspace import located
from pipeline.errors import NotACargoProject

MEMBER = '[package]\nname = "orders"\nversion.workspace = true\n'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A workspace with a lock file, and a member two directories below it that has none."""
    (tmp_path / "services/orders/src").mkdir(parents=True)
    (tmp_path / "Cargo.toml").write_text('[workspace]\nmembers = ["services/*"]\n')
    (tmp_path / "Cargo.lock").touch()
    (tmp_path / "services/orders/Cargo.toml").write_text(MEMBER)
    return tmp_path


def test_a_member_means_its_workspace_and_itself(root: Path) -> None:
    assert located(root / "services/orders") == (root, "orders")
    assert located(root) == (root, "")


@pytest.mark.parametrize(
    ("file", "text"),
    [("Cargo.lock", ""), ("Cargo.toml", f"{MEMBER}[workspace]\n"), ("Cargo.toml", "not = [ toml")],
)
def test_what_is_no_member_stays_what_it_is(root: Path, file: str, text: str) -> None:
    own = root / "services/orders"
    (own / file).write_text(text)
    assert located(own) == (own, "")


def test_nothing_is_made_of_a_directory_without_a_workspace_above(root: Path, tmp_path: Path) -> None:
    assert located(root / "services") == (root / "services", "")
    (root / "Cargo.toml").unlink()
    assert located(root / "services/orders") == (root / "services/orders", "")


@pytest.mark.parametrize("name", ["gone", "Cargo.toml"])
def test_what_is_no_directory_is_no_project(root: Path, name: str) -> None:
    with pytest.raises(NotACargoProject, match="no such directory") as raised:
        located(root / name)
    assert raised.value.where == str(root / name)
