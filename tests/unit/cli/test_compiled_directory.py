"""Test the directory of compiled dependencies: what a build adds to it, and what is removed."""

import os
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import dagger
import pytest
from dagger._exceptions import QueryErrorValue

from pipeline import host_files
from pipeline.cli import compiled_directory as compiled
from pipeline.cli.compiled_directory import CompiledDirectory
from pipeline.config.compile_cache import parse
from pipeline.errors import InvalidArgument, UnsafeOutput

FIRST, SECOND, THIRD = (f"{key[0]}/{key[1]}/{key}" for key in ("ab" + "0" * 62, "cd" + "1" * 62, "0f" * 32))


def filled(folder: Path, files: Mapping[str, str | bytes], seconds: float = 0) -> Path:
    """Write files, all with a time stamp."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        if seconds:
            os.utime(path, (seconds, seconds))
    return folder


def given(folder: Path, entries: Mapping[str, str | bytes], used: str = "") -> Path:
    """Write what a build gives."""
    (folder / "entries").mkdir(parents=True)
    filled(folder / "entries", entries)
    (folder / "used").write_text(used)
    return folder


def there(folder: Path) -> dict[str, str]:
    """Return the files below a directory, with their content."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_text() for path in paths}


def test_the_directory_of_a_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = compiled.of(parse("./new"), untrusted=True)
    assert found == CompiledDirectory(tmp_path / "new", read_only=True) and not (tmp_path / "new").exists()
    for other in ("engine", "off", "gha", "redis://cache.example"):
        assert compiled.of(parse(other), untrusted=False) is None
    (tmp_path / "file").touch()
    with pytest.raises(InvalidArgument, match="is not a directory"):
        compiled.of(parse("./file"), untrusted=False)


def test_new_entries_are_added_and_damaged_ones_replaced(tmp_path: Path) -> None:
    path = filled(tmp_path / "kept", {FIRST: "damaged", SECOND: "second"}, 1_000)
    compiled.add(path, given(tmp_path / "given", {FIRST: "first", THIRD: "third"}, f"{FIRST}\n{THIRD}\n"))
    assert there(path) == {FIRST: "first", SECOND: "second", THIRD: "third"}


def test_what_was_used_stays_longest(tmp_path: Path) -> None:
    path = filled(tmp_path / "kept", {FIRST: "1" * 10, SECOND: "2" * 10}, 1_000)
    filled(path, {THIRD: "3" * 10}, 2_000)
    filled(path, {"README": "x" * 100})
    compiled.add(path, given(tmp_path / "given", {}, f"{FIRST}\n"), limit=20)
    assert there(path).keys() == {FIRST, THIRD, "README"}, "files of others are neither counted nor removed"
    compiled.add(path, given(tmp_path / "more", {SECOND: "2" * 10}, f"{SECOND}\n"), limit=10)
    assert there(path).keys() == {SECOND, "README"}


def test_the_limit_removes_a_single_entry_that_is_too_large(tmp_path: Path) -> None:
    compiled.add(tmp_path, given(tmp_path / "given", {FIRST: "1" * 11}, f"{FIRST}\n"), limit=10)
    assert not (tmp_path / FIRST).exists()


@pytest.mark.parametrize(
    "name", ["../escaped", "a/b/cd00", "a/b/ab/nested", "a/b/abNOHEX", "etc/passwd", ".gitignore"]
)
def test_other_names_are_not_moved(tmp_path: Path, name: str) -> None:
    """A build script can write anything to what is exported."""
    path = tmp_path / "kept"
    path.mkdir()
    filled(given(tmp_path / "given", {}, f"{name}\n/etc/passwd\n\0\n") / "entries", {name: "wrong"})
    compiled.add(path, tmp_path / "given")
    assert there(path) == {}


def test_links_are_neither_read_nor_followed(tmp_path: Path) -> None:
    secret = filled(tmp_path, {"secret": "s3cret"}, 1_000) / "secret"
    path = tmp_path / "kept"
    made = given(tmp_path / "given", {SECOND: "second"}, f"{FIRST}\n{SECOND}\n")
    (made / "entries" / FIRST).parent.mkdir(parents=True)
    (made / "entries" / FIRST).symlink_to(secret)
    (made / "entries/0").symlink_to(made / "entries/c")
    compiled.make(path)
    (path / FIRST).parent.mkdir(parents=True)
    (path / FIRST).symlink_to(secret)
    compiled.add(path, made, limit=0)
    assert secret.read_text() == "s3cret" and secret.stat().st_mtime == 1_000
    assert (path / FIRST).is_symlink() and not (path / SECOND).exists()


def test_a_list_that_is_a_link_is_not_read(tmp_path: Path) -> None:
    made = given(tmp_path / "given", {})
    (made / "used").unlink()
    (made / "used").symlink_to("/etc/hostname")
    with pytest.raises(UnsafeOutput):
        compiled.add(tmp_path, made)


