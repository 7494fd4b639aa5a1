"""Merge the settings: defaults, then Cargo.toml, then the environment, then options and arguments.

`Settings` lists all settings with their types and defaults. The module's constructor arguments and the
command line's options have the same names. Each value has its origin, so the merged settings show where each
came from.
"""

from __future__ import annotations

import dataclasses
import difflib
import enum
import json
import posixpath
import re
import typing
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline import cargo_toml, releases
from pipeline.concurrent import each
from pipeline.config import compile_cache
from pipeline.config.project_files import AT_ONCE, Files
from pipeline.errors import InvalidSetting
from pipeline.targets import DEFAULT_PLATFORMS, Libc, Strategy

TABLE = "rust-multiarch"

USER = "10001:10001"
"""The default user of the program, as a number, so that clusters can check that it is not root."""

DEFAULT = "default"
"""The origin of default values."""

PREFIX = "RUST_MULTIARCH_"

NO_SETTINGS = ("SOURCE", "INSTALL_FROM", "INCLUDE_IGNORED", "WHOLE_REPOSITORY", "IMAGE_REPOSITORY")
"""Variables with the prefix that are not settings: the module's source in a caller's `.env`, the source of
`install.sh`, options of the command line for its source, and the repository of `resolve`."""


@dataclass(frozen=True)
class Settings:
    """All settings with their defaults; they are documented as constructor arguments of `RustMultiarch`."""

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
    debian: str = releases.DEFAULT.name
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
    volumes: list[str] = field(default_factory=list)
    files_from: str = ""
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
    builder_id: str = ""
    invocation_id: str = ""
    tag_rules: list[str] = field(default_factory=list)
    require_clean: bool = False
    allow_dirty: bool = False
    git_metadata: bool = False
    compile_cache: str = compile_cache.ENGINE
    untrusted: bool = False


NAMES = tuple(each.name for each in dataclasses.fields(Settings))


def _given_type(hint: Any) -> Any:
    """Return the type of a setting's value, without None."""
    others = [each for each in typing.get_args(hint) if each is not type(None)]
    return others[0] if type(None) in typing.get_args(hint) else hint


TYPES: Mapping[str, Any] = {name: _given_type(hint) for name, hint in typing.get_type_hints(Settings).items()}

COMPILED = (
    "platforms", "features", "all_features", "no_default_features", "cargo_profile", "cargo_args",
    "build_args", "rust_version", "debian", "libc", "glibc", "target_packages", "builder_packages",
    "strategy", "build_platform", "git_metadata", "compile_cache",
)  # fmt: skip
"""The settings of the compile, which the packages of one build share; the others are those of each image."""

WORDS = frozenset({"cargo_args", "args", "entrypoint"})
"""Lists of the words of a command line, any of which may be empty."""

BY_LINE = frozenset({"cargo_args", "build_args", "args", "entrypoint", "runtime_env", "labels", "tag_rules"})
"""Lists whose items may contain a comma; in the environment they have one item per line."""

STANDARD = {"SOURCE_DATE_EPOCH": "source_date_epoch"}
"""Variables of other tools, and the setting of each; the prefixed variable takes precedence."""

PAIRS = frozenset({"build_args", "runtime_env", "labels"})
"""Lists of NAME=value, which may be tables in Cargo.toml."""


PORTS = range(1, 1 << 16)


@dataclass(frozen=True)
class Form:
    """The form of the items of some settings: a test, the message for an invalid item, and the fix."""

    settings: frozenset[str]
    valid: Callable[[Any], bool]
    what: str
    fix: str
    error: type[InvalidSetting] = InvalidSetting


FORMS = (
    Form(PAIRS, lambda item: item.find("=") > 0, "{item} is not NAME=value", "write NAME=value"),
    Form(
        frozenset({"ports"}),
        PORTS.__contains__,
        "{item} is not a TCP port",
        f"use a number from {PORTS[0]} to {PORTS[-1]}",
    ),
    Form(
        frozenset({"volumes"}),
        lambda item: posixpath.isabs(item) and posixpath.normpath(item) != posixpath.sep,
        "{item} is not an absolute path below /",
        "write the directory in the image, for example /var/lib/app",
    ),
)


@dataclass(frozen=True)
class Value:
    """A setting's value and its origin."""

    value: Any
    origin: str


Layer = Mapping[str, Value]
"""Values of some settings, by field name of `Settings`."""


