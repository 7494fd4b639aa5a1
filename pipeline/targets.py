"""The target table: one row per platform, with everything that differs between platforms.

To add a platform, add a row. Sources of the columns: the platform names are the OCI image
specification's (GOOS/GOARCH/GOARM); the triples are rustc's platform-support list; architectures, tool
prefixes and multiarch directories are Debian's (`dpkg-architecture -L`); ELF machines and loader paths are
the System V psABI supplements' and glibc's `shlib-versions`; the baseline CPU is what rustc assumes for
the triple; machines are the kernel's `UTS_MACHINE`; QEMU's names are of its user-mode emulators; ports are in
the release notes of Debian; zig's names are in its `lib/libc/include`.
"""

from __future__ import annotations

import difflib
import enum
import re
from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.errors import DuplicatePlatform, MalformedPlatform, NoPlatforms, UnsupportedPlatform

DEFAULT_PLATFORMS = ("linux/amd64", "linux/arm64")

_PLATFORM = re.compile(r"(?P<os>[a-z]+)/(?P<arch>[a-z0-9]+)(?:/(?P<variant>v[0-9]+))?")


class Strategy(enum.Enum):
    """The machine that a target's compiler runs on."""

    CROSS = "cross"
    EMULATED = "emulated"


class Libc(enum.Enum):
    """The C library that the binary links with."""

    GNU = "gnu"
    """glibc, which the runtime has to provide."""

    MUSL = "musl"
    """musl, linked statically: the binary needs no library in the runtime."""


@dataclass(frozen=True)
class ZigTarget:
    """A target in zig's terms, with the settings where zig's defaults differ from rustc's.

    Attributes:
        arch: zig's name of the architecture.
        suffix: text after `gnu` and `musl` in the ABI.
        musl: architecture of the musl headers.
        kernel: architecture of the kernel's and glibc's headers.
        cpu: rustc's baseline processor in zig's terms; empty if it is zig's default.
        glibc: oldest glibc that Rust supports (rustc's platform-support list).
        std: whether Rust distributes a standard library for musl (tier 2).
        static: whether rustc links musl statically by default.
    """

    arch: str
    musl: str
    kernel: str
    suffix: str = ""
    cpu: str = ""
    glibc: tuple[int, int] = (2, 17)
    std: bool = True
    static: bool = True


@dataclass(frozen=True)
class Target:
    """An OCI platform with its name in every tool.

    Attributes:
        platform: OCI platform, with its variant if it has one.
        gnu: rustc triple for glibc.
        musl: rustc triple for musl.
        debian: Debian architecture, as `dpkg --add-architecture` takes it.
        tools: prefix of the GNU cross tools (`<tools>-gcc`).
        multiarch: Debian's directory for the architecture's libraries.
        machine: ELF `e_machine`, as pyelftools names it.
        bits: ELF class, 32 or 64.
        little_endian: ELF data encoding.
        loader: dynamic loader (`PT_INTERP`) of a glibc binary.
        cpu: baseline processor that rustc compiles for.
        machines: names of the machine in uname(2): Linux's first, then those of other systems and processors.
        qemu: QEMU's name of the architecture, as in `qemu-aarch64`.
        port: number of the first Debian release in `releases` with a port to it; None if there is no port.
        zig: the target in zig's terms.
        runs: other platforms that its processor runs.
    """

    platform: str
    gnu: str
    musl: str
    debian: str
    tools: str
    multiarch: str
    machine: str
    bits: int
    little_endian: bool
    loader: str
    cpu: str
    machines: tuple[str, ...]
    qemu: str
    port: int | None
    zig: ZigTarget
    runs: tuple[str, ...] = ()

    def triple(self, libc: Libc = Libc.GNU) -> str:
        """Return the rustc triple for a C library."""
        return self.musl if libc is Libc.MUSL else self.gnu

    @property
    def arch(self) -> str:
        """Return the architecture part of the platform (`arm` of `linux/arm/v7`)."""
        return self.platform.split("/")[1]


