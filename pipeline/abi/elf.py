"""Read the properties of an ELF file that matter for loading it: architecture, needs and exports.

Everything is read from the bytes, so it works alike for every architecture, stripped or not. Sources: the
System V gABI (header, dynamic section, symbol table) and the Linux Standard Base's chapter on symbol
versioning (`.gnu.version`, `.gnu.version_r`, `.gnu.version_d`).
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from pipeline.errors import VerificationError

MAGIC = b"\x7fELF"

_VERSION_BASE, _VERSION_WEAK = 1, 2  # VER_FLG_BASE of a definition, VER_FLG_WEAK of a need
_SMALLEST_RECORD = 8  # bytes of an Elf_Verdaux
_INDEX = 0x7FFF  # the rest of a .gnu.version entry is the "hidden" bit


@dataclass(frozen=True)
class Need:
    """A symbol version that a library has to define.

    Attributes:
        library: name of the library, as in `needed`.
        version: for example `GLIBC_2.34`.
        symbols: symbols used from this version; may be empty, as for `GLIBC_ABI_DT_RELR`.
        weak: the loader only warns if the version is missing.
    """

    library: str
    version: str
    symbols: tuple[str, ...] = ()
    weak: bool = False


@dataclass(frozen=True)
class Elf:
    """An ELF file.

    Attributes:
        machine: `e_machine`, as pyelftools names it (`EM_AARCH64`).
        bits: ELF class, 32 or 64.
        little_endian: ELF data encoding.
        kind: `e_type`: `ET_EXEC`, `ET_DYN` (libraries and position independent programs), `ET_REL`.
        interpreter: path of the program's dynamic loader.
        soname: the name a library declares for itself.
        needed: names of the libraries that are loaded with it, in the loader's order.
        rpath: `DT_RPATH` directories; they also apply to dependencies of dependencies.
        runpath: `DT_RUNPATH` directories; they apply to `needed` only.
        needs: required symbol versions.
        imports: required symbols, each as `name` or `name@version`.
        defines: symbol versions it defines.
        exports: symbols it defines, each as `name` and, where versioned, as `name@version`.
        build_id: GNU build id in hexadecimal; empty if the file has none.
    """

    machine: str
    bits: int
    little_endian: bool
    kind: str = "ET_DYN"
    interpreter: str | None = None
    soname: str = ""
    needed: tuple[str, ...] = ()
    rpath: tuple[str, ...] = ()
    runpath: tuple[str, ...] = ()
    needs: tuple[Need, ...] = ()
    imports: frozenset[str] = frozenset()
    defines: tuple[str, ...] = ()
    exports: frozenset[str] = frozenset()
    build_id: str = ""

    @property
    def linkage(self) -> str:
        """Return `dynamic`, `static` or `static-pie`."""
        if self.interpreter or self.needed:
            return "dynamic"
        return "static-pie" if self.kind == "ET_DYN" else "static"

    @property
    def architecture(self) -> tuple[str, int, bool]:
        """Return machine, bits and endianness; files loaded together must agree on all three."""
        return self.machine, self.bits, self.little_endian

    def described(self) -> str:
        """Format the architecture for people, for example `EM_S390 (64-bit, big-endian)`."""
        order = "little" if self.little_endian else "big"
        return f"{self.machine} ({self.bits}-bit, {order}-endian)"


def read(data: bytes, name: str = "the file") -> Elf:
    """Parse an ELF file.

    Args:
        data: the whole file.
        name: name of the file in error messages.

    Raises:
        VerificationError: it is not an ELF file, or a damaged one.
    """
    return _parsed(io.BytesIO(data), name)


def read_file(path: Path, name: str) -> Elf:
    """Parse an ELF file on disk, which may be too large for memory; see `read`."""
    with path.open("rb") as stream:
        return _parsed(stream, name)


def _parsed(stream: IO[bytes], name: str) -> Elf:
    start = stream.read(len(MAGIC))
    if start != MAGIC:
        raise VerificationError(
            f"{name} is not an ELF file (it starts with {start!r})",
            where=name,
            fix="check a compiled program, not a script or an archive",
        )
    from elftools.elf.elffile import ELFFile

    try:
        return _read(ELFFile(stream))
    except Exception as error:  # pyelftools raises many exception types on damaged input
        raise VerificationError(
            f"{name} is a damaged ELF file: {error or type(error).__name__}",
            where=name,
            fix="build it again; a truncated copy is the usual cause",
        ) from error


@dataclass(frozen=True)
class _Parts:
    """The segments and sections of a file, made once: pyelftools makes all to find those of a type."""

    file: Any
    segments: Sequence[Any]
    sections: Sequence[Any]

    @classmethod
    def of(cls, file: Any) -> _Parts:
        """Make the parts of a file."""
        return cls(file, tuple(file.iter_segments()), tuple(file.iter_sections()))

    def segments_of(self, kind: str) -> list[Any]:
        """Return the segments of a type."""
        return [segment for segment in self.segments if segment["p_type"] == kind]

    def sections_of(self, kind: str) -> list[Any]:
        """Return the sections of a type."""
        return [section for section in self.sections if section["sh_type"] == kind]


def _read(file: Any) -> Elf:
    parts = _Parts.of(file)
    dynamic = _dynamic(parts)
    required, provided = _versions_needed(parts), _versions_defined(parts)
    if "DT_VERNEED" in dynamic and not required:
        raise ValueError("its section headers are stripped, so the symbol versions it needs cannot be read")
    symbols = _Symbols(parts, {**provided, **{index: need.version for index, need in required.items()}})
    return Elf(
        machine=file["e_machine"],
        bits=file.elfclass,
        little_endian=file.little_endian,
        kind=file["e_type"],
        interpreter=next((s.get_interp_name() for s in parts.segments_of("PT_INTERP")), None),
        soname="".join(dynamic.get("DT_SONAME", [])),
        needed=tuple(dynamic.get("DT_NEEDED", [])),
        rpath=_directories(dynamic.get("DT_RPATH", [])),
        runpath=_directories(dynamic.get("DT_RUNPATH", [])),
        needs=tuple(
            Need(need.library, need.version, tuple(symbols.wanted.get(index, ())), need.weak)
            for index, need in required.items()
        ),
        imports=frozenset(symbols.imports),
        defines=tuple(provided.values()),
        exports=frozenset(symbols.exports),
        build_id=_build_id(parts),
    )


def _dynamic(parts: _Parts) -> dict[str, list[str]]:
    """Return the tags of the dynamic section; tags that name a string have it as their value."""
    texts = {"DT_NEEDED": "needed", "DT_SONAME": "soname", "DT_RPATH": "rpath", "DT_RUNPATH": "runpath"}
    found: dict[str, list[str]] = {}
    for segment in parts.segments_of("PT_DYNAMIC"):
        for tag in segment.iter_tags():
            name = tag.entry.d_tag
            found.setdefault(name, []).append(getattr(tag, texts[name]) if name in texts else "")
    return found


def _directories(paths: list[str]) -> tuple[str, ...]:
    return tuple(part for path in paths for part in path.split(":") if part)


def _versions_needed(parts: _Parts) -> dict[int, Need]:
    """Return required versions by their index in `.gnu.version`."""
    found = {}
    for library, version in _version_records(parts, "SHT_GNU_verneed"):
        weak = bool(version["vna_flags"] & _VERSION_WEAK)
        found[version["vna_other"] & _INDEX] = Need(library.name, version.name, (), weak)
    return found


def _versions_defined(parts: _Parts) -> dict[int, str]:
    """Return defined versions by index, without the base version, which is the file's name."""
    found: dict[int, str] = {}
    for definition, name in _version_records(parts, "SHT_GNU_verdef"):
        if not definition["vd_flags"] & _VERSION_BASE:
            # The first name is the version itself; the others are the versions it inherits.
            found.setdefault(definition["vd_ndx"] & _INDEX, name.name)
    return found


