"""Find the requirements of a project's cargo configuration: a linker, a processor.

The builder sets the linker of every target, so the project's `linker` keys have no effect; its rustc flags
do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipeline import cargo_toml
from pipeline.native import cfg
from pipeline.native.natives import Needs, Problem, Reason
from pipeline.toolchain import builder as toolchain

PLACE = ".cargo/config.toml"


@dataclass(frozen=True)
class Flag:
    """A rustc flag and its consequences.

    Attributes:
        pattern: a regular expression that matches the flag in all flags, joined with spaces.
        why: the effect of the flag.
        host: Debian packages of the build platform.
        linker: the linker's program in /usr/bin; a target's C compiler looks for it with a prefix.
        warning: a warning for the user; may be empty.
        impossible: the reason if the flag cannot work; may be empty.
        advice: the next step if the flag cannot work.
    """

    pattern: str
    why: str
    host: tuple[str, ...] = ()
    linker: str = ""
    warning: str = ""
    impossible: str = ""
    advice: str = ""


# Sources: gcc(1), `-fuse-ld`; the rustc book, "Codegen options".
FLAGS = (
    Flag(r"-fuse-ld=mold\b", "links with mold", host=("mold",), linker="ld.mold"),
    Flag(r"-fuse-ld=lld\b", "links with lld", host=("lld",), linker="ld.lld"),
    Flag(r"-fuse-ld=gold\b", "links with gold, which is in binutils"),
    Flag(r"-fuse-ld=/\S+|--ld-path=\S+", "names a linker by its path",
         impossible="it links as clang does, and the linker here is gcc, which takes a name and no path",
         advice="write -fuse-ld=mold or -fuse-ld=lld"),
    Flag(r"target-cpu=native\b", "compiles for the processor of the machine it runs on",
         warning="target-cpu=native: the programs may not start on other processors than the builder's"),
)  # fmt: skip


CACHES = frozenset({"sccache", "ccache", "cachepot"})
"""Wrappers of rustc that do not change its result."""

PROGRAMS = {
    "rustc": "RUSTC",
    "rustc-wrapper": "RUSTC_WRAPPER",
    "rustc-workspace-wrapper": "RUSTC_WORKSPACE_WRAPPER",
}
"""Keys of `[build]` for the programs that compile, and the variables that take precedence over them."""


@dataclass(frozen=True)
class Compiler:
    """The properties of a target, from the builder's rustc.

    Attributes:
        cfgs: the output of `--print cfg`.
        cpus: the names in `--print target-cpus`; empty if unknown.
        features: the names in `--print target-features`; empty if unknown.
    """

    cfgs: frozenset[str] = frozenset()
    cpus: frozenset[str] = frozenset()
    features: frozenset[str] = frozenset()


def compiler(cfgs: str, cpus: str, features: str) -> Compiler:
    """Parse rustc's answers for a target, in the order of preflight.sh."""
    return Compiler(cfg.known(cfgs), _names(cpus), _names(features))


def _names(printed: str) -> frozenset[str]:
    """Return the names in a list printed by rustc: the first word of each indented line."""
    return frozenset(re.findall(r"^ +([\w.+-]+)", printed, re.MULTILINE))


@dataclass(frozen=True)
class Given:
    """Flags for rustc and their origin."""

    words: tuple[str, ...] = ()
    place: str = PLACE

    @property
    def text(self) -> str:
        """Return the flags joined with spaces."""
        return " ".join(self.words)


ENCODED, PLAIN = "CARGO_ENCODED_RUSTFLAGS", "RUSTFLAGS"


def flags(
    documents: Sequence[Mapping[str, Any]],
    triple: str,
    compiler: Compiler = Compiler(),
    environment: Mapping[str, str] | None = None,
) -> Given:
    """Return the flags for rustc that apply to a triple.

    The variables take precedence over all tables, and `[target]` over `[build]` (the cargo book,
    "build.rustflags"); all matching tables of `[target]` are joined.

    Args:
        documents: cargo's configurations, in increasing precedence.
        triple: the target's.
        compiler: its properties, for tables named `cfg(…)`.
        environment: variables of the compile.
    """
    environment = environment or {}
    if ENCODED in environment:
        return Given(tuple(filter(None, environment[ENCODED].split("\x1f"))), f"--build-arg {ENCODED}")
    if PLAIN in environment:
        return Given(tuple(environment[PLAIN].split()), f"--build-arg {PLAIN}")
    of_target, of_build = (
        f"CARGO_TARGET_{triple.upper().replace('-', '_')}_RUSTFLAGS",
        "CARGO_BUILD_RUSTFLAGS",
    )
    found = [
        word for table in _of_target(documents, triple, compiler) for word in _words(table.get("rustflags"))
    ]
    found += environment.get(of_target, "").split()
    if not found:
        for document in documents:
            found += _words(cargo_toml.table(document, "build").get("rustflags"))
        found += environment.get(of_build, "").split()
    return Given(tuple(found))


