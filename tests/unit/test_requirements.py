"""Test that the lock is complete, for an install without resolving, and pyproject.toml has all imports."""

from __future__ import annotations

import ast
import json
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools import requirements

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
DEPENDENCIES = PYPROJECT["project"]["dependencies"]
KEYLESS = PYPROJECT["project"]["optional-dependencies"]["keyless"]
DEVELOPMENT = PYPROJECT["dependency-groups"]["dev"]
BUILD = PYPROJECT["build-system"]["requires"]
LOCK = (ROOT / "requirements.txt").read_text()

# The machines on which the lock is installed: development, CI, and a user's machine.
MACHINES = {
    f"{system}-{machine}-{python}": {
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "os_name": "posix",
        "sys_platform": system,
        "platform_system": {"linux": "Linux", "darwin": "Darwin"}[system],
        "platform_machine": machine,
        "python_version": python,
        "python_full_version": f"{python}.0",
    }
    for system, machine in (("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64"))
    for python in ("3.11", "3.12", "3.13", "3.14")
}


@cache
def locked() -> dict[str, tuple[str, Marker | None]]:
    """Return each locked distribution's version and the machines it is for."""
    lines = re.sub(r" \\\n +--hash=\S+", "", LOCK).splitlines()
    parsed = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(r.name): (str(r.specifier).removeprefix("=="), r.marker) for r in parsed}


@cache
def wanted_by(name: str) -> list[Requirement]:
    """Return what an installed distribution requires, extras and markers included."""
    return [Requirement(text) for text in metadata.requires(name) or ()]


def holds(marker: Marker | None, machine: dict[str, str], extra: str = "") -> bool:
    return marker is None or marker.evaluate({**machine, "extra": extra})


def problems(
    roots: list[str], machine: dict[str, str], lock: dict[str, tuple[str, Marker | None]]
) -> Iterator[str]:
    """Yield the problems of the lock with every requirement reachable from `roots`, on one machine."""
    waiting = [("pyproject.toml", Requirement(text)) for text in roots]
    seen: set[tuple[str, str]] = set()
    while waiting:
        by, requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        version, marker = lock.get(name, ("", None))
        if not version or not holds(marker, machine):
            yield f"{by} requires {requirement}, which is not locked"
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            yield f"{by} requires {requirement}, locked is {version}"
        for extra in ("", *requirement.extras):
            if (name, extra) not in seen:
                seen.add((name, extra))
                waiting += [(name, each) for each in wanted_by(name) if holds(each.marker, machine, extra)]


@pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES)
def test_the_lock_has_every_requirement_of_every_locked_distribution(machine: dict[str, str]) -> None:
    assert not list(problems([*DEPENDENCIES, *KEYLESS, *DEVELOPMENT, *BUILD], machine, locked()))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"coverage": ("", None)}, "requires coverage"),
        ({"coverage": ("1.0", None)}, "locked is 1.0"),
        ({"coverage": ("7.17.4", Marker("sys_platform == 'win32'"))}, "requires coverage"),
        # Only by an extra: cyclonedx-python-lib[json-validation].
        ({"referencing": ("", None)}, "requires referencing"),
    ],
)
def test_what_the_lock_lacks_is_found(change: dict[str, tuple[str, Marker | None]], problem: str) -> None:
    found = list(problems(DEVELOPMENT, MACHINES["linux-x86_64-3.11"], locked() | change))
    assert any(problem in each for each in found), found


def test_the_installed_versions_are_the_locked_ones() -> None:
    """The other tests read the metadata of the installed versions."""
    python = {"python_version": "{}.{}".format(*sys.version_info), "sys_platform": sys.platform}
    here = {name: version for name, (version, marker) in locked().items() if holds(marker, python)}
    assert {name: metadata.version(name) for name in here} == here


def test_every_locked_distribution_has_hashes() -> None:
    assert LOCK.count("==") - LOCK.count("== '") == len(locked())
    for entry in re.split(r"\n(?=[a-z])", LOCK)[1:]:
        assert "--hash=sha256:" in entry, entry


def test_the_installers_packages_are_a_part_of_the_lock() -> None:
    part = (ROOT / "requirements-cli.txt").read_text()
    entries = [re.sub(r" ;[^\\]*", " ", entry) for entry in re.split(r"\n(?=[a-z])", part)[1:]]
    whole = {re.sub(r" ;[^\\]*", " ", entry).strip() for entry in re.split(r"\n(?=[a-z])", LOCK)[1:]}
    assert len(entries) > 40 and {entry.strip() for entry in entries} <= whole


@pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES)
def test_the_installers_packages_are_complete(machine: dict[str, str]) -> None:
    """pip installs them without resolving, and the package without an isolated build."""
    names = set(re.findall(r"^([\w.-]+)==", (ROOT / "requirements-cli.txt").read_text(), re.MULTILINE))
    part = {name: row for name, row in locked().items() if name in {canonicalize_name(n) for n in names}}
    command = PYPROJECT["project"]["optional-dependencies"]["cli"]
    assert not list(problems([*DEPENDENCIES, *command, *BUILD], machine, part))


@cache
def modules_in(path: Path) -> frozenset[str]:
    """Return the top-level modules that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import(names=aliases):
                found |= {alias.name.partition(".")[0] for alias in aliases}
            case ast.ImportFrom(module=str(module), level=0):
                found.add(module.partition(".")[0])
    return frozenset(found)


# It reads the list of files of every installed distribution.
distributions = cache(metadata.packages_distributions)


def imported(*directories: str) -> set[str]:
    """Return the distributions that the code in some directories imports."""
    paths = [path for directory in directories for path in (ROOT / directory).rglob("*.py")]
    modules = {path.stem for path in paths} | {"docs", "bench", "engine", "pipeline", "tools", *directories}
    names = {name for path in paths for name in modules_in(path)}
    foreign = names - modules - set(sys.stdlib_module_names)
    return {canonicalize_name(distributions()[name][0]) for name in foreign}


def declared(texts: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(text).name) for text in texts}


def test_dependencies_and_an_extra_are_all_that_the_package_imports() -> None:
    assert imported("pipeline") == declared(DEPENDENCIES) | declared(KEYLESS)


def test_the_extra_has_the_locked_versions() -> None:
    versions = requirements.locked(LOCK)
    assert set(KEYLESS) == {f"{name}=={versions[name]}" for name in declared(KEYLESS)}


def test_the_development_group_has_what_else_is_imported() -> None:
    everything = imported("pipeline", "engine", "bench", "docs", "tools", "tests/unit", "tests/e2e")
    assert everything <= declared(DEPENDENCIES) | declared(DEVELOPMENT)


def test_dependencies_have_the_locked_versions_and_dagger_io_at_most() -> None:
    """An official engine reads no lock, and has its own SDK, version 0.0.0; pip gets the engine's version."""
    versions = requirements.locked(LOCK)
    exact = {f"{name}=={versions[name]}" for name in declared(DEPENDENCIES) - {"dagger-io"}}
    assert set(DEPENDENCIES) == exact | {f"dagger-io<={versions['dagger-io']}"}


def test_what_the_sdk_requires_accepts_the_exact_versions() -> None:
    """Otherwise `uv pip check` of an official engine rejects the module."""
    exact = {r.name: r.specifier for r in map(Requirement, DEPENDENCIES) if r.specifier}
    for each in wanted_by("dagger-io"):
        if each.name in exact:
            assert each.specifier.contains(str(exact[each.name]).removeprefix("==")), each


def test_the_engine_its_client_and_the_module_are_of_one_dagger() -> None:
    engine = json.loads((ROOT / "dagger.json").read_text())["engineVersion"]
    assert f"github.com/dagger/dagger {engine}" in (ROOT / "engine/go.mod").read_text()
    assert requirements.locked(LOCK)["dagger-io"] == engine.removeprefix("v")


def test_the_lock_names_no_package_index() -> None:
    assert "://" not in LOCK and "--index" not in LOCK and "--extra-index" not in LOCK


PROJECT = """[project]
dependencies = [
    "Fine.Name==1.0",
    "dagger-io",
]

[project.optional-dependencies]
keyless = [
    "Fine.Name==1.0",
]

[dependency-groups]
dev = ["dagger-io==0.21.8"]
"""


def test_renewing_takes_the_versions_of_dependencies_out_and_puts_the_locks_in() -> None:
    loose = requirements.without_versions(PROJECT)
    assert loose == PROJECT.replace("==1.0", "")
    lock = "fine-name==2.0.post1 ; python_version < '4' \\\n    --hash=sha256:0\ndagger-io==0.21.8 \\\n"
    assert requirements.locked(lock) == {"fine-name": "2.0.post1", "dagger-io": "0.21.8"}
    renewed = requirements.with_versions(PROJECT, requirements.locked(lock))
    assert renewed == PROJECT.replace("==1.0", "==2.0.post1")
