"""Check programs against the root filesystem of their image.

Apply the rules of `pipeline.abi.symbols` to the images of all platforms concurrently. Return a report, or
raise one error with all findings.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict, dataclass

from pipeline.abi import rootfs
from pipeline.abi.symbols import Case, Finding, check
from pipeline.concurrent import each
from pipeline.errors import VerificationError
from pipeline.oci.runtime import PROGRAMS
from pipeline.sdk import dagger
from pipeline.targets import Target
from pipeline.toolchain.versions import highest, numbered

AT_ONCE = 4
"""Images checked concurrently; each takes a few small exports and some parsing."""


@dataclass(frozen=True)
class Requirements:
    """Requirements on the programs of an image.

    Attributes:
        programs: absolute paths in the image.
        runtime: name of the image's base in messages, for example `debian:trixie-slim`.
        static: whether the programs have to be static.
        glibc: the oldest glibc the programs have to run on; empty for no limit.
    """

    programs: tuple[str, ...] = ()
    runtime: str = ""
    static: bool = False
    glibc: str = ""


@dataclass(frozen=True)
class VerifyRequest:
    """An image to check, its platform, and the requirements on its programs."""

    container: dagger.Container
    target: Target
    demand: Requirements


@dataclass(frozen=True)
class Verified:
    """A program that can start in its runtime.

    Attributes:
        platform: OCI platform.
        program: file name.
        runtime: the image's base.
        machine: architecture of the file, as text.
        linkage: `dynamic`, `static` or `static-pie`.
        interpreter: the dynamic loader that starts it; empty for a static program.
        libraries: path of each loaded library in the runtime, by name.
        versions: highest symbol version required and highest in the runtime, by family (`GLIBC`).
        symbols: number of symbols looked up.
        build_id: GNU build id.
        path: its path in the image, without links.
        digest: its digest.
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
    path: str = ""
    digest: str = ""


async def verify(subjects: Sequence[VerifyRequest]) -> list[Verified]:
    """Check every program of some images, without running any.

    Raises:
        VerificationError: a program does not fit; the message has the findings of all images.
    """
    every = [case for of_one in await each(subjects, _cases, AT_ONCE) for case in of_one]
    found = [(case, finding) for case in every for finding in check(case)]
    if found:
        raise failure(found)
    return [describe(case) for case in every]


async def _cases(subject: VerifyRequest) -> list[Case]:
    """Return the programs of one image to check."""
    asked = subject.demand
    root = await rootfs.export_files(subject.container, asked.programs, subject.target)
    return [
        Case(path, root, subject.target, asked.runtime, asked.static, asked.glibc) for path in asked.programs
    ]


async def verify_file(
    binary: dagger.File, container: dagger.Container, target: Target, runtime: str, static: bool = False
) -> Verified:
    """Check one program against an image as if it had been added to it.

    Args:
        binary: the program.
        container: the image, of the target's platform.
        target: the platform.
        runtime: name of the image in messages.
        static: whether the program has to be static.

    Raises:
        VerificationError: it does not fit.
    """
    path = f"{PROGRAMS}/{re.sub(r'[^A-Za-z0-9_.+-]', '_', await binary.name())}"
    subject = VerifyRequest(container.with_file(path, binary), target, Requirements((path,), runtime, static))
    return (await verify([subject]))[0]


def failure(found: Sequence[tuple[Case, Finding]]) -> VerificationError:
    """Combine all findings into one error."""
    lines = [f"{case.target.platform}: {finding.what}" for case, finding in found]
    return VerificationError(
        lines[0] if len(lines) == 1 else "\n    ".join([f"{len(lines)} checks failed", *lines]),
        where=", ".join(dict.fromkeys(f"runtime {case.runtime}" for case, _ in found)),
        fix="\n         ".join(dict.fromkeys(finding.fix for _, finding in found)),
    )


def describe(case: Case) -> Verified:
    """Report a program that passed."""
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
        path=case.root.real(case.path),
        digest=case.root.digests.get(case.root.real(case.path), ""),
    )


def _interpreter(case: Case) -> str:
    return case.root.real(case.elf.interpreter) if case.elf.interpreter else ""


def replaced(report: str, platform: str, verified: Sequence[Verified]) -> str:
    """Replace the entries of one platform in a report made by `as_json`."""
    entries = json.loads(report)["verified"]
    others = [entry for entry in entries if entry["platform"] != platform]
    return json.dumps({"verified": [*others, *map(asdict, verified)]}, indent=2)


def digests(report: str) -> dict[str, dict[str, str]]:
    """Return the digests of the programs in a report made by `as_json`, by platform and path."""
    found: dict[str, dict[str, str]] = {}
    for entry in json.loads(report)["verified"]:
        found.setdefault(entry["platform"], {})[entry["path"]] = entry["digest"]
    return found


def compare(
    checked: Mapping[str, Mapping[str, str]],
    packed: Mapping[str, Mapping[str, str]],
    on_known_base: Container[str],
) -> None:
    """Fail if a program in an image is not the one that was checked.

    The engine may run a step of a caller's container again, for example after it dropped its cache, and the
    step may give other files.

    Args:
        checked: the digests of the programs that were checked, from `digests`.
        packed: the digests of the programs in the layers of the image, by platform and path.
        on_known_base: the platforms whose image has a base in a registry. The base's layers are not in
            `packed`: their digests prove the programs in them.

    Raises:
        VerificationError: a program differs.
    """
    for platform, programs in checked.items():
        for path, expected in programs.items():
            found = packed.get(platform, {}).get(path)
            if found != expected and not (found is None and platform in on_known_base):
                raise VerificationError(
                    f"{path} was checked as {expected}, and is {found or 'missing'} in the image",
                    where=platform,
                    fix="build again; if it fails again, a step of your container differs each time",
                )


def as_json(verified: Sequence[Verified]) -> str:
    """Format the report as JSON: `{"verified": [...]}` with the fields of `Verified`."""
    return json.dumps({"verified": [asdict(one) for one in verified]}, indent=2)


def as_text(verified: Sequence[Verified]) -> str:
    """Format the report with one line per program."""
    return "\n".join(map(_line, verified))


def _line(one: Verified) -> str:
    parts = [one.machine, one.linkage]
    if one.linkage == "dynamic":
        libraries = ", ".join(one.libraries)
        versions = [f"{needed} of {has}" for needed, has in one.versions.values()]
        parts += [posixpath.basename(one.interpreter), libraries, *versions, f"{one.symbols} symbols found"]
    return f"{one.platform}  {one.program} fits {one.runtime}: {'; '.join(filter(None, parts))}"
