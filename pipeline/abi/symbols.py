"""Check a program against a runtime; each rule is a pure function of a `Case`.

`pipeline.abi.loader` predicts what the runtime's dynamic loader does with the program.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from pipeline.abi.elf import Elf, Need
from pipeline.abi.loader import Loaded, Root, load
from pipeline.releases import DEFAULT, GLIBC_OF, RELEASES
from pipeline.targets import Target
from pipeline.toolchain.versions import highest, numbered

_SHOWN = 3  # symbols named in a message


@dataclass(frozen=True)
class Finding:
    """A reason why a program cannot start.

    Attributes:
        rule: name of the rule.
        what: one sentence with the program, the symbol, the library and the runtime.
        fix: what to change.
    """

    rule: str
    what: str
    fix: str


@dataclass(frozen=True)
class Case:
    """A program in a runtime.

    Attributes:
        path: absolute path of the program in the root.
        root: the runtime's files.
        target: the platform it ships for.
        runtime: name of the runtime in messages.
        static: whether the program has to be static.
        glibc: the oldest glibc the program has to run on, for example 2.17; empty for no limit.
    """

    path: str
    root: Root
    target: Target
    runtime: str
    static: bool = False
    glibc: str = ""

    @property
    def name(self) -> str:
        """Return the program's file name."""
        return posixpath.basename(self.path)

    @property
    def elf(self) -> Elf:
        """Return the parsed program; valid only once `is_program` has passed."""
        return self.root.elves[self.root.real(self.path)]

    @cached_property
    def loaded(self) -> Loaded:
        """Return the program and its libraries as the runtime's loader maps them."""
        return load(self.path, self.target, self.root)


def is_program(case: Case) -> Iterator[Finding]:
    """Check that the file is in the image and is a program."""
    elf = case.root.get(case.path)
    if elf is None:
        yield Finding("program", f"{case.path} is not in {case.runtime}", "check the name of the program")
    elif elf.kind not in ("ET_EXEC", "ET_DYN") or (elf.needed and not elf.interpreter):
        yield Finding(
            "program",
            f"{case.name} is an object file or a library ({elf.kind}, no interpreter), not a program",
            "check the program itself",
        )


def is_of_the_platform(case: Case) -> Iterator[Finding]:
    """Check that machine, class and endianness match the platform."""
    target, elf = case.target, case.elf
    wanted = Elf(target.machine, target.bits, target.little_endian)
    if elf.architecture != wanted.architecture:
        yield Finding(
            "platform",
            f"{case.name} is for {elf.described()}, and {target.platform} is {wanted.described()}",
            f"compile it for {target.gnu}, or ship it in an image of its own platform",
        )


def is_static(case: Case) -> Iterator[Finding]:
    """Check that a program has no interpreter and no library if it has to be static."""
    elf = case.elf
    if case.static and elf.linkage == "dynamic":
        wants = ", ".join(elf.needed) or elf.interpreter
        yield Finding(
            "static",
            f"{case.name} should be static and needs {wants}",
            f"compile it for {case.target.musl}, and link its native libraries statically as well",
        )


def is_within_the_floor(case: Case) -> Iterator[Finding]:
    """Check that the program needs no newer glibc than requested, whatever the runtime has."""
    floor = tuple(map(int, case.glibc.split("."))) if case.glibc else ()
    glibc = [need for need in case.elf.needs if numbered(need.version)[0] == "GLIBC" and not need.weak]
    newer = [need for need in glibc if floor and numbered(need.version)[1] > floor]
    if newer:
        yield Finding(
            "floor",
            f"{case.name} should run on glibc {case.glibc} and needs {_needed_symbols(newer)}",
            f"request glibc {_dotted(newer)} or newer, or remove the dependency that links the symbols",
        )


def has_its_interpreter(case: Case) -> Iterator[Finding]:
    """Check that the runtime has the program's dynamic loader, for the same architecture."""
    elf = case.elf
    if elf.interpreter is None:
        return
    loader = case.root.get(elf.interpreter)
    if loader is None:
        what = f"{case.name} is started by {elf.interpreter}, which {case.runtime} does not have"
        yield Finding("interpreter", what, _a_libc(case))
    elif loader.architecture != elf.architecture:
        yield Finding(
            "interpreter",
            f"{case.name} is started by {elf.interpreter}; in {case.runtime} it is for {loader.described()}",
            f"use a runtime base of {case.target.platform}",
        )


def _a_libc(case: Case) -> str:
    if "musl" in (case.elf.interpreter or ""):
        return f"link it statically, or compile it for {case.target.gnu}"
    base = DEFAULT.base
    return f"use a runtime base with glibc, such as {base}, or build with libc musl, which needs no loader"


def has_its_libraries(case: Case) -> Iterator[Finding]:
    """Check that the loader finds every library, direct or indirect."""
    for missing in case.loaded.missing:
        reason, fix = _explain_missing(case, missing.library)
        yield Finding("libraries", f"{_label(case, missing.by)} needs {missing.library}, which {reason}", fix)


