"""Find and replace image references in YAML files: `rust-multiarch://NAME`, NAME a package or a binary.

`rust-multiarch://NAME#digest` is a part of the address, for charts with a value for each.

Only the text of a reference is replaced, so comments, order and every other byte stay. YAML is parsed into
events with positions, since an equal text in a comment is no reference.
"""

from __future__ import annotations

import functools
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import InvalidArgument, MalformedYaml

SCHEME = "rust-multiarch://"
"""The start of a reference."""

STDIN = "-"
"""The path of standard input."""

SUFFIXES = (".yaml", ".yml", ".json")
"""The suffixes of the files of a directory that are read; JSON is YAML."""

_REFERENCE = re.compile(re.escape(SCHEME) + r"""([^\s"'`,;(){}\[\]<>]*)""")


@dataclass(frozen=True)
class Reference:
    """A reference: the text after `rust-multiarch://`, and the line of its scalar."""

    name: str
    file: str
    line: int

    @property
    def program(self) -> str:
        """Return the name of the package or binary."""
        return self.name.partition("#")[0]

    @property
    def part(self) -> str:
        """Return the part of the address that is meant, after a `#`; "" means the whole address."""
        return self.name.partition("#")[2]

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Replacement:
    """A part of a text, and what replaces it for given images; see `replaced`."""

    start: int
    end: int
    text: Callable[[Mapping[str, str]], str]


@dataclass(frozen=True)
class YamlFile:
    """A YAML file with its references.

    Attributes:
        name: its path, for messages.
        text: its content.
        references: the references in it.
        replacements: the parts of the text to replace, in order.
        separator: what must be between the document before it in a stream and this file.
    """

    name: str
    text: str
    references: tuple[Reference, ...] = ()
    replacements: tuple[Replacement, ...] = ()
    separator: str = "---\n"


def paths(given: Iterable[str], recursive: bool = False) -> list[str]:
    """Return the files of the given paths: a directory means the YAML and JSON files in it, sorted.

    Args:
        given: paths of files and directories, or `-` for standard input.
        recursive: also return the files of directories in directories.

    Raises:
        InvalidArgument: a path does not exist, or standard input is given twice.
    """
    found: list[str] = []
    for path in given:
        if path == STDIN and STDIN in found:
            raise InvalidArgument(
                "standard input is given twice", where="--file", fix="pass --file - only once"
            )
        if path != STDIN and not Path(path).exists():
            raise InvalidArgument(
                f"this file does not exist: {path}",
                where="--file",
                fix="pass a YAML file, a directory, or - for standard input",
            )
        found += _below(Path(path), recursive) if path != STDIN and Path(path).is_dir() else [path]
    return list(dict.fromkeys(found))


def _below(folder: Path, recursive: bool) -> list[str]:
    every = sorted(folder.rglob("*") if recursive else folder.iterdir())
    return [str(path) for path in every if path.suffix in SUFFIXES and path.is_file()]


def read(path: str) -> YamlFile:
    """Read a file, or standard input.

    Raises:
        MalformedYaml: see `parse`, or the file is not in UTF-8.
    """
    content = sys.stdin.buffer.read() if path == STDIN else Path(path).read_bytes()
    name = "standard input" if path == STDIN else path
    try:
        return parse(name, content.decode())
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _malformed("it is not in UTF-8", f"{name}:{line}") from None


def parse(name: str, text: str) -> YamlFile:
    """Find the references in a YAML text.

    Raises:
        MalformedYaml: the text is not YAML.
    """
    # Imported here, since it takes longer to load than the rest of the command line.
    from ruamel.yaml.error import MarkedYAMLError, YAMLError
    from ruamel.yaml.events import DocumentStartEvent, ScalarEvent

    references: list[Reference] = []
    replacements: list[Replacement] = []
    separator = None
    try:
        for event in _events(text):
            if isinstance(event, DocumentStartEvent) and separator is None:
                separator = "...\n" if event.version else "" if event.explicit else "---\n"
            if isinstance(event, ScalarEvent) and SCHEME in event.value:
                line = text.count("\n", 0, event.start_mark.index) + 1
                names = _REFERENCE.findall(event.value)
                references += [Reference(name_, name, line) for name_ in names]
                replacements += _replacements(text, event, names)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        raise _malformed(error.problem or str(error.context), where) from None
    except YAMLError as error:  # a character that YAML does not allow
        line = text.count("\n", 0, getattr(error, "position", 0)) + 1
        raise _malformed(str(error).splitlines()[0], f"{name}:{line}") from None
    return YamlFile(name, text, tuple(references), tuple(replacements), separator or "")


def _events(text: str) -> Iterator[Any]:
    from ruamel.yaml import YAML

    yield from YAML(typ="safe", pure=True).parse(text)


def _malformed(why: str, where: str) -> MalformedYaml:
    return MalformedYaml(
        f"this is not YAML: {why}",
        where=where,
        fix="correct the file; render templates first: helm template . | rust-multiarch resolve --file -",
    )


def _replacements(text: str, event: Any, names: Sequence[str]) -> Iterator[Replacement]:
    """Yield the replacements for the references of a scalar."""
    start, end = event.start_mark.index, event.end_mark.index
    written = list(_REFERENCE.finditer(text, start, end))
    # After a block scalar there may be comments up to its end mark, never before its text.
    if [match[1] for match in written[: len(names)]] == list(names):
        for match in written[: len(names)]:
            yield Replacement(match.start(), match.end(), functools.partial(_address, match))
        return
    # Escapes in quotes, as in "rust-multiarch:\/\/app": the whole scalar is written anew.
    quote = text.index(event.style, start)
    yield Replacement(quote, end, lambda images: json.dumps(_value(event.value, images)))


def _value(value: str, images: Mapping[str, str]) -> str:
    return _REFERENCE.sub(lambda match: _address(match, images), value)


def _address(match: re.Match[str], images: Mapping[str, str]) -> str:
    """Return the address for a reference; a reference without one is unchanged."""
    return images.get(match[1], match[0])


PARTS = ("registry", "repository", "name", "digest")


def part(address: str, wanted: str) -> str:
    """Return a part of an address: `registry/repository` is the name, and `name@digest` the whole address."""
    name, _, digest = address.partition("@")
    registry, _, repository = name.partition("/")
    parts = {"": address, "registry": registry, "repository": repository, "name": name, "digest": digest}
    return parts[wanted]


def replaced(file: YamlFile, images: Mapping[str, str]) -> str:
    """Return the text with each reference replaced.

    Args:
        file: the file.
        images: the address of the image or a part of it, by the text in a reference.
    """
    parts, end = [], 0
    for one in file.replacements:
        parts += [file.text[end : one.start], one.text(images)]
        end = one.end
    return "".join([*parts, file.text[end:]])


def stream(files: Sequence[YamlFile], images: Mapping[str, str]) -> str:
    """Return all files with their references replaced, as one stream of YAML documents."""
    made = ""
    for file in files:
        if made and not made.endswith("\n"):
            made += "\n"
        made += (file.separator if made else "") + replaced(file, images)
    return made
