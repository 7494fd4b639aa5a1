"""Read the crates in each binary from cargo's unit graph, not from the whole lock file.

`cargo metadata` joins the features of all members and of build and target platform, and a lock file has the
dependencies of other platforms and tests. Only the unit graph has what cargo compiles for one command line:
every unit with its package, features, platform and dependencies. That option of `cargo build` is unstable, so
it is used with RUSTC_BOOTSTRAP=1 in a command that compiles nothing. With that variable, cargo also uses the
table `[unstable]` of its configuration, which a stable cargo ignores, and would describe another build. If
the build does not have the variable, cargo gets the configuration without that table. The format has had one
version since 2019, and another one is an error here rather than a guess.
(https://doc.rust-lang.org/nightly/cargo/reference/unstable.html#unit-graph)
"""

from __future__ import annotations

import enum
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline import cargo_toml, programs
from pipeline.concurrent import each
from pipeline.config.project_files import AT_ONCE, in_engine
from pipeline.config.workspace import CONFIGURATIONS
from pipeline.errors import UnknownUnitGraph
from pipeline.project import packages
from pipeline.project.metadata import spdx
from pipeline.sdk import dag, dagger

VERSION = 1
CRATES_IO = "registry+https://github.com/rust-lang/crates.io-index"


class Kind(enum.Enum):
    """The use of a crate: its code is in the binary, or only ran to build it (build scripts, proc-macros)."""

    RUNTIME = "runtime"
    BUILD = "build"


@dataclass(frozen=True)
class GraphCrate:
    """A package of a binary.

    Attributes:
        id: cargo's id, which may contain a path of the builder and must not be published.
        source: cargo's source id, empty for packages of the project.
        license: SPDX expression, empty if the manifest has none.
        checksum: SHA-256 of the `.crate` file in hexadecimal; empty if the lock file has none.
        features: the features it was compiled with, sorted.
        dependencies: ids of the crates it was compiled with.
    """

    id: str
    name: str
    version: str
    source: str
    license: str
    checksum: str
    kind: Kind
    features: tuple[str, ...]
    dependencies: tuple[str, ...]

    @property
    def key(self) -> tuple[str, str, str]:
        """Return the identity of a crate on any machine, also used for sorting."""
        return self.name, self.version, self.source


@dataclass(frozen=True)
class Graph:
    """The crates of a binary for a triple, sorted by name and version; `root` is the id of its package."""

    binary: str
    triple: str
    root: str
    crates: tuple[GraphCrate, ...]


FOLDER = "/crates"
METADATA = "metadata.json"
STABLE = "/stable"
CHANNEL = "__CARGO_TEST_CHANNEL_OVERRIDE_DO_NOT_USE_THIS"
"""A variable of cargo's tests, which takes precedence over RUSTC_BOOTSTRAP."""
ELSEWHERE = "/.cargo/config.toml"
"""The path of a custom builder's configuration."""


def arguments(commands: Sequence[Sequence[str]], everywhere: Sequence[str] = ()) -> list[str]:
    """Return the commands of unit_graph.sh.

    Args:
        commands: the `cargo build` commands of the build; each is run with `--unit-graph`.
        everywhere: arguments for every cargo command.
    """
    # With all features, since crates of disabled features are left out otherwise.
    words = programs.counted([*packages.COMMAND, *everywhere])
    for command in commands:
        place = list(command).index("build") + 1
        words += programs.counted(
            [*command[:place], "--unit-graph", "-Z", "unstable-options", *command[place:]]
        )
    return words


@dataclass(frozen=True)
class Answer:
    """The unit graphs of a build, by binary and triple, and the compiler's version."""

    graphs: tuple[Graph, ...]
    rust: str

    def of(self, triple: str) -> tuple[Graph, ...]:
        """Return the graphs of a triple's binaries."""
        return tuple(graph for graph in self.graphs if graph.triple == triple)


def stable(configuration: str) -> str | None:
    """Return a cargo configuration without unstable options; None if it has none."""
    document = cargo_toml.read(configuration)
    if "unstable" not in document:
        return None
    return cargo_toml.write({name: value for name, value in document.items() if name != "unstable"})


async def with_stable(container: dagger.Container, folder: dagger.Directory, place: str) -> dagger.Container:
    """Return a container with the configurations that unit_graph.sh puts in place, below `STABLE`.

    Args:
        container: the builder.
        folder: the project's files in it.
        place: their path in it.
    """
    files = in_engine(folder)
    names = [name for name in await files.glob("**/.cargo/*") if name.endswith(CONFIGURATIONS)]
    texts = await each(names, files.read, AT_ONCE)
    found = {f"{place}/{name}": text or "" for name, text in zip(names, texts, strict=True)}
    if await container.exists(ELSEWHERE):
        found[ELSEWHERE] = await container.file(ELSEWHERE).contents()
    for path, text in found.items():
        if (changed := stable(text)) is not None:
            container = container.with_new_file(f"{STABLE}{path}", changed)
    return container


def ask(
    container: dagger.Container, commands: Sequence[Sequence[str]], name: str, everywhere: Sequence[str] = ()
) -> dagger.Directory:
    """Run cargo for the unit graphs of a build, and return its output in a directory `name`.

    Args:
        container: the builder, with all dependencies fetched.
        commands: the commands of the build.
        name: a name that is unique among the builders of an image.
        everywhere: arguments for every cargo command.
    """
    places = (FOLDER, STABLE, CHANNEL)
    asking = programs.command("project/unit_graph.sh", *places, *arguments(commands, everywhere))
    asked = container.with_exec(asking).directory(FOLDER)
    return dag.directory().with_directory(name, asked)


