"""Make the builder: the official Rust image on the engine's platform, with cross compilers for every target.

The compiler runs natively. Linker, C toolchain and standard library depend on the target, and are set by
variables whose names contain the target's triple, so they do not affect proc-macros and build scripts of the
build platform.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from pipeline import programs, releases
from pipeline.errors import BaseImageUnavailable
from pipeline.releases import Release
from pipeline.sdk import dag, dagger
from pipeline.targets import Libc, Target
from pipeline.toolchain import channel, zig
from pipeline.toolchain.compilers import FILES, Compilers, gnu

HOST_PACKAGES = ("ca-certificates", "pkgconf")
CARGO_HOME = "/cargo"
DOWNLOADS = "/downloads"
"""Mount point of the cache volume that only `cargo fetch` uses."""

WRAPPERS = ("RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER")
"""Set to empty values, which override a project's wrapper (usually sccache) that the builder lacks."""

CHANNEL = "__CARGO_TEST_CHANNEL_OVERRIDE_DO_NOT_USE_THIS"
"""Cargo's channel. The official image's is stable; a distribution's, compiled from a source tarball, may have
none, and takes unstable options as a nightly does."""

CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
SOURCE = "/source"
"""Mount point of the source; cargo may run in a directory below it."""

BUILD = "/build"
WORK = f"{BUILD}/src"
"""Where the source is compiled: a copy of it in the volume of compiled state."""


def with_source(container: dagger.Container, source: dagger.Directory, directory: str) -> dagger.Container:
    """Mount a source in a container, and set the working directory for cargo."""
    mounted = container.with_mounted_directory(SOURCE, source)
    return mounted.with_workdir(posixpath.normpath(posixpath.join(SOURCE, directory)))


def rust_image(version: str, release: Release) -> str:
    """Return the official builder image of a Rust version on a Debian release.

    For a Rust that rustup installs, it is the default version's image, which has rustup.
    """
    return release.image_of(releases.RUST if by_rustup(version, release) else version)


def by_rustup(version: str, release: Release) -> bool:
    """Return True if a Rust has no official image on a release, so rustup installs it."""
    return channel.by_rustup(version) or not release.has_image_of(version)


def compilers(target: Target, libc: Libc = Libc.GNU, glibc: str = "") -> Compilers:
    """Return the C toolchain of a target: Debian's gcc, or zig for musl and older versions of glibc."""
    return zig.compilers(target, libc, glibc) if needs_zig(libc, glibc) else gnu(target)


def needs_zig(libc: Libc, glibc: str) -> bool:
    """Return True if zig compiles and links for a C library."""
    return libc is Libc.MUSL or glibc != ""


def cross_packages(targets: Sequence[Target], libc: Libc = Libc.GNU, glibc: str = "") -> list[str]:
    """Return the Debian packages of every builder and of each target's C toolchain."""
    chosen = [compilers(target, libc, glibc) for target in targets]
    return [*HOST_PACKAGES, *(package for one in chosen for package in one.packages)]


def environment(target: Target, libc: Libc = Libc.GNU, glibc: str = "") -> dict[str, str]:
    """Return the variables that configure cargo, `cc`, `pkg-config`, `bindgen` and `cmake` for a target.

    Names follow the cargo book (`CARGO_TARGET_<TRIPLE>_LINKER`) and the crates' own documentation
    (`<NAME>_<triple>` with underscores: cc, pkg-config, bindgen, cmake).
    """
    triple = target.triple(libc)
    low, tools = triple.replace("-", "_"), target.tools
    chosen = compilers(target, libc, glibc)
    return {
        linker(triple): chosen.cc,
        f"CC_{low}": chosen.cc,
        f"CXX_{low}": chosen.cxx,
        f"AR_{low}": f"{tools}-ar",
        f"RANLIB_{low}": f"{tools}-ranlib",
        f"STRIP_{low}": f"{tools}-strip",
        f"PKG_CONFIG_{low}": "pkg-config",
        f"PKG_CONFIG_ALLOW_CROSS_{low}": "1",
        f"PKG_CONFIG_LIBDIR_{low}": chosen.pkg_config,
        f"PKG_CONFIG_SYSROOT_DIR_{low}": "/",
        f"BINDGEN_EXTRA_CLANG_ARGS_{low}": chosen.bindgen,
        f"CMAKE_TOOLCHAIN_FILE_{low}": f"{FILES}/{triple}.cmake",
    }


def linker(triple: str) -> str:
    """Return the variable for a triple's linker (the cargo book, "Environment Variables")."""
    return f"CARGO_TARGET_{triple.replace('-', '_').upper()}_LINKER"


def cmake_toolchain(target: Target, libc: Libc = Libc.GNU, glibc: str = "") -> str:
    """Return the text of a CMake toolchain file (cmake-toolchains(7)) for a target."""
    chosen = compilers(target, libc, glibc)
    lines = {
        "CMAKE_SYSTEM_NAME": "Linux",
        # As in uname(1), which has riscv64 instead of riscv64gc.
        "CMAKE_SYSTEM_PROCESSOR": target.gnu.split("-")[0].removesuffix("gc"),
        "CMAKE_C_COMPILER": chosen.cc,
        "CMAKE_CXX_COMPILER": chosen.cxx,
        "CMAKE_AR": f"/usr/bin/{target.tools}-ar",
        "CMAKE_RANLIB": f"/usr/bin/{target.tools}-ranlib",
        "CMAKE_FIND_ROOT_PATH_MODE_PROGRAM": "NEVER",
        **chosen.cmake,
    }
    return "".join(f"set({name} {value})\n" for name, value in lines.items())


