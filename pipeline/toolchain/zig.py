"""Use zig's clang as the C toolchain for musl and for a glibc older than Debian's.

zig includes the headers and sources of every libc it supports, so one toolchain compiles and links C and C++
for all targets and any glibc version. rustc passes gcc's linker arguments; `cargo-zigbuild zig cc` translates
them for zig. Both tools come as Python wheels with native programs, which do not need Python to run.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence

from pipeline import programs
from pipeline.errors import InvalidArgument, UnsupportedLibc
from pipeline.sdk import dag, dagger
from pipeline.targets import Libc, Target
from pipeline.toolchain import wheels
from pipeline.toolchain.compilers import FILES, Compilers, debian_name

VERSION = "0.17.1"


WHEELS = (
    wheels.Wheel(
        "ziglang",
        VERSION,
        {
            "amd64": "ea6cc5d87b033cf0aedfbc8f9549a908cae6c50ac31f1698188fa48a74524b54",
            "arm64": "b7c5f02fccd40f89b999ee16a1f5ddced56e6182370f8affe494bcf8a28cf07e",
        },
    ),
    wheels.Wheel(
        "cargo-zigbuild",
        "0.24.0",
        {
            "amd64": "484412e39e4c6039474535ce97ee75a22bab22d58233056f8ec8a8f9034bb957",
            "arm64": "6942e4320f7b05d8fb29e0a8ce5670bcbb3d254275100b85b5b7c86552f9a744",
        },
    ),
)
"""The wheels for Linux on amd64 and arm64, the platforms an engine runs on."""

HOME = "/opt/zig"
CACHE = "/zig-cache"


_GLIBC = re.compile(r"(\d+)\.(\d+)")


def check(targets: Sequence[Target], libc: Libc, glibc: str, newest: tuple[int, int]) -> None:
    """Check that a target can be built with a C library.

    Args:
        targets: the targets.
        libc: the C library.
        glibc: the oldest glibc the programs run on; empty means the distribution's.
        newest: the glibc of the builder's distribution.

    Raises:
        InvalidArgument: the glibc version is malformed.
        UnsupportedLibc: Rust has no standard library for it, or does not support a glibc that old.
    """
    if libc is Libc.MUSL:
        _check_musl(targets, glibc)
    elif glibc:
        _check_floor(targets, glibc, newest)
    else:
        _check_ports(targets)


def _check_musl(targets: Sequence[Target], glibc: str) -> None:
    if glibc:
        raise UnsupportedLibc(
            f"programs linked with musl do not use glibc, so glibc {glibc} cannot apply",
            where="glibc",
            fix="leave the glibc version out, or build with libc gnu",
        )
    without = [target.platform for target in targets if not target.zig.std]
    if without:
        raise UnsupportedLibc(
            f"Rust distributes no standard library of {', '.join(without)} for musl",
            where="libc",
            fix="leave the platform out, or build it with libc gnu",
        )


def _check_ports(targets: Sequence[Target]) -> None:
    """Raise UnsupportedLibc if no Debian release has the C library of a target."""
    without = [target.platform for target in targets if target.port is None]
    if without:
        raise UnsupportedLibc(
            f"Debian has no glibc for {', '.join(without)}",
            where="libc",
            fix="build it with --libc musl",
        )


def _check_floor(targets: Sequence[Target], glibc: str, newest: tuple[int, int]) -> None:
    match = _GLIBC.fullmatch(glibc)
    if match is None:
        raise InvalidArgument(
            f"{glibc!r} is not a glibc version", where="glibc", fix="write it like 2.17 or 2.28"
        )
    version = (int(match[1]), int(match[2]))
    for target in targets:
        oldest = target.zig.glibc
        if not oldest <= version <= newest:
            raise UnsupportedLibc(
                f"{target.platform} cannot be built for glibc {glibc}",
                where="glibc",
                fix=f"choose from {_dotted(oldest)} to {_dotted(newest)}",
            )


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))


def name(target: Target, libc: Libc, glibc: str = "") -> str:
    """Return zig's name of a target: `aarch64-linux-musl`, `arm-linux-gnueabihf.2.17`."""
    row = target.zig
    return f"{row.arch}-linux-{libc.value}{row.suffix}" + (f".{glibc}" if glibc else "")


