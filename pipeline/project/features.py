"""Which cargo features are on (the cargo book, "Features")."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence


def enabled(declared: Mapping[str, Sequence[str]], asked: Iterable[str]) -> frozenset[str]:
    """The features that are on: those asked for, and all that these switch on.

    Args:
        declared: a package's features, each with what it switches on, as `cargo metadata` has them.
        asked: names, or `crate/feature` of a dependency, which stands in the answer as it is written.
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
            # An optional dependency is switched on as well, unless a question mark stands behind it.
            waiting.append(crate)
    return frozenset(found)
