"""Test finding packages that need a newer Rust."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from pipeline import programs
from pipeline.project import rust_version
from pipeline.project.rust_version import Declared

PREFLIGHT = programs.PIPELINE / "native/preflight.sh"
OUTPUT = """rustc 1.96.0 (ac68faa20 2026-05-25)
"name":"ahead","version":"0.1.0","id":
"rust_version":"1.199"
"name":"plain","version":"1.0.0","id":
"name":"old","version":"2.0.0","id":
"rust_version":"1.56.1"
"name":"other","version":"3.0.0","id":
"rust_version":"2.0"
"""
ALL = [("ahead", "0.1.0"), ("plain", "1.0.0"), ("old", "2.0.0"), ("other", "3.0.0")]


def test_what_is_declared() -> None:
    compiler, declared = rust_version.read(OUTPUT)
    assert compiler == "1.96.0"
    assert declared == (
        Declared("ahead", "0.1.0", "1.199"),
        Declared("old", "2.0.0", "1.56.1"),
        Declared("other", "3.0.0", "2.0"),
    )
    assert rust_version.read("") == ("", ())


def test_what_needs_a_newer_rust_the_newest_first() -> None:
    compiler, declared = rust_version.read(OUTPUT)
    assert [each.name for each in rust_version.too_new(declared, compiler, ALL)] == ["other", "ahead"]
    assert [each.name for each in rust_version.too_new(declared, compiler, ALL[:2])] == ["ahead"]
    assert rust_version.too_new(declared, "", ALL) == ()


@pytest.mark.parametrize(
    ("declared", "compiler", "newer"),
    [("1.96", "1.96.0", False), ("1.96.1", "1.96.0", True), ("1.97", "1.96.5", True), ("1", "1.0.0", False)],
)
def test_versions_are_compared_as_numbers(declared: str, compiler: str, newer: bool) -> None:
    found = rust_version.too_new([Declared("a", "1.0.0", declared)], compiler, [("a", "1.0.0")])
    assert bool(found) is newer


@pytest.mark.skipif(not shutil.which("cargo"), reason="there is no cargo here")
def test_the_lines_are_what_cargo_prints(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/main.rs").write_text("fn main() {}\n")
    (tmp_path / "Cargo.toml").write_text(
        '[package]\nname = "ahead"\nversion = "0.1.0"\nedition = "2021"\nrust-version = "1.199"\n'
        'description = "\\"rust_version\\":\\"9.9\\""\n'
    )
    subprocess.run(["cargo", "generate-lockfile", "--offline"], cwd=tmp_path, check=True, capture_output=True)
    done = subprocess.run(
        ["bash", PREFLIGHT, "", "", *programs.counted([*rust_version.COMMAND, "--offline"])],
        cwd=tmp_path, env=os.environ, capture_output=True, text=True, check=True,
    )  # fmt: skip
    compiler, declared = rust_version.read(done.stdout)
    assert compiler
    assert declared == (Declared("ahead", "0.1.0", "1.199"),)
