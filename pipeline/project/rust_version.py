"""Find the packages whose `rust-version` (the cargo book) is newer than the builder's Rust."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

COMMAND = ("cargo", "metadata", "--locked", "--format-version", "1")
"""The command whose output has each package's `rust-version`."""

IGNORE = "--ignore-rust-version"
"""The argument with which cargo ignores `rust-version`."""

_PACKAGE = re.compile(r'"name":"([^"]*)","version":"([^"]*)"')
_DECLARED = re.compile(r'"rust_version":"([\d.]+)"')


@dataclass(frozen=True)
class Declared:
    """A package with a `rust-version`."""

    name: str
    version: str
    rust: str


def read(output: str) -> tuple[str, tuple[Declared, ...]]:
    """Parse the output of preflight.sh: the compiler's version, and the packages with a `rust-version`."""
    compiler = re.search(r"^rustc (\d+(?:\.\d+)*)", output, re.MULTILINE)
    found, package = [], ("", "")
    for line in output.splitlines():
        if named := _PACKAGE.match(line):
            package = named[1], named[2]
        elif declared := _DECLARED.match(line):
            found.append(Declared(*package, declared[1]))
    return compiler[1] if compiler else "", tuple(found)


def too_new(
    declared: Iterable[Declared], compiler: str, crates: Iterable[tuple[str, str]]
) -> tuple[Declared, ...]:
    """Return the packages that need a newer Rust, sorted by it, newest first.

    Args:
        declared: the packages with a `rust-version`.
        compiler: the compiler's version, for example 1.96.0; empty if unknown.
        crates: the crates to build, by name and version.
    """
    built = set(crates)
    newer = [
        each
        for each in declared
        if compiler and (each.name, each.version) in built and numbers(each.rust) > numbers(compiler)
    ]
    return tuple(sorted(newer, key=lambda each: numbers(each.rust), reverse=True))


def numbers(version: str) -> tuple[int, int, int]:
    """Return a version as numbers; omitted parts are zero."""
    major, minor, patch, *_ = [*map(int, version.split(".")), 0, 0]
    return major, minor, patch
