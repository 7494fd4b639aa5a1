"""Test reading ELF files: generated ones in all four layouts, and this machine's."""

import platform
import random
import struct
import sys
from pathlib import Path

import pytest
from elftools.elf.enums import ENUM_E_MACHINE

from pipeline.abi import elf
from pipeline.errors import VerificationError
from pipeline.targets import TARGETS
from pipeline.toolchain.versions import highest, numbered

NUMBERS = ENUM_E_MACHINE
LAYOUTS = [(target.machine, target.bits, target.little_endian) for target in TARGETS]


def hashed(name: str) -> int:
    """Compute the System V gABI's hash, which version records carry."""
    value = 0
    for letter in name.encode():
        value = (value << 4) + letter
        value = (value ^ (value & 0xF0000000) >> 24) & 0x0FFFFFFF
    return value


def program(machine: str, bits: int, little: bool, headers: bool = True) -> bytes:
    """Return a program without code, with everything that an ELF file records about linking.

    It needs libc.so.6 for `fstat@GLIBC_2.33`, weakly `maybe@WEAK_1`, and `plain` without a version; it
    defines `own@OWN_1`, and `shy`, which is local.
    """
    order, wide = "<" if little else ">", bits == 64
    word = "Q" if wide else "I"

    def pack(form: str, *values: int) -> bytes:
        return struct.pack(order + form, *values)

    names = "libc.so.6 GLIBC_2.33 WEAK_1 OWN_1 fstat maybe plain own shy me.so /rp:$ORIGIN/../lib"
    strings = b"\0" + b"\0".join(name.encode() for name in names.split()) + b"\0"
    at = {name: strings.index(b"\0" + name.encode() + b"\0") + 1 for name in names.split()}

    def symbol(name: str, binding: int, section: int) -> bytes:
        start, info = at[name], binding << 4
        return (
            pack("IBBHQQ", start, info, 0, section, 0, 0)
            if wide
            else pack("IIIBBH", start, 0, 0, info, 0, section)
        )

    rows = [("fstat", 1, 0), ("maybe", 2, 0), ("plain", 1, 0), ("own", 1, 1), ("shy", 0, 1)]
    symbols = bytes(24 if wide else 16) + b"".join(symbol(*row) for row in rows)
    versym = pack("6H", 0, 3, 4, 1, 2 | 0x8000, 0)
    needs = pack("HHIII", 1, 2, at["libc.so.6"], 16, 0)
    needs += pack("IHHII", hashed("GLIBC_2.33"), 0, 3, at["GLIBC_2.33"], 16)
    needs += pack("IHHII", hashed("WEAK_1"), 2, 4, at["WEAK_1"], 0)
    defines = pack("HHHHIII", 1, 1, 1, 1, hashed("me.so"), 20, 28) + pack("II", at["me.so"], 0)
    defines += pack("HHHHIII", 1, 0, 2, 1, hashed("OWN_1"), 20, 0) + pack("II", at["OWN_1"], 0)
    interpreter = b"/lib/ld-test.so.1\0"
    note = pack("III", 4, 4, 3) + b"GNU\0" + bytes.fromhex("c0ffee00")

    parts: dict[str, bytes] = {"note": note, "interp": interpreter, "strings": strings, "symbols": symbols}
    parts |= {"versym": versym, "needs": needs, "defines": defines}
    offset, start = {}, 0x200
    for name, part in parts.items():
        offset[name] = start
        start += (len(part) + 15) // 16 * 16
    tags = [(1, at["libc.so.6"]), (14, at["me.so"]), (29, at["/rp:$ORIGIN/../lib"])]
    tags += [(5, offset["strings"]), (10, len(strings)), (0x6FFFFFFE, offset["needs"]), (0x6FFFFFFF, 1)]
    parts["dynamic"], offset["dynamic"] = b"".join(pack(2 * word, *tag) for tag in [*tags, (0, 0)]), start

    def segment(kind: int, begin: int, size: int) -> bytes:
        if wide:
            return pack("IIQQQQQQ", kind, 4, begin, begin, begin, size, size, 4)
        return pack("IIIIIIII", kind, begin, begin, begin, size, size, 4, 4)

    def section(kind: int, name: str, link: int, count: int, entry: int) -> bytes:
        values = (0, kind, 0, offset[name], offset[name], len(parts[name]), link, count, 4, entry)
        return pack("IIQQQQIIQQ" if wide else "IIIIIIIIII", *values)

    end = offset["dynamic"] + len(parts["dynamic"])
    segments = [segment(1, 0, end), segment(4, offset["note"], len(note))]
    segments += [segment(3, offset["interp"], len(interpreter))]
    segments += [segment(2, offset["dynamic"], len(parts["dynamic"]))]
    sections = [bytes(64 if wide else 40), section(3, "strings", 0, 0, 0)]
    sections += [section(11, "symbols", 1, 1, 24 if wide else 16), section(0x6FFFFFFF, "versym", 2, 0, 2)]
    sections += [section(0x6FFFFFFE, "needs", 1, 1, 0), section(0x6FFFFFFD, "defines", 1, 2, 0)]
    sections += [section(6, "dynamic", 1, 0, 16 if wide else 8)]
    sizes = (64, 56, 64) if wide else (52, 32, 40)
    file = b"\x7fELF" + bytes([2 if wide else 1, 1 if little else 2, 1]) + bytes(9)
    file += pack("HHI" + 3 * word, 3, NUMBERS[machine], 1, 0, sizes[0], end if headers else 0)
    file += pack("I6H", 0, sizes[0], sizes[1], len(segments), sizes[2], len(sections) if headers else 0, 1)
    file += b"".join(segments)
    assert len(file) <= 0x200 and sum(len(s) for s in segments) == len(segments) * sizes[1]
    for name, part in parts.items():
        file = file.ljust(offset[name], b"\0") + part
    return file + b"".join(sections) if headers else file


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: f"{layout[0]}-{layout[1]}")
def test_every_architecture(layout: tuple[str, int, bool]) -> None:
    read = elf.read(program(*layout))
    assert read.architecture == layout
    assert (read.kind, read.linkage, read.interpreter) == ("ET_DYN", "dynamic", "/lib/ld-test.so.1")
    assert (read.soname, read.needed) == ("me.so", ("libc.so.6",))
    assert (read.rpath, read.runpath) == ((), ("/rp", "$ORIGIN/../lib"))
    assert read.needs == (
        elf.Need("libc.so.6", "GLIBC_2.33", ("fstat",)),
        elf.Need("libc.so.6", "WEAK_1", ("maybe",), weak=True),
    )
    assert read.imports == {"fstat@GLIBC_2.33", "plain"}
    assert read.defines == ("OWN_1",)
    assert read.exports == {"own", "own@OWN_1"}
    assert read.build_id == "c0ffee00"


