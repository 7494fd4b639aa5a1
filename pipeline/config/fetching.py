"""Choose what the fetch uses of a project's cargo configuration.

The fetch has credentials. The project's configuration can name programs (`credential-provider`,
`build.rustc`, wrappers), a certificate authority, or another address for a registry, and would get the
credentials. So the fetch uses only settings that decide what is fetched, and a registry with a token is at
the address that the caller gave. Every later command uses the complete configuration.

Source: the cargo book, "Configuration", "Source Replacement" and "Registry Authentication".
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline import cargo_toml
from pipeline.config import workspace
from pipeline.config.credentials import RegistryToken, token_variable
from pipeline.config.project_files import Files
from pipeline.errors import InvalidArgument

ANY = "*"
KEPT: tuple[tuple[str, ...], ...] = (
    ("registries", ANY, "index"),
    ("registries", ANY, "protocol"),
    *(
        ("source", ANY, key)
        for key in (
            "replace-with",
            "registry",
            "local-registry",
            "directory",
            "git",
            "branch",
            "tag",
            "rev",
        )
    ),
    ("net", "retry"),
    ("net", "offline"),
    ("http", "multiplexing"),
    ("http", "timeout"),
    ("http", "low-speed-limit"),
    ("patch",),
    ("unstable",),
)
"""The settings that the fetch uses, with everything below them."""

VARIABLES = re.compile(
    r"RUSTC_BOOTSTRAP|CARGO_UNSTABLE_\w+|CARGO_REGISTRIES_\w+_(?:INDEX|PROTOCOL)|CARGO_NET_(?:RETRY|OFFLINE)"
    r"|CARGO_HTTP_(?:MULTIPLEXING|TIMEOUT|LOW_SPEED_LIMIT)|(?i:https?_proxy|no_proxy|all_proxy)"
)
"""The build arguments that the fetch uses: the same settings, and proxies, which cannot read TLS."""

DEEPEST = 8
"""Levels of files that include each other."""


@dataclass(frozen=True)
class FetchConfiguration:
    """The configuration of a fetch.

    Attributes:
        files: the texts of configuration files by path in the source, instead of the project's.
        given: the texts of files that `--config` names, in order.
        arguments: `-Z` flags and `--config`; the words `FILE` stand for the files in `given`.
    """

    files: Mapping[str, str]
    given: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()


FILE = "\0"
"""A word that stands for the path of a file in `FetchConfiguration.given`."""


def variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that the fetch uses."""
    return {name: value for name, value in environment.items() if VARIABLES.fullmatch(name)}


def kept(document: Mapping[str, Any], tokens: Iterable[RegistryToken] = ()) -> dict[str, Any]:
    """Return the parts of a configuration that the fetch uses.

    Args:
        document: the configuration.
        tokens: the tokens of registries; a project does not choose the addresses of these.
    """
    bound = {token_variable(token.name) for token in tokens}
    return _kept(document, KEPT, bound, ())


def _kept(
    table: Mapping[str, Any], rows: Sequence[tuple[str, ...]], bound: set[str], place: tuple[str, ...]
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in table.items():
        more = [row[1:] for row in rows if row[0] in (name, ANY)]
        if [] in map(list, more):
            if not _is_bound((*place, name), bound):
                found[name] = value
        elif more and isinstance(value, dict):
            below = _kept(value, more, bound, (*place, name))
            if below:
                found[name] = below
    return found


def _is_bound(place: tuple[str, ...], bound: set[str]) -> bool:
    """Return True for the address of a registry with a token, in any spelling of its name."""
    if place[0] != "registries" or place[-1] != "index":
        return False
    return token_variable(place[1]) in bound


async def configuration(
    files: Files, directory: str, everywhere: Sequence[str], tokens: Sequence[RegistryToken] = ()
) -> FetchConfiguration:
    """Return the configuration of a project's fetch.

    Args:
        files: the source.
        directory: the directory in it to run cargo in.
        everywhere: the arguments of every cargo command: `-Z` flags and `--config`.
        tokens: the tokens of registries.

    Raises:
        InvalidArgument: see `check`.
    """
    found = await workspace.texts(files, directory, workspace.CONFIGURATIONS)
    documents = {path: await _included(files, path, text) for path, text in found}
    written = {
        posixpath.join(posixpath.dirname(path), "config.toml"): cargo_toml.write(kept(document, tokens))
        for path, document in documents.items()
    }
    arguments: list[str] = []
    given: list[str] = []
    named: list[Mapping[str, Any]] = []
    document: Mapping[str, Any]
    for word, value in _pairs(everywhere):
        if word != "--config":
            arguments += [word, value] if value else [word]
            continue
        if "=" in value:
            document = cargo_toml.read(value)
            if kept(document, tokens) == document:
                arguments += [word, value]
        else:
            path = posixpath.normpath(posixpath.join(directory, value))
            document = await _included(files, path, await _inside(files, path))
            given.append(cargo_toml.write(kept(document, tokens)))
            arguments += [word, FILE]
        named.append(document)
    for document in (*documents.values(), *named):
        check(document, tokens)
    return FetchConfiguration(written, tuple(given), tuple(arguments))


def check(document: Mapping[str, Any], tokens: Iterable[RegistryToken]) -> None:
    """Check that a project's configuration has the addresses that the caller gave with the tokens.

    Raises:
        InvalidArgument: a registry with a token is at another address.
    """
    by_variable = {token_variable(token.name): token for token in tokens}
    for name in cargo_toml.table(document, "registries"):
        index = cargo_toml.table(document, "registries", name).get("index")
        token = by_variable.get(token_variable(name))
        if token and isinstance(index, str) and index.rstrip("/") != token.index.rstrip("/"):
            raise InvalidArgument(
                f"the project's registry {name} is at {index}, and its token is for {token.index}",
                where=".cargo/config.toml",
                fix="check the project; if the registry is right there, give that address with the token: "
                f"--registry-token {name}@{index}=VARIABLE (with-registry-token in Dagger)",
            )


def _pairs(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield `-Z` flags and `--config`, each with its value."""
    waiting = iter(words)
    for word in waiting:
        name, equals, value = word.partition("=")
        if word in ("-Z", "--config"):
            yield word, next(waiting, "")
        elif name == "--config" and equals:
            yield name, value
        else:
            yield word, ""


async def _inside(files: Files, path: str) -> str:
    """Return the text of a file in the source; empty if it is not there."""
    outside = path.startswith((posixpath.sep, posixpath.pardir))
    return "" if outside else await files.read(path) or ""


async def _included(files: Files, path: str, text: str, depth: int = 0) -> dict[str, Any]:
    """Return a configuration with the files that it includes; its own values take precedence."""
    document = cargo_toml.read(text)
    found: dict[str, Any] = {}
    if depth < DEEPEST:
        for named in _includes(document):
            other = posixpath.normpath(posixpath.join(posixpath.dirname(path), named))
            below = await _included(files, other, await _inside(files, other), depth + 1)
            found = workspace.over(found, below)
    return workspace.over(found, document)


def _includes(document: Mapping[str, Any]) -> list[str]:
    """Return the paths in `include`: a text, or a list of texts and tables."""
    value = document.get("include", [])
    items = value if isinstance(value, list) else [value]
    paths = [item.get("path") if isinstance(item, dict) else item for item in items]
    return [path for path in paths if isinstance(path, str)]
