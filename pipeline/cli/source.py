"""Choose the files to upload to an engine: those in git that the build needs."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio

from pipeline import cargo_toml
from pipeline.build.plan import IGNORED
from pipeline.cli import packages
from pipeline.config import private, workspace
from pipeline.config.project_files import OnDisk
from pipeline.config.settings import Settings
from pipeline.config.workspace import CONFIGURATIONS, LOCK, MANIFEST, TOOLCHAINS, Location
from pipeline.errors import InvalidManifest, LockMissing, NotACargoProject, NotAGitRepository
from pipeline.git import command, minimal
from pipeline.git import files as git_files
from pipeline.git.facts import listed
from pipeline.git.files import Listing

SEARCHED = (
    *(MANIFEST, LOCK, *TOOLCHAINS, *CONFIGURATIONS),
    *("rustfmt.toml", ".rustfmt.toml", "clippy.toml", ".clippy.toml"),
    *(".env", ".sqlx", "sqlx-data.json"),  # sqlx-macros, "Offline Mode", and dotenvy
    *(".gitignore", ".gitattributes", ".ignore"),  # docs.rs/ignore
)
"""Files that cargo, its programs and macros look for in parent directories."""

LARGE = 100_000_000
"""The size in bytes from which a repository is not uploaded whole for code that looks in parent directories.

