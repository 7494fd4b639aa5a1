"""Predict what the dynamic loader of a runtime does with a program, from the files alone.

The runtime is not run, since it is usually of a foreign architecture. Sources: ld.so(8) and glibc's
`elf/dl-load.c` for the search order, `sysdeps/generic/dl-cache.h` for the format of ld.so.cache, and musl's
`ldso/dynlink.c` for the differences in musl's loader.
"""

from __future__ import annotations

import posixpath
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pipeline.abi.elf import Elf
from pipeline.targets import Target

CACHE = "/etc/ld.so.cache"

_LINK_HOPS = 40  # Linux's limit
_CACHE_MAGIC = b"glibc-ld.so.cache1.1"
_CACHE_HEADER, _CACHE_ENTRY = 48, 24  # bytes
_MUSL = re.compile(r"ld-musl-(.+)\.so\.1")
_MUSL_ITSELF = re.compile(r"lib(c|pthread|rt|m|dl|util|xnet)\..*")
_MUSL_DEFAULT = "/lib:/usr/local/lib:/usr/lib"


@dataclass(frozen=True)
class Root:
    """The files of a root filesystem that the loader uses, by absolute path.

    Attributes:
        elves: ELF files by their resolved path.
        links: targets of symbolic links.
        files: configuration of the loader, such as ld.so.cache.
        digests: digests of the programs to check.
        library_path: LD_LIBRARY_PATH of the image.
    """

    elves: Mapping[str, Elf] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    library_path: str = ""

    def real(self, path: str) -> str:
        """Resolve all symbolic links of a path inside this root; return "" for a cycle."""
        pending, done, hops = path.split("/")[::-1], [""], 0
        while pending:
            part = pending.pop()
            link = self.links.get("/".join([*done, part])) if part not in ("", ".", "..") else None
            if link is not None:
                hops += 1
                done = [""] if link.startswith("/") else done
                pending += link.split("/")[::-1]
            elif part == "..":
                done = done[:-1] or [""]
            elif part not in ("", "."):
                done.append(part)
            if hops > _LINK_HOPS:
                return ""
        return "/".join(done) or "/"

    def get(self, path: str) -> Elf | None:
        """Return the ELF file at a path, or None."""
        return self.elves.get(self.real(path))


@dataclass(frozen=True)
class Missing:
    """A library that the loader cannot find.

    Attributes:
        library: its name.
        by: path of the file that needs it.
        tried: every path the loader tries, in order.
    """

    library: str
    by: str
    tried: tuple[str, ...]


@dataclass
class Loaded:
    """A program and its libraries as the loader maps them.

    Attributes:
        objects: ELF files by path, the program first.
        providers: path of the file loaded for each library name.
        missing: libraries that were not found.
        tried: every path that was tried.
    """

    objects: dict[str, Elf] = field(default_factory=dict)
    providers: dict[str, str] = field(default_factory=dict)
    missing: list[Missing] = field(default_factory=list)
    tried: set[str] = field(default_factory=set)

    def provider(self, library: str) -> Elf | None:
        """Return the file loaded for a library name, or None."""
        return self.objects.get(self.providers.get(library, ""))


@dataclass(frozen=True)
class Object:
    """A loaded file and the search path it passes on to its libraries.

    Attributes:
        path: resolved path in the root.
        elf: the parsed file.
        inherited: DT_RPATH directories of the files that loaded it, nearest first.
    """

    path: str
    elf: Elf
    inherited: tuple[str, ...] = ()

    def rpaths(self) -> tuple[str, ...]:
        """Return the DT_RPATH directories in force; DT_RUNPATH disables the file's own DT_RPATH."""
        return (*(() if self.elf.runpath else self._expanded(self.elf.rpath)), *self.inherited)

    def directories(self, library_path: str) -> tuple[str, ...]:
        """Return the directories searched before the loader's defaults."""
        environment = tuple(filter(None, re.split("[:;]", library_path)))
        if self.elf.runpath:
            return (*environment, *self._expanded(self.elf.runpath))
        return (*self.rpaths(), *environment)

    def _expanded(self, directories: tuple[str, ...]) -> tuple[str, ...]:
        origin = posixpath.dirname(self.path)
        return tuple(d.replace("${ORIGIN}", origin).replace("$ORIGIN", origin) for d in directories)


