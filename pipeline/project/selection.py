"""Select the binaries to build, and write the cargo command that builds them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pipeline.config.request import Choice
from pipeline.errors import (
    BinaryNotChosen,
    NoBinary,
    UnknownBinary,
    UnknownFeature,
    UnknownPackage,
)
from pipeline.project.metadata import Binary, Package, Project, specification


def choose(project: Project, choice: Choice) -> tuple[Binary, ...]:
    """Return the chosen binaries; without a choice, the one that `cargo run` would run.

    Raises:
        UnknownPackage, UnknownBinary, UnknownFeature: the project has no such name; the message lists the
            valid ones.
        NoBinary: the packages are libraries, or a binary needs features that are not enabled.
        BinaryNotChosen: there are several binaries and none is chosen, or two with the same name; the message
            lists them.
    """
    chosen, packages = named(project, choice), _selected(project, choice)
    lacking = {binary: names for package in packages for binary, names in _lacking(package, choice).items()}
    for binary in chosen:
        if lacking[binary]:
            raise _needing(binary, lacking[binary])
    if chosen:
        return chosen
    if not lacking:
        raise NoBinary(
            "there is no binary to build, only libraries: " + ", ".join(p.name for p in packages),
            where="Cargo.toml",
            fix="add src/main.rs or a [[bin]] section, or choose a package that has one",
        )
    # As in cargo, binaries without their required features are skipped unless they are named.
    found = [binary for binary, names in lacking.items() if not names]
    if not found:
        raise _needing(*next(iter(lacking.items())))
    if choice.every:
        return tuple(named_one(found, binary.name) for binary in found)
    defaults = [b for b in found if any(p.name == b.package and p.default_run == b.name for p in packages)]
    if len(found) > 1 and len(defaults) != 1:
        raise BinaryNotChosen(
            "the project has several binaries: " + _listing(found),
            where="Cargo.toml",
            fix=f"choose one, for example with {_option(found)}, or set default-run",
        )
    return (found[0],) if len(found) == 1 else (defaults[0],)


def named(project: Project, choice: Choice) -> tuple[Binary, ...]:
    """Return only the named binaries, possibly none, for checks, which need no binary.

    Raises:
        UnknownPackage, UnknownBinary, UnknownFeature, BinaryNotChosen: see `choose`.
    """
    packages = _selected(project, choice)
    _check_features(packages, choice)
    found = [binary for package in packages for binary in _lacking(package, choice)]
    return tuple(named_one(found, name) for name in choice.bins)


def _selected(project: Project, choice: Choice) -> list[Package]:
    if not choice.package:
        wanted = [p for p in project.packages if p.is_default]
        # A named binary may be outside the default members.
        return list(project.packages) if choice.bins else wanted
    packages = [p for p in project.packages if choice.package in (p.name, f"{p.name}@{p.version}")]
    if not packages:
        raise UnknownPackage(
            f"the workspace has no package {choice.package!r}",
            where="Cargo.toml",
            fix="choose one of " + ", ".join(p.name for p in project.packages),
        )
    return packages


def _lacking(package: Package, choice: Choice) -> dict[Binary, list[str]]:
    """Return the binaries of a package, each with the required features that are not enabled."""
    asked = [name.removeprefix(f"{package.name}/") for name in choice.features]
    asked += package.features if choice.all_features else []
    asked += [] if choice.no_default_features else ["default"]
    on = enabled(package.features, asked)
    return {
        Binary(package.name, name, package.version, package.directory, package.is_default): [
            each for each in required if each not in on
        ]
        for name, required in package.bins.items()
    }


def enabled(declared: Mapping[str, Sequence[str]], asked: Iterable[str]) -> frozenset[str]:
    """Return the requested features, and those that they enable (the cargo book, "Features").

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


def _needing(binary: Binary, lacking: Sequence[str]) -> NoBinary:
    return NoBinary(
        f"the binary {binary.name} needs {'features that are' if lacking[1:] else 'a feature that is'} "
        f"not enabled: {', '.join(lacking)}",
        where="Cargo.toml",
        fix=f"pass --features {','.join(lacking)}",
    )


