"""The C toolchains a target can be built with, all described in the same words.

Cargo, build scripts and CMake are told about any of them in the same way (`toolchain.environment`). Debian's
cross gcc is the one for glibc; `pipeline.toolchain.zig` has the one for musl and for an older glibc.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.targets import Target

FILES = "/opt/rust-multiarch"
"""Where in the builder our own files are."""


@dataclass(frozen=True)
class Compilers:
    """The C toolchain of one target.

    Archives, symbols and stripping are always left to Debian's binutils (`<tools>-ar`), which every
    toolchain here brings along.

    Attributes:
        cc: the C compiler, which links as well.
        cxx: the C++ compiler.
        packages: Debian packages it needs.
        pkg_config: directories of the target's `.pc` files, joined with colons.
        bindgen: arguments that show libclang the headers `cc` uses.
        cmake: variables of the CMake toolchain file that only this toolchain sets.
        scripts: executables to put into the builder, by path.
        cxx_packages: Debian packages that C++ needs besides.
        cxx_libraries: Debian packages that a program with C++ in it needs where it runs.
        not_debian: why Debian's own libraries cannot be linked with what it makes; empty if they can.
    """

    cc: str
    cxx: str
    packages: tuple[str, ...]
    pkg_config: str
    bindgen: str
    cmake: Mapping[str, str] = field(default_factory=dict)
    scripts: Mapping[str, str] = field(default_factory=dict)
    cxx_packages: tuple[str, ...] = ()
    cxx_libraries: tuple[str, ...] = ()
    not_debian: str = ""


def debian_name(tools: str) -> str:
    """A tool prefix as it is spelled in package names."""
    return tools.replace("_", "-")


def gnu(target: Target) -> Compilers:
    """Debian's gcc and glibc for a target.

    On the target's own platform the same package names are met by the native compiler, so one list serves
    every build platform (Debian's `gcc` provides `gcc-<its own prefix>`).
    """
    tools = target.tools
    name = debian_name(tools)
    return Compilers(
        cc=f"{tools}-gcc",
        cxx=f"{tools}-g++",
        packages=(f"gcc-{name}", f"libc6-dev-{target.debian}-cross"),
        pkg_config=f"/usr/lib/{target.multiarch}/pkgconfig:/usr/share/pkgconfig",
        bindgen=(f"--target={tools} -isystem /usr/include/{target.multiarch} -isystem /usr/{tools}/include"),
        cmake={"CMAKE_LIBRARY_ARCHITECTURE": target.multiarch},
        cxx_packages=(f"g++-{name}",),
        cxx_libraries=("libstdc++6",),
    )