def compilers(target: Target, libc: Libc, glibc: str = "") -> Compilers:
    """Return zig's compilers for a target and a libc.

    Debian's libraries need Debian's glibc, so pkg-config finds none of them. A crate with a bundled copy
    builds that; for others `pipeline.native.natives` reports a problem, since the program would not start.
    zig includes a C++ library and links it statically.
    """
    folder = f"{FILES}/{name(target, libc, glibc)}"
    commands = {f"{folder}/cc": "cc", f"{folder}/c++": "c++"}
    return Compilers(
        cc=f"{folder}/cc",
        cxx=f"{folder}/c++",
        packages=(f"binutils-{debian_name(target.tools)}",),
        pkg_config=f"{folder}/pkgconfig",
        bindgen=shlex.join(_headers(target, libc, glibc)),
        scripts={path: programs.text("toolchain/compiler.sh") for path in commands},
        files={
            f"{path}.command": lines(_command(command, target, libc, glibc))
            for path, command in commands.items()
        },
        not_debian=(
            "Debian's package is for glibc only"
            if libc is Libc.MUSL
            else f"Debian's package is for Debian's glibc, which is newer than {glibc}"
        ),
    )


def _command(command: str, target: Target, libc: Libc, glibc: str) -> list[str]:
    # By default zig omits debug information and the build id, traps on undefined behaviour, and compiles
    # for musl without position independence (rustc's default).
    cpu = target.zig.cpu
    arguments = ["-g", "-fPIC", "-fno-sanitize=all", "-Wl,--build-id=sha1"]
    arguments += [f"-mcpu={cpu}"] if cpu else []
    arguments += ["-target", name(target, libc, glibc)]
    return [f"{HOME}/bin/cargo-zigbuild", "zig", command, "--", *arguments]


def _headers(target: Target, libc: Libc, glibc: str) -> list[str]:
    row = target.zig
    own = {
        Libc.MUSL: (f"{row.musl}-linux-musl", "generic-musl"),
        Libc.GNU: (f"{row.kernel}-linux-gnu", "generic-glibc"),
    }
    folders = (*own[libc], f"{row.kernel}-linux-any", "any-linux-any")
    arguments = ["-nostdlibinc"]
    for folder in folders:
        arguments += ["-isystem", f"{HOME}/ziglang/lib/libc/include/{folder}"]
    return arguments + ([f"-D__GLIBC_MINOR__={glibc.partition('.')[2]}"] if glibc else [])


def install(
    container: dagger.Container, targets: Sequence[Target], libc: Libc, platform: str = "", project: str = ""
) -> dagger.Container:
    """Install zig in a builder.

    zig compiles each libc from source, once per target, into a content-addressed cache. Build scripts can
    write to it, so each project has its own.

    Args:
        container: the builder.
        targets: the targets to build for.
        libc: their C library.
        platform: the platform of the compiler; the engine's platform if empty.
        project: the key of the project's compiled state.
    """
    volume = dag.cache_volume(f"rust-multiarch-zig-{VERSION}-{project}")
    container = (
        container.with_mounted_directory(HOME, wheels.installed(WHEELS, HOME, platform))
        .with_mounted_cache(CACHE, volume)
        .with_env_variable("ZIG_GLOBAL_CACHE_DIR", CACHE)
        .with_env_variable("CARGO_ZIGBUILD_CACHE_DIR", f"{CACHE}/cargo-zigbuild")
        .with_env_variable("CARGO_ZIGBUILD_ZIG_PATH", f"{HOME}/ziglang/zig")
        .with_env_variable("CARGO_ZIGBUILD_ZIG_VERSION", VERSION)
    )
    triples = not_static(targets) if libc is Libc.MUSL else []
    if triples:
        path = f"{FILES}/rustc"
        container = (
            container.with_new_file(path, programs.text("toolchain/rustc.sh"), permissions=0o755)
            .with_new_file(f"{path}.triples", lines(triples))
            .with_env_variable("RUSTC", path)
        )
    return container


def not_static(targets: Sequence[Target]) -> list[str]:
    """Return the musl triples whose programs rustc does not link statically by default; rustc.sh does.

    A `rustflags` setting could do the same, but cargo reads such flags from only one place, so it would
    replace the project's flags or be replaced by them.
    """
    return [target.musl for target in targets if not target.zig.static]


def lines(words: Iterable[str]) -> str:
    """Return a file with a word on each line."""
    return "".join(f"{word}\n" for word in words)