@dataclass(frozen=True)
class Merged:
    """The merged settings, and the origin of each (`default` if no layer has it)."""

    settings: Settings
    origins: Mapping[str, str]


def merge(*layers: Layer) -> Merged:
    """Merge layers of settings; later ones take precedence.

    Raises:
        InvalidSetting: an item of a list has not the form in `FORMS`.
    """
    chosen: dict[str, Value] = {}
    for layer in layers:
        chosen |= layer
    for name, value in chosen.items():
        for form in [form for form in FORMS if name in form.settings]:
            for item in value.value:
                if not form.valid(item):
                    raise form.error(form.what.format(item=repr(item)), where=value.origin, fix=form.fix)
    settings = Settings(**{name: each.value for name, each in chosen.items()})
    return Merged(settings, {name: chosen[name].origin if name in chosen else DEFAULT for name in NAMES})


def given(values: Mapping[str, Any], origin: Callable[[str], str]) -> Layer:
    """Return the layer of arguments or options; None means not given.

    Args:
        values: the values by field name; names that are not settings are ignored.
        origin: returns the origin of a field's value.

    Raises:
        InvalidSetting: a text is not a value of an enum.
    """
    present = [name for name in NAMES if values.get(name) is not None]
    return {name: Value(_outright(name, values[name], origin(name)), origin(name)) for name in present}


def _outright(name: str, value: Any, where: str) -> Any:
    kind = TYPES[name]
    enumerated = isinstance(kind, type) and issubclass(kind, enum.Enum)
    return _member(kind, value, where) if enumerated and isinstance(value, str) else value


def disclosed(name: str, value: Any) -> Any:
    """Return a setting's value for plans and provenance: of build arguments, only the names."""
    return [item.partition("=")[0] for item in value] if name == "build_args" else value


SHORT: Mapping[str, str] = {"cargo_profile": "profile", "runtime_env": "env", "files_from": "files"}
"""Shorter names that Cargo.toml, the environment and the command line have for some fields.

Dagger 1.0 has global options `--profile` and `--env`, so the module's arguments cannot have these names; the
argument `files` is a directory, and the setting is its path.
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
    """Return the layer of the environment; empty variables are ignored.

    Lists are comma-separated, or have one item per line if items may contain commas. A JSON list of strings
    may have any items, even empty ones and ones with line breaks.

    Raises:
        InvalidSetting: a variable with the prefix is unknown, a value is invalid, or both names of a setting
            are used.
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


def _parse(name: str, text: str, where: str) -> Any:
    """Parse a setting's value."""
    kind = TYPES[name]
    if typing.get_origin(kind) is not list:
        return _scalar(kind, text, where)
    if text.lstrip().startswith("["):
        return _typed(name, _json(text, where), where)
    return [_scalar(typing.get_args(kind)[0], item, where) for item in _items(name, text)]