def native(
    version: str,
    release: Release,
    platform: str = "",
    components: Sequence[str] = (),
    targets: Sequence[str] = (),
) -> dagger.Container:
    """Return the Rust image as it comes, with an empty home of cargo.

    Args:
        version: Rust version of the official image, or a channel that rustup installs, such as nightly.
        platform: what it runs on; the engine's own where it is empty, under QEMU elsewhere.
        components: additional components of the toolchain.
        targets: additional standard libraries, by triple.
        release: the Debian release of the image.
    """
    image = dag.container(platform=dagger.Platform(platform) if platform else None)
    image = image.from_(rust_image(version, release))
    for name in WRAPPERS:
        image = image.with_env_variable(name, "")
    if by_rustup(version, release):
        image = _installed(image, version).with_env_variable("RUSTUP_TOOLCHAIN", version)
    else:
        image = image.with_env_variable("RUSTUP_TOOLCHAIN", "${RUST_VERSION}", expand=True)
        image = image.with_env_variable(CHANNEL, "stable")
    for words in (["component", "add", *components], ["target", "add", *targets]):
        image = image.with_exec(["rustup", *words]) if words[2:] else image
    return image.with_env_variable("CARGO_HOME", CARGO_HOME)


def _installed(image: dagger.Container, version: str) -> dagger.Container:
    """Return a container with a channel installed by rustup; one without a date is today's."""
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    install = ["rustup", "toolchain", "install", version, "--profile", "minimal"]
    return image.with_env_variable("DAY", day).with_exec(install).without_env_variable("DAY")


def with_variables(container: dagger.Container, variables: Iterable[tuple[str, str]]) -> dagger.Container:
    """Return a container with variables of the compile; RUSTC_BOOTSTRAP counts for cargo too."""
    for name, value in variables:
        container = container.with_env_variable(name, value)
        if name == "RUSTC_BOOTSTRAP" and value not in ("", "0"):
            container = container.without_env_variable(CHANNEL)
    return container


def downloads(untrusted: bool) -> str:
    """Return the name of the volume with the downloads of trusted or of untrusted projects."""
    return "rust-multiarch-downloads-untrusted" if untrusted else "rust-multiarch-downloads"


def with_downloads(container: dagger.Container, untrusted: bool = False) -> dagger.Container:
    """Return a container with the downloads of all projects, for the fetch only."""
    return container.with_mounted_cache(DOWNLOADS, dag.cache_volume(downloads(untrusted)))


def with_fetched(container: dagger.Container, home: dagger.Directory) -> dagger.Container:
    """Return a container with a project's fetched dependencies as cargo's home.

    What a command changes there is in no other container.
    """
    return container.with_mounted_directory(CARGO_HOME, home)


def with_packages(container: dagger.Container, packages: Sequence[str]) -> dagger.Container:
    """Return a container with Debian packages installed, without package lists."""
    return (
        container.with_env_variable("DEBIAN_FRONTEND", "noninteractive")
        .with_exec(programs.command("toolchain/packages.sh", *packages))
        .without_env_variable("DEBIAN_FRONTEND")
    )


def builder(
    base: dagger.Container,
    targets: Sequence[Target],
    libc: Libc = Libc.GNU,
    packages: Sequence[str] = (),
    glibc: str = "",
    platform: str = "",
    project: str = "",
) -> dagger.Container:
    """Return the builder container for some targets.

    Args:
        base: a container with cargo, from `native`.
        targets: the targets to build for.
        libc: the C library of every target.
        packages: additional Debian packages, for native libraries.
        glibc: the oldest glibc the programs run on; empty means the distribution's.
        platform: the platform of the compiler; the engine's platform if empty.
        project: the key of the project's compiled state.
    """
    needed = [*cross_packages(targets, libc, glibc), *packages]
    container = with_packages(base, needed)
    triples = [target.triple(libc) for target in targets]
    container = container.with_exec(programs.command("toolchain/targets.sh", *triples))
    if needs_zig(libc, glibc):
        container = zig.install(container, targets, libc, platform, project)
    for target in targets:
        path = f"{FILES}/{target.triple(libc)}.cmake"
        container = container.with_new_file(path, cmake_toolchain(target, libc, glibc))
        installed = compilers(target, libc, glibc)
        for path, text in installed.scripts.items():
            container = container.with_new_file(path, text, permissions=0o755)
        for path, text in installed.files.items():
            container = container.with_new_file(path, text)
        for name, value in environment(target, libc, glibc).items():
            container = container.with_env_variable(name, value)
    return container


def unavailable(version: str, cause: str, release: Release, platform: str = "") -> BaseImageUnavailable:
    """Return the error for a Rust image that the engine cannot pull for a platform."""
    fix = f"check the version and the network, or pass --rust-version {releases.RUST}"
    if platform:
        fix += f"; on the embedded engine run `rust-multiarch engine start --builder {platform}` once"
    image = f"{rust_image(version, release)} for {platform}" if platform else rust_image(version, release)
    return BaseImageUnavailable(
        f"there is no {image} that the engine can pull",
        where="the builder",
        fix=fix,
        output=cause,
    )
