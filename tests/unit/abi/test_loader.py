"""Test the loader's search, on generated roots, and on this machine in comparison with its loader."""

import os
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from pipeline.abi import elf
from pipeline.abi.elf import Elf
from pipeline.abi.loader import CACHE, Root, load, read_cache
from pipeline.targets import TARGETS, parse

AMD64 = parse("linux/amd64")
LIBRARIES = "/usr/lib/x86_64-linux-gnu"
APP = "/usr/local/bin/app"


def made(*needed: str, machine: str = "EM_X86_64", **rest: object) -> Elf:
    return Elf(machine, 64, True, needed=needed, **rest)  # type: ignore[arg-type]


def found(root: Root, program: str = APP) -> dict[str, str]:
    return load(program, AMD64, root).providers


def with_app(app: Elf, elves: Mapping[str, Elf], **rest: object) -> Root:
    return Root({APP: app, **elves}, **rest)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("path", "real"),
    [
        ("/lib/libc.so.6", "/usr/lib/libc-2.31.so"),
        ("/usr/lib/../lib/./libc.so.6", "/usr/lib/libc-2.31.so"),
        ("/../etc/alternatives/x", "/usr/lib/libc-2.31.so"),
        ("/gone/x", "/nowhere/x"),
        ("/loop/x", ""),
        ("/usr//lib/", "/usr/lib"),
        ("/climb", "/etc/passwd"),
        ("/", "/"),
    ],
)
def test_links_are_followed_inside_the_root(path: str, real: str) -> None:
    links = {"/lib": "usr/lib", "/usr/lib/libc.so.6": "libc-2.31.so", "/gone": "/nowhere", "/loop": "loop"}
    links |= {"/etc/alternatives/x": "/lib/libc.so.6", "/climb": "../../../etc/passwd"}
    assert Root(links=links).real(path) == real


@pytest.mark.parametrize(
    "folder", ["/lib/x86_64-linux-gnu", LIBRARIES, "/lib", "/usr/lib", "/lib64", "/usr/lib64"]
)
def test_default_directories(folder: str) -> None:
    assert found(with_app(made("liba.so.1"), {f"{folder}/liba.so.1": made()})) == {
        "liba.so.1": f"{folder}/liba.so.1"
    }


def test_32_bit_targets_have_no_lib64() -> None:
    arm = parse("linux/arm/v7")
    app = Elf("EM_ARM", 32, True, needed=("liba.so.1",))
    root = Root({APP: app, "/lib64/liba.so.1": Elf("EM_ARM", 32, True)})
    (missing,) = load(APP, arm, root).missing
    assert (missing.library, missing.by) == ("liba.so.1", APP)
    assert "/usr/lib/arm-linux-gnueabihf/liba.so.1" in missing.tried


def test_each_library_is_loaded_once() -> None:
    libraries = {
        f"{LIBRARIES}/liba.so.1": made("libb.so.1", "libc.so.6"),
        f"{LIBRARIES}/libb.so.1": made("liba.so.1", "libz.so.1"),
        f"{LIBRARIES}/libc.so.6": made(),
    }
    loaded = load(APP, AMD64, with_app(made("liba.so.1", "libc.so.6", "libz.so.1"), libraries))
    assert list(loaded.objects) == [
        APP,
        *(f"{LIBRARIES}/{n}" for n in ("liba.so.1", "libc.so.6", "libb.so.1")),
    ]
    assert [(missing.library, missing.by) for missing in loaded.missing] == [("libz.so.1", APP)]


def test_files_of_another_architecture_are_skipped() -> None:
    libraries = {"/opt/liba.so.1": made(machine="EM_AARCH64"), "/usr/lib/liba.so.1": made()}
    assert (
        found(with_app(made("liba.so.1", runpath=("/opt",)), libraries))["liba.so.1"] == "/usr/lib/liba.so.1"
    )


def test_a_loaded_library_also_provides_its_soname() -> None:
    libraries = {"/opt/liba-special.so": made(soname="liba.so.1"), "/usr/lib/liba.so.1": made()}
    root = with_app(made("liba-special.so", "liba.so.1", runpath=("/opt",)), libraries)
    assert found(root)["liba.so.1"] == "/opt/liba-special.so"


def test_rpath_is_inherited_and_runpath_is_not() -> None:
    libraries = {"/opt/liba.so.1": made("libb.so.1"), "/opt/libb.so.1": made()}
    assert found(with_app(made("liba.so.1", rpath=("/opt",)), libraries))["libb.so.1"] == "/opt/libb.so.1"
    assert "libb.so.1" not in found(with_app(made("liba.so.1", runpath=("/opt",)), libraries))
    both = made("liba.so.1", rpath=("/opt",), runpath=("/other",))
    assert found(with_app(both, libraries)) == {}, "a runpath disables the rpath"


@pytest.mark.parametrize("origin", ["$ORIGIN", "${ORIGIN}"])
def test_origin_is_the_directory_of_the_resolved_path(origin: str) -> None:
    root = Root(
        {
            "/opt/app/bin/app": made("liba.so.1", runpath=(f"{origin}/../lib",)),
            "/opt/app/lib/liba.so.1": made(),
        },
        {APP: "/opt/app/bin/app"},
    )
    assert found(root) == {"liba.so.1": "/opt/app/lib/liba.so.1"}