def _check_features(packages: Sequence[Package], choice: Choice) -> None:
    for feature in choice.features:
        package, _, name = feature.rpartition("/")
        if package and all(p.name != package for p in packages):
            continue  # a feature of a dependency, checked by cargo
        if not any(name in p.features for p in packages):
            known = sorted({f for p in packages for f in p.features} - {"default"})
            raise UnknownFeature(
                f"no selected package has a feature {name!r}",
                where="Cargo.toml",
                fix=("use one of " + ", ".join(known)) if known else "the project declares no features",
            )


def named_one(found: Sequence[Binary], name: str) -> Binary:
    """Return the only binary with a name.

    Raises:
        UnknownBinary, BinaryNotChosen: no package or several packages have it.
    """
    matches = [binary for binary in found if binary.name == name]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise BinaryNotChosen(
            f"several packages have a binary {name!r}: " + ", ".join(m.package for m in matches),
            where="Cargo.toml",
            fix="choose the package with --package",
        )
    raise UnknownBinary(
        f"there is no binary {name!r}",
        where="Cargo.toml",
        fix=("choose one of " + _listing(found)) if found else "choose a package that is not only a library",
    )


def _option(binaries: Sequence[Binary]) -> str:
    """Return the option that chooses the first binary: by its package if others have the same name."""
    first, same = binaries[0], [each for each in binaries if each.name == binaries[0].name]
    return f"--bin {first.name}" if len(same) == 1 else f"--package {first.package}"


def _listing(binaries: Iterable[Binary]) -> str:
    return ", ".join(
        f"{b.name}" if b.name == b.package else f"{b.name} (package {b.package})" for b in binaries
    )


def feature_arguments(choice: Choice) -> list[str]:
    """Return the feature flags of a choice, for any cargo command."""
    flags = [("--all-features", choice.all_features), ("--no-default-features", choice.no_default_features)]
    chosen = [flag for flag, wanted in flags if wanted]
    return chosen + (["--features", ",".join(choice.features)] if choice.features else [])


def package_arguments(choice: Choice, binaries: Sequence[Binary], lock: str = "") -> list[str]:
    """Return the `--package` options of `cargo build` for some binaries, as a person would pass them.

    There are none if no package is chosen and cargo selects the default members itself: it joins the features
    that all of them enable in shared dependencies, so the program may differ from one built with `--package`
    (the cargo book, "Package selection" and "Feature unification").

    Args:
        choice: the options of the build.
        binaries: the chosen binaries.
        lock: the lock file, to find ambiguous names.
    """
    selected = not choice.package and all(binary.is_default for binary in binaries)
    return [] if selected else packages_of(binaries, lock)


def packages_of(binaries: Sequence[Binary], lock: str = "") -> list[str]:
    """Return `--package` for each package with a chosen binary.

    Args:
        binaries: the chosen binaries.
        lock: the lock file, to find ambiguous names.
    """
    names = dict.fromkeys(specification(b.package, b.version, b.directory, lock) for b in binaries)
    return [argument for name in names for argument in ("--package", name)]


def chosen_package(project: Project, choice: Choice, lock: str = "") -> list[str]:
    """Return `--package` for the chosen package; nothing without one."""
    packages = _selected(project, choice) if choice.package else []
    return [
        argument
        for p in packages
        for argument in ("--package", specification(p.name, p.version, p.directory, lock))
    ]


def build_command(
    choice: Choice, binaries: Sequence[Binary], triples: Sequence[str], lock: str = ""
) -> list[str]:
    """Return the `cargo build` command for all binaries and triples.

    One command with several `--target`s compiles proc-macros and build scripts once, and uses all cores for
    all targets.

    Args:
        choice: the options of the build.
        binaries: the binaries to build.
        triples: the targets' triples.
        lock: the lock file.
    """
    command = ["cargo", "build", "--locked", "--profile", choice.profile]
    command += package_arguments(choice, binaries, lock)
    command += [argument for binary in binaries for argument in ("--bin", binary.name)]
    command += feature_arguments(choice)
    command += [argument for triple in triples for argument in ("--target", triple)]
    return command + list(choice.arguments)