Then a build that reads a file which is not uploaded fails; see `pipeline/build/state.sh`.
"""

EVERYTHING = frozenset({"--workspace", "--all", "--package", "-p", "--exclude", "--manifest-path"})
"""Arguments of cargo that choose other packages than the settings."""


@dataclass(frozen=True)
class Here:
    """A project on this machine.

    Attributes:
        directory: the directory to run cargo in.
        workspace: the directory of the workspace root.
        package: the member in the directory; empty for cargo's default.
        top: the root of the git checkout; None outside a checkout.
    """

    directory: Path
    workspace: Path
    package: str
    top: Path | None


@dataclass(frozen=True)
class Upload:
    """The files to upload to an engine.

    Attributes:
        root: the root of the source on this machine.
        directory: the directory to run cargo in, as a POSIX path relative to the root.
        include: patterns of files to upload; empty for all.
        exclude: patterns of files to leave out.
        gitignore: true if Dagger must apply .gitignore, because there is no git repository.
        missing: tracked files that are not uploaded, relative to the root.
        sent: the tracked files that are uploaded.
        others: other uploaded files and directories.
        added: files and directories that are uploaded and that no clean checkout has: those that git ignores,
            relative to the root, and those outside the checkout, relative to its top.
        absent: the same with the files of submodules and those that a sparse checkout leaves out; without
            deleted files. Empty for the whole repository.
        warnings: warnings for the user.
    """

    root: Path
    directory: str = ""
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    gitignore: bool = False
    missing: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    sent: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def find(directory: Path, manifest_path: Path | None = None) -> Here:
    """Return the project in a directory of this machine, which may have no manifest.

    Args:
        directory: the directory to run cargo in.
        manifest_path: its Cargo.toml, relative to the directory.

    Raises:
        NotACargoProject: the directory or the manifest does not exist.
    """
    if manifest_path is not None:
        manifest = directory / manifest_path
        if manifest.name != MANIFEST or not manifest.is_file():
            raise NotACargoProject(
                f"{manifest} is not the Cargo.toml of a project",
                where="--manifest-path",
                fix="pass the path of a Cargo.toml, relative to the project's directory",
            )
        directory = manifest.parent
    if not directory.is_dir():
        raise NotACargoProject(
            "this directory does not exist", where=str(directory), fix="pass the directory with Cargo.toml"
        )
    asked = directory.resolve()
    slash = Path(asked.anchor)
    try:
        place: Location = anyio.run(workspace.find, OnDisk(slash), asked.relative_to(slash).as_posix())
    except NotACargoProject:
        return Here(asked, asked, "", command.top(asked))
    return Here(asked, slash / place.workspace, place.package, command.top(asked))


def upload(
    here: Here,
    settings: Settings,
    *,
    include_ignored: bool = False,
    whole_repository: bool = False,
    every_package: bool = False,
) -> Upload:
    """Choose the files of a project to upload.

    Args:
        here: the project.
        settings: the merged settings.
        include_ignored: also upload files in .gitignore.
        whole_repository: upload all files, needed or not.
        every_package: the command works on the whole workspace.

    Raises:
        NotACargoProject: there is no manifest.
        InvalidManifest, LockMissing: git ignores a manifest that is needed, or the lock file.
        NotAGitRepository: git cannot read the repository.
    """
    packages.read.cache_clear()
    _check_manifest(here)
    needed, others = _packages(here, settings, every_package)
    configured = _configured(here)
    above = _above(here)
    root = _root(here, [*needed, *others, *above])
    places = [here.workspace, *needed, *others]
    reached, endless = _reached(needed, configured)
    found = _listed(here, root, places) if here.top is not None else None
    if here.top is None:
        reached.add(here.workspace)
    elif endless and found and here.top.is_relative_to(root) and _size(root, found.tracked) < LARGE:
        reached.add(here.top)
    whole = whole_repository and here.top is not None
    include = () if whole else _included(here, root, needed, others, reached)
    if here.top is None:
        found = _listed(here, root, places, include)
    listing = found or Listing()
    if not include_ignored:
        _check_ignored(here, root, listing, needed)
    missing = _missing(listing, include)
    left = {*missing, *listing.modules}
    return Upload(
        root,
        _relative(here.directory, root),
        tuple(map(escaped, include)),
        _excluded(listing, include_ignored),
        gitignore=found is None and not include_ignored,
        missing=tuple(path for path in missing if not path.startswith(_folders(listing.modules))),
        absent=() if whole else _absent(root, listing, missing),
        sent=tuple(path for path in listing.tracked if path not in left),
        others=tuple(_others(listing, include, include_ignored)),
        added=tuple(_added(here, root, listing, include, include_ignored)),
        warnings=tuple(_warnings(here, root, listing, include, reached, include_ignored)),
    )


def _folders(paths: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"{path}/" for path in paths)


def _size(root: Path, paths: Iterable[str]) -> int:
    """Return the size of files in bytes."""
    total = 0
    for path in paths:
        with contextlib.suppress(OSError):
            total += (root / path).lstat().st_size
    return total


def _missing(found: Listing, include: tuple[str, ...]) -> tuple[str, ...]:
    """Return tracked files that are not uploaded."""
    sent = set(_included_files(found, include))
    return tuple(path for path in found.tracked if path not in sent or _NEVER.fullmatch(path))


def _included_files(found: Listing, include: tuple[str, ...]) -> list[str]:
    """Return the tracked files in the included paths; () includes all."""
    chosen, folders = frozenset(include), _folders(include)
    return [path for path in found.tracked if not include or path in chosen or path.startswith(folders)]


def _others(found: Listing, include: tuple[str, ...], include_ignored: bool) -> Iterable[str]:
    """Yield the uploaded paths that git does not track."""
    for path in (*found.untracked, *(found.ignored if include_ignored else ())):
        if _touches(path, include) and not _OUTPUT.fullmatch(path.rstrip("/")):
            yield path


def _added(
    here: Here, root: Path, found: Listing, include: tuple[str, ...], include_ignored: bool
) -> Iterable[str]:
    """Yield the uploaded paths that no clean checkout has; see `Upload.added`."""
    for path in found.ignored if include_ignored else ():
        if _touches(path, include) and _uploaded(root, path.rstrip("/")):
            yield path
    if here.top is not None and root != here.top:
        for path in include or ("",):
            if not (root / path).is_relative_to(here.top):
                yield os.path.relpath(root / path, here.top)


def _uploaded(root: Path, path: str) -> bool:
    """Return True if a file, or a file in a directory, is not left out as the output of a build."""
    if _OUTPUT.fullmatch(path):
        return False
    if not (root / path).is_dir() or (root / path).is_symlink():
        return True
    return any(_uploaded(root, f"{path}/{entry.name}") for entry in (root / path).iterdir())


def _touches(path: str, include: tuple[str, ...]) -> bool:
    """Return True if a path is in an included path, or has one in it; () includes all."""
    return not include or any(_overlap(path, each) for each in include)


def _overlap(path: str, other: str) -> bool:
    """Return True if one path is the other, or in it."""
    one, two = f"{path.rstrip('/')}/", f"{other.rstrip('/')}/"
    return one.startswith(two) or two.startswith(one)


def _absent(root: Path, found: Listing, missing: Iterable[str]) -> tuple[str, ...]:
    """Return the files that a complete checkout has, and the source does not have."""
    sparse = {path for path in found.sparse if not os.path.lexists(root / path)}
    there = {path for path in missing if os.path.lexists(root / path)} - {*found.modules}
    return tuple(sorted(there | sparse))


def commit(here: Here, found: Upload, directory: Path) -> tuple[Path, str]:
    """Make the git directory for build scripts.

    Args:
        here: the project.
        found: the files to upload.
        directory: an empty directory for the git directory.

    Returns:
        The git directory, and the path of its checkout in the uploaded files.

    Raises:
        NotAGitRepository: there is no checkout, or git failed.
    """
    if here.top is None:
        raise NotAGitRepository(
            "--git-metadata needs a git repository",
            where="--git-metadata",
            fix="build in a git checkout, or remove --git-metadata",
        )
    place = _relative(here.top, found.root)
    start = f"{place}/" if place else ""
    missing = [path.removeprefix(start) for path in found.missing if path.startswith(start)]
    minimal.make(here.top, directory / "git", missing)
    return directory / "git", place


def _check_manifest(here: Here) -> None:
    if not (here.workspace / MANIFEST).is_file():
        below = sorted([*here.directory.glob(f"*/{MANIFEST}"), *here.directory.glob(f"*/*/{MANIFEST}")])
        names = [_relative(file.parent, here.directory) for file in below]
        raise NotACargoProject(
            f"there is no {MANIFEST} in this directory or its parents",
            where=str(here.directory),
            fix="pass the directory with Cargo.toml" + (f": {listed(names)}" if names else ""),
        )


def _listed(here: Here, root: Path, places: Iterable[Path], include: tuple[str, ...] = ()) -> Listing | None:
    """List the files with git, for a project in one or several checkouts; return None without git.

    Raises:
        NotAGitRepository: git cannot read the repository.
    """
    tops = sorted({top for place in places if (top := command.top(place)) is not None})
    try:
        if root in tops or not tops:
            return git_files.listing(root, include)
        return git_files.joined(
            git_files.below(git_files.listing(top), _relative(top, root))
            for top in tops
            if top.is_relative_to(root)
        )
    except NotAGitRepository:
        if here.top is not None:
            raise
        return None


def _packages(
    here: Here, settings: Settings, every: bool
) -> tuple[Mapping[Path, packages.PathPackage], Mapping[Path, packages.PathPackage]]:
    """Return the packages to compile, and other packages whose manifests cargo reads."""
    patches = [*packages.patches(here.workspace), *_configured(here)]
    project = packages.closure([here.directory, *packages.members(here.workspace), *patches])
    words = {word.partition("=")[0] for word in settings.cargo_args}
    chosen = settings.package or here.package
    if not chosen and not settings.bin and "workspace" not in (packages.read(here.workspace) or {}):
        chosen = cargo_toml.package(packages.read(here.workspace) or {})
    start = [each.directory for each in project.values() if each.name == chosen]
    if every or not start or words & EVERYTHING:
        return project, {}
    needed = packages.closure([*start, *patches])
    return needed, {path: each for path, each in project.items() if path not in needed}


def _configured(here: Here) -> set[Path]:
    """Return the paths in cargo's configuration: vendored crates and patches."""
    found: set[Path] = set()
    for folder in _inside(here):
        for name in CONFIGURATIONS:
            file = folder / name
            if file.is_file():
                document = cargo_toml.read(file.read_text(errors="replace"))
                named = [base / text for text in _texts(document) for base in (folder, file.parent)]
                found |= {Path(os.path.normpath(path)) for path in named if packages.exists(path)}
    return {path for path in found if path not in (here.directory, *here.directory.parents)}


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        return [value] if value and len(value) < 4096 and "\0" not in value else []
    values = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for each in values for text in _texts(each)]


