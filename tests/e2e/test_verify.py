"""Test the ABI check on real files in real images, and compare it with the loader where programs run."""

import json

import crates
import dagger
import pytest
from conftest import PLATFORMS
from dagger import dag

from pipeline import RustMultiarch
from pipeline.abi import verify
from pipeline.errors import VerificationError
from pipeline.image import Image
from pipeline.releases import DEFAULT
from pipeline.targets import Target, parse

pytestmark = pytest.mark.anyio

BASE = DEFAULT.base
USES_FOO = "int foo(void); int main(void) { return foo(); }"
FOO = "int foo(void) { return 0; }"


def base(platform: str) -> dagger.Container:
    return dag.container(platform=dagger.Platform(platform)).from_(BASE)


@pytest.fixture(scope="module")
async def hello(session) -> Image:
    return await RustMultiarch(source=crates.hello(), platforms=PLATFORMS).build()


@pytest.fixture(scope="module")
async def compiler(session) -> dagger.Container:
    """Return a container with a C compiler for every platform: the builder."""
    return await RustMultiarch(source=crates.hello(), platforms=PLATFORMS).builder()


def library(compiler: dagger.Container, target: Target, name: str, versions: list[str]) -> dagger.File:
    """Compile a shared library that defines `foo` in the last of some symbol versions, the others empty."""
    script = "".join(f"{version} {{ }};\n" for version in versions[:-1])
    script += f"{versions[-1]} {{ global: foo; local: *; }};\n" if versions else "{ global: foo; };"
    command = [
        f"{target.tools}-gcc",
        "-shared",
        "-nostdlib",
        f"-Wl,-soname,{name}",
        "-Wl,--version-script=/c/map",
    ]
    made = compiler.with_new_file("/c/foo.c", FOO).with_new_file("/c/map", script)
    return made.with_exec([*command, "-o", f"/c/{name}", "/c/foo.c"]).file(f"/c/{name}")


def program(
    compiler: dagger.Container, target: Target, *libraries: dagger.File, flags: str = ""
) -> dagger.File:
    """Compile a C program, linked with some libraries."""
    source = USES_FOO if libraries else "int main(void) { return 0; }"
    made = compiler.with_new_file("/c/main.c", source)
    for index, file in enumerate(libraries):
        made = made.with_file(f"/c/lib/{index}.so", file)
    paths = [f"/c/lib/{index}.so" for index in range(len(libraries))]
    command = [f"{target.tools}-gcc", "-o", "/c/main", "/c/main.c", *paths, *flags.split()]
    return made.with_exec(command).file("/c/main")


async def fails(
    binary: dagger.File, image: dagger.Container, platform: str, static: bool = False
) -> VerificationError:
    with pytest.raises(VerificationError) as raised:
        await verify.verify_file(binary, image, parse(platform), BASE, static)
    assert type(raised.value) is VerificationError
    assert raised.value.fix
    return raised.value


async def exit_code(binary: dagger.File, image: dagger.Container) -> int:
    """Return the actual exit code; only for the engine's platform."""
    ran = image.with_file("/usr/local/bin/main", binary)
    return await ran.with_exec(["/usr/local/bin/main"], expect=dagger.ReturnType.ANY).exit_code()


async def test_a_good_build_fits_on_every_platform(service_image) -> None:
    subjects = [
        verify.VerifyRequest(
            variant.container,
            parse(variant.platform),
            verify.Requirements(("/usr/local/bin/service",), BASE),
        )
        for variant in service_image.variants
    ]
    verified = await verify.verify(subjects)
    assert [one.platform for one in verified] == PLATFORMS
    for one, row in zip(json.loads(verify.as_json(verified))["verified"], verified, strict=True):
        target = parse(row.platform)
        assert one["machine"].startswith(target.machine)
        assert one["interpreter"] == target.loader
        assert one["libraries"]["libc.so.6"] == f"/usr/lib/{target.multiarch}/libc.so.6"
        assert one["versions"]["GLIBC"][1] == "GLIBC_" + ".".join(map(str, DEFAULT.glibc))
        assert one["symbols"] > 50
        assert len(one["build_id"]) == 40


async def test_it_is_run_alone_on_a_program_and_an_image(hello) -> None:
    for variant in hello.variants:
        file, target = variant.binaries.file("hello"), parse(variant.platform)
        one = await verify.verify_file(file, base(variant.platform), target, BASE)
        assert (one.platform, one.program, one.linkage) == (variant.platform, "hello", "dynamic")


async def test_a_program_of_another_platform(hello) -> None:
    amd64 = hello.variant("linux/amd64").binaries.file("hello")
    error = await fails(amd64, base("linux/arm64"), "linux/arm64")
    assert "hello is for EM_X86_64 (64-bit, little-endian), and linux/arm64 is EM_AARCH64" in error.what


