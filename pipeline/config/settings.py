"""The project's settings: defaults, then Cargo.toml, then the environment, then what was given outright.

`Settings` is the one list of settings, with their types and defaults; the module's constructor arguments and
the command line's options are the same names. Each layer says where its values came from, so the merged
settings can say it of every field.
"""

from __future__ import annotations

import dataclasses
import difflib
import enum
import json
import posixpath
import re
import typing
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import anyio
import dagger

from pipeline import cargo_toml
from pipeline.errors import InvalidSetting
from pipeline.targets import DEFAULT_PLATFORMS, Libc, Strategy

TABLE = "rust-multiarch"

USER = "10001:10001"
"""The user that the program runs as by default, as a number: clusters see then that it is not root."""

DEFAULT = "default"
"""The origin of what nothing sets."""

PREFIX = "RUST_MULTIARCH_"

NO_SETTINGS = ("SOURCE", "INSTALL_FROM", "INCLUDE_IGNORED", "WHOLE_REPOSITORY")
"""Variables with our prefix that are not settings: the module's source in a caller's `.env`, the place that
`install.sh` installs from, and options of the command about its source."""


@dataclass(frozen=True)
class Settings:
    """Everything that can be set, with the value it has where nothing sets it.

    What each means stands beside the constructor arguments of `RustMultiarch`.
    """

    platforms: list[str] = field(default_factory=lambda: list(DEFAULT_PLATFORMS))
    package: str = ""
    bin: list[str] = field(default_factory=list)
    features: list[str] = field(default_factory=list)
    all_features: bool = False
    no_default_features: bool = False
    cargo_profile: str = "release"
    cargo_args: list[str] = field(default_factory=list)
    build_args: list[str] = field(default_factory=list)
    rust_version: str = ""
    libc: Libc = Libc.GNU
    glibc: str = ""
    target_packages: list[str] = field(default_factory=list)
    builder_packages: list[str] = field(default_factory=list)
    strategy: Strategy = Strategy.CROSS
    build_platform: str = ""
    runtime_base: str = ""
    runtime_packages: list[str] = field(default_factory=list)
    user: str = USER
    ports: list[int] = field(default_factory=list)
    working_directory: str = ""
    entrypoint: list[str] = field(default_factory=list)
    args: list[str] = field(default_factory=list)
    runtime_env: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    health_cmd: str = ""
    health_interval: str = ""
    health_timeout: str = ""
    health_start_period: str = ""
    health_start_interval: str = ""
    health_retries: int = 0
    no_healthcheck: bool = False
    stop_signal: str = ""
    index: bool = False
    source_date_epoch: int | None = None
    ref: str = ""
    tag_rules: list[str] = field(default_factory=list)
    require_clean: bool = False
    allow_dirty: bool = False
    git_metadata: bool = False


NAMES = tuple(each.name for each in dataclasses.fields(Settings))


def _given_type(hint: Any) -> Any:
    """Return the type of a value that is given, of a setting that may be left out."""
    others = [each for each in typing.get_args(hint) if each is not type(None)]
    return others[0] if type(None) in typing.get_args(hint) else hint


TYPES: Mapping[str, Any] = {name: _given_type(hint) for name, hint in typing.get_type_hints(Settings).items()}

WORDS = frozenset({"cargo_args", "args", "entrypoint"})
"""Lists of the words of a command line, any of which may be empty."""

BY_LINE = frozenset({"cargo_args", "build_args", "args", "entrypoint", "runtime_env", "labels", "tag_rules"})
"""Lists whose items may hold a comma, so that in the environment each item has a line of its own."""

STANDARD = {"SOURCE_DATE_EPOCH": "source_date_epoch"}
"""Variables that other tools read too, and the setting each is, where our own variable does not set it."""

PAIRS = frozenset({"build_args", "runtime_env", "labels"})
"""Lists of NAME=value, which in Cargo.toml may be written as a table."""


@dataclass(frozen=True)
class Value:
    """A setting's value and where it came from."""

    value: Any
    origin: str


Layer = Mapping[str, Value]
"""Values of some settings, by their names as fields of `Settings`."""


@dataclass(frozen=True)
class Merged:
    """The settings of all layers, and where each came from (`default` for those that no layer has)."""

    settings: Settings
    origins: Mapping[str, str]