def _inside(here: Here) -> list[Path]:
    """Return the directory where cargo is run and those above it in the project.

    In a checkout that is its top. Elsewhere cargo's own rule holds, up to the home of the person.
    """
    own = [here.directory, *here.directory.parents]
    if here.top is not None:
        highest = here.workspace if here.top.is_relative_to(here.workspace) else here.top
        return own[: own.index(highest) + 1]
    home = Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo").resolve().parent
    below = own[: own.index(home)] if home in own else own[:-1]
    return below or [here.directory]


def _above(here: Here) -> list[Path]:
    """Return the directories with configuration: the project's and its parents."""
    names = (*CONFIGURATIONS, *TOOLCHAINS)
    return [folder for folder in _inside(here) if any((folder / name).is_file() for name in names)]


def _root(here: Here, places: Iterable[Path]) -> Path:
    """Return the lowest common directory of all paths, at least the checkout."""
    lowest = os.path.commonpath([here.top or here.directory, here.directory, here.workspace, *places])
    return Path(lowest)


def _included(
    here: Here,
    root: Path,
    needed: Mapping[Path, packages.PathPackage],
    others: Mapping[Path, packages.PathPackage],
    reached: Iterable[Path],
) -> tuple[str, ...]:
    """Return the paths that a build reads, relative to the root; () for all."""
    found = set(reached)
    for folder in {up for each in (*needed, *others, here.directory) for up in (each, *each.parents)}:
        if folder.is_relative_to(root):
            found |= {folder / name for name in SEARCHED if (folder / name).exists()}
    found |= {file for each in others.values() for file in each.roots()}
    through = {each for path in found for each in packages.through_links(path)}
    paths = sorted({_relative(path, root) for path in through if path.is_relative_to(root)})
    kept: list[str] = []
    for path in paths:
        if not any(path.startswith(f"{outer}/") for outer in kept):
            kept.append(path)
    return () if "" in paths or "." in paths else tuple(kept)


