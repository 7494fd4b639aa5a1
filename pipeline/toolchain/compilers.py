"""Describe the C toolchain of a target, in one form for all toolchains.

`toolchain.environment` configures cargo, build scripts and CMake from it. Debian's cross gcc serves glibc;
`pipeline.toolchain.zig` serves musl and older glibc versions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.targets import Target

FILES = "/opt/rust-multiarch"
"""Directory of this project's files in the builder."""


@dataclass(frozen=True)
class Compilers:
    """The C toolchain of one target.

    Archiving, symbol handling and stripping always use Debian's binutils (`<tools>-ar`), which every
    toolchain here installs.

    Attributes:
        cc: the C compiler, which also links.
        cxx: the C++ compiler.
        packages: required Debian packages.
        pkg_config: directories of the target's `.pc` files, joined with colons.
        bindgen: arguments that point libclang at the headers of `cc`.
        cmake: CMake toolchain variables that only this toolchain sets.
        scripts: executables to install in the builder, by path.
        files: files that they read, by path.
        cxx_packages: additional Debian packages for C++.
        cxx_libraries: Debian packages that a program with C++ needs at run time.
        not_debian: why it cannot link Debian's libraries; empty if it can.
    """

    cc: str
    cxx: str
    packages: tuple[str, ...]
    pkg_config: str
    bindgen: str
    cmake: Mapping[str, str] = field(default_factory=dict)
    scripts: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    cxx_packages: tuple[str, ...] = ()
    cxx_libraries: tuple[str, ...] = ()
    not_debian: str = ""


def debian_name(tools: str) -> str:
    """Return a tool prefix as spelled in package names."""
    return tools.replace("_", "-")


def gnu(target: Target) -> Compilers:
    """Return Debian's gcc and glibc for a target.

    On the target's own platform the native compiler provides the same package names, so one list serves every
    build platform (Debian's `gcc` provides `gcc-<prefix>`).
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
