"""The crates of a build and where each is built for, as `cargo tree` tells it."""

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
class Crate:
    """One crate as cargo will build it.

    Attributes:
        name: its name.
        version: its version.
        features: the features that are on.
        host: whether it is built for the build platform: a build dependency or a proc-macro's.
        users: the crates that depend on it, each with its own `host`.
    """

    name: str
    version: str
    features: frozenset[str] = frozenset()
    host: bool = False
    users: frozenset[tuple[str, bool]] = frozenset()


def command(selection: Sequence[str], triple: str, tests: bool = False) -> list[str]:
    """The `cargo tree` whose output `read` reads, features as they resolve.

    Args:
        selection: the package and feature arguments that `cargo build` gets.
        triple: what is built for.
        tests: with the dev-dependencies.
    """
    edges = "normal,build,dev" if tests else "normal,build"
    return ["cargo", "tree", *ARGUMENTS, "--edges", edges, *selection, "--target", triple, *FORMAT]


def read(text: str) -> tuple[Crate, ...]:
    """The crates in the output of `command`, each once per place it is built for, sorted.

    The indented form is the one that shows where build dependencies begin, and so what is built for the
    build platform.
    """
    found: dict[tuple[str, str, bool], Crate] = {}
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
        crate = Crate(
            node["name"],
            node["version"],
            frozenset(filter(None, node["features"].split(","))),
            host,
            frozenset([parent] if parent else []),
        )
        key = (crate.name, crate.version, crate.host)
        found[key] = _joined(found[key], crate) if key in found else crate
    return tuple(found[key] for key in sorted(found))


def _joined(one: Crate, other: Crate) -> Crate:
    return replace(one, features=one.features | other.features, users=one.users | other.users)
