"""Test the check of the prerequisites and their installation."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from engine import prerequisites
from engine.log import Log
from engine.prerequisites import Missing, Need
from pipeline.errors import PrerequisitesMissing


def test_a_complete_machine_passes() -> None:
    assert not Missing()


def test_the_error_names_everything_missing() -> None:
    missing = Missing(["runc", "tini"], ["the overlay file system"], "Go >= 1.26", root=True)
    text = str(missing.error())
    for name in ("runc", "tini", "overlay", "Go >= 1.26", "root"):
        assert name in text


def test_without_proc_filesystems_the_kernel_parts_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prerequisites, "FILESYSTEMS", tmp_path / "absent")
    monkeypatch.setattr(prerequisites, "_modprobe", lambda name: False)
    kernel = prerequisites._missing_kernel()
    assert kernel == [text for _, text in prerequisites.KERNEL]
    first = Missing(["runc"], kernel, root=True).fixes()[0]
    assert "needs Linux" in first and "start Docker" in first


def test_packages_are_installed_by_one_command() -> None:
    text = Missing(["runc", "tini"]).error().fix
    assert text == "as root: apt-get install --yes --no-install-recommends runc tini"


def test_a_need_is_a_file_or_a_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not Need("frobnicate", "p", "").met()
    (tmp_path / "frobnicate").touch(mode=0o755)
    assert Need("frobnicate", "p", "").met()
    assert Need(str(tmp_path / "frobnicate"), "p", "").met()
    assert not Need(str(tmp_path / "other"), "p", "").met()


def test_packages_of_stand_ins_are_needed_only_for_stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Need, "met", lambda need: need.package != "mmdebstrap")
    monkeypatch.setattr(prerequisites, "_installed", lambda package: True)
    assert prerequisites._missing_packages(stand_ins=False) == []
    assert prerequisites._missing_packages(stand_ins=True) == ["mmdebstrap"]


@pytest.mark.parametrize("lacking", [Missing(["tini"], root=True), Missing(["tini"], go="Go >= 1.26")])
def test_nothing_is_installed_if_the_engine_cannot_run(
    lacking: Missing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prerequisites, "missing", lambda stand_ins: lacking)
    monkeypatch.setattr(prerequisites, "_apt", lambda command, log: pytest.fail("installed"))
    with pytest.raises(PrerequisitesMissing, match="tini"):
        prerequisites.install(lambda line: None)


def test_the_packages_are_logged_before_the_installation(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    answers = iter([Missing(["tini"]), Missing()])
    said: list[str] = []
    ran: list[list[str]] = []
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(prerequisites, "missing", lambda stand_ins: next(answers))
    monkeypatch.setattr(prerequisites, "POLICY", tmp_path / "policy-rc.d")
    monkeypatch.setattr(prerequisites.shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(prerequisites, "_apt", lambda command, log: ran.append(command))
    prerequisites.install(said.append)
    assert said == ["installing packages that the engine needs: tini"]
    assert [command[1] for command in ran] == ["update", "install"]
    assert not (tmp_path / "policy-rc.d").exists()


def test_two_commands_do_not_install_at_the_same_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The package manager refuses a second one, and the first would remove the policy of the second."""
    ran: list[str] = []

    def apt(command: list[str], log: Log) -> None:
        ran.append(command[-1])
        assert (tmp_path / "policy-rc.d").exists()
        time.sleep(0.05)

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(prerequisites, "POLICY", tmp_path / "policy-rc.d")
    monkeypatch.setattr(prerequisites, "_apt", apt)
    with ThreadPoolExecutor() as threads:
        for name in ("tini", "runc"):
            threads.submit(prerequisites.install_packages, [name], lambda line: None)
    assert sorted(ran[:2]) in (["tini", "update"], ["runc", "update"]) and ran[0] == ran[2] == "update"
    assert sorted(ran[1::2]) == ["runc", "tini"] and not (tmp_path / "policy-rc.d").exists()


def test_the_required_go_version_is_from_go_mod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "go.mod").write_text("module m\n\ngo 1.27.1\n")
    monkeypatch.setattr(prerequisites, "GO_MOD", tmp_path / "go.mod")
    assert prerequisites.required_go() == (1, 27, 1)
    monkeypatch.setattr(prerequisites, "GO_MOD", tmp_path / "absent")
    assert prerequisites.required_go() == prerequisites.GO_FALLBACK
