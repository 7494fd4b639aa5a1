"""Test programs on bases with the shape of those that people choose besides Debian's.

None of the real images can be pulled on every machine, so each is made here from the files of Debian that
matter: the C library where that image has it, its accounts, its certificates and its package database.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

import crates
import dagger
import pytest
from conftest import PLATFORMS
from dagger import dag
from test_publish import get

from engine import choice
from engine.record import BaseImages
from pipeline import RustMultiarch, errors
from pipeline.oci.base import REWRITTEN
from pipeline.targets import Target, parse

pytestmark = pytest.mark.anyio

LIBRARIES = ("libc.so.6", "libm.so.6", "libgcc_s.so.1")
ROOT = "root:x:0:0:root:/root:/sbin/nologin\n"
NONROOT = ROOT + "nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n"
STATUS = "Package: {}\nVersion: 1\nArchitecture: all\n"
CERTIFICATES = "certificates of the base\n"


@dataclass(frozen=True)
class Shape:
    """The shape of a base image.

    Attributes:
        libraries: the directory of its C library, with {multiarch}; empty without one.
        loader: the directory of its dynamic loader.
        files: its other files.
        links: its symbolic links, by path.
        env: its environment.
        user: its user.
        release: the Debian release whose C library it has.
    """

    libraries: str = ""
    loader: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    release: str = "trixie"


DISTROLESS = {
    "etc/passwd": NONROOT,
    "etc/group": "root:x:0:\nnonroot:x:65532:\n",
    "etc/os-release": "ID=debian\nVERSION_ID=13\n",
    "etc/ssl/certs/ca-certificates.crt": CERTIFICATES,
    "var/lib/dpkg/status.d/base-files": STATUS.format("base-files"),
}
CC = {f"var/lib/dpkg/status.d/{name}": STATUS.format(name) for name in ("libc6", "libgcc-s1")}

SHAPES = {
    "distroless-cc": Shape("lib/{multiarch}", "lib64", {**DISTROLESS, **CC}),
    "distroless-static": Shape(files=DISTROLESS),
    "wolfi-glibc-dynamic": Shape(
        "usr/lib",
        "usr/lib",
        {
            "etc/passwd": NONROOT,
            "etc/os-release": "ID=wolfi\n",
            "etc/ssl/certs/ca-certificates.crt": CERTIFICATES,
            "usr/lib/apk/db/installed": "P:glibc\n",
        },
        {"lib": "usr/lib", "lib64": "usr/lib"},
        user="65532",
    ),
    "ubi-micro": Shape(
        "usr/lib64",
        "usr/lib64",
        {
            "etc/passwd": ROOT,
            "etc/os-release": "ID=rhel\nVERSION_ID=9.4\n",
            "etc/pki/tls/certs/ca-bundle.crt": CERTIFICATES,
            "var/lib/rpm/rpmdb.sqlite": "",
        },
        {"lib64": "usr/lib64", "lib": "usr/lib64", "etc/ssl/certs": "../pki/tls/certs"},
        {"LD_LIBRARY_PATH": "/usr/lib64"},
        release="bookworm",
    ),
    "busybox-glibc": Shape("lib", "lib", {"etc/passwd": ROOT, "etc/group": "root:x:0:\n"}, {"lib64": "lib"}),
    "alpine": Shape(
        files={
            "etc/passwd": ROOT,
            "etc/os-release": "ID=alpine\n",
            "etc/alpine-release": "3.22.0\n",
            "lib/apk/db/installed": "P:musl\n",
            "etc/ssl/certs/ca-certificates.crt": CERTIFICATES,
        }
    ),
}


async def made(shape: Shape, target: Target) -> dagger.Container:
    """Make a base with a shape from the files of Debian."""
    debian = dag.container(platform=dagger.Platform(target.platform)).from_(f"debian:{shape.release}-slim")
    root = dag.directory()
    for path, text in shape.files.items():
        root = root.with_new_file(path, text)
    for path, to in shape.links.items():
        root = root.with_symlink(to, path)
    if shape.libraries:
        below = shape.libraries.format(multiarch=target.multiarch)
        for name in LIBRARIES:
            source = debian.file(f"/usr/lib/{target.multiarch}/{name}")
            root = root.with_file(f"{below}/{name}", source)
        loader = target.loader.rpartition("/")[2]
        place = target.loader.strip("/") if shape.loader == "lib64" else f"{shape.loader}/{loader}"
        root = root.with_file(place, debian.file(target.loader), permissions=0o755)
    container = dag.container(platform=dagger.Platform(target.platform)).with_rootfs(root)
    for name, value in shape.env.items():
        container = container.with_env_variable(name, value)
    return container.with_user(shape.user) if shape.user else container


async def pushed(name: str, loopback: str) -> str:
    """Push a base of this shape for both platforms; return its address."""
    variants = [await made(SHAPES[name], parse(platform)) for platform in PLATFORMS]
    address = f"{loopback}/shapes/{name}:{os.urandom(3).hex()}"
    await dag.container().publish(address, platform_variants=variants)
    return address


@pytest.fixture(scope="session")
def bookworm(engine: choice.Choice) -> None:
    """Have the base images of the release before the default one."""
    choice.choose(images=BaseImages(PLATFORMS, releases=["bookworm"]))


@pytest.mark.parametrize("name", ["distroless-cc", "wolfi-glibc-dynamic", "ubi-micro", "busybox-glibc"])
async def test_a_program_with_glibc_starts_on_it(session, bookworm, loopback: str, name: str) -> None:
    base = await pushed(name, loopback)
    release = SHAPES[name].release
    module = RustMultiarch(source=crates.hello(), platforms=PLATFORMS, runtime_base=base, debian=release)
    receipt = json.loads(await module.publish(f"{loopback}/shapes/on-{name}:x", as_json=True))
    assert REWRITTEN not in {one["layers"] for one in receipt["bases"]}
    index, _ = get(loopback, f"shapes/on-{name}/manifests/x")
    for entry, platform in zip(index["manifests"], PLATFORMS, strict=True):
        address = f"{loopback}/shapes/on-{name}@{entry['digest']}"
        image = dag.container(platform=dagger.Platform(platform)).from_(address)
        assert "arch=" in await image.with_exec([], use_entrypoint=True).stdout()
        assert await image.user() == "10001:10001"
        assert (await image.file("/etc/passwd").contents()).startswith("root:")
        for path in SHAPES[name].links:
            assert await image.exists(
                path, do_not_follow_symlinks=True, expected_type=dagger.ExistsType.SYMLINK_TYPE
            )
        certificates = await image.file("/etc/ssl/certs/ca-certificates.crt").contents()
        assert "BEGIN CERTIFICATE" in certificates


@pytest.mark.parametrize("name", ["distroless-static", "alpine"])
async def test_a_program_with_glibc_is_refused_without_a_c_library(session, loopback: str, name: str) -> None:
    base = await pushed(name, loopback)
    module = RustMultiarch(source=crates.hello(), platforms=["linux/amd64"], runtime_base=base)
    with pytest.raises(errors.VerificationError) as raised:
        await module.build()
    print(raised.value)


@pytest.mark.musl
@pytest.mark.parametrize("name", ["distroless-static", "alpine"])
async def test_a_static_program_starts_on_it(session, loopback: str, name: str) -> None:
    base = await pushed(name, loopback)
    module = RustMultiarch(source=crates.hello(), platforms=PLATFORMS, runtime_base=base, libc="musl")
    await module.publish(f"{loopback}/shapes/static-{name}:x")
    for platform in PLATFORMS:
        image = dag.container(platform=dagger.Platform(platform)).from_(f"{loopback}/shapes/static-{name}:x")
        assert "arch=" in await image.with_exec([], use_entrypoint=True).stdout()