def _explain_missing(case: Case, library: str) -> tuple[str, str]:
    """Describe why a library is not found, and what to change."""
    root, target = case.root, case.target
    named = sorted(path for path in {*root.elves, *root.links} if posixpath.basename(path) == library)
    elsewhere = {path: elf for path in named if (elf := root.get(path))}
    for path, elf in elsewhere.items():
        if elf.architecture == case.elf.architecture:
            return (
                f"is at {path} in {case.runtime}, where its loader does not look",
                f"run ldconfig in the runtime base, or put it into /usr/lib/{target.multiarch}",
            )
    for path, elf in elsewhere.items():
        return (
            f"at {path} in {case.runtime} is for {elf.described()}",
            f"put the library of {target.platform} into the runtime base",
        )
    return (
        f"{case.runtime} does not have",
        f"use a runtime base with it (on Debian, package {debian_package(library)}), or link it statically",
    )


def debian_package(library: str) -> str:
    """Return the Debian package name that belongs to a library name (Debian Policy, 8.1)."""
    stem, _, version = library.partition(".so")
    version = version.lstrip(".")
    hyphen = "-" if stem[-1:].isdigit() and version else ""
    return f"{stem}{hyphen}{version}".replace("_", "-").lower()


def has_its_versions(case: Case) -> Iterator[Finding]:
    """Check that libraries define every required symbol version.

    A library without versions passes here, as it does in the loader; `has_its_symbols` checks it.
    """
    loaded = case.loaded
    for path, elf in loaded.objects.items():
        for library in dict.fromkeys(need.library for need in elf.needs):
            provider = loaded.provider(library)
            if provider is None or not provider.defines:
                continue
            needs = [need for need in elf.needs if need.library == library and not need.weak]
            lacking = [need for need in needs if need.version not in provider.defines]
            if lacking:
                yield _too_old(case, _label(case, path), lacking, provider)


def _too_old(case: Case, subject: str, lacking: Sequence[Need], provider: Elf) -> Finding:
    lacking = _newest_first(lacking)
    family, number = numbered(lacking[0].version)
    has = highest(provider.defines, family) or _shortened(provider.defines)
    what = (
        f"{subject} needs {_needed_symbols(lacking)} of {lacking[0].library}; {case.runtime} has up to {has}"
    )
    if not f"{family}_".startswith("GLIBC_"):
        newer = f"use a runtime base with a newer {lacking[0].library}, or link that library statically"
        return Finding("versions", what, newer)
    base = next((f" ({base} has it)" for base, glibc in GLIBC_OF.items() if number and glibc >= number), "")
    glibc = f"glibc {'.'.join(map(str, number))} or newer" if number else "a newer glibc"
    return Finding(
        "versions",
        what,
        f"use a runtime base with {glibc}{base}, {_older(provider)}, or build with libc musl",
    )


def _older(provider: Elf) -> str:
    """Return the setting that links against a glibc which is no newer than the runtime's."""
    has = numbered(highest(provider.defines, "GLIBC"))[1]
    release = next((each for each in RELEASES.values() if each.glibc <= has), None)
    if release:
        return f"compile on the release of Debian with its glibc (--debian {release.name})"
    return "compile for its glibc" + (f" (--glibc {'.'.join(map(str, has))})" if has else "")


def _newest_first(needs: Sequence[Need]) -> list[Need]:
    return sorted(needs, key=lambda need: numbered(need.version)[1], reverse=True)


def _needed_symbols(needs: Sequence[Need]) -> str:
    newest = _newest_first(needs)
    return _shortened([f"{symbol}@{n.version}".lstrip("@") for n in newest for symbol in n.symbols or ("",)])


def _dotted(needs: Sequence[Need]) -> str:
    return ".".join(map(str, numbered(_newest_first(needs)[0].version)[1]))


def has_its_symbols(case: Case) -> Iterator[Finding]:
    """Check that a loaded file defines every required symbol."""
    objects = case.loaded.objects.values()
    lacking = sorted(s for s in case.elf.imports if not any(offers(elf, s) for elf in objects))
    if lacking:
        libraries = ", ".join(case.elf.needed)
        what = f"{case.name} needs {_shortened(lacking)}, which none of {libraries} in {case.runtime} has"
        fix = "use a runtime base whose libraries are as new as the ones it was linked with"
        yield Finding("symbols", what, fix)


def offers(elf: Elf, symbol: str) -> bool:
    """Check whether a file satisfies an import; a file without versions satisfies any version."""
    name, _, version = symbol.partition("@")
    return symbol in elf.exports or (bool(version) and not elf.defines and name in elf.exports)


def _shortened(symbols: Sequence[str]) -> str:
    more = len(symbols) - _SHOWN
    return ", ".join(symbols[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _label(case: Case, path: str) -> str:
    return case.name if path == case.root.real(case.path) else path


RULES: tuple[tuple[Callable[[Case], Iterator[Finding]], ...], ...] = (
    (is_program,),
    (is_of_the_platform,),
    (is_static, is_within_the_floor),
    (has_its_interpreter,),
    (has_its_libraries, has_its_versions),
    (has_its_symbols,),
)
"""The rules in stages: after a failed stage, later ones would only repeat its findings."""


def check(case: Case) -> list[Finding]:
    """Return the reasons why a program cannot start in its runtime; empty if it can."""
    for stage in RULES:
        findings = [finding for rule in stage for finding in rule(case)]
        if findings:
            return findings
    return []
