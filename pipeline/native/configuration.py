"""What a project's own cargo configuration asks of the builder: a linker by its name, a processor.

Cargo's linkers are set by us for every target, so a `linker` of the project's does not count; the flags for
rustc that stand beside it do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipeline import cargo_toml
from pipeline.native.natives import Needs, Problem, Reason

PLACE = ".cargo/config.toml"


@dataclass(frozen=True)
class Flag:
    """A row: a flag for rustc, and what it implies.

    Attributes:
        pattern: regular expression that finds it among the flags, which are joined with spaces.
        why: what it does.
        host: Debian packages of the build platform.
        linker: program in /usr/bin that links; the C compiler of a target looks for it by its own prefix.
        warning: what a person may want to know; empty for nothing.
        impossible: why it cannot work; empty if it can.
        advice: what to do where it cannot.
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


def flags(document: Mapping[str, Any], triple: str) -> str:
    """The flags for rustc that a configuration gives a triple, joined with spaces.

    Those of `[target]` go before those of `[build]` (the cargo book, "build.rustflags"); a `cfg(…)` is taken
    to hold.
    """
    names = [
        name for name in cargo_toml.table(document, "target") if name == triple or name.startswith("cfg(")
    ]
    tables = [cargo_toml.table(document, "target", name) for name in names]
    given = [table["rustflags"] for table in tables if "rustflags" in table]
    given = given or [cargo_toml.table(document, "build").get("rustflags", [])]
    return " ".join(each if isinstance(each, str) else " ".join(each) for each in given)


def added(needs: Needs, document: Mapping[str, Any], triple: str, platform: str) -> Needs:
    """What a target needs, with what the project's configuration asks for.

    Args:
        needs: what its native crates need.
        document: the configuration.
        triple: the target's.
        platform: the target's, for messages.
    """
    given = flags(document, triple)
    rows = [row for row in FLAGS if re.search(row.pattern, given)]
    wanted = tuple(package for row in rows for package in row.host)
    return replace(
        needs,
        host=tuple(dict.fromkeys([*needs.host, *wanted])),
        linkers=tuple(row.linker for row in rows if row.linker),
        reasons=(*needs.reasons, *(_reason(row) for row in rows)),
        problems=(*needs.problems, *_problems(rows, platform)),
        warnings=(*needs.warnings, *(f"{PLACE}: {row.warning}" for row in rows if row.warning)),
    )


def _reason(row: Flag) -> Reason:
    wants = f"{' '.join(row.host)} on the build platform" if row.host else "nothing to install"
    return Reason(PLACE, "", wants, row.why)


def _problems(rows: Sequence[Flag], platform: str) -> list[Problem]:
    return [Problem(PLACE, "", platform, row.impossible, row.advice) for row in rows if row.impossible]