def merge(*layers: Layer) -> Merged:
    """One set of settings from several layers, the later ones over the earlier."""
    chosen: dict[str, Value] = {}
    for layer in layers:
        chosen |= layer
    settings = Settings(**{name: each.value for name, each in chosen.items()})
    return Merged(settings, {name: chosen[name].origin if name in chosen else DEFAULT for name in NAMES})


def given(values: Mapping[str, Any], origin: Callable[[str], str]) -> Layer:
    """The layer of arguments or options; those that are None were not given.

    Args:
        values: by field name; names that are no settings are passed over.
        origin: what to call the place a field's value came from.

    Raises:
        InvalidSetting: text that is no value of an enum.
    """
    present = [name for name in NAMES if values.get(name) is not None]
    return {name: Value(_outright(name, values[name], origin(name)), origin(name)) for name in present}


def _outright(name: str, value: Any, where: str) -> Any:
    kind = TYPES[name]
    enumerated = isinstance(kind, type) and issubclass(kind, enum.Enum)
    return _member(kind, value, where) if enumerated and isinstance(value, str) else value


def disclosed(name: str, value: Any) -> Any:
    """Return a setting as plans and provenance show it: of build arguments the names alone."""
    return [item.partition("=")[0] for item in value] if name == "build_args" else value


SHORT: Mapping[str, str] = {"cargo_profile": "profile", "runtime_env": "env"}
"""Shorter names that Cargo.toml, the environment and the command line have for some fields.

Dagger 1.0 has global options `--profile` and `--env`, so the module's arguments cannot have these names.
"""


def names(field: str) -> tuple[str, ...]:
    """Return the names of a field, the usual one first."""
    return tuple(dict.fromkeys((SHORT.get(field, field), field)))


def key(field: str) -> str:
    """Return a field's usual name in Cargo.toml: `runtime_base` is `runtime-base`."""
    return _key(names(field)[0])


def variable(field: str) -> str:
    """Return a field's usual name in the environment: `runtime_base` is `RUST_MULTIARCH_RUNTIME_BASE`."""
    return _variable(names(field)[0])


def _key(name: str) -> str:
    return name.replace("_", "-")


def _variable(name: str) -> str:
    return PREFIX + name.upper()


def from_environment(environ: Mapping[str, str]) -> Layer:
    """The layer of the environment; a variable that is empty sets nothing.

    Lists are comma-separated, or one item a line for those whose items may hold commas. A JSON list of
    strings says any items as they are: empty ones, and ones with line breaks.

    Raises:
        InvalidSetting: a variable with our prefix that no setting has, a value of the wrong form, or both
            names of a setting.
    """
    layer: dict[str, Value] = {}
    known = {_variable(name): field for field in NAMES for name in names(field)}
    for name, text in environ.items():
        if not name.startswith(PREFIX) or name.removeprefix(PREFIX) in NO_SETTINGS:
            continue
        if name not in known:
            raise _unknown(name, known, "the environment")
        if text:
            _only_once(name, known, layer, "the environment")
            value = _parse(known[name], text, name)
            layer[known[name]] = Value(value, f"environment {name}")
    for standard, name in STANDARD.items():
        if name not in layer and (given := environ.get(standard)):
            layer[name] = Value(_parse(name, given, standard), f"environment {standard}")
    return layer


def to_environment(settings: Settings) -> dict[str, str]:
    """The variables that `from_environment` reads as these settings; what is empty is left out."""
    found = {name: _text(name, getattr(settings, name)) for name in NAMES}
    return {variable(name): text for name, text in found.items() if text}