def test_search_order() -> None:
    """Each place is used if the ones before it are empty (ld.so(8))."""
    app = made("liba.so.1", runpath=("/runpath",))
    places = [("/rpath", made("liba.so.1", rpath=("/rpath",))), ("/env", app), ("/runpath", app)]
    places += [("/cached", app), ("/lib", app)]
    present = {f"{folder}/liba.so.1": made() for folder, _ in places}
    cache = {CACHE: cache_file({"liba.so.1": "/cached/liba.so.1"})}
    for folder, program in places:
        root = with_app(program, present, files=cache, library_path="/env:/env2")
        assert found(root)["liba.so.1"] == f"{folder}/liba.so.1"
        del present[f"{folder}/liba.so.1"]


def test_a_name_with_a_slash_is_a_path() -> None:
    root = with_app(
        made("/opt/liba.so", "/opt/libb.so"), {"/opt/liba.so": made(), "/usr/lib/libb.so": made()}
    )
    loaded = load(APP, AMD64, root)
    assert loaded.providers == {"/opt/liba.so": "/opt/liba.so"}
    assert [missing.tried for missing in loaded.missing] == [("/opt/libb.so",)]


def test_the_interpreter_needs_no_search() -> None:
    app = made("ld-linux-x86-64.so.2", interpreter="/odd/ld-linux-x86-64.so.2")
    loaded = load(APP, AMD64, with_app(app, {"/odd/ld-linux-x86-64.so.2": made()}))
    assert not loaded.missing
    assert loaded.provider("ld-linux-x86-64.so.2") is not None
    assert loaded.provider("libc.so.6") is None


def test_musl() -> None:
    app = made("libc.musl-x86_64.so.1", "liba.so", "libb.so", interpreter="/lib/ld-musl-x86_64.so.1")
    libraries = {"/lib/ld-musl-x86_64.so.1": made(), "/usr/local/lib/liba.so": made(), "/opt/libb.so": made()}
    root = with_app(app, libraries)
    assert found(root)["libc.musl-x86_64.so.1"] == "/lib/ld-musl-x86_64.so.1"
    assert found(root)["liba.so"] == "/usr/local/lib/liba.so"
    assert "libb.so" not in found(root)
    root = with_app(app, libraries, files={"/etc/ld-musl-x86_64.path": b"/opt\n/usr/local/lib\n"})
    assert set(found(root)) == {"ld-musl-x86_64.so.1", "libc.musl-x86_64.so.1", "liba.so", "libb.so"}


def test_a_missing_program_loads_nothing() -> None:
    assert load(APP, AMD64, Root()).objects == {}


def cache_file(entries: dict[str, str], order: str = "<", hwcap: int = 0) -> bytes:
    """Build ld.so.cache as glibc's ldconfig writes it, after a header of the old format as in Debian."""
    texts, at = b"", {}
    for text in (*entries, *entries.values()):
        at[text] = 48 + 24 * len(entries) + len(texts)
        texts += text.encode() + b"\0"
    rows = [struct.pack(f"{order}iIIIQ", 0x303, at[k], at[v], 0, hwcap) for k, v in entries.items()]
    head = b"glibc-ld.so.cache1.1" + struct.pack(f"{order}II5I", len(entries), len(texts), *[0] * 5)
    return b"ld.so-1.7.0\0" + bytes(4) + head + b"".join(rows) + texts


@pytest.mark.parametrize("order", ["<", ">"])
def test_reads_the_loader_cache(order: str) -> None:
    data = cache_file({"liba.so.1": "/a/liba.so.1", "libb.so": "/b/libb.so"}, order)
    read = {"liba.so.1": ("/a/liba.so.1",), "libb.so": ("/b/libb.so",)}
    assert read_cache(data, order == "<") == read
    assert read_cache(cache_file({"liba.so.1": "/x"}, order, hwcap=1 << 62), order == "<") == {}


@pytest.mark.parametrize("length", [0, 10, 40, 70, 100])
def test_a_truncated_cache_is_ignored(length: int) -> None:
    assert read_cache(cache_file({"liba.so.1": "/a/liba.so.1"})[:length], True) == {}


class Elves(Mapping[str, Elf]):
    """The ELF files of this machine."""

    def __getitem__(self, path: str) -> Elf:
        data = Path(path).read_bytes() if Path(path).is_file() else b""
        if not data.startswith(elf.MAGIC):
            raise KeyError(path)
        return elf.read(data, path)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


class Links(Elves):
    """The symbolic links of this machine."""

    def __getitem__(self, path: str) -> str:  # type: ignore[override]
        if not Path(path).is_symlink():
            raise KeyError(path)
        return os.readlink(path)  # noqa: PTH115


@pytest.mark.skipif(not Path(CACHE).exists(), reason="this machine has no ld.so.cache")
@pytest.mark.parametrize("program", [sys.executable, "/bin/ls", "/bin/bash"])
def test_this_machines_loader_agrees(program: str) -> None:
    """glibc's loader lists what it would load without running the program."""
    root = Root(Elves(), Links(), {CACHE: Path(CACHE).read_bytes()}, os.environ.get("LD_LIBRARY_PATH", ""))
    read = root.get(program)
    target = next(
        (t for t in TARGETS if read and (t.machine, t.bits, t.little_endian) == read.architecture), None
    )
    if read is None or target is None or not read.interpreter:
        pytest.skip(f"{program} is not a dynamic program of a platform in the table")
    answer = subprocess.run([read.interpreter, "--list", program], capture_output=True, text=True, check=True)
    lines = [line.split() for line in answer.stdout.splitlines() if "=> /" in line]
    loaded = load(program, target, root)
    assert not loaded.missing
    listed = {name: str(Path(path).resolve()) for name, _, path, *_ in lines}
    assert listed
    assert {name: loaded.providers.get(Path(name).name) for name in listed} == listed
