"""Read the crates of a build, for the target or the build platform, from `cargo tree`."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

ARGUMENTS = ("--locked", "--charset", "ascii")
FORMAT = ("--format", "{p}|{f}")

_NODE = re.compile(
    r"(?P<indent>[|` -]*)(?P<name>[\w-]+) v(?P<version>\S+)(?P<notes>[^|]*)"
    r"\|(?P<features>[^ ]*)(?P<repeated> \(\*\))?"
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


def read(text: str, roots: Collection[tuple[str, str]] | None = None) -> tuple[TreeCrate, ...]:
    """Parse the output of `command`: sorted crates, each once for the target and once for the build platform.

    Only the indented format shows build dependencies, and so the crates for the build platform.

    Args:
        text: the output.
        roots: name and version of the packages to start from, since cargo prints all default members, whose
            features it joins; None for all.
    """
    printed = _Printed()
    path: list[_Key] = []
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
        own = building.get(depth, False) or "(proc-macro)" in node["notes"]
        building[depth + 1] = False
        path.append(printed.add(path[-1] if path else None, node, own))
    first = [key for key in printed.tops if roots is None or key[:2] in roots]
    return printed.crates(first)


_Key = tuple[str, str, bool]
"""Name, version and `host` of a crate."""


@dataclass
class _Printed:
    """The lines of `cargo tree`.

    Attributes:
        tops: the packages at the left.
        features: the features of each crate.
        children: the dependencies of each crate; the last part is true for macros and build dependencies.
        whole: the crates printed with their dependencies, which cargo prints once.
    """

    tops: list[_Key] = field(default_factory=list)
    features: dict[_Key, set[str]] = field(default_factory=dict)
    children: dict[_Key, set[_Key]] = field(default_factory=dict)
    whole: set[_Key] = field(default_factory=set)

    def add(self, parent: _Key | None, node: re.Match[str], own: bool) -> _Key:
        """Add a line, and return the crate in it."""
        name, version = node["name"], node["version"]
        key = name, version, own or (parent is not None and parent[2])
        if parent is None:
            self.tops.append(key)
        else:
            self.children.setdefault(parent, set()).add((name, version, own))
        self.features.setdefault(key, set()).update(filter(None, node["features"].split(",")))
        if not node["repeated"]:
            self.whole.add(key)
        return key

    def crates(self, first: Iterable[_Key]) -> tuple[TreeCrate, ...]:
        """Return some crates and all that they depend on."""
        users: dict[_Key, set[tuple[str, bool]]] = {key: set() for key in first}
        ahead = list(users)
        while ahead:
            key = ahead.pop()
            user, _, host = key
            for name, version, own in self.children.get(self._as_printed(key), ()):
                dependency = name, version, host or own
                if dependency not in users:
                    ahead.append(dependency)
                users.setdefault(dependency, set()).add((user, host))
        return tuple(
            TreeCrate(
                *key[:2], frozenset(self.features[self._as_printed(key)]), key[2], frozenset(users[key])
            )
            for key in sorted(users)
        )

    def _as_printed(self, key: _Key) -> _Key:
        """Return a crate for the platform with which it was printed, if possible with its dependencies."""
        both = key, (*key[:2], not key[2])
        return next(one for printed in (self.whole, self.features) for one in both if one in printed)
