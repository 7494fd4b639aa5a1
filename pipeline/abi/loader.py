"""What the dynamic loader of a runtime would do with a program, worked out from its files alone.

Nothing of the runtime is run: it is usually of a foreign architecture. Sources: ld.so(8) and glibc's
`elf/dl-load.c` for the search order, `sysdeps/generic/dl-cache.h` for the format of ld.so.cache, and musl's
`ldso/dynlink.c` for what its loader does differently.
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

_LINK_HOPS = 40  # as Linux limits them
_CACHE_MAGIC = b"glibc-ld.so.cache1.1"
_CACHE_HEADER, _CACHE_ENTRY = 48, 24  # bytes
_MUSL = re.compile(r"ld-musl-(.+)\.so\.1")
_MUSL_ITSELF = re.compile(r"lib(c|pthread|rt|m|dl|util|xnet)\..*")
_MUSL_DEFAULT = "/lib:/usr/local/lib:/usr/lib"


@dataclass(frozen=True)
class Root:
    """The files of a runtime's root file system that matter here, by absolute path.

    Attributes:
        elves: the ELF files, by their real paths.
        links: symbolic links and what they say.
        files: the loader's own files, such as ld.so.cache.
        library_path: LD_LIBRARY_PATH of the image.
    """

    elves: Mapping[str, Elf] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    library_path: str = ""

    def real(self, path: str) -> str:
        """A path with every link followed inside this root; empty when they go round in circles."""
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
        """The ELF file at a path."""
        return self.elves.get(self.real(path))


@dataclass(frozen=True)
class Missing:
    """A library that the loader would not find.

    Attributes:
        library: its name.
        by: path of the file that needs it.
        tried: every path the loader tries, in its order.
    """

    library: str
    by: str
    tried: tuple[str, ...]


@dataclass
class Loaded:
    """A program as the loader would have it in memory.

    Attributes:
        objects: path to ELF file, the program first.
        providers: path of the file that stands for a library name.
        missing: what was not found.
        tried: every path that was looked at.
    """

    objects: dict[str, Elf] = field(default_factory=dict)
    providers: dict[str, str] = field(default_factory=dict)
    missing: list[Missing] = field(default_factory=list)
    tried: set[str] = field(default_factory=set)

    def provider(self, library: str) -> Elf | None:
        """The file that stands for a library name, if it was found."""
        return self.objects.get(self.providers.get(library, ""))


@dataclass(frozen=True)
class Object:
    """A file in memory, and what its own libraries are searched with.

    Attributes:
        path: real path in the root.
        elf: what it says.
        inherited: DT_RPATH directories of what loaded it, nearest first.
    """

    path: str
    elf: Elf
    inherited: tuple[str, ...] = ()

    def rpaths(self) -> tuple[str, ...]:
        """DT_RPATH directories in force; a DT_RUNPATH switches the file's own off."""
        return (*(() if self.elf.runpath else self._expanded(self.elf.rpath)), *self.inherited)

    def directories(self, library_path: str) -> tuple[str, ...]:
        """What is searched before the loader's own directories."""
        environment = tuple(filter(None, re.split("[:;]", library_path)))
        if self.elf.runpath:
            return (*environment, *self._expanded(self.elf.runpath))
        return (*self.rpaths(), *environment)

    def _expanded(self, directories: tuple[str, ...]) -> tuple[str, ...]:
        origin = posixpath.dirname(self.path)
        return tuple(d.replace("${ORIGIN}", origin).replace("$ORIGIN", origin) for d in directories)


@dataclass(frozen=True)
class _Search:
    """How one program's loader searches."""

    interpreter: str
    target: Target
    root: Root

    def candidates(self, name: str, parent: Object) -> Iterator[str]:
        """Every path tried for a library, in order."""
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
        """The file that is loaded for a name, and all that was tried up to it.

        A file of another architecture is passed over, as the loader does on a search.
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
    """Load a program that is in the root, and all it needs, breadth first as the loader does.

    Args:
        program: its path.
        target: the platform; says where the loader looks of itself.
        root: the runtime's files.
    """
    loaded, elf = Loaded(), root.get(program)
    if elf is None:
        return loaded
    search = _Search(elf.interpreter or "", target, root)
    _put_interpreter(search, loaded)
    # $ORIGIN is where the file really lies, however it was called.
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
    """The loader is in memory before anything is searched for; musl's is the C library as well."""
    loader, path = search.root.get(search.interpreter), search.root.real(search.interpreter)
    if loader is None:
        return
    loaded.objects[path] = loader
    names = {posixpath.basename(search.interpreter), loader.soname} - {""}
    loaded.providers |= dict.fromkeys(names, path)


def musl_path(interpreter: str) -> str:
    """The file in which musl's loader reads where to look; empty for another loader."""
    match = _MUSL.search(interpreter)
    return f"/etc/ld-musl-{match.group(1)}.path" if match else ""


def default_directories(target: Target) -> tuple[str, ...]:
    """Where glibc's loader looks of itself: Debian's directories, then those of other distributions."""
    names = [f"lib/{target.multiarch}", "lib", *([f"lib{target.bits}"] if target.bits == 64 else [])]
    return tuple(f"{prefix}/{name}" for name in names for prefix in ("", "/usr"))


def read_cache(data: bytes, little_endian: bool) -> dict[str, tuple[str, ...]]:
    """ld.so.cache as library name to paths; empty for a format that is not glibc's current one.

    Entries for particular processors (`glibc-hwcaps`) are left out: they only ever repeat a library.
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
        return {}  # the loader ignores a damaged cache, too
    return found