def _version_records(parts: _Parts, kind: str) -> Iterator[tuple[Any, Any]]:
    """Yield each record of a version section with each of its auxiliary records.

    A limit on the count keeps a damaged file from causing billions of iterations.
    """
    for section in parts.sections_of(kind):
        room = min(section["sh_size"], parts.file.stream_len) // _SMALLEST_RECORD
        for record, auxiliaries in section.iter_versions():
            room -= 1
            for auxiliary in auxiliaries:
                room -= 1
                if room < 0:
                    break
                yield record, auxiliary
            if room < 0:
                raise ValueError("it counts more symbol versions than it has room for")


class _Symbols:
    """The dynamic symbol table, split into undefined and defined symbols.

    The entries are decoded in one go: a C library has thousands, and one object for each is too slow.

    Attributes:
        wanted: undefined symbols by version index.
        imports: the same without the weak ones, as in `Elf.imports`.
        exports: defined symbols, as in `Elf.exports`.
    """

    def __init__(self, parts: _Parts, versions: dict[int, str]) -> None:
        self.wanted: dict[int, list[str]] = {}
        self.imports: set[str] = set()
        self.exports: set[str] = set()
        for table in parts.sections_of("SHT_DYNSYM"):
            names = table.stringtable.data()
            indexes = _version_indexes(parts, table.num_symbols())
            entries = _entries(table.data(), parts.file.elfclass, parts.file.little_endian)
            for (offset, binding, section), index in zip(entries, indexes, strict=False):
                name = names[offset : names.index(b"\0", offset)].decode()
                versioned = f"{name}@{versions[index]}" if index in versions else name
                if name and section == 0:
                    self.wanted.setdefault(index, []).append(name)
                    if binding == 1:
                        self.imports.add(versioned)
                elif name and binding != 0:
                    self.exports.update((name, versioned))


def _version_indexes(parts: _Parts, count: int) -> tuple[int, ...]:
    order = "<" if parts.file.little_endian else ">"
    for section in parts.sections_of("SHT_GNU_versym"):
        return tuple(index & _INDEX for index in struct.unpack(f"{order}{count}H", section.data()))
    return (1,) * count


def _entries(data: bytes, bits: int, little_endian: bool) -> Iterator[tuple[int, int, int]]:
    """Yield name offset, binding (0 local, 1 global, 2 weak) and section index of each symbol."""
    order = "<" if little_endian else ">"
    if bits == 64:
        for name, info, _, section, _, _ in struct.iter_unpack(f"{order}IBBHQQ", data):
            yield name, info >> 4, section
    else:
        for name, _, _, info, _, section in struct.iter_unpack(f"{order}IIIBBH", data):
            yield name, info >> 4, section


def _build_id(parts: _Parts) -> str:
    for segment in parts.segments_of("PT_NOTE"):
        for note in segment.iter_notes():
            if note["n_type"] == "NT_GNU_BUILD_ID":
                return str(note["n_desc"])
    return ""
