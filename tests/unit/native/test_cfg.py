"""Test `cfg(…)` in cargo's tables, in comparison with cargo."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from pipeline.native import cfg

KNOWN = cfg.known('unix\ntarget_os="linux"\ntarget_arch="x86_64"\ntarget_feature="sse2"\npanic="unwind"\n')


@pytest.mark.parametrize(
    ("expression", "holds"),
    [
        ("cfg(unix)", True),
        ("cfg(windows)", False),
        ('cfg(target_os = "linux")', True),
        ('cfg(target_os="macos")', False),
        ("cfg(not(windows))", True),
        ('cfg(all(unix, target_arch = "x86_64"))', True),
        ('cfg(all(unix, target_arch = "aarch64"))', False),
        ('cfg(any(windows, target_feature = "sse2",))', True),
        ("cfg(all())", True),
        ("cfg(any())", False),
        ("cfg(r#unix)", True),
        ("cfg(true)", True),
        ("cfg(false)", False),
        ("cfg(not(any(unix, windows)))", False),
    ],
)
def test_an_expression(expression: str, holds: bool) -> None:
    assert cfg.holds(expression, KNOWN) is holds


@pytest.mark.parametrize(
    "expression",
    ["cfg(", "cfg()", "cfg(unix", "cfg(unix) x", "cfg(not(a, b))", "cfg(a b)", "cfg(=)", "cfg(a = b)",
     "cfg(&)", "unknown(a)", "cfg(all(unix windows))", "cfg(" + "not(" * 5000, ""],
)  # fmt: skip
def test_what_is_malformed_does_not_hold(expression: str) -> None:
    assert not cfg.holds(expression, KNOWN)


@pytest.mark.skipif(not shutil.which("cargo"), reason="there is no cargo here")
@pytest.mark.parametrize(
    "expression",
    ["cfg(unix)", "cfg(windows)", 'cfg(all(unix, not(target_arch = "wasm32")))',
     'cfg(any(target_os = "macos"))', "cfg(all())", "cfg(debug_assertions)"],
)  # fmt: skip
def test_cargo_agrees(expression: str, tmp_path: Path) -> None:
    """A dependency under `[target.'cfg(…)']` is in the tree if the expression is true."""
    for name in ("app", "dep"):
        (tmp_path / name / "src").mkdir(parents=True)
        (tmp_path / name / "src/lib.rs").touch()
        package = f'[package]\nname = "{name}"\nversion = "0.1.0"\n'
        (tmp_path / name / "Cargo.toml").write_text(package)
    with (tmp_path / "app/Cargo.toml").open("a") as manifest:
        manifest.write(f"[target.{json.dumps(expression)}.dependencies]\ndep = {{ path = '../dep' }}\n")
    tree = subprocess.run(
        ["cargo", "tree", "--offline"], cwd=tmp_path / "app", capture_output=True, text=True, check=True
    )
    printed = subprocess.run(["rustc", "--print", "cfg"], capture_output=True, text=True, check=True).stdout
    assert cfg.holds(expression, cfg.known(printed)) == ("dep v0.1.0" in tree.stdout)
