"""Find the packages whose `rust-version` (the cargo book) is newer than the builder's Rust."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

SHOW = r"""
rustc --version
cargo metadata --locked --format-version 1 "$@" >/tmp/metadata.json
grep -oE '"name":"[^"]*","version":"[^"]*","id":|"rust_version":"[^"]*"' /tmp/metadata.json || :
"""
"""Shell lines that print the compiler's version, then of each package its name and, where it declares one,
its `rust-version`; the arguments go to cargo. All of the metadata would be megabytes."""

IGNORE = "--ignore-rust-version"
"""The argument with which cargo takes no notice of any."""

_PACKAGE = re.compile(r'"name":"([^"]*)","version":"([^"]*)"')
_DECLARED = re.compile(r'"rust_version":"([\d.]+)"')


@dataclass(frozen=True)
class Declared:
    """A package that declares the Rust it needs."""

    name: str
    version: str
    rust: str


def read(output: str) -> tuple[str, tuple[Declared, ...]]:
    """Return what `SHOW` printed: the compiler's version, and the packages that declare one."""
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
    """Return the packages that need a newer Rust, those that need the newest first.

    Args:
        declared: the packages that declare a version.
        compiler: the version there is, for example 1.96.0; empty if it is not known.
        crates: what is really built, by name and version.
    """
    built = set(crates)
    newer = [
        each
        for each in declared
        if compiler and (each.name, each.version) in built and numbers(each.rust) > numbers(compiler)
    ]
    return tuple(sorted(newer, key=lambda each: numbers(each.rust), reverse=True))


def numbers(version: str) -> tuple[int, int, int]:
    """Return a version as numbers; the parts that are left out are zero."""
    major, minor, patch, *_ = [*map(int, version.split(".")), 0, 0]
    return major, minor, patch