async def test_an_empty_runtime(hello) -> None:
    for variant in hello.variants:
        target = parse(variant.platform)
        empty = dag.container(platform=dagger.Platform(variant.platform))
        error = await fails(variant.binaries.file("hello"), empty, variant.platform)
        assert f"hello is started by {target.loader}, which {BASE} does not have" in error.what


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_a_runtime_without_a_library(hello, platform: str) -> None:
    binary, target = hello.variant(platform).binaries.file("hello"), parse(platform)
    for name, package in {"libc.so.6": "libc6", "libgcc_s.so.1": "libgcc-s1"}.items():
        image = base(platform).without_file(f"/usr/lib/{target.multiarch}/{name}")
        error = await fails(binary, image, platform)
        assert f"hello needs {name}, which {BASE} does not have" in error.what
        assert package in error.fix


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_an_older_glibc_is_reported(hello, compiler, platform: str) -> None:
    """The runtime's C library is replaced by one with the versions of an older release."""
    target = parse(platform)
    old = library(compiler, target, "libc.so.6", ["GLIBC_2.2.5", "GLIBC_2.17", "GLIBC_2.28"])
    image = base(platform).with_file(f"/usr/lib/{target.multiarch}/libc.so.6", old)
    error = await fails(hello.variant(platform).binaries.file("hello"), image, platform)
    line = next(line for line in error.what.splitlines() if "hello needs" in line)
    assert "@GLIBC_2.34" in line
    assert f"of libc.so.6; {BASE} has up to GLIBC_2.28" in line
    assert "glibc 2.34 or newer (debian:bookworm-slim has it)" in error.fix


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_an_older_library(compiler, platform: str) -> None:
    target = parse(platform)
    new = library(compiler, target, "libfoo.so.1", ["FOO_1", "FOO_2"])
    old = library(compiler, target, "libfoo.so.1", ["FOO_1"])
    binary, place = program(compiler, target, new), f"/usr/lib/{target.multiarch}/libfoo.so.1"
    good, bad = (base(platform).with_file(place, file) for file in (new, old))
    assert (await verify.verify_file(binary, good, target, BASE)).versions["FOO"] == ("FOO_2", "FOO_2")
    error = await fails(binary, bad, platform)
    assert f"main needs foo@FOO_2 of libfoo.so.1; {BASE} has up to FOO_1" in error.what
    if platform == await dag.default_platform():
        assert await exit_code(binary, good) == 0
        assert await exit_code(binary, bad) != 0


async def test_a_library_without_versions_that_lacks_a_symbol(compiler) -> None:
    platform = await dag.default_platform()
    target = parse(platform)
    place = f"/usr/lib/{target.multiarch}/libfoo.so.1"
    binary = program(compiler, target, library(compiler, target, "libfoo.so.1", []), flags="-Wl,-z,now")
    other = compiler.with_new_file("/c/bar.c", "int bar(void) { return 0; }")
    command = [
        f"{target.tools}-gcc",
        "-shared",
        "-nostdlib",
        "-Wl,-soname,libfoo.so.1",
        "-o",
        "/c/bar.so",
        "/c/bar.c",
    ]
    bad = base(platform).with_file(place, other.with_exec(command).file("/c/bar.so"))
    error = await fails(binary, bad, platform)
    assert f"main needs foo, which none of libfoo.so.1, libc.so.6 in {BASE} has" in error.what
    assert await exit_code(binary, bad) != 0


async def test_links_and_directories_of_its_own(compiler) -> None:
    """Find libraries behind relative and absolute links, or only by LD_LIBRARY_PATH or ldconfig."""
    platform = await dag.default_platform()
    target = parse(platform)
    foo = library(compiler, target, "libfoo.so.1", ["FOO_1"])
    binary = program(compiler, target, foo)
    real = base(platform).with_file("/opt/foo-1/lib/libfoo-1.2.so", foo)
    real = real.with_symlink("/opt/foo-1", "/opt/foo").with_symlink("libfoo-1.2.so", "/opt/foo-1/lib/link.so")
    chain = real.with_symlink("/opt/foo/lib/link.so", "/etc/alternatives/libfoo")
    linked = chain.with_symlink("/etc/alternatives/libfoo", f"/usr/lib/{target.multiarch}/libfoo.so.1")
    local = real.with_symlink("/opt/foo/lib/link.so", "/usr/local/lib/libfoo.so.1")
    named = local.with_env_variable("LD_LIBRARY_PATH", "/usr/local/lib")
    cached = local.with_exec(["ldconfig"])
    for image in (linked, named, cached):
        verified = await verify.verify_file(binary, image, target, BASE)
        assert verified.libraries["libfoo.so.1"] == "/opt/foo-1/lib/libfoo-1.2.so"
        assert await exit_code(binary, image) == 0
    uncached = local.with_new_file("/etc/ld.so.cache", "")
    error = await fails(binary, uncached, platform)
    assert "is at /usr/local/lib/libfoo.so.1" in error.what and "ldconfig" in error.fix
    assert await exit_code(binary, uncached) != 0


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_static(compiler, platform: str) -> None:
    target, empty = parse(platform), dag.container(platform=dagger.Platform(platform))
    for flags, linkage in {"-static": "static", "-static-pie": "static-pie"}.items():
        binary = program(compiler, target, flags=flags)
        assert (await verify.verify_file(binary, empty, target, "scratch", static=True)).linkage == linkage
    error = await fails(program(compiler, target), base(platform), platform, static=True)
    assert "main should be static and needs libc.so.6" in error.what
    assert target.musl in error.fix


async def test_what_is_not_a_program(session) -> None:
    script = dag.directory().with_new_file("run", "#!/bin/sh\n", permissions=0o755).file("run")
    assert "run is not an ELF file" in (await fails(script, base("linux/amd64"), "linux/amd64")).what
    demand = verify.Requirements(("/usr/local/bin/gone",), BASE)
    subject = verify.VerifyRequest(base("linux/amd64"), parse("linux/amd64"), demand)
    with pytest.raises(VerificationError, match=f"/usr/local/bin/gone is not in {BASE}"):
        await verify.verify([subject])


async def test_every_images_trouble_at_once(hello) -> None:
    subjects = [
        verify.VerifyRequest(
            variant.container.without_file(f"/usr/lib/{parse(variant.platform).multiarch}/libgcc_s.so.1"),
            parse(variant.platform),
            verify.Requirements(("/usr/local/bin/hello",), BASE),
        )
        for variant in hello.variants
    ]
    with pytest.raises(VerificationError) as raised:
        await verify.verify(subjects)
    for platform in PLATFORMS:
        assert f"{platform}: hello needs libgcc_s.so.1" in raised.value.what
