"""Read a project from the output of `cargo metadata`."""

from __future__ import annotations

import json
import posixpath
import re
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline import cargo_toml
from pipeline.errors import InvalidManifest


@dataclass(frozen=True)
class Package:
    """A workspace member in the output of `cargo metadata`.

    Attributes:
        bins: its binaries, each with its required features.
        features: its features, each with the features it enables.
        directory: the directory of its manifest.
    """

    name: str
    version: str
    bins: Mapping[str, tuple[str, ...]]
    features: Mapping[str, tuple[str, ...]]
    default_run: str | None
    is_default: bool
    directory: str = ""


@dataclass(frozen=True)
class Project:
    """A workspace: its members in cargo's order, and the complete JSON of `cargo metadata`."""

    packages: tuple[Package, ...]
    metadata: str = field(default="", repr=False)

    @property
    def identity(self) -> str:
        """Return the project's part of a cache key: the names of its members."""
        return "+".join(sorted(package.name for package in self.packages))


@dataclass(frozen=True)
class Binary:
    """A binary to build and the package that has it.

    Attributes:
        package: the package's name.
        name: its name.
        version: the package's version.
        directory: the directory of the package's manifest.
        is_default: the package is a default member of the workspace.
    """

    package: str
    name: str
    version: str
    directory: str = ""
    is_default: bool = field(default=False, compare=False)


def crates_of(project: Project, package: str) -> tuple[str, ...]:
    """Return a package's name and its directory in the project, the possible prefixes of its git tags."""
    document = json.loads(project.metadata)
    entry = next(entry for entry in document["packages"] if entry["name"] == package)
    folder = posixpath.relpath(posixpath.dirname(entry["manifest_path"]), document["workspace_root"])
    return (package,) if folder == "." else (package, folder)


NAME = re.compile(r"\w[\w.+-]*")
"""Valid names of packages, programs and features, which are used in file names and commands."""

LONGEST_NAME = 200
"""Maximum length of a name, below the 255 bytes of filesystems, since suffixes are added."""


def check_names(entry: Mapping[str, Any]) -> None:
    """Reject names with path separators or special characters of shells and terminals.

    Cargo itself accepts a program named `/etc/cron.d/x`.

    Raises:
        InvalidManifest: the name of a package, a program, an example or a feature is invalid.
    """
    built = [each["name"] for each in entry["targets"] if {"bin", "example"} & set(each["kind"])]
    for kind, names in (("package", [entry["name"]]), ("program", built), ("feature", entry["features"])):
        for name in names:
            if not NAME.fullmatch(name) or len(name) > LONGEST_NAME:
                raise InvalidManifest(
                    f"the name of a {kind} is invalid: {name!r}",
                    where=str(entry.get("manifest_path", "Cargo.toml")),
                    fix="use letters, digits, `_`, `-`, `.` and `+`, with a letter or digit first",
                )


def read_metadata(text: str) -> Project:
    """Return the project from the JSON of `cargo metadata --no-deps --format-version 1`.

    Raises:
        InvalidManifest: see `check_names`.
    """
    document = json.loads(text)
    for entry in document["packages"]:
        check_names(entry)
    defaults = set(document.get("workspace_default_members") or document["workspace_members"])
    packages = (_package(entry, entry["id"] in defaults) for entry in document["packages"])
    return Project(tuple(packages), text)


def _package(entry: dict[str, Any], is_default: bool) -> Package:
    bins = [target for target in entry["targets"] if "bin" in target["kind"]]
    return Package(
        name=entry["name"],
        version=entry["version"],
        bins={target["name"]: tuple(target.get("required-features", ())) for target in bins},
        features={name: tuple(others) for name, others in entry["features"].items()},
        default_run=entry.get("default_run"),
        is_default=is_default,
        directory=posixpath.dirname(entry.get("manifest_path", "")),
    )


def build_scripts(metadata: str) -> dict[str, str]:
    """Return the paths of the build scripts in cargo's JSON, by package name."""
    return {
        package["name"]: target["src_path"]
        for package in json.loads(metadata)["packages"]
        for target in package["targets"]
        if "custom-build" in target["kind"]
    }


def specification(name: str, version: str, directory: str, lock: str) -> str:
    """Return a package's argument for `--package` (the cargo book, "Package ID").

    It is the name unless a dependency has the same one, since every version of cargo accepts a name.

    Args:
        name: the package's name.
        version: the package's version.
        directory: the directory of its manifest.
        lock: the lock file.
    """
    entries = cargo_toml.read(lock).get("package", [])
    packages = entries if isinstance(entries, list) else []
    versions = [
        each.get("version") for each in packages if isinstance(each, dict) and each.get("name") == name
    ]
    if len(versions) < 2:
        return name
    if versions.count(version) < 2 or not directory:
        return f"{name}@{version}"
    return f"path+file://{urllib.parse.quote(directory)}#{name}@{version}"


def relocated(command: Sequence[str], place: str, other: str) -> tuple[str, ...]:
    """Return a command with its package IDs changed for the project's path in another directory."""
    return tuple(word.replace(f"path+file://{place}", f"path+file://{other}") for word in command)


def spdx(license: str | None) -> str:
    """Return a manifest's license as an SPDX expression; old manifests write MIT/Apache-2.0 (cargo book)."""
    return re.sub(r"\s*/\s*", " OR ", license or "")