def _items(name: str, text: str) -> list[str]:
    """Return the items of a list that is not written as JSON.

    Items on separate lines are unchanged, without the line breaks before the first and after the last one.
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
            f"{text!r} starts like a JSON list and cannot be read as one",
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
    """Return the layer of a `rust-multiarch` table in Cargo.toml.

    Args:
        table: the values by key.
        where: the name of the table, for origins and messages.

    Raises:
        InvalidSetting: a key is unknown, a value has the wrong type, or both names of a setting are used.
    """
    known = {_key(name): field for field in NAMES for name in names(field)}
    layer: dict[str, Value] = {}
    for own, value in table.items():
        if own not in known:
            raise _unknown(own, known, where)
        _only_once(own, known, layer, where)
        name = known[own]
        layer[name] = Value(_typed(name, value, f"{own} in {where}"), where)
        if name == "compile_cache" and value not in (compile_cache.ENGINE, compile_cache.OFF):
            # A pull request could change it, and gets the credentials of the store.
            raise InvalidSetting(
                "a project cannot choose the store of compiled dependencies",
                where=f"{own} in {where}",
                fix=f"write {compile_cache.ENGINE} or {compile_cache.OFF} there, and pass the address with "
                f"{compile_cache.OPTION} or in {variable(name)}",
            )
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


_ELSEWHERE: Mapping[str, str] = {
    "target": "platforms",
    "targets": "platforms",
    "binary": "bin",
    "binaries": "bin",
    "release": "profile",
    "expose": "ports",
    "volume": "volumes",
    "workdir": "working-directory",
    "cmd": "args",
    "command": "args",
    "environment": "env",
    "base": "runtime-base",
    "base-image": "runtime-base",
    "from": "runtime-base",
    "healthcheck": "health-cmd",
    "static": "libc",
    "packages": "runtime-packages",
    "secrets": "with-build-secret in Dagger, or --build-secret on the command line; secrets are no settings",
}
"""Names that docker, cargo and others have for a setting."""


def _unknown(name: str, known: Iterable[str], where: str) -> InvalidSetting:
    prefix = PREFIX if name.startswith(PREFIX) else ""
    plain = name.removeprefix(PREFIX).lower().replace("_", "-")
    if elsewhere := _ELSEWHERE.get(plain):
        closest = _variable(elsewhere.replace("-", "_")) if prefix and " " not in elsewhere else elsewhere
    else:
        closest = difflib.get_close_matches(name, list(known), n=1, cutoff=0)[0]
    return InvalidSetting(f"there is no setting {name!r}", where=where, fix=f"did you mean {closest}?")


def _only_once(name: str, known: Mapping[str, str], layer: Layer, where: str) -> None:
    """Reject a setting that a layer has by both names.

    Raises:
        InvalidSetting: the layer has both.
    """
    if known[name] in layer:
        both = " and ".join(each for each, field in known.items() if field == known[name])
        raise InvalidSetting(f"{both} are the same setting", where=where, fix="keep one of them")


def _one_of(values: Iterable[object]) -> str:
    return "use one of " + ", ".join(map(str, values))


async def from_project(files: Files, package: str = "", bins: Sequence[str] = ()) -> tuple[Layer, ...]:
    """Return the layers of a project's manifests: the workspace's table, then that of the package to build.

    Invalid TOML is ignored, since cargo reports it later with a better message.

    Args:
        files: the project.
        package: the chosen package; empty means the one in the workspace's table, else see `_chosen`.
        bins: the chosen binaries; empty means those in the workspace's table.

    Raises:
        InvalidSetting: see `from_table`, or a virtual workspace has a package's table.
    """
    root = await _manifest(files, "Cargo.toml")
    _check_virtual(root)
    shared = _metadata(root, "workspace", "Cargo.toml")
    defaults = Settings(**{name: shared[name].value for name in ("package", "bin") if name in shared})
    found = await _chosen(files, root, package or defaults.package, listed(bins or defaults.bin))
    return (shared, *(_metadata(manifest, "package", path) for path, manifest in found[:1]))


def _check_virtual(root: Mapping[str, Any]) -> None:
    """Reject a package's table in the manifest of a workspace without a root package.

    Raises:
        InvalidSetting: the manifest has one.
    """
    table = f"package.metadata.{TABLE}"
    if cargo_toml.table(root, *table.split(".")) and "workspace" in root and not cargo_toml.package(root):
        raise InvalidSetting(
            "this workspace has no root package, so a package's settings do not belong here",
            where=f"Cargo.toml [{table}]",
            fix=f"rename the table to [workspace.metadata.{TABLE}] for all members, or move it to the "
            "Cargo.toml of a member",
        )


def listed(items: Iterable[str]) -> tuple[str, ...]:
    """Split items that may be comma-separated, like cargo's lists."""
    return tuple(name for item in items for part in item.split(",") if (name := part.strip()))


async def under(files: Files, outright: Layer) -> tuple[Layer, ...]:
    """Return the layers of a project's manifests for the package and binaries in a layer above them.

    Raises:
        InvalidSetting: see `from_project`.
    """
    package = outright["package"].value if "package" in outright else ""
    return await from_project(files, package, outright["bin"].value if "bin" in outright else ())


async def crates_of(files: Files, settings: Settings) -> tuple[str, ...]:
    """Return the name of the package to build, and its directory if it is not the root package.

    () if the package is unknown or several could be meant.
    """
    root = await _manifest(files, "Cargo.toml")
    found = await _chosen(files, root, settings.package, listed(settings.bin))
    if not found:
        return ()
    path, manifest = found[0]
    return tuple(filter(None, (cargo_toml.package(manifest), posixpath.dirname(path))))


async def packages(files: Files) -> list[str]:
    """Return the names of a workspace's packages."""
    root = await _manifest(files, "Cargo.toml")
    members = [cargo_toml.package(member) async for _, member in _members(files, root)]
    return [name for name in (cargo_toml.package(root), *members) if name]


