"""Write the plan file, the input of compile.sh and check.sh.

Each line has a kind and its fields, separated by tabs.

    place      the directory in the source that cargo runs in
    package    a package of the project: name, directory, whether it `runs` at compile time or is `plain`
    variable   the name of a build argument
    argument   an additional argument of cargo
    absent     the list of the repository's files that were not uploaded
    digests    the list of the uploaded files' digests on the user's machine
    program    a compiler or wrapper that is a script of the project: the variable that overrides it, its path
    linker     a variable of cargo, and the linker it is set to if that exists
    target     triple, prefix of its binutils, architecture of its Debian packages
    binary     a program to collect
    sections   the directory of the sections to add to programs
    libraries  the directory with the lists of shared libraries and their packages
    archive    compiled state to start from
    sccache    and cached, store, remote, credential: see compile_cache.sh
    command    the start of a command; its words follow
    word       a word of a command, with line breaks and tabs escaped as in C
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Sequence

from pipeline.build import auditable, cache_archive, compile_cache
from pipeline.build.plan import Plan
from pipeline.native import debian
from pipeline.project.packages import Local
from pipeline.targets import TARGETS, Target
from pipeline.toolchain import builder as toolchain

PATH = "/opt/rust-multiarch/plan.tsv"
ABSENT, DIGESTS = "/opt/rust-multiarch/absent", "/opt/rust-multiarch/digests"
"""The lists of `pipeline.git.absent`."""

_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", "\t": "\\t"})


def compiling(plan: Plan, packages: Iterable[Local]) -> str:
    """Return the plan file for compile.sh."""
    request = plan.request
    rows = [*_common(plan, packages), ("sections", auditable.FOLDER), ("libraries", debian.SONAMES)]
    if request.state is not None:
        rows.append(("archive", cache_archive.ARCHIVE))
    rows += compile_cache.rows(request)
    rows += [_target(plan, target) for target in request.targets]
    rows += [("binary", binary.name) for binary in plan.binaries]
    for words in plan.commands:
        rows += _command(words)
    return _text(rows)


def checking(
    plan: Plan, packages: Iterable[Local], words: Sequence[str], target: Target | None = None
) -> str:
    """Return the plan file for check.sh: a command, for a target or the build platform."""
    rows = [*_common(plan, packages), *compile_cache.rows(plan.request)]
    rows += [*([_target(plan, target)] if target else []), *_command(words)]
    return _text(rows)


def _common(plan: Plan, packages: Iterable[Local]) -> list[tuple[str, ...]]:
    choice = plan.request.choice
    return [
        ("place", posixpath.normpath(plan.request.directory or ".")),
        *(("package", one.name, one.folder, "runs" if one.runs else "plain") for one in packages),
        *(("variable", name) for name, _ in plan.request.build_args),
        *(("argument", escaped(argument)) for argument in choice.arguments),
        *([("absent", ABSENT)] if plan.request.absent is not None else []),
        *([("digests", DIGESTS)] if plan.request.digests is not None else []),
        *(("program", *program) for program in plan.programs),
        *(("linker", toolchain.linker(target.gnu), f"{target.tools}-gcc") for target in TARGETS),
    ]


def _target(plan: Plan, target: Target) -> tuple[str, ...]:
    return ("target", target.triple(plan.request.libc), target.tools, target.debian)


def _command(words: Iterable[str]) -> list[tuple[str, ...]]:
    return [("command",), *(("word", escaped(word)) for word in words)]


def escaped(text: str) -> str:
    """Escape a text into one line, for the shell's `printf %b`."""
    return text.translate(_ESCAPES)


def _text(rows: Iterable[tuple[str, ...]]) -> str:
    return "".join("\t".join(row) + "\n" for row in rows)
