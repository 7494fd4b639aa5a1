"""Read the crates of a build, for the target or the build platform, from `cargo tree`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

ARGUMENTS = ("--locked", "--charset", "ascii")
FORMAT = ("--format", "{p}|{f}")

_NODE = re.compile(
    r"(?P<indent>[|` -]*)(?P<name>[\w-]+) v(?P<version>\S+)(?P<notes>[^|]*)\|(?P<features>[^ ]*)"
)
_SECTION = re.compile(r"(?P<indent>[|` -]*)\[(?P<kind>build|dev)-dependencies\]")
_INDENT = 4


@dataclass(frozen=True)
class TreeCrate:
    """A crate in the output of `cargo tree`.

    Attributes:
        name: its name.
        version: its version.
        features: the enabled features.
        host: true if it is built for the build platform: proc-macros, build dependencies and theirs.
        users: the crates that depend on it, each with its `host`.
    """

    name: str
    version: str
    features: frozenset[str] = frozenset()
    host: bool = False
    users: frozenset[tuple[str, bool]] = frozenset()


def command(selection: Sequence[str], triple: str, tests: bool = False) -> list[str]:
    """Return the `cargo tree` command for `read`.

    Args:
        selection: the package and feature arguments of `cargo build`.
        triple: the target's triple.
        tests: include dev-dependencies.
    """
    edges = "normal,build,dev" if tests else "normal,build"
    return ["cargo", "tree", *ARGUMENTS, "--edges", edges, *selection, "--target", triple, *FORMAT]


def read(text: str) -> tuple[TreeCrate, ...]:
    """Parse the output of `command`: sorted crates, each once for the target and once for the build platform.

    Only the indented format shows build dependencies, and so the crates for the build platform.
    """
    found: dict[tuple[str, str, bool], TreeCrate] = {}
    path: list[tuple[str, bool]] = []
    building: dict[int, bool] = {}
    for line in text.splitlines():
        if section := _SECTION.match(line):
            building[len(section["indent"]) // _INDENT + 1] = section["kind"] == "build"
            continue
        node = _NODE.match(line)
        if node is None:
            continue
        depth = len(node["indent"]) // _INDENT
        del path[depth:]
        parent = path[-1] if path else None
        inherited = parent is not None and parent[1]
        host = inherited or building.get(depth, False) or "(proc-macro)" in node["notes"]
        building[depth + 1] = False
        path.append((node["name"], host))
        crate = TreeCrate(
            node["name"],
            node["version"],
            frozenset(filter(None, node["features"].split(","))),
            host,
            frozenset([parent] if parent else []),
        )
        key = (crate.name, crate.version, crate.host)
        found[key] = _joined(found[key], crate) if key in found else crate
    return tuple(found[key] for key in sorted(found))


def _joined(one: TreeCrate, other: TreeCrate) -> TreeCrate:
    return replace(one, features=one.features | other.features, users=one.users | other.users)