def programs(documents: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the project's compiler and wrappers, except caches, by the variable that takes precedence.

    Args:
        documents: cargo's configurations, in increasing precedence.
    """
    found: dict[str, str] = {}
    for document in documents:
        table = cargo_toml.table(document, "build")
        found |= {
            variable: table[key] for key, variable in PROGRAMS.items() if isinstance(table.get(key), str)
        }
    return {
        variable: program
        for variable, program in found.items()
        if program.rpartition("/")[2] not in ("", *CACHES)
    }


def in_project(program: str) -> bool:
    """Return True for a path below the directory of the configuration: cargo looks for names on the PATH."""
    return "/" in program and not program.startswith("/")


def unused(
    documents: Sequence[Mapping[str, Any]],
    triple: str,
    compiler: Compiler = Compiler(),
    environment: Mapping[str, str] | None = None,
) -> list[str]:
    """Return a warning for each program that may change the result and that the builder does not run.

    Those are wrappers of rustc that are not in the project, and linkers that are. A compiler is always run.

    Args:
        documents: see `flags`, as for the others.
    """
    found = {
        variable: program
        for variable, program in programs(documents).items()
        if variable != "RUSTC" and not in_project(program)
    }
    for table in _of_target(documents, triple, compiler):
        if isinstance(linker := table.get("linker"), str) and in_project(linker):
            found[toolchain.linker(triple)] = linker
    return [
        f"{program} is not run; where the builder has it, use --build-arg {variable}={program}"
        for variable, program in found.items()
        if variable not in (environment or {})
    ]


def _of_target(
    documents: Sequence[Mapping[str, Any]], triple: str, compiler: Compiler
) -> list[Mapping[str, Any]]:
    """Return all tables of `[target]` that apply to a triple, in increasing precedence."""
    return [
        cargo_toml.table(document, "target", name)
        for document in documents
        for name in cargo_toml.table(document, "target")
        if name == triple or (name.startswith("cfg(") and cfg.holds(name, compiler.cfgs))
    ]


def _words(value: object) -> list[str]:
    """Return flags from one string or a list."""
    if isinstance(value, str):
        return value.split()
    return [word for word in value if isinstance(word, str)] if isinstance(value, list) else []


def added(
    needs: Needs,
    documents: Sequence[Mapping[str, Any]],
    triple: str,
    platform: str,
    compiler: Compiler = Compiler(),
    environment: Mapping[str, str] | None = None,
) -> Needs:
    """Return a target's needs, including those of the project's configuration.

    Args:
        needs: the needs of its native crates.
        documents: cargo's configurations, in increasing precedence.
        triple: the target's.
        platform: the target's, for messages.
        compiler: the properties of the target.
        environment: variables of the compile.
    """
    given = flags(documents, triple, compiler, environment)
    rows = [row for row in FLAGS if re.search(row.pattern, given.text)]
    wanted = tuple(package for row in rows for package in row.host)
    foreign = _foreign(given, triple, compiler)
    return replace(
        needs,
        host=tuple(dict.fromkeys([*needs.host, *wanted])),
        linkers=tuple(row.linker for row in rows if row.linker),
        reasons=(*needs.reasons, *(_reason(row, given.place) for row in rows)),
        problems=(
            *needs.problems,
            *(Problem(given.place, "", platform, what, fix) for what, fix in foreign),
            *_problems(rows, given.place, platform),
        ),
        warnings=(
            *needs.warnings,
            *(f"{given.place}: {row.warning}" for row in rows if row.warning),
            *(f"{PLACE}: {warning}" for warning in unused(documents, triple, compiler, environment)),
        ),
    )


_OPTION = re.compile(r"(?:^| )(?:-C ?|--codegen[ =])(target-cpu|target-feature)=(\S+)")


def _foreign(given: Given, triple: str, compiler: Compiler) -> list[tuple[str, str]]:
    """Return processors and features that the target does not have, each with the next step.

    rustc passes the names to LLVM, which ignores unknown ones with a warning.
    """
    found = []
    for option, value in _OPTION.findall(given.text):
        known = compiler.cpus if option == "target-cpu" else compiler.features
        names = [value] if option == "target-cpu" else [name.lstrip("+-") for name in value.split(",")]
        found += [
            (
                f"{option}={name} is not of this architecture",
                f"give it to its own architecture, under [target.<triple>] of {PLACE}; "
                f"`rustc --print {option.replace('cpu', 'cpus').replace('feature', 'features')} "
                f"--target {triple}` lists what {triple} has",
            )
            for name in names
            if known and name and name not in known
        ]
    return found


def _reason(row: Flag, place: str) -> Reason:
    wants = f"{' '.join(row.host)} on the build platform" if row.host else "nothing to install"
    return Reason(place, "", wants, row.why)


def _problems(rows: Sequence[Flag], place: str, platform: str) -> list[Problem]:
    return [Problem(place, "", platform, row.impossible, row.advice) for row in rows if row.impossible]