@dataclass(frozen=True)
class Member:
    """A package of a workspace: its name, the names of its binaries, and its `default-run`."""

    package: str
    binaries: frozenset[str] = frozenset()
    default_run: str = ""


async def members(files: Files) -> list[Member]:
    """Return a workspace's packages with their binaries."""
    root = await _manifest(files, "Cargo.toml")
    every = [("Cargo.toml", root), *[member async for member in _members(files, root)]]
    return [
        Member(
            cargo_toml.package(manifest),
            frozenset(await _binaries(files, path, manifest)),
            str(cargo_toml.table(manifest, "package").get("default-run", "")),
        )
        for path, manifest in every
        if cargo_toml.package(manifest)
    ]


async def _chosen(
    files: Files, root: dict[str, Any], package: str, bins: Sequence[str]
) -> list[tuple[str, dict[str, Any]]]:
    """Return path and content of the manifest of the package to build; [] if it is unknown or ambiguous.

    It is the chosen package, else the package of the first chosen binary, which is the image's entrypoint,
    else the root package, else the only member with binaries or with a default one.
    """
    name = cargo_toml.package(root)
    own = [("Cargo.toml", root)] if cargo_toml.table(root, "package") else []
    if own and (package.partition("@")[0] == name or not (package or bins)):
        return own
    every = [*own, *[member async for member in _members(files, root)]]
    if package:
        return [one for one in every if cargo_toml.package(one[1]) == package.partition("@")[0]][:1]

    if every == own:
        return own

    async def binaries_of(member: tuple[str, dict[str, Any]]) -> set[str]:
        return await _binaries(files, *member)

    binaries = await each(every, binaries_of, AT_ONCE)
    if bins:
        found = [one for one, names in zip(every, binaries, strict=True) if bins[0] in names]
        return found if len(found) == 1 else []
    defaults = await _defaults(files, root)
    found = [
        one
        for one, names in zip(every, binaries, strict=True)
        if names and (defaults is None or one[0] in defaults)
    ]
    running = [one for one in found if "default-run" in cargo_toml.table(one[1], "package")]
    return next((some for some in (found, running) if len(some) == 1), [])


async def _defaults(files: Files, root: Mapping[str, Any]) -> set[str] | None:
    """Return the manifests of the members that cargo builds without a choice; None for all."""
    patterns = cargo_toml.strings(cargo_toml.table(root, "workspace"), "default-members")
    found = [await files.glob(f"{posixpath.normpath(pattern)}/Cargo.toml") for pattern in patterns]
    return {path for paths in found for path in paths} if patterns else None


async def _binaries(files: Files, path: str, manifest: Mapping[str, Any]) -> set[str]:
    """Return the names of a package's binaries, as cargo finds them.

    Source: the cargo book, "Cargo Targets": "Target auto-discovery".
    """
    tables = manifest.get("bin")
    names = (
        {one.get("name") for one in tables if isinstance(one, dict)} if isinstance(tables, list) else set()
    )
    found = {name for name in names if isinstance(name, str)}
    if cargo_toml.table(manifest, "package").get("autobins") is False:
        return found
    folder = posixpath.dirname(path)
    if await files.glob(posixpath.join(folder, "src/main.rs")):
        found.add(cargo_toml.package(manifest))
    for place in await files.glob(posixpath.join(folder, "src/bin/*.rs")):
        found.add(posixpath.basename(place).removesuffix(".rs"))
    for place in await files.glob(posixpath.join(folder, "src/bin/*/main.rs")):
        found.add(posixpath.basename(posixpath.dirname(place)))
    return found


async def _members(files: Files, root: dict[str, Any]) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """Yield path and content of the members' manifests: by the workspace's patterns, then path dependencies.

    Source: the cargo book, "Workspaces": "All path dependencies residing in the workspace directory
    automatically become members". Directories outside the project are ignored.
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
    layer = dict(
        from_table(
            cargo_toml.table(document, section, "metadata", TABLE), f"{path} [{section}.metadata.{TABLE}]"
        )
    )
    # Relative to the manifest; all layers have it relative to the workspace.
    if files := layer.get("files_from"):
        place = posixpath.normpath(posixpath.join(posixpath.dirname(path), files.value))
        layer["files_from"] = Value(place, files.origin)
    return layer
