"""The ABI gate: every program is held against the very root file system it will ship in.

Check images of all platforms against the rules of `pipeline.abi.symbols`, at the same time. The result is a
report of everything verified, or one error with every finding.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import dagger

from pipeline.abi import rootfs
from pipeline.abi.symbols import Case, Finding, check
from pipeline.concurrent import each
from pipeline.errors import VerificationError
from pipeline.oci.runtime import PROGRAMS
from pipeline.targets import Target
from pipeline.toolchain.versions import highest, numbered

AT_ONCE = 4
"""Images that are checked at the same time; each is a few small exports and some parsing."""


@dataclass(frozen=True)
class Demand:
    """What an image's programs have to be.

    Attributes:
        programs: absolute paths in the image.
        runtime: what to call the image's base in a message, for example `debian:bookworm-slim`.
        static: the programs were asked to be static.
        glibc: the oldest glibc they were asked to run on; empty if that was not asked.
    """

    programs: tuple[str, ...] = ()
    runtime: str = ""
    static: bool = False
    glibc: str = ""


@dataclass(frozen=True)
class VerifyRequest:
    """An image as it will ship, its platform, and what its programs have to be."""

    container: dagger.Container
    target: Target
    demand: Demand


@dataclass(frozen=True)
class Verified:
    """A program that fits its runtime.

    Attributes:
        platform: OCI platform.
        program: file name.
        runtime: the image's base.
        machine: architecture of the file, in words.
        linkage: `dynamic`, `static` or `static-pie`.
        interpreter: the dynamic loader that starts it, empty for a static program.
        libraries: path in the runtime of every library that is loaded, by name.
        versions: highest symbol version needed and the highest the runtime has, by family (`GLIBC`).
        symbols: number of symbols that were looked up and found.
        build_id: GNU build id.
    """

    platform: str
    program: str
    runtime: str
    machine: str
    linkage: str
    interpreter: str
    libraries: dict[str, str]
    versions: dict[str, tuple[str, str]]
    symbols: int
    build_id: str


async def verify(subjects: Sequence[VerifyRequest]) -> list[Verified]:
    """Check every program of some images; nothing in them is run.

    Raises:
        VerificationError: a program does not fit; the message has the findings of all images.
    """
    every = [case for of_one in await each(subjects, _cases, AT_ONCE) for case in of_one]
    found = [(case, finding) for case in every for finding in check(case)]
    if found:
        raise failure(found)
    return [describe(case) for case in every]


async def _cases(subject: VerifyRequest) -> list[Case]:
    """What is to be checked of one image."""
    asked = subject.demand
    root = await rootfs.bring(subject.container, asked.programs, subject.target)
    return [
        Case(path, root, subject.target, asked.runtime, asked.static, asked.glibc) for path in asked.programs
    ]


async def verify_file(
    binary: dagger.File, container: dagger.Container, target: Target, runtime: str, static: bool = False
) -> Verified:
    """Check one program against an image it is not in, as if it were added to it.

    Args:
        binary: the program.
        container: the image, of the target's platform.
        target: the platform.
        runtime: what to call the image in a message.
        static: the program has to be static.

    Raises:
        VerificationError: it does not fit.
    """
    path = f"{PROGRAMS}/{re.sub(r'[^A-Za-z0-9_.+-]', '_', await binary.name())}"
    subject = VerifyRequest(container.with_file(path, binary), target, Demand((path,), runtime, static))
    return (await verify([subject]))[0]


def failure(found: Sequence[tuple[Case, Finding]]) -> VerificationError:
    """One error for everything that was found."""
    lines = [f"{case.target.platform}: {finding.what}" for case, finding in found]
    return VerificationError(
        lines[0] if len(lines) == 1 else "\n    ".join([f"{len(lines)} checks failed", *lines]),
        where=", ".join(dict.fromkeys(f"runtime {case.runtime}" for case, _ in found)),
        fix="\n         ".join(dict.fromkeys(finding.fix for _, finding in found)),
    )


def describe(case: Case) -> Verified:
    """What was verified of a program that fits."""
    elf, loaded = case.elf, case.loaded
    versions = {}
    for family in dict.fromkeys(numbered(need.version)[0] for need in elf.needs):
        needed = highest((need.version for need in elf.needs), family)
        of_family = {need.library for need in elf.needs if numbered(need.version)[0] == family}
        has = [v for name in of_family if (found := loaded.provider(name)) for v in found.defines]
        if numbered(needed)[1]:
            versions[family] = (needed, highest(has, family))
    return Verified(
        platform=case.target.platform,
        program=case.name,
        runtime=case.runtime,
        machine=elf.described(),
        linkage=elf.linkage,
        interpreter=elf.interpreter or "",
        libraries={name: path for name, path in loaded.providers.items() if path != _interpreter(case)},
        versions=versions,
        symbols=len(elf.imports),
        build_id=elf.build_id,
    )


def _interpreter(case: Case) -> str:
    return case.root.real(case.elf.interpreter) if case.elf.interpreter else ""


def replaced(report: str, platform: str, verified: Sequence[Verified]) -> str:
    """A report, as `as_json` gives it, with what it says of a platform replaced."""
    entries = json.loads(report)["verified"]
    others = [entry for entry in entries if entry["platform"] != platform]
    return json.dumps({"verified": [*others, *map(asdict, verified)]}, indent=2)


def as_json(verified: Sequence[Verified]) -> str:
    """The report as a JSON document: `{"verified": [...]}` with the fields of `Verified`."""
    return json.dumps({"verified": [asdict(one) for one in verified]}, indent=2)


def as_text(verified: Sequence[Verified]) -> str:
    """The report as one line for each program."""
    return "\n".join(map(_line, verified))


def _line(one: Verified) -> str:
    parts = [one.machine, one.linkage]
    if one.linkage == "dynamic":
        libraries = ", ".join(one.libraries)
        versions = [f"{needed} of {has}" for needed, has in one.versions.values()]
        parts += [posixpath.basename(one.interpreter), libraries, *versions, f"{one.symbols} symbols found"]
    return f"{one.platform}  {one.program} fits {one.runtime}: {'; '.join(filter(None, parts))}"
