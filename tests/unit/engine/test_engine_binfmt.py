"""Test the choice of emulators, their registration and its removal."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine import binfmt
from pipeline.errors import EngineStartFailed

ALL = ["linux/amd64", "linux/arm64", "linux/arm/v7", "linux/ppc64le", "linux/s390x", "linux/riscv64"]
LINE = r":qemu-aarch64:M::\x7f\x45\x4c\x46\x02:\xff\xff:/usr/libexec/qemu-binfmt/aarch64-binfmt-P:OP"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Replace the kernel's binfmt_misc by plain files."""
    kernel, packaged = tmp_path / "kernel", tmp_path / "packaged"
    kernel.mkdir()
    packaged.mkdir()
    (kernel / "register").touch()
    (kernel / "status").touch()
    for name in binfmt.EMULATORS.values():
        (packaged / f"{name}.conf").write_text("# comment\n" + LINE.replace("qemu-aarch64", name) + "\n")
    monkeypatch.setattr(binfmt, "BINFMT", kernel)
    monkeypatch.setattr(binfmt, "CLAIMS", tmp_path / "claims")
    monkeypatch.setattr(binfmt, "PACKAGED", packaged)
    monkeypatch.setattr(binfmt.os, "uname", lambda: type("Uname", (), {"machine": "x86_64"}))
    monkeypatch.setattr(binfmt, "packaged_line", lambda name: packaged.joinpath(f"{name}.conf").read_text())
    return tmp_path


def test_native_platforms_need_no_emulator() -> None:
    assert binfmt.emulators(["linux/amd64", "linux/386"], "x86_64") == []
    assert binfmt.emulators(["linux/arm64", "linux/arm/v7"], "aarch64") == []


def test_every_foreign_platform_has_an_emulator() -> None:
    assert len(binfmt.emulators(ALL, "x86_64")) == len(ALL) - 1


def test_the_fix_flag_is_added_once() -> None:
    assert binfmt.with_fix_flag(LINE).endswith(":OPF")
    assert binfmt.with_fix_flag(LINE + "F").endswith(":OPF")


def test_the_line_is_from_the_package(tmp_path: Path) -> None:
    (tmp_path / "qemu-aarch64.conf").write_text(f"# by the package\n{LINE}F\n")
    assert binfmt.packaged_line("qemu-aarch64", tmp_path) == LINE + "F"


def test_a_missing_package_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineStartFailed, match="qemu-user-static"):
        binfmt.packaged_line("qemu-aarch64", tmp_path)


def test_a_registration_is_made_and_claimed(machine: Path) -> None:
    said: list[str] = []
    binfmt.register(["linux/amd64", "linux/arm64"], "one", said.append)
    assert "qemu-aarch64" in (machine / "kernel/register").read_text()
    assert (machine / "claims/qemu-aarch64/one").exists()
    assert said == ["registered qemu-aarch64"]


def test_a_foreign_registration_is_left_alone(machine: Path) -> None:
    theirs = machine / "kernel/qemu-aarch64"
    theirs.write_text("enabled\nflags: POCF\n")
    binfmt.register(["linux/arm64"], "one", lambda line: None)
    binfmt.unregister("one", lambda line: None)
    assert theirs.read_text() == "enabled\nflags: POCF\n"


def test_a_registration_without_the_fix_flag_is_warned_about(machine: Path) -> None:
    (machine / "kernel/qemu-aarch64").write_text("enabled\nflags: OC\n")
    said: list[str] = []
    binfmt.register(["linux/arm64"], "one", said.append)
    assert "without the F flag" in said[0]


def test_the_last_engine_removes_the_registration(machine: Path) -> None:
    entry = machine / "kernel/qemu-aarch64"
    binfmt.register(["linux/arm64"], "one", lambda line: None)
    entry.write_text("enabled\nflags: POCF\n")
    binfmt.register(["linux/arm64"], "two", lambda line: None)
    binfmt.unregister("one", lambda line: None)
    assert entry.read_text() != "-1"
    binfmt.unregister("two", lambda line: None)
    assert entry.read_text() == "-1"


def test_unregister_without_any_registration_does_nothing(machine: Path) -> None:
    binfmt.unregister("one", lambda line: None)