async def load(directory: dagger.Directory) -> Answer:
    """Load the output of `ask`, or of several of them.

    Raises:
        dagger.ExecError: cargo failed; see `diagnostics.explain`.
        UnknownUnitGraph: see `read`.
    """
    answers = [await _load(directory.directory(name)) for name in sorted(await directory.entries())]
    return Answer(tuple(graph for answer in answers for graph in answer.graphs), answers[0].rust)


async def _load(directory: dagger.Directory) -> Answer:
    async def text(name: str) -> str:
        return await directory.file(name).contents()

    names = sorted(await directory.glob("units-*.json"))
    *units, metadata, lock, rustc = await each([*names, METADATA, "Cargo.lock", "rustc.txt"], text, AT_ONCE)
    return Answer(read(units, metadata, lock), rustc.split()[1])


def read(units: Iterable[str], metadata: str, lock: str) -> tuple[Graph, ...]:
    """Return the graph of every binary and triple of some commands.

    Args:
        units: the unit graph of each command, as JSON.
        metadata: `cargo metadata` with dependencies, as JSON.
        lock: Cargo.lock.

    Raises:
        UnknownUnitGraph: the version of cargo's format is unknown.
    """
    packages = {package["id"]: package for package in json.loads(metadata)["packages"]}
    checksums = read_checksums(lock)
    graphs = []
    for document in map(json.loads, units):
        if document.get("version") != VERSION:
            raise UnknownUnitGraph(
                f"the version of cargo's unit graph is {document.get('version')} instead of {VERSION}",
                where="cargo build --unit-graph",
                fix="build with an older Rust, or a newer rust-multiarch",
            )
        own = [root for root in document["roots"] if not _is_std(document["units"][root])]
        graphs += [_graph(document["units"], root, packages, checksums) for root in own]
    return tuple(graphs)


def _graph(
    units: Sequence[Mapping[str, Any]],
    root: int,
    packages: Mapping[str, Mapping[str, Any]],
    checksums: Mapping[tuple[str, str, str], str],
) -> Graph:
    triple = units[root]["platform"] or ""
    by_package: dict[str, list[int]] = {}
    for index in _reached(units, root):
        by_package.setdefault(units[index]["pkg_id"], []).append(index)
    crates = []
    for identifier, indices in by_package.items():
        package = packages[identifier]
        linked = [index for index in indices if _is_linked(units[index], triple)]
        # If a crate in the binary is also used by a build script, the script's features are left out.
        features = {feature for index in linked or indices for feature in units[index]["features"]}
        needed = {units[other]["pkg_id"] for index in indices for other in _needed(units, index)}
        source = package["source"] or ""
        crates.append(
            GraphCrate(
                id=identifier,
                name=package["name"],
                version=package["version"],
                source=source,
                license=spdx(package["license"]),
                checksum=checksums.get((package["name"], package["version"], source), ""),
                kind=Kind.RUNTIME if linked else Kind.BUILD,
                features=tuple(sorted(features)),
                dependencies=tuple(sorted(needed - {identifier})),
            )
        )
    crates.sort(key=lambda crate: crate.key)
    return Graph(units[root]["target"]["name"], triple, units[root]["pkg_id"], tuple(crates))


def _reached(units: Sequence[Mapping[str, Any]], root: int) -> list[int]:
    found, waiting = {root}, [root]
    while waiting:
        needed = _needed(units, waiting.pop())
        waiting += needed - found
        found |= needed
    return sorted(found)


def _needed(units: Sequence[Mapping[str, Any]], index: int) -> set[int]:
    """Return the dependencies of a unit, without the standard library."""
    needed = {dependency["index"] for dependency in units[index]["dependencies"]}
    return {other for other in needed if not _is_std(units[other])}


def _is_std(unit: Mapping[str, Any]) -> bool:
    """Return True if a unit belongs to the standard library, compiled by `build-std`.

    Its packages are not in `cargo metadata` and the lock file. cargo omits the field if it is false.
    """
    return bool(unit.get("is_std"))


def _is_linked(unit: Mapping[str, Any], triple: str) -> bool:
    """Return True if a unit's code is in the binary: it is for its platform and not a build script."""
    return (
        unit["platform"] == triple
        and unit["mode"] == "build"
        and "custom-build" not in unit["target"]["kind"]
    )


def read_checksums(lock: str) -> dict[tuple[str, str, str], str]:
    """Read the checksums of a Cargo.lock of any version, by name, version and source."""
    document = cargo_toml.parse(lock)
    found = {
        (package["name"], package["version"], package.get("source", "")): package["checksum"]
        for package in document.get("package", ())
        if "checksum" in package
    }
    for key, value in document.get("metadata", {}).items():  # in version 1, they are in a separate table
        _, name, version, source = key.split(" ", 3)
        found[name, version, source.strip("()")] = value
    return found


def union(graphs: Iterable[Graph]) -> tuple[GraphCrate, ...]:
    """Merge the crates of binaries; a crate that is at runtime in one of them is so in the result."""
    found: dict[str, GraphCrate] = {}
    for crate in (crate for graph in graphs for crate in graph.crates):
        other = found.get(crate.id, crate)
        runtime = [one for one in (other, crate) if one.kind is Kind.RUNTIME]
        found[crate.id] = GraphCrate(
            id=crate.id,
            name=crate.name,
            version=crate.version,
            source=crate.source,
            license=crate.license,
            checksum=crate.checksum,
            kind=Kind.RUNTIME if runtime else Kind.BUILD,
            features=tuple(sorted({f for one in runtime or (other, crate) for f in one.features})),
            dependencies=tuple(sorted({*other.dependencies, *crate.dependencies})),
        )
    return tuple(sorted(found.values(), key=lambda crate: crate.key))
