"""Resolve the enabled cargo features (the cargo book, "Features")."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence


def enabled(declared: Mapping[str, Sequence[str]], asked: Iterable[str]) -> frozenset[str]:
    """Return all enabled features: the requested ones, and those that they enable.

    Args:
        declared: a package's features, each with those it enables, as in `cargo metadata`.
        asked: the requested features; `crate/feature` of a dependency is returned unchanged.
    """
    found: set[str] = set()
    waiting = list(asked)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        crate, slash, _ = name.partition("/")
        if not slash:
            waiting += declared.get(name, ())
        elif not crate.endswith("?"):
            # This also enables an optional dependency, unless its name ends with a question mark.
            waiting.append(crate)
    return frozenset(found)