def _text(name: str, value: Any) -> str:
    if isinstance(value, list):
        plain = _separator(name).join(map(str, value))
        same = plain and not plain.lstrip().startswith("[") and _items(name, plain) == list(map(str, value))
        return plain if same else json.dumps(value)
    if value is None:
        return ""
    if isinstance(value, enum.Enum):
        return str(value.value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _parse(name: str, text: str, where: str) -> Any:
    """A setting's value out of text."""
    kind = TYPES[name]
    if typing.get_origin(kind) is not list:
        return _scalar(kind, text, where)
    if text.lstrip().startswith("["):
        return _typed(name, _json(text, where), where)
    return [_scalar(typing.get_args(kind)[0], item, where) for item in _items(name, text)]


def _separator(name: str) -> str:
    return "\n" if name in BY_LINE else ","


def _items(name: str, text: str) -> list[str]:
    """Return the items of a list that is not written as JSON.

    Items on lines of their own are kept as they are, without the line breaks before the first and after the
    last one.
    Blank lines are items only of command lines, since nothing else has items that may be blank.
    """
    if name not in BY_LINE:
        return [item.strip() for item in text.split(",") if item.strip()]
    lines = [line.removesuffix("\r") for line in text.strip("\r\n").split("\n")]
    return lines if name in WORDS else [line for line in lines if line.strip()]


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidSetting(
            f"{text!r} starts like a JSON list and is none",
            where=where,
            fix='write it as ["first", "second"]',
        ) from None


_WORDS = dict.fromkeys(("1", "true", "yes", "on"), True) | dict.fromkeys(("0", "false", "no", "off"), False)


def _scalar(kind: Any, text: str, where: str) -> Any:
    if kind is str:
        return text
    if kind is bool and text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if kind is int and re.fullmatch(r"\s*-?[0-9]{1,18}\s*", text):
        return int(text)
    if kind in (bool, int):
        raise _malformed(text, kind, where)
    return _member(kind, text, where)


def _member(kind: type[enum.Enum], text: object, where: str) -> enum.Enum:
    values = {member.value: member for member in kind}
    if not isinstance(text, str) or text not in values:
        raise InvalidSetting(f"{text!r} is not one of its values", where=where, fix=_one_of(values))
    return values[text]


def from_table(table: Mapping[str, Any], where: str) -> Layer:
    """The layer of a `rust-multiarch` table of Cargo.toml.

    Args:
        table: keys as `key` spells them.
        where: what to call the table.

    Raises:
        InvalidSetting: a key that no setting has, a value of another type, or both names of a setting.
    """
    known = {_key(name): field for field in NAMES for name in names(field)}
    layer: dict[str, Value] = {}
    for each, value in table.items():
        if each not in known:
            raise _unknown(each, known, where)
        _only_once(each, known, layer, where)
        name = known[each]
        layer[name] = Value(_typed(name, value, f"{each} in {where}"), where)
    return layer


def _typed(name: str, value: Any, where: str) -> Any:
    kind = TYPES[name]
    if name in PAIRS and isinstance(value, dict) and all(isinstance(v, str) for v in value.values()):
        return [f"{left}={right}" for left, right in value.items()]
    if typing.get_origin(kind) is list:
        item = typing.get_args(kind)[0]
        if isinstance(value, list) and all(type(each) is item for each in value):
            return value
    elif isinstance(kind, type) and issubclass(kind, enum.Enum):
        return _member(kind, value, where)
    elif type(value) is kind:  # not isinstance: a bool is an int
        return value
    raise _malformed(value, kind, where)


def _malformed(value: object, kind: Any, where: str) -> InvalidSetting:
    names = {str: "a string", bool: "true or false", int: "a whole number"}
    plural = {str: "a list of strings", int: "a list of whole numbers"}
    arguments = typing.get_args(kind)
    wanted = plural[arguments[0]] if arguments else names[kind]
    return InvalidSetting(f"{value!r} is not {wanted}", where=where, fix=f"write {wanted}")


def _unknown(name: str, known: Iterable[str], where: str) -> InvalidSetting:
    closest = difflib.get_close_matches(name, list(known), n=1, cutoff=0)[0]
    return InvalidSetting(f"there is no setting {name!r}", where=where, fix=f"did you mean {closest}?")


def _only_once(name: str, known: Mapping[str, str], layer: Layer, where: str) -> None:
    """Refuse a setting that one layer has by both of its names.

    Raises:
        InvalidSetting: it does.
    """
    if known[name] in layer:
        both = " and ".join(each for each, field in known.items() if field == known[name])
        raise InvalidSetting(f"{both} are the same setting", where=where, fix="keep one of them")


def _one_of(values: Iterable[object]) -> str:
    return "use one of " + ", ".join(map(str, values))


class Files(Protocol):
    """The files of a project, wherever they are."""

    async def read(self, path: str) -> str | None:
        """A file's text; None if there is no such file."""
        ...

    async def glob(self, pattern: str) -> list[str]:
        """The paths that match a pattern."""
        ...


@dataclass(frozen=True)
class OnDisk:
    """A project on this machine."""

    root: Path

    async def read(self, path: str) -> str | None:
        """A file's text; None if there is no such file."""
        file = anyio.Path(self.root / path)
        return await file.read_text(errors="replace") if await file.is_file() else None

    async def glob(self, pattern: str) -> list[str]:
        """The paths that match a pattern; none for what is no pattern."""
        root = anyio.Path(self.root)
        try:
            return sorted([str(path.relative_to(root)) async for path in root.glob(pattern)])
        except (ValueError, NotImplementedError, OSError):
            return []


@dataclass(frozen=True)
class InEngine:
    """A project that the engine holds."""

    root: dagger.Directory

    async def read(self, path: str) -> str | None:
        """A file's text; None if there is no such file."""
        return await self.root.file(path).contents() if await self.root.exists(path) else None

    async def glob(self, pattern: str) -> list[str]:
        """The paths that match a pattern."""
        return sorted(await self.root.glob(pattern))


async def from_project(files: Files, package: str = "") -> tuple[Layer, ...]:
    """The layers of a project's manifests: the workspace's table, then the chosen package's own.

    A manifest that is no TOML has no settings: cargo explains it better than we could.

    Args:
        files: the project.
        package: the package that was chosen outright; empty leaves it to the workspace's table.

    Raises:
        InvalidSetting: see `from_table`.
    """
    root = await _manifest(files, "Cargo.toml")
    shared = _metadata(root, "workspace", "Cargo.toml")
    chosen = package or (shared["package"].value if "package" in shared else "")
    if not chosen or cargo_toml.package(root) == chosen:
        return shared, _metadata(root, "package", "Cargo.toml")
    async for path, member in _members(files, root):
        if cargo_toml.package(member) == chosen:
            return shared, _metadata(member, "package", path)
    return (shared,)


async def crates_of(files: Files, settings: Settings) -> tuple[str, ...]:
    """Return the name of the package that is built, and its directory where that is not the project's own.

    Without a choice it is the root package, else the only member that has binaries; empty where several have.
    """
    root = await _manifest(files, "Cargo.toml")
    name = cargo_toml.package(root)
    if name and settings.package in ("", name):
        return (name,)
    found = []
    async for path, member in _members(files, root):
        folder, member_name = posixpath.dirname(path), cargo_toml.package(member)
        if settings.package == member_name or (
            not settings.package and await _has_binary(files, folder, member)
        ):
            found.append((member_name, folder))
    return found[0] if len(found) == 1 else ()


async def _has_binary(files: Files, folder: str, manifest: dict[str, Any]) -> bool:
    code = (f"{folder}/src/main.rs", f"{folder}/src/bin/*")
    return "bin" in manifest or any([await files.glob(pattern) for pattern in code])


async def _members(files: Files, root: dict[str, Any]) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """Path and content of the members' manifests: those of the workspace's patterns, then path dependencies.

    Source: the cargo book, "Workspaces": "All path dependencies residing in the workspace directory
    automatically become members". What lies outside of the project is not looked at.
    """
    seen = {"."}
    members = cargo_toml.strings(cargo_toml.table(root, "workspace"), "members")
    ahead = [*members, *cargo_toml.neighbours(root)]
    while ahead:
        pattern = posixpath.normpath(ahead.pop(0))
        if pattern in seen or pattern.startswith((posixpath.sep, posixpath.pardir)):
            continue
        seen.add(pattern)
        for path in await files.glob(f"{pattern}/Cargo.toml"):
            member, folder = await _manifest(files, path), posixpath.dirname(path)
            ahead += [posixpath.join(folder, neighbour) for neighbour in cargo_toml.neighbours(member)]
            yield path, member


async def _manifest(files: Files, path: str) -> dict[str, Any]:
    return cargo_toml.read(await files.read(path) or "")


def _metadata(document: Mapping[str, Any], section: str, path: str) -> Layer:
    return from_table(
        cargo_toml.table(document, section, "metadata", TABLE), f"{path} [{section}.metadata.{TABLE}]"
    )
