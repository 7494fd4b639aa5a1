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


def asked(
    package: str,
    declared: Iterable[str],
    chosen: Iterable[str],
    all_features: bool = False,
    no_default_features: bool = False,
) -> list[str]:
    """The features that a command line asks of one package.

    Args:
        package: its name; `package/feature` means it alone.
        declared: the features it has.
        chosen: the values of `--features`.
        all_features: `--all-features`.
        no_default_features: `--no-default-features`.
    """
    names = [name.removeprefix(f"{package}/") for name in chosen]
    names += declared if all_features else []
    return names + ([] if no_default_features else ["default"])
