"""Files for the engine: as a client gives them, and as a module's function has to."""

from __future__ import annotations

from pathlib import Path

import dagger
import pytest
from dagger import dag

from pipeline import upload


def asked(directory: dagger.Directory) -> list[tuple[str, dict[str, object]]]:
    return [(one.name, one.args) for one in directory._ctx.selections]


class ModuleBindings:
    """The bindings of a module, as an official engine generates them: no `host()`."""

    current_module = staticmethod(dag.current_module)


def test_a_client_gives_its_own_files(tmp_path: Path) -> None:
    found = asked(upload.directory(tmp_path, include=["a"]))
    assert [name for name, _ in found] == ["host", "directory"]
    assert found[-1][1]["path"] == str(tmp_path) and found[-1][1]["include"] == ["a"]


def test_a_module_gives_its_own_by_its_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside, workdir = tmp_path / "outside", tmp_path / "scratch"
    outside.mkdir()
    workdir.mkdir()
    (outside / "a").write_text("text")
    monkeypatch.chdir(workdir)
    monkeypatch.setattr(upload, "dag", ModuleBindings)
    found = asked(upload.directory(outside, include=["a"]))
    assert [name for name, _ in found] == ["currentModule", "workdir"]
    path = found[-1][1]["path"]
    assert not Path(path).is_absolute() and (workdir / path / "a").read_text() == "text"
    assert found[-1][1]["include"] == ["a"]
    # A second time: what was copied before is no hindrance.
    (outside / "a").write_text("other")
    assert asked(upload.directory(outside))[-1][1]["path"] == path
    assert (workdir / path / "a").read_text() == "other"


def test_what_is_in_the_working_directory_is_not_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "made").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(upload, "dag", ModuleBindings)
    assert asked(upload.directory(tmp_path / "made"))[-1][1]["path"] == "made"
    assert [path.name for path in tmp_path.rglob("*")] == ["made"]