def _reached(needed: Mapping[Path, packages.PathPackage], more: set[Path]) -> tuple[set[Path], bool]:
    """Return the directories of packages and the paths outside them in their code, recursively."""
    found, endless = {*needed, *more}, False
    ahead: list[Path] = []
    for package in needed.values():
        named, up = packages.beyond(package)
        endless |= up
        ahead += named
    while ahead:
        path = ahead.pop()
        if any(path.is_relative_to(outer) for outer in found):
            continue
        found.add(path)
        if path.suffix == ".rs":
            text = path.read_bytes()
            ahead += packages.named_in(text, [path.parent]) | packages.beside(path, text)
        elif path.is_dir():
            ahead += packages.beyond(packages.PathPackage(path, {}))[0]
    return found, endless


def _excluded(found: Listing, include_ignored: bool) -> tuple[str, ...]:
    """Return exclude patterns that keep every tracked file."""
    regular = {kind: pattern(kind) for kind in IGNORED}
    met = [path for path in found.tracked if _OUTPUT.fullmatch(path)]
    dropped = [
        regular[kind]
        for kind in IGNORED
        if kind not in private.NEVER and any(map(regular[kind].fullmatch, met))
    ]
    loose = (*found.ignored, *found.untracked)
    exact = [path for path in loose if any(each.fullmatch(path.rstrip("/")) for each in dropped)]
    paths = dict.fromkeys((*(() if include_ignored else found.ignored), *exact))
    kinds = [kind for kind in IGNORED if regular[kind] not in dropped]
    return (*kinds, *(escaped(path.rstrip("/")) for path in paths))