@dataclass(frozen=True)
class _Search:
    """The search rules of one program's loader."""

    interpreter: str
    target: Target
    root: Root

    def candidates(self, name: str, parent: Object) -> Iterator[str]:
        """Yield every path tried for a library, in order."""
        if "/" in name:
            yield name
            return
        for directory in parent.directories(self.root.library_path):
            yield f"{directory}/{name}"
        if musl_path(self.interpreter):
            text = self.root.files.get(musl_path(self.interpreter), b"").decode(errors="replace")
            directories = tuple(filter(None, re.split("[:\n]", text or _MUSL_DEFAULT)))
        else:
            cache = read_cache(self.root.files.get(CACHE, b""), self.target.little_endian)
            yield from cache.get(name, ())
            directories = default_directories(self.target)
        for directory in directories:
            yield f"{directory}/{name}"

    def find(self, name: str, parent: Object) -> tuple[Object | None, tuple[str, ...]]:
        """Return the file loaded for a name, and all paths tried.

        Like the loader, skip files of another architecture.
        """
        itself = musl_path(self.interpreter) and _MUSL_ITSELF.fullmatch(name)
        tried: list[str] = []
        for path in [self.interpreter] if itself else self.candidates(name, parent):
            tried.append(path)
            elf = self.root.get(path)
            if elf is not None and elf.architecture == parent.elf.architecture:
                return Object(self.root.real(path), elf, parent.rpaths()), tuple(tried)
        return None, tuple(tried)


def load(program: str, target: Target, root: Root) -> Loaded:
    """Load a program and its libraries, breadth first like the loader.

    Args:
        program: its path in the root.
        target: the platform, which determines the loader's default directories.
        root: the runtime's files.
    """
    loaded, elf = Loaded(), root.get(program)
    if elf is None:
        return loaded
    search = _Search(elf.interpreter or "", target, root)
    _put_interpreter(search, loaded)
    # $ORIGIN is the directory of the resolved path.
    queue = [Object(root.real(program), elf)]
    loaded.objects = {queue[0].path: elf, **loaded.objects}
    while queue:
        parent = queue.pop(0)
        for name in parent.elf.needed:
            if name in loaded.providers or any(name == missing.library for missing in loaded.missing):
                continue
            child, tried = search.find(name, parent)
            loaded.tried.update(tried)
            if child is None:
                loaded.missing.append(Missing(name, parent.path, tried))
                continue
            loaded.providers |= dict.fromkeys({name, child.elf.soname} - {""}, child.path)
            if child.path not in loaded.objects:
                loaded.objects[child.path] = child.elf
                queue.append(child)
    return loaded


def _put_interpreter(search: _Search, loaded: Loaded) -> None:
    """Map the loader first, as the kernel does; musl's loader is also its C library."""
    loader, path = search.root.get(search.interpreter), search.root.real(search.interpreter)
    if loader is None:
        return
    loaded.objects[path] = loader
    names = {posixpath.basename(search.interpreter), loader.soname} - {""}
    loaded.providers |= dict.fromkeys(names, path)


def musl_path(interpreter: str) -> str:
    """Return the path of musl's loader configuration; "" for other loaders."""
    match = _MUSL.search(interpreter)
    return f"/etc/ld-musl-{match.group(1)}.path" if match else ""


def default_directories(target: Target) -> tuple[str, ...]:
    """Return the default directories of glibc's loader: Debian's, then those of other distributions."""
    names = [f"lib/{target.multiarch}", "lib", *([f"lib{target.bits}"] if target.bits == 64 else [])]
    return tuple(f"{prefix}/{name}" for name in names for prefix in ("", "/usr"))


def read_cache(data: bytes, little_endian: bool) -> dict[str, tuple[str, ...]]:
    """Parse ld.so.cache into paths by library name; return {} for any format but glibc's current one.

    Skip entries for particular processors (`glibc-hwcaps`), which only repeat a library.
    """
    start = data.find(_CACHE_MAGIC)
    if start < 0:
        return {}
    data, order = data[start:], "<" if little_endian else ">"
    found: dict[str, tuple[str, ...]] = {}
    try:
        (count,) = struct.unpack_from(f"{order}I", data, len(_CACHE_MAGIC))
        end = _CACHE_HEADER + count * _CACHE_ENTRY
        for _, key, value, _, hwcap in struct.iter_unpack(f"{order}iIIIQ", data[_CACHE_HEADER:end]):
            name, path = (data[at : data.index(b"\0", at)].decode() for at in (key, value))
            if not hwcap:
                found[name] = (*found.get(name, ()), path)
    except (struct.error, ValueError):
        return {}  # the loader also ignores a damaged cache
    return found
