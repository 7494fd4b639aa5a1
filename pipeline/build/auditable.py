"""The dependency list inside a binary, which scanners read: the `.dep-v0` section of `cargo auditable`.

The section holds zlib data whose content is a JSON document: the packages, each with the indices of those
it depends on. Source: the format's schema in github.com/rust-secure-code/cargo-auditable, PARSING.md, and
crate `auditable-serde` 0.9. Written with objcopy while the binary is stripped, it needs no plugin of cargo's.
"""

from __future__ import annotations

import json
import tempfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import dagger
from dagger import dag

from pipeline import upload
from pipeline.project.unit_graph import CRATES_IO, Crate, Graph, Kind

FOLDER = "/auditable"
SECTION = ".dep-v0"
FORMAT = 1
"""Proc-macros and what they depend on count as build dependencies."""

_STORED = 0xFFFF


def document(graph: Graph) -> dict[str, Any]:
    """The dependency list of one binary; optional parts that say nothing are left out, as the schema asks."""
    position = {crate.id: index for index, crate in enumerate(graph.crates)}
    return {"packages": [_package(crate, position, graph.root) for crate in graph.crates], "format": FORMAT}


def _package(crate: Crate, position: dict[str, int], root: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": crate.name, "version": crate.version, "source": source(crate)}
    if crate.kind is Kind.BUILD:
        entry["kind"] = crate.kind.value
    if crate.dependencies:
        entry["dependencies"] = sorted(position[identifier] for identifier in crate.dependencies)
    return entry | ({"root": True} if crate.id == root else {})


def source(crate: Crate) -> str:
    """Where a crate comes from, in the format's four words."""
    if crate.source == CRATES_IO:  # cargo's name for it, whichever protocol it is asked by
        return "crates.io"
    scheme = crate.source.partition("+")[0]
    return {"": "local", "git": "git"}.get(scheme, "registry")


def section(graph: Graph) -> bytes:
    """The content of the section.

    The zlib stream is of stored blocks: compressed ones differ between the zlibs of different Pythons, and
    then so would the binary. A hundred bytes a crate are not worth that.
    """
    content = json.dumps(document(graph), separators=(",", ":")).encode()
    pieces = [content[start : start + _STORED] for start in range(0, len(content), _STORED)]
    return b"\x78\x01" + b"".join(_blocks(pieces)) + zlib.adler32(content).to_bytes(4, "big")


def _blocks(pieces: list[bytes]) -> Iterable[bytes]:
    """Stored blocks of a deflate stream (RFC 1951, 3.2.4)."""
    for number, piece in enumerate(pieces, 1):
        length = len(piece)
        yield bytes([number == len(pieces)])
        yield length.to_bytes(2, "little") + (length ^ _STORED).to_bytes(2, "little") + piece


async def directory(graphs: Iterable[Graph]) -> dagger.Directory:
    """The sections as files `<triple>/<binary>`.

    They go to the engine by way of this process's own disk: the content of a new file has to be text there,
    and the engine's log would have all of it.
    """
    with tempfile.TemporaryDirectory() as name:
        places = write(graphs, Path(name))
        uploaded, named = upload.directory(Path(name)), dag.directory()
        for file, place in places.items():
            named = named.with_file(place, uploaded.file(file))
        return await named.sync()


def write(graphs: Iterable[Graph], folder: Path) -> dict[str, str]:
    """Write the sections as numbered files to a folder: no name on this machine is a project's choice.

    Returns:
        The place `<triple>/<binary>` of each file, by its name.
    """
    places = {}
    for number, graph in enumerate(graphs):
        (folder / str(number)).write_bytes(section(graph))
        places[str(number)] = f"{graph.triple}/{graph.binary}"
    return places


def add(triple: str, binary: str) -> str:
    """The argument with which objcopy adds its section to a binary."""
    return f"--add-section {SECTION}={FOLDER}/{triple}/{binary}"
