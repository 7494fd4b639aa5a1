"""Find the packages in a project's source, and those whose code runs at compile time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

COMMAND = ("cargo", "metadata", "--locked", "--all-features", "--format-version", "1")
_RUN = {"custom-build", "proc-macro"}


@dataclass(frozen=True)
class Local:
    """A package of the project: a workspace member or a path dependency.

    Attributes:
        folder: its directory, relative to the source; `.` is the source itself.
        runs: true for macros, packages with a build script, and their dependencies: they may read files and
            variables at compile time that cargo does not track.
    """

    name: str
    folder: str
    runs: bool


def read(metadata: str, top: str) -> tuple[Local, ...]:
    """Return the packages in a project's source.

    Args:
        metadata: the output of `COMMAND`.
        top: the source's directory in the container.
    """
    document = json.loads(metadata)
    packages = {package["id"]: package for package in document["packages"]}
    running = _running(packages, {node["id"]: node for node in document["resolve"]["nodes"]})
    found = []
    for identifier, package in packages.items():
        folder = PurePosixPath(package["manifest_path"]).parent
        if package["source"] is None and folder.is_relative_to(top):
            found.append(Local(package["name"], str(folder.relative_to(top)), identifier in running))
    return tuple(found)


def _running(packages: Mapping[str, Any], nodes: Mapping[str, Any]) -> set[str]:
    kinds = {
        identifier: {kind for target in package["targets"] for kind in target["kind"]}
        for identifier, package in packages.items()
    }
    running = {identifier for identifier, of_package in kinds.items() if of_package & _RUN}
    macros = [identifier for identifier in running if "proc-macro" in kinds[identifier]]
    waiting = list(macros)
    for identifier in running:
        waiting += _dependencies(nodes[identifier], {"build"})
    seen = set()
    while waiting:
        identifier = waiting.pop()
        if identifier not in seen:
            seen.add(identifier)
            waiting += _dependencies(nodes[identifier], {None, "build"})
    return running | seen


def _dependencies(node: Mapping[str, Any], kinds: Iterable[str | None]) -> list[str]:
    return [
        dependency["pkg"]
        for dependency in node["deps"]
        if any(kind["kind"] in kinds for kind in dependency["dep_kinds"])
    ]