def test_unreadable_versions_are_an_error() -> None:
    with pytest.raises(VerificationError, match="section headers are stripped"):
        elf.read(program("EM_X86_64", 64, True, headers=False))


def test_linkage_and_architecture_as_text() -> None:
    assert elf.Elf("EM_S390", 64, False).described() == "EM_S390 (64-bit, big-endian)"
    assert elf.Elf("EM_386", 32, True, kind="ET_EXEC").linkage == "static"
    assert elf.Elf("EM_386", 32, True).linkage == "static-pie"


@pytest.mark.parametrize("data", [b"", b"#!/bin/sh\n", b"MZ\x90\0", b"\x7fEL"])
def test_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(VerificationError, match="app is not an ELF file") as raised:
        elf.read(data, "app")
    assert raised.value.fix


def test_damaged_files_raise_a_verification_error() -> None:
    """Truncated or changed files are parsed or refused with a VerificationError, never another exception."""
    whole, chance = program("EM_X86_64", 64, True), random.Random(1)
    damaged = [whole[:length] for length in range(4, len(whole), 7)]
    for _ in range(400):
        changed = bytearray(whole)
        for _ in range(3):
            changed[chance.randrange(4, len(whole))] = chance.randrange(256)
        damaged.append(bytes(changed))
    refused = 0
    for data in damaged:
        try:
            elf.read(data, "app")
        except VerificationError as error:
            refused += 1
            assert "app is a damaged ELF file: " in str(error)
    assert refused > 100


@pytest.mark.parametrize("at", ["needs", "defines"])
def test_an_oversized_record_count_is_refused_quickly(at: str) -> None:
    """The record count of a version section is in its header; fuzzing found this case."""
    data = bytearray(program("EM_X86_64", 64, True))
    start = int.from_bytes(data[40:48], "little") + 64 * {"needs": 4, "defines": 5}[at]
    data[start + 44 : start + 48] = b"\xff" * 4
    with pytest.raises(VerificationError, match="more symbol versions than it has room for"):
        elf.read(bytes(data))


def test_this_machines_interpreter() -> None:
    read = elf.read(Path(sys.executable).resolve().read_bytes())
    machines = {"x86_64": "EM_X86_64", "aarch64": "EM_AARCH64"}
    assert read.machine == machines.get(platform.machine(), read.machine)
    assert (read.bits, read.little_endian) == (64 if sys.maxsize > 2**32 else 32, sys.byteorder == "little")
    assert read.interpreter and Path(read.interpreter).exists()
    versions = [need.version for need in read.needs if need.library.startswith("libc.so")]
    assert highest(versions, "GLIBC")
    assert any(need.symbols for need in read.needs)


def test_this_machines_c_library() -> None:
    loaded = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines()}
    path = next((Path(name) for name in loaded if "libc.so.6" in name or "/libc-" in name), None)
    if path is None:
        pytest.skip("this Python does not run on glibc")
    read = elf.read(path.read_bytes())
    assert read.soname == "libc.so.6"
    assert "GLIBC_PRIVATE" in read.defines
    number = platform.libc_ver(str(path))[1]
    assert highest(read.defines, "GLIBC") == f"GLIBC_{number}"
    assert any(symbol.startswith("printf@GLIBC_2.") for symbol in read.exports)


@pytest.mark.parametrize(
    ("version", "family", "number"),
    [
        ("GLIBC_2.34", "GLIBC", (2, 34)),
        ("GLIBC_2.3.4", "GLIBC", (2, 3, 4)),
        ("GLIBCXX_3.4.30", "GLIBCXX", (3, 4, 30)),
        ("OPENSSL_3.0.0", "OPENSSL", (3, 0, 0)),
        ("LIBFOO_X_1", "LIBFOO_X", (1,)),
        ("GLIBC_PRIVATE", "GLIBC_PRIVATE", ()),
        ("GLIBC_ABI_DT_RELR", "GLIBC_ABI_DT_RELR", ()),
    ],
)
def test_version_names(version: str, family: str, number: tuple[int, ...]) -> None:
    assert numbered(version) == (family, number)


def test_highest_compares_numbers_within_a_family() -> None:
    versions = ("GLIBC_2.9", "GLIBC_2.34", "GLIBC_2.4", "GLIBCXX_3.4", "GLIBC_PRIVATE")
    assert highest(versions, "GLIBC") == "GLIBC_2.34"
    assert highest(versions, "GCC") == ""
