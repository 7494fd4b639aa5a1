"""Find the packages of a project on this machine that a build needs, by their manifests.

Only these are uploaded to an engine. cargo is not used for this: it may not be installed, and a project's
configuration names programs that it would start. If a package is missed, cargo fails in the build.
"""

from __future__ import annotations

import functools
import glob
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import cargo_toml

_TABLES = (*cargo_toml.DEPENDENCIES, "dev_dependencies", "build_dependencies")


@dataclass(frozen=True)
class PathPackage:
    """A package: its directory and its manifest."""

    directory: Path
    manifest: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Return the package's name."""
        return cargo_toml.package(self.manifest)

    @property
    def is_macro(self) -> bool:
        """Return True if its code runs in the compiler."""
        library = cargo_toml.table(self.manifest, "lib")
        return bool(library.get("proc-macro") or library.get("proc_macro"))

    @property
    def build_script(self) -> Path:
        """Return the path of its build script, which may not exist."""
        named = cargo_toml.table(self.manifest, "package").get("build")
        return self.directory / (named if isinstance(named, str) else "build.rs")

    def roots(self) -> list[Path]:
        """Return the manifest and the root files of its targets, which cargo needs to describe it."""
        places = [*self.directory.glob("src/*.rs"), *self.directory.glob("src/bin/*.rs")]
        places += self.directory.glob("src/bin/*/main.rs")
        for kind in ("examples", "tests", "benches"):
            places += [*self.directory.glob(f"{kind}/*.rs"), *self.directory.glob(f"{kind}/*/main.rs")]
        tables = [cargo_toml.table(self.manifest, "lib")]
        for kind in ("bin", "example", "test", "bench"):
            entries = self.manifest.get(kind)
            tables += (
                [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
            )
        named = [self.directory / table["path"] for table in tables if isinstance(table.get("path"), str)]
        files = [self.directory / "Cargo.toml", self.build_script, *places, *named]
        return list(dict.fromkeys(file for file in files if file.is_file()))


@functools.cache
def read(directory: Path) -> Mapping[str, Any] | None:
    """Return the manifest in a directory, or None."""
    try:
        return cargo_toml.read((directory / "Cargo.toml").read_text(errors="replace"))
    except OSError:
        return None


def root_above(directory: Path) -> Path | None:
    """Return the nearest workspace root, at a directory or above."""
    return next((each for each in (directory, *directory.parents) if "workspace" in (read(each) or {})), None)


def _shared(package: PathPackage, table: str) -> tuple[Path | None, Mapping[str, Any]]:
    """Return the workspace of a package, and a table of it that its members may inherit from."""
    root = root_above(package.directory)
    return root, cargo_toml.table(read(root) or {}, "workspace", table) if root else {}


def documents(package: PathPackage) -> set[Path]:
    """Return the readme and the license file that a package's manifest names, also by its workspace.

    Code includes them by the variables `CARGO_PKG_README` and `CARGO_PKG_LICENSE_FILE`.
    """
    root, shared = _shared(package, "package")
    own = cargo_toml.table(package.manifest, "package")
    found = set()
    for name in ("readme", "license-file"):
        value, place = own.get(name), package.directory
        if cargo_toml.table(own, name).get("workspace") is True and root is not None:
            value, place = shared.get(name), root
        if isinstance(value, str):
            found.add(_joined(place, value))
    return {path for path in found if exists(path) and path.is_file()}


def neighbours(package: PathPackage) -> list[Path]:
    """Return the directories of a package's path dependencies, with inherited ones."""
    root, shared = _shared(package, "dependencies")
    found = []
    for name, entry in _entries(package.manifest):
        place = package.directory
        if entry.get("workspace") is True and root is not None:
            entry, place = cargo_toml.table(shared, name), root
        if isinstance(entry.get("path"), str):
            found.append(_joined(place, entry["path"]))
    return found


def _entries(document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    targets = cargo_toml.table(document, "target")
    for place in (document, *(cargo_toml.table(targets, name) for name in targets)):
        for kind in _TABLES:
            entries = cargo_toml.table(place, kind)
            for name in entries:
                yield name, cargo_toml.table(entries, name)


def patches(workspace: Path) -> list[Path]:
    """Return the directories in a workspace's `patch` and `replace` tables."""
    document = read(workspace) or {}
    patch = cargo_toml.table(document, "patch")
    tables = [cargo_toml.table(patch, name) for name in patch] + [cargo_toml.table(document, "replace")]
    entries = [cargo_toml.table(table, name) for table in tables for name in table]
    return [_joined(workspace, entry["path"]) for entry in entries if isinstance(entry.get("path"), str)]


def members(workspace: Path) -> list[Path]:
    """Return the directories of the members in a workspace's manifest, with its root package."""
    table = cargo_toml.table(read(workspace) or {}, "workspace")
    patterns = [str(each) for key in ("members", "default-members") for each in _listed(table.get(key))]
    found = [workspace]
    for pattern in patterns:
        if re.search(r"[*?\[]", pattern):
            matches = glob.glob(pattern, root_dir=workspace, recursive=True, include_hidden=True)  # noqa: PTH207
            found += [_joined(workspace, match) for match in sorted(matches)]
        else:
            found.append(_joined(workspace, pattern))
    return list(dict.fromkeys(found))


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def closure(directories: Iterable[Path]) -> dict[Path, PathPackage]:
    """Return the packages in some directories with their path dependencies, by directory."""
    found: dict[Path, PathPackage] = {}
    ahead = list(directories)
    while ahead:
        directory = ahead.pop()
        manifest = read(directory)
        if directory in found or manifest is None or "package" not in manifest:
            continue
        found[directory] = PathPackage(directory, manifest)
        ahead += neighbours(found[directory])
    return found


def _joined(directory: Path, path: str) -> Path:
    return Path(os.path.normpath(directory / path))


LINKS = 40
"""The number of links that Linux follows in a path (path_resolution(7))."""


def through_links(path: Path) -> list[Path]:
    """Return the symbolic links of a path, each where the one before leads to, and at last the real path."""
    found: list[Path] = []
    while len(found) < LINKS:
        link = next((each for each in (*reversed(path.parents), path) if each.is_symlink()), None)
        if link is None:
            break
        found.append(link)
        path = _joined(link.parent / link.readlink(), str(path.relative_to(link)))
    return [*found, path]


_LITERAL = re.compile(rb'"([^"\n]*\.\.(?:/[^"\n]*)?)"')
_QUOTED = re.compile(rb'"([^"/\n][^"\n]*)"')
_MODULE = re.compile(rb"\bmod\s+(?:r#)?(\w+)\s*;")
_UPWARD = re.compile(
    rb"\.parent\(\)|\.ancestors\(\)|\.pop\(\)|workspace_root|CARGO_WORKSPACE_DIR|show-toplevel|join\(\"\.\.\"\)"
)
_LEFT = frozenset({".git", "target", "node_modules", ".venv"})


def _read_by_cargo(directory: Path | str) -> Iterator[os.DirEntry[str]]:
    """Yield the links, the code and the manifests below a directory, without build output."""
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_symlink() or entry.name.endswith(".rs") or entry.name == "Cargo.toml":
                yield entry
            elif entry.name not in _LEFT and entry.is_dir():
                yield from _read_by_cargo(entry.path)


def beyond(package: PathPackage) -> tuple[set[Path], bool]:
    """Return the paths outside a package's directory in its code, and True if it may read any path above.

    Text in quotes with `..` in it is a path if there is such a file (`include_str!`, `#[path]`, build
    scripts), and so are the documents in the manifest. A build script or a macro that looks in the
    directories above could read anything there.
    """
    found = documents(package)
    endless = False
    for entry in _read_by_cargo(package.directory):
        file = Path(entry.path)
        if entry.is_symlink():
            found.update(through_links(file))
        elif entry.is_file():
            text = file.read_bytes()
            found |= named_in(text, (file.parent, package.directory))
            compiled_in = file == package.build_script or package.is_macro
            endless |= compiled_in and _UPWARD.search(text) is not None
    return {path for path in found if not path.is_relative_to(package.directory)}, endless


def beside(file: Path, text: bytes) -> set[Path]:
    """Return the files of modules, and those in quoted paths, beside code that is outside of its package.

    Source: the Rust reference, "Module source filenames".
    """
    found = {file.parent / match[1].decode(errors="replace") for match in _QUOTED.finditer(text)}
    for match in _MODULE.finditer(text):
        name = match[1].decode(errors="replace")
        for folder in (file.parent, file.with_suffix("")):
            found |= {folder / f"{name}.rs", folder / name / "mod.rs"}
    return {path for path in found if exists(path) and path.is_file()}


def exists(path: Path) -> bool:
    """Return True if a path exists; a name may be too long for this system, or have a null byte."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def named_in(text: bytes, bases: Iterable[Path]) -> set[Path]:
    """Return the files and directories in quoted paths with `..`."""
    found = set()
    for match in _LITERAL.finditer(text):
        literal = match[1].decode(errors="replace")
        for spelled in {literal.lstrip("/"), literal[literal.index("..") :]}:
            for base in bases:
                path = _joined(base, spelled)
                # A parent directory itself is not needed completely; only the files in it that are named.
                if len(spelled) < 4096 and not base.is_relative_to(path) and exists(path):
                    found.add(path)
    return found