def pattern(kind: str) -> re.Pattern[str]:
    """Return a regular expression for a Dagger pattern and everything below its matches."""
    anywhere, rest = ("(?:.*/)?", kind[3:]) if kind.startswith("**/") else ("", kind)
    middle = re.escape(rest).replace(r"\*\*/", "(?:.*/)?").replace(r"\*", "[^/]*")
    return re.compile(f"{anywhere}{middle}(?:/.*)?", re.DOTALL)


_NEVER = re.compile("|".join(pattern(kind).pattern for kind in private.NEVER), re.DOTALL)
_OUTPUT = re.compile("|".join(pattern(kind).pattern for kind in IGNORED), re.DOTALL)


def escaped(path: str) -> str:
    """Return a Dagger pattern that matches only a path.

    Blanks at the ends would be stripped, and `!` at the beginning means the opposite.
    """
    text = re.sub(r"([*?\[\]\\])", r"\\\1", path)
    text = re.sub(r"^[!\s]|\s$", lambda match: f"[{match[0]}]", text)
    return text.replace("[!]", r"\!")


def _check_ignored(here: Here, root: Path, found: Listing, needed: Iterable[Path]) -> None:
    """Check that git does not ignore the lock file or a manifest that cargo needs.

    Raises:
        InvalidManifest, LockMissing: it does.
    """
    what = "is in .gitignore, so a clean checkout does not have it"
    for folder in dict.fromkeys([here.directory, here.workspace, *needed]):
        if _is_ignored(folder / MANIFEST, root, found):
            raise InvalidManifest(
                f"the package {what}",
                where=str(folder / MANIFEST),
                fix="remove it from .gitignore and commit it, or pass --include-ignored",
            )
    if _is_ignored(here.workspace / LOCK, root, found):
        raise LockMissing(
            f"Cargo.lock {what}",
            where=str(here.workspace / LOCK),
            fix="remove Cargo.lock from .gitignore and commit it, or pass --include-ignored",
        )


def _is_ignored(file: Path, root: Path, found: Listing) -> bool:
    """Return True for an existing file below a root that git ignores, itself or with its directory."""
    if not file.is_file() or not file.is_relative_to(root):
        return False
    path = _relative(file, root)
    return any(name in found.ignored for name in (path, *(f"{up}/" for up in _parents(path))))


def _parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts))]


def _warnings(
    here: Here,
    root: Path,
    found: Listing,
    include: tuple[str, ...],
    reached: Iterable[Path],
    include_ignored: bool,
) -> Iterable[str]:
    outside = here.top is not None and root != here.top
    if outside:
        yield f"the project reaches beyond its git repository {here.top}: a clean checkout has less"
    left = [path for path in found.ignored if not _OUTPUT.fullmatch(path.rstrip("/"))]
    if here.top is None and left and not include_ignored:
        yield f"there is no git repository, so .gitignore is applied; not uploaded: {listed(left)}"
    if kept := [path for path in found.tracked if _NEVER.fullmatch(path)]:
        yield f"git tracks private files, which are not uploaded: {listed(kept)}"
    sent = _included_files(found, include)
    sparse, large = {*found.sparse}, {*found.large}
    if lacking := [path for path in sent if path in sparse and not os.path.lexists(root / path)]:
        yield f"packages lack files that the sparse checkout leaves out: {listed(lacking)}; " + (
            "add them with `git sparse-checkout add`"
        )
    if pointers := [path for path in sent if path in large and _is_pointer(root / path)]:
        yield f"files of git-lfs are only pointers: {listed(pointers)}; fetch them with `git lfs pull`"
    if far := sorted(str(path) for path in reached if not path.is_relative_to(root) and path.exists()):
        yield f"links and paths lead out of the source, which the builder does not have: {listed(far)}"


_POINTER = b"version https://git-lfs.github.com/spec/"


def _is_pointer(file: Path) -> bool:
    """Return True if a file has git-lfs's pointer instead of its content (git-lfs, docs/spec.md)."""
    try:
        with file.open("rb") as opened:
            return opened.read(len(_POINTER)) == _POINTER
    except OSError:
        return False


def _relative(path: Path, root: Path) -> str:
    relative = path.relative_to(root).as_posix()
    return "" if relative == "." else relative
