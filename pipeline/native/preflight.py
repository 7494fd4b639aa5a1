"""Find the native dependencies of a build before compiling, and prepare the builder for them."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from pipeline import programs
from pipeline.errors import CannotCrossCompile
from pipeline.native import configuration, debian, git_users, natives
from pipeline.native.natives import Needs
from pipeline.project import rust_version, tree
from pipeline.project.rust_version import Declared
from pipeline.sdk import dagger
from pipeline.targets import Libc, Target
from pipeline.toolchain import builder as toolchain

PROGRAM = "native/preflight.sh"
_NEXT = "== next target"
_PART = "== next answer"


@dataclass(frozen=True)
class Examined:
    """The needs of a build.

    Attributes:
        needs: for each target, the needs of its native crates and its flags.
        crates: the built crates, by name and version.
        rustc: the compiler's version.
        declared: the packages with a `rust-version`.
    """

    needs: tuple[Needs, ...]
    crates: frozenset[tuple[str, str]]
    rustc: str
    declared: tuple[Declared, ...]


async def examine(
    container: dagger.Container,
    commands: Sequence[Sequence[str]],
    roots: Collection[tuple[str, str]] | None,
    targets: Sequence[Target],
    libc: Libc,
    glibc: str,
    configured: Sequence[Mapping[str, Any]],
    scripts: Mapping[str, str],
    git_metadata: bool,
    everywhere: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Examined:
    """Return the needs of the build's crates, for each target.

    Args:
        container: a container with cargo, the source and the dependencies.
        commands: `tree.command` for each target.
        roots: see `tree.read`.
        targets: the targets of the build.
        libc: the C library of all targets.
        glibc: oldest glibc the programs run on; empty means the distribution's.
        configured: cargo's configurations, in increasing precedence.
        scripts: the text of each package's build script, by the package's name.
        git_metadata: true if the builder has git and the commit.
        everywhere: arguments for every cargo command.
        environment: variables of the compile.

    Raises:
        CannotCrossCompile: some crates cannot be built; the message lists all of them.
        dagger.ExecError: cargo failed.
    """
    asking = programs.counted([*rust_version.COMMAND, *everywhere])
    for command, target in zip(commands, targets, strict=True):
        asking += [target.triple(libc), *programs.counted(command)]
    output = await container.with_exec(programs.command(PROGRAM, _NEXT, _PART, *asking)).stdout()
    versions, *answers = output.split(f"{_NEXT}\n")
    found: list[Needs] = []
    crates: set[tuple[str, str]] = set()
    for answer, target in zip(answers, targets, strict=True):
        text, *printed = answer.split(f"{_PART}\n")
        built = tree.read(text, roots)
        crates |= {(crate.name, crate.version) for crate in built}
        needs = natives.needs(built, target, libc, toolchain.compilers(target, libc, glibc))
        asking = [] if git_metadata else git_users.warnings(built, scripts)
        needs = replace(needs, warnings=(*needs.warnings, *asking))
        found.append(
            configuration.added(
                needs,
                configured,
                target.triple(libc),
                target.platform,
                configuration.compiler(*printed),
                environment,
            )
        )
    problems = [problem for needs in found for problem in needs.problems]
    if problems:
        raise CannotCrossCompile(
            "the project cannot be built as it is: " + "; ".join(map(str, problems)),
            where=", ".join(dict.fromkeys(problem.place for problem in problems)),
            fix="; ".join(dict.fromkeys(problem.fix for problem in problems)),
        )
    return Examined(tuple(found), frozenset(crates), *rust_version.read(versions))


def prepared(
    container: dagger.Container, targets: Sequence[Target], found: Sequence[Needs], extra: Sequence[str]
) -> dagger.Container:
    """Return a builder with the needs of the native dependencies; those that change least come first.

    Args:
        container: the builder, with the cross compilers.
        targets: the targets of the build.
        found: the needs of each target.
        extra: additional packages to link with, for each target.
    """
    wanted = [
        (target, list(dict.fromkeys([*needs.target, *extra])))
        for target, needs in zip(targets, found, strict=True)
    ]
    for target, packages in wanted:
        if packages:
            container = debian.with_lists(container, target)
    host = list(dict.fromkeys(package for needs in found for package in needs.host))
    if host:
        container = toolchain.with_packages(container, host)
    for target, packages in wanted:
        container = debian.with_development(container, target, packages)
    for target, needs in zip(targets, found, strict=True):
        for name in needs.linkers:
            container = container.with_symlink(f"/usr/bin/{name}", f"/usr/local/bin/{target.tools}-{name}")
        for name, value in needs.env.items():
            container = container.with_env_variable(name, value)
    if agree(found):
        for name, value in found[0].common.items():
            container = container.with_env_variable(name, value)
    return container


def agree(found: Sequence[Needs]) -> bool:
    """Return True if the targets agree on all variables without a triple, so one cargo call is enough."""
    return all(needs.common == found[0].common for needs in found)


def as_text(targets: Sequence[Target], found: Sequence[Needs]) -> str:
    """Explain the needs of the native dependencies, one per line; "" if there are none."""
    lines: dict[str, list[str]] = {}
    for target, needs in zip(targets, found, strict=True):
        unknown = [f"{name}: not in the table of native crates, built as it is" for name in needs.unknown]
        for line in (*map(str, needs.reasons), *unknown):
            lines.setdefault(line, []).append(target.platform)
    return "\n".join(
        line if len(platforms) == len(targets) else f"{line} [{', '.join(platforms)}]"
        for line, platforms in lines.items()
    )


def as_json(targets: Sequence[Target], found: Sequence[Needs]) -> str:
    """Return the needs as a JSON document: `{"natives": {platform: fields of Needs}}`."""
    by_platform = {t.platform: asdict(needs) for t, needs in zip(targets, found, strict=True)}
    return json.dumps({"natives": by_platform}, indent=2)
