"""Test the export of files from an image, and how they are read."""

from pathlib import Path

import pytest
from test_elf import program

from pipeline.abi.elf import Elf
from pipeline.abi.loader import CACHE, Root
from pipeline.abi.rootfs import FileSelection, add, escape, required_files
from pipeline.errors import VerificationError
from pipeline.targets import parse

AMD64 = parse("linux/amd64")
APP = "/usr/local/bin/app"
LOADER = "/lib64/ld-linux-x86-64.so.2"


def test_parent_directories_are_included_without_their_content() -> None:
    """The last matching pattern decides, so a directory is emptied before files in it are named."""
    question = FileSelection(frozenset({"/usr/lib/x"}), frozenset({"libc.so.6"}))
    ways = ["usr", "!usr/*", "usr/lib", "!usr/lib/*", "usr/lib/x", "!usr/lib/x/*"]
    assert question.include() == [*ways, "**/libc.so.6", "!**/libc.so.6/*"]


def test_names_are_escaped_in_patterns() -> None:
    assert escape("/a/lib[x]*?.so!\\") == "a/lib\\[x\\]\\*\\?.so\\!\\\\"


def test_the_first_export_covers_a_typical_program() -> None:
    question = required_files(Root(), [APP], AMD64)
    assert {APP, LOADER, CACHE, "/lib/x86_64-linux-gnu"} <= question.paths
    assert {"libc.so.6", "libm.so.6", "libgcc_s.so.1"} == question.names


def test_known_files_determine_the_next_export() -> None:
    app = Elf("EM_X86_64", 64, True, needed=("liba.so.1", "/opt/b.so"), runpath=("/opt/x/lib",))
    first = required_files(Root({APP: app}), [APP], AMD64)
    assert {"/opt/b.so", "/opt/x/lib/liba.so.1"} <= first.paths
    assert "liba.so.1" in first.names
    links = {"/opt/x": "/opt/x-1.2", "/opt/x-1.2/lib/liba.so.1": "liba-7.so", LOADER: "/usr/lib/ld-2.31.so"}
    second = required_files(Root({APP: app}, links), [APP], AMD64)
    assert {"/opt/x-1.2/lib/liba-7.so", "/usr/lib/ld-2.31.so"} <= second.paths
    assert required_files(Root({APP: app}, links), [APP], AMD64) - second == FileSelection()


def test_musl_loader_configuration_is_exported() -> None:
    app = Elf("EM_X86_64", 64, True, interpreter="/lib/ld-musl-x86_64.so.1")
    question = required_files(Root({APP: app}), [APP], AMD64)
    assert {"/lib/ld-musl-x86_64.so.1", "/etc/ld-musl-x86_64.path"} <= question.paths


@pytest.mark.parametrize("name", ["", ".", "..", "../../etc", "/", "*", "usr"])
def test_an_unusual_library_name_does_not_export_everything(name: str) -> None:
    question = required_files(Root({APP: Elf("EM_X86_64", 64, True, needed=(name,))}), [APP], AMD64)
    include = question.include()
    assert not {"", ".", "/", "**", "**/", "**/.", "**/..", "**/*"} & set(include)
    assert not any(part in (".", "..") for pattern in include for part in pattern.split("/"))
    assert all(after == f"!{pattern}/*" for pattern, after in zip(include[::2], include[1::2], strict=True))


def test_links_are_not_followed(tmp_path: Path) -> None:
    binary = program("EM_X86_64", 64, True)
    for path, data in {
        APP: binary,
        "/usr/lib/liba.so": binary,
        CACHE: b"cache",
        "/usr/lib/text.so": b"x",
    }.items():
        (tmp_path / path[1:]).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path[1:]).write_bytes(data)
    (tmp_path / "lib").symlink_to("usr/lib")
    (tmp_path / "abs").symlink_to("/etc/hostname")
    (tmp_path / "usr/lib/dangling.so").symlink_to("../nowhere")
    root = add(Root(), tmp_path, {APP})
    assert set(root.elves) == {APP, "/usr/lib/liba.so"}
    assert root.links == {"/lib": "usr/lib", "/abs": "/etc/hostname", "/usr/lib/dangling.so": "../nowhere"}
    assert root.files == {CACHE: b"cache"}


def test_a_program_must_be_an_elf_file(tmp_path: Path) -> None:
    (tmp_path / "app").write_text("#!/bin/sh\n")
    with pytest.raises(VerificationError, match="/app is not an ELF file"):
        add(Root(), tmp_path, {"/app"})


def test_a_link_named_like_a_missing_library_is_followed_anywhere() -> None:
    """The error can then name its path, though the loader does not search there."""
    app = Elf("EM_X86_64", 64, True, needed=("liba.so.1",))
    root = Root({APP: app}, {"/srv/liba.so.1": "/opt/liba-7.so"})
    assert "/opt/liba-7.so" in required_files(root, [APP], AMD64).paths


def test_questions_support_union_and_difference() -> None:
    one, two = (
        FileSelection(frozenset({"/a"}), frozenset({"x"})),
        FileSelection(frozenset({"/b"}), frozenset({"y"})),
    )
    assert (one | two) - one == two
    assert one - one == FileSelection()
