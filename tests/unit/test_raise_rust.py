"""Test that the default Rust version is in one place, and that `make rust` raises it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.releases import DEFAULT, RUST

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import raise_rust  # noqa: E402

SAMPLES = ("tests/unit/", "tests/hostile/", "docs/", "bench/results/", "CHANGELOG.md")
"""Files whose versions are data of tests, generated, or of the past."""


def test_every_place_has_the_default() -> None:
    found = raise_rust.places()
    assert len(found) >= len(raise_rust.PLACES)
    for path, text in found:
        assert text.format(RUST) in path.read_text(), path


def test_no_other_file_has_the_default() -> None:
    """A test with its own copy of the version failed after the default was raised."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    known = {str(path.relative_to(ROOT)) for path, _ in raise_rust.places()}
    texts = (f'"{RUST}"', DEFAULT.image_of(RUST), f"--rust-version {RUST}")
    for name in listed.stdout.splitlines():
        if name.endswith((".py", ".sh", ".toml", "Dockerfile")) and not name.startswith(SAMPLES):
            content = (ROOT / name).read_text()
            assert name in known or not any(text in content for text in texts), name


def copied(folder: Path) -> Path:
    for path, _ in raise_rust.places():
        to = folder / path.relative_to(ROOT)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, to)
    return folder


def test_the_version_is_raised_everywhere(tmp_path: Path) -> None:
    root = copied(tmp_path)
    changed = raise_rust.change(root, RUST, "1.199")
    assert root / "pipeline/releases.py" in changed
    for path, text in raise_rust.places(root):
        assert text.format("1.199") in path.read_text() and text.format(RUST) not in path.read_text()


@pytest.mark.parametrize("version", ["", "stable", "1.97.1", "2.0"])
def test_only_a_release_is_accepted(tmp_path: Path, version: str) -> None:
    with pytest.raises(SystemExit, match="is not a release of Rust"):
        raise_rust.change(copied(tmp_path), RUST, version)


def test_a_file_without_the_version_is_named_before_anything_changes(tmp_path: Path) -> None:
    root = copied(tmp_path)
    (root / "tests/consumer/src/consumer/__init__.py").write_text("")
    with pytest.raises(SystemExit, match="consumer"):
        raise_rust.change(root, RUST, "1.199")
    assert RUST in (root / "pipeline/releases.py").read_text()
