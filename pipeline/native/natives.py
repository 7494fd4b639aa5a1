"""Determine the needs of the native crates in a dependency graph, before compiling.

`tree` has the crates that are built, with their features, for the target or the build platform; the table in
`native_table` has the needs of each. `needs` combines the two into packages to install, variables to set,
reasons and problems. Nothing is run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pipeline.native.native_table import LINKER_NAMES, NATIVES, Native
from pipeline.project.tree import TreeCrate
from pipeline.targets import Libc, Target
from pipeline.toolchain.compilers import Compilers


def named(crate: str, version: str) -> str:
    """Return a crate with its version, if it has one."""
    return f"{crate} {version}".rstrip()


@dataclass(frozen=True)
class Reason:
    """A need, and the crate that has it; or a file of the project, which has no version."""

    crate: str
    version: str
    wants: str
    why: str

    @property
    def who(self) -> str:
        """Return the crate with its version, or the file."""
        return named(self.crate, self.version)

    def __str__(self) -> str:
        return f"{self.who}: {self.wants} ({self.why})"


@dataclass(frozen=True)
class Problem:
    """A crate that cannot be built as it is, or a file without a version, and the fix."""

    crate: str
    version: str
    platform: str
    what: str
    fix: str

    @property
    def place(self) -> str:
        """Return the file that requires it: the lock file for a crate, else the file itself."""
        return "Cargo.lock" if self.version else self.crate

    def __str__(self) -> str:
        return f"{named(self.crate, self.version)} for {self.platform}: {self.what}"


@dataclass(frozen=True)
class Needs:
    """The needs of one target's native crates; names in the order of the table.

    Attributes:
        host: Debian packages of the build platform.
        target: Debian packages of the target's architecture, for linking.
        runtime: Debian packages of the final image.
        env: build variables with the target's triple in their name.
        common: build variables without it, which every target of a cargo call would read.
        reasons: the crates, with their needs and why.
        problems: crates that cannot be built.
        unknown: `-sys` crates without a row; they are built without extra packages.
        crates: number of crates compiled for the target, native or not.
        warnings: settings that work but may surprise.
        linkers: programs in /usr/bin that the target's C compiler has to find as linkers.
    """

    host: tuple[str, ...] = ()
    target: tuple[str, ...] = ()
    runtime: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    common: Mapping[str, str] = field(default_factory=dict)
    reasons: tuple[Reason, ...] = ()
    problems: tuple[Problem, ...] = ()
    unknown: tuple[str, ...] = ()
    crates: int = 0
    warnings: tuple[str, ...] = ()
    linkers: tuple[str, ...] = ()


def needs(crates: Iterable[TreeCrate], target: Target, libc: Libc, compilers: Compilers) -> Needs:
    """Return the needs of the crates in one target's graph.

    Args:
        crates: the graph, parsed by `tree.read`.
        target: the target platform.
        libc: the C library to link.
        compilers: the C toolchain.
    """
    graph = list(crates)
    names = {crate.name for crate in graph}
    collected = _Collected(target, libc, compilers)
    for row in NATIVES:
        for crate in graph:
            if crate.name == row.crate and _applies(row, crate, names, target, libc):
                collected.add(row, crate)
    known = {row.crate for row in NATIVES}
    unknown = {c.name for c in graph if not c.host and c.name.endswith(_SYS) and c.name not in known}
    count = len({(crate.name, crate.version) for crate in graph if not crate.host})
    return collected.needs(tuple(sorted(unknown - _NOT_NATIVE)), count)


_SYS = ("-sys", "_sys")
# Bindings to other operating systems, and constants without a library: nothing is linked.
_NOT_NATIVE = {
    "windows-sys",
    "linux-raw-sys",
    "js-sys",
    "web-sys",
    "core-foundation-sys",
    "security-framework-sys",
}


def _applies(row: Native, crate: TreeCrate, names: set[str], target: Target, libc: Libc) -> bool:
    if row.generic and crate.users and {name for name, _ in crate.users} <= _WITH_ROWS:
        return False
    return (
        set(row.when) <= crate.features
        and not set(row.without) & crate.features
        and not set(row.unless) & names
        and (not row.platforms or target.platform in row.platforms)
        and (row.libc is None or row.libc is libc)
    )


_WITH_DEBIAN = "build with libc gnu and no glibc version"

# The rows of a crate include its build tools; a tool's generic row is for other crates.
_WITH_ROWS = {row.crate for row in NATIVES}


@dataclass
class _Collected:
    """Needs while they are collected; dictionaries serve as ordered sets."""

    place: Target
    libc: Libc
    compilers: Compilers
    host: dict[str, None] = field(default_factory=dict)
    target: dict[str, None] = field(default_factory=dict)
    runtime: dict[str, None] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    common: dict[str, str] = field(default_factory=dict)
    reasons: dict[Reason, None] = field(default_factory=dict)
    problems: dict[Problem, None] = field(default_factory=dict)

    def add(self, row: Native, crate: TreeCrate) -> None:
        """Add a row that applies to a crate."""
        # A build tool is built for the build platform; its output belongs to its users.
        places = {host for _, host in crate.users} if row.tool and crate.users else {crate.host}
        if row.impossible:
            self._problem(row, crate, row.impossible, row.advice)
            return
        if row.target and False in places and self.compilers.not_debian:
            what = f"it links {', '.join(row.target)}; {self.compilers.not_debian}"
            self._problem(row, crate, what, row.advice or _WITH_DEBIAN)
            return
        self._want(self.host, row.host, row, crate, "on the build platform")
        if True in places:
            native = (*row.target, *(("g++",) if row.cxx else ()))
            self._want(self.host, native, row, crate, "on the build platform, for build scripts")
        if False in places:
            self._for_target(row, crate)
        if not any((reason.crate, reason.why) == (crate.name, row.why) for reason in self.reasons):
            self.reasons[Reason(crate.name, crate.version, "nothing to install", row.why)] = None

    def _for_target(self, row: Native, crate: TreeCrate) -> None:
        self._want(self.target, row.target, row, crate, "of the target, to link with")
        if row.cxx:
            self._want(self.host, self.compilers.cxx_packages, row, crate, "on the build platform")
        runtime = (*row.loaded, *(self.compilers.cxx_libraries if row.cxx else ()))
        self._want(self.runtime, runtime, row, crate, "in the image")
        for template, value in row.env:
            name, filled = (expand(text, self.place, self.libc, self.compilers) for text in (template, value))
            (self.common if name == template else self.env)[name] = filled
            self.reasons[Reason(crate.name, crate.version, f"{name} set", row.why)] = None

    def _want(
        self, into: dict[str, None], packages: Iterable[str], row: Native, crate: TreeCrate, where: str
    ) -> None:
        names = list(packages)
        into.update(dict.fromkeys(names))
        if names:
            reason = Reason(crate.name, crate.version, f"{' '.join(names)} {where}", row.why)
            self.reasons[reason] = None

    def _problem(self, row: Native, crate: TreeCrate, what: str, fix: str) -> None:
        self.problems[Problem(crate.name, crate.version, self.place.platform, what, fix)] = None

    def needs(self, unknown: tuple[str, ...], crates: int) -> Needs:
        """Return the collected needs."""
        return Needs(
            tuple(self.host),
            tuple(self.target),
            tuple(self.runtime),
            dict(self.env),
            dict(self.common),
            tuple(self.reasons),
            tuple(self.problems),
            unknown,
            crates,
        )


def expand(template: str, target: Target, libc: Libc, compilers: Compilers) -> str:
    """Expand a name or value of a row's environment for a target."""
    triple = target.triple(libc)
    low = triple.replace("-", "_")
    return template.format(
        triple=triple,
        low=low,
        upper=low.upper(),
        tools=target.tools,
        multiarch=target.multiarch,
        cc=compilers.cc,
        cxx=compilers.cxx,
    )


def suggest(library: str, debian: bool = True) -> str:
    """Return how to provide a library or header that was not found, with its package if a row has it.

    Args:
        library: name that the linker (`ssl`), pkg-config (`libssl`) or the compiler (`zlib.h`) did not find.
        debian: whether Debian's libraries can be linked (`Compilers.not_debian`).
    """
    if not debian:
        return f"enable the vendored or bundled feature of the crate, or {_WITH_DEBIAN}"
    # A header may be in a directory with the library's name: openssl/ssl.h.
    header = library.partition("/")[0].removesuffix(".h")
    names = {library, library.removeprefix("lib"), header, header.removeprefix("lib")}
    for name in sorted(names & LINKER_NAMES.keys()):
        return f"{library} is in Debian's {LINKER_NAMES[name]}: pass --target-packages {LINKER_NAMES[name]}"
    for row in NATIVES:
        if row.target and not names.isdisjoint(row.links):
            switch = f", or {row.advice}" if row.advice else ""
            return f"{library} is in Debian's {row.target[0]}: pass --target-packages {row.target[0]}{switch}"
    return (
        f"find Debian's package with `apt-file search {library}` (its name ends in -dev) and pass it with "
        "--target-packages, or switch on the crate's vendored or bundled feature"
    )