def test_a_new_directory_is_ignored_by_git_and_another_one_is_left_alone(tmp_path: Path) -> None:
    compiled.make(tmp_path / "a/new")
    assert there(tmp_path / "a/new") == {".gitignore": "*\n"}
    filled(tmp_path / "full", {"README": "mine"})
    compiled.make(tmp_path / "full")
    assert there(tmp_path / "full") == {"README": "mine"}


class Given:
    """What a build gives, as a directory of the engine."""

    def __init__(self, files: Path | None, error: Exception | None = None) -> None:
        self.files, self.error = files, error

    async def export(self, path: str) -> str:
        """Copy the files, or half of them before a failure."""
        for name, content in (there(self.files) if self.files else {}).items():
            filled(Path(path), {name: content})
            if self.error:
                break
        if self.error:
            raise self.error
        return path


def kept(path: Path, files: Path | None, error: Exception | None = None, read_only: bool = False) -> None:
    value: Any = Given(files, error)
    compiled.make(path)
    anyio.run(CompiledDirectory(path, read_only).keep, value)


def test_an_untrusted_build_writes_nothing(tmp_path: Path) -> None:
    kept(tmp_path / "kept", given(tmp_path / "given", {FIRST: "first"}, f"{FIRST}\n"), read_only=True)
    assert there(tmp_path / "kept") == {".gitignore": "*\n"}


def test_a_build_writes_to_the_directory(tmp_path: Path) -> None:
    made = given(tmp_path / "given", {FIRST: "first"}, f"{FIRST}\n")
    kept(tmp_path / "kept", made)
    assert there(tmp_path / "kept") == {".gitignore": "*\n", FIRST: "first"}
    filled(tmp_path / "kept", {".rust-multiarch-killed/entries/a": "left behind"})
    kept(tmp_path / "kept", made)
    assert there(tmp_path / "kept") == {".gitignore": "*\n", FIRST: "first"}


def test_an_interrupted_run_leaves_nothing(tmp_path: Path) -> None:
    made = given(tmp_path / "given", {FIRST: "first", SECOND: "second"}, f"{FIRST}\n{SECOND}\n")
    with pytest.raises(KeyboardInterrupt):
        kept(tmp_path / "kept", made, KeyboardInterrupt())  # type: ignore[arg-type]
    assert there(tmp_path / "kept") == {".gitignore": "*\n"}


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        dagger.QueryError([QueryErrorValue("no space left")], SimpleNamespace(document=None)),
    ],
)
def test_what_cannot_be_written_is_a_warning(
    tmp_path: Path, error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    made = given(tmp_path / "given", {FIRST: "first", SECOND: "second"}, "")
    kept(tmp_path / "kept", made, error)
    assert there(tmp_path / "kept") == {".gitignore": "*\n"}
    said = capsys.readouterr().err
    assert said.startswith(f"warning: the compiled dependencies are not kept in {tmp_path}/kept: ")
    assert "pace left" in said


def test_one_run_at_a_time_writes(tmp_path: Path) -> None:
    """Another process has the directory, so the build waits."""
    path, made = tmp_path / "kept", given(tmp_path / "given", {FIRST: "first"}, "")
    compiled.make(path)

    async def both() -> bool:
        with host_files.locked(path):
            with anyio.move_on_after(0.2):
                await CompiledDirectory(path).keep(Given(made))  # type: ignore[arg-type]
            return (path / FIRST).exists()

    assert anyio.run(both) is False


class Engine:
    """An engine that counts what is read."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error, self.reads = error, 0

    def directory(self, *place: str, **options: object) -> "Engine | str":
        """Return an empty directory, or one of the machine."""
        return self if place else "empty"

    def host(self) -> "Engine":
        """Return the machine."""
        return self

    async def sync(self) -> str:
        """Read the directory."""
        self.reads += 1
        if self.error:
            raise self.error
        return "content"


def test_a_directory_is_read_once_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, used = Engine(), CompiledDirectory(tmp_path / "kept")
    monkeypatch.setattr(compiled, "dag", engine)

    async def read() -> None:
        for reads in (1, 1):
            assert (await used.read(), engine.reads) == ("content", reads)
        await used.keep(Given(given(tmp_path / "given", {}, "")))  # type: ignore[arg-type]
        assert (await used.read(), engine.reads) == ("content", 2)

    anyio.run(read)


def test_a_directory_that_cannot_be_read_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(compiled, "dag", Engine(OSError("gone")))
    for path in (tmp_path / "kept", tmp_path / "file/kept"):
        empty: Any = anyio.run(CompiledDirectory(path).read)
        assert empty == "empty"
        assert f"warning: the compiled dependencies in {path} are not used: " in capsys.readouterr().err
