"""Embed the dependency list in a binary for scanners: the `.dep-v0` section of `cargo auditable`.

The section contains a zlib-compressed JSON document: the packages, each with the indices of its dependencies.
Source: the format's schema in github.com/rust-secure-code/cargo-auditable, PARSING.md, and crate
`auditable-serde` 0.9. It is added with objcopy when the binary is stripped, without a cargo plugin.
"""

from __future__ import annotations

import json
import tempfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipeline import upload
from pipeline.project.unit_graph import CRATES_IO, Graph, GraphCrate, Kind
from pipeline.sdk import dag, dagger

FOLDER = "/auditable"
SECTION = ".dep-v0"
FORMAT = 1
"""Format 1: proc-macros and their dependencies are build dependencies."""

_STORED = 0xFFFF


def document(graph: Graph) -> dict[str, Any]:
    """Return the dependency list of a binary, without empty optional parts, as the schema requires."""
    position = {crate.id: index for index, crate in enumerate(graph.crates)}
    return {"packages": [_package(crate, position, graph.root) for crate in graph.crates], "format": FORMAT}


def _package(crate: GraphCrate, position: dict[str, int], root: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": crate.name, "version": crate.version, "source": source(crate)}
    if crate.kind is Kind.BUILD:
        entry["kind"] = crate.kind.value
    if crate.dependencies:
        entry["dependencies"] = sorted(position[identifier] for identifier in crate.dependencies)
    return entry | ({"root": True} if crate.id == root else {})


def source(crate: GraphCrate) -> str:
    """Return the source of a crate, one of the format's four values."""
    if crate.source == CRATES_IO:  # cargo's id for it, for both index protocols
        return "crates.io"
    scheme = crate.source.partition("+")[0]
    return {"": "local", "git": "git"}.get(scheme, "registry")


def section(graph: Graph) -> bytes:
    """Return the content of the section.

    The zlib stream has stored blocks: compressed blocks depend on Python's zlib version, and the binary would
    not be reproducible. Compression would save about a hundred bytes per crate.
    """
    content = json.dumps(document(graph), separators=(",", ":")).encode()
    pieces = [content[start : start + _STORED] for start in range(0, len(content), _STORED)]
    return b"\x78\x01" + b"".join(_blocks(pieces)) + zlib.adler32(content).to_bytes(4, "big")


def _blocks(pieces: list[bytes]) -> Iterable[bytes]:
    """Yield stored blocks of a deflate stream (RFC 1951, 3.2.4)."""
    for number, piece in enumerate(pieces, 1):
        length = len(piece)
        yield bytes([number == len(pieces)])
        yield length.to_bytes(2, "little") + (length ^ _STORED).to_bytes(2, "little") + piece


async def directory(graphs: Iterable[Graph]) -> dagger.Directory:
    """Return the sections as files `<triple>/<binary>`.

    They are uploaded from this process's disk, since the content of `with_new_file` must be text, and would
    be in the engine's log.
    """
    with tempfile.TemporaryDirectory() as name:
        places = write(graphs, Path(name))
        uploaded, named = upload.directory(Path(name)), dag.directory()
        for file, place in places.items():
            named = named.with_file(place, uploaded.file(file))
        return await named.sync()


def write(graphs: Iterable[Graph], folder: Path) -> dict[str, str]:
    """Write the sections as numbered files to a folder, so that no file name depends on the project.

    Returns:
        The path `<triple>/<binary>` of each file, by its name.
    """
    places = {}
    for number, graph in enumerate(graphs):
        (folder / str(number)).write_bytes(section(graph))
        places[str(number)] = f"{graph.triple}/{graph.binary}"
    return places


def add(triple: str, binary: str) -> str:
    """Return objcopy's argument that adds the section to a binary."""
    return f"--add-section {SECTION}={FOLDER}/{triple}/{binary}"