# fmt: off
TARGETS: tuple[Target, ...] = (
    Target("linux/amd64", "x86_64-unknown-linux-gnu", "x86_64-unknown-linux-musl",
           "amd64", "x86_64-linux-gnu", "x86_64-linux-gnu",
           "EM_X86_64", 64, True, "/lib64/ld-linux-x86-64.so.2", "x86-64",
           ("x86_64",), "x86_64", 12, ZigTarget("x86_64", "x86_64", "x86"), runs=("linux/386",)),
    Target("linux/arm64", "aarch64-unknown-linux-gnu", "aarch64-unknown-linux-musl",
           "arm64", "aarch64-linux-gnu", "aarch64-linux-gnu",
           "EM_AARCH64", 64, True, "/lib/ld-linux-aarch64.so.1", "armv8-a",
           ("aarch64", "arm64"), "aarch64", 12,
           ZigTarget("aarch64", "aarch64", "aarch64"), runs=("linux/arm/v7",)),
    Target("linux/arm/v7", "armv7-unknown-linux-gnueabihf", "armv7-unknown-linux-musleabihf",
           "armhf", "arm-linux-gnueabihf", "arm-linux-gnueabihf",
           "EM_ARM", 32, True, "/lib/ld-linux-armhf.so.3", "armv7-a+vfpv3-d16",
           ("armv7l", "armv8l"), "arm", 12,
           ZigTarget("arm", "arm", "arm", suffix="eabihf", cpu="generic+v7a+vfp3-d32+thumb2-neon")),
    Target("linux/386", "i686-unknown-linux-gnu", "i686-unknown-linux-musl",
           "i386", "i686-linux-gnu", "i386-linux-gnu",
           "EM_386", 32, True, "/lib/ld-linux.so.2", "pentium4",
           ("i686", "i586", "i386"), "i386", 12, ZigTarget("x86", "x86", "x86", cpu="pentium4")),
    Target("linux/ppc64le", "powerpc64le-unknown-linux-gnu", "powerpc64le-unknown-linux-musl",
           "ppc64el", "powerpc64le-linux-gnu", "powerpc64le-linux-gnu",
           "EM_PPC64", 64, True, "/lib64/ld64.so.2", "power8",
           ("ppc64le",), "ppc64le", 12, ZigTarget("powerpc64le", "powerpc64", "powerpc")),
    Target("linux/s390x", "s390x-unknown-linux-gnu", "s390x-unknown-linux-musl",
           "s390x", "s390x-linux-gnu", "s390x-linux-gnu",
           "EM_S390", 64, False, "/lib/ld64.so.1", "z10",
           ("s390x",), "s390x", 12,
           ZigTarget("s390x", "s390x", "s390x", cpu="z10-vector", std=False, static=False)),
    Target("linux/riscv64", "riscv64gc-unknown-linux-gnu", "riscv64gc-unknown-linux-musl",
           "riscv64", "riscv64-linux-gnu", "riscv64-linux-gnu",
           "EM_RISCV", 64, True, "/lib/ld-linux-riscv64-lp64d.so.1", "rv64gc",
           ("riscv64",), "riscv64", 13,
           ZigTarget("riscv64", "riscv64", "riscv", cpu="generic_rv64+m+a+f+d+c", glibc=(2, 29),
                     static=False)),
    Target("linux/loong64", "loongarch64-unknown-linux-gnu", "loongarch64-unknown-linux-musl",
           "loong64", "loongarch64-linux-gnu", "loongarch64-linux-gnu",
           "EM_LOONGARCH", 64, True, "/lib64/ld-linux-loongarch-lp64d.so.1", "la64v1.0",
           ("loongarch64",), "loongarch64", None,
           ZigTarget("loongarch64", "loongarch64", "loongarch", glibc=(2, 36), static=False)),
)
# fmt: on

BY_MACHINE = {machine: target for target in TARGETS for machine in target.machines}
"""The rows by the machine's name in uname(2), which on macOS and Linux may differ for one processor."""

BY_PLATFORM = {target.platform: target for target in TARGETS}

# Spellings with an explicit default variant (containerd's `Normalize`).
_SAME = {"linux/arm64/v8": "linux/arm64", "linux/amd64/v1": "linux/amd64", "linux/arm": "linux/arm/v7"}


def parse(platform: str) -> Target:
    """Return the row of a platform.

    Raises:
        MalformedPlatform: the text is not `os/arch` or `os/arch/variant`.
        UnsupportedPlatform: no row matches; the message lists the supported platforms.
    """
    text = platform.strip()
    if not _PLATFORM.fullmatch(text):
        raise MalformedPlatform(
            f"{platform!r} is not a platform",
            where="platforms",
            fix=_meant(text) + "write it as os/arch or os/arch/variant, such as linux/arm64 or linux/arm/v7",
        )
    target = BY_PLATFORM.get(_SAME.get(text, text))
    if target is None:
        raise UnsupportedPlatform(
            f"platform {text!r} is not supported",
            where="platforms",
            fix=_meant(text) + "use one of " + ", ".join(BY_PLATFORM),
        )
    return target


# Names of processors that no column of the table has.
_PROCESSORS = {"x64": "linux/amd64", "x86-64": "linux/amd64", "armv8": "linux/arm64", "armv7": "linux/arm/v7",
               "x86": "linux/386", "i686": "linux/386", "riscv64gc": "linux/riscv64"}  # fmt: skip


def _meant(text: str) -> str:
    """Return a question with the platforms that an architecture, a triple or a typing error may stand for."""
    names = dict(_PROCESSORS)
    for row in TARGETS:
        own = (row.platform.removeprefix("linux/"), row.gnu, row.musl, row.debian, row.tools, row.multiarch)
        names |= dict.fromkeys((*own, row.gnu.split("-")[0]), row.platform)
    plain = text.lower().removeprefix("linux/")
    exact = names.get(plain) or names.get(plain.replace("_", "-"))
    found = [exact] if exact else difflib.get_close_matches(text.lower(), list(BY_PLATFORM), 2, 0.85)
    return f"did you mean {' or '.join(found)}? Otherwise " if found else ""


def select(platforms: Iterable[str]) -> tuple[Target, ...]:
    """Return the rows of some platforms in order; an item may hold several, separated by commas.

    Raises:
        NoPlatforms: the list is empty.
        DuplicatePlatform: a platform occurs twice, also in two spellings.
        MalformedPlatform, UnsupportedPlatform: see `parse`.
    """
    names = [name for item in platforms for name in item.split(",")]
    if not names or names == [""]:
        raise NoPlatforms(
            "no platform to build for",
            where="platforms",
            fix="name at least one of " + ", ".join(BY_PLATFORM),
        )
    chosen: list[Target] = []
    for name in names:
        target = parse(name)
        if target in chosen:
            raise DuplicatePlatform(
                f"platform {target.platform!r} is named twice", where="platforms", fix="name it once"
            )
        chosen.append(target)
    return tuple(chosen)
