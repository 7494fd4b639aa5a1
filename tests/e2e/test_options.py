"""Test that every option has an effect: each test fails if its option is ignored."""

import json

import crates
import dagger
import pytest
from dagger import dag

from pipeline import RustMultiarch, errors
from pipeline.config.settings import USER
from pipeline.image import Image
from pipeline.releases import DEFAULT, PYTHON, RUST

pytestmark = pytest.mark.anyio

AMD64 = "linux/amd64"


async def run(source: dagger.Directory, **options) -> str:
    """Return the output of the built image, started without arguments."""
    image = await RustMultiarch(source=source, platforms=[AMD64], **options).build()
    return await image.variants[0].container.with_exec([], use_entrypoint=True).stdout()


async def test_defaults(session) -> None:
    printed = await run(crates.hello())
    for line in ("arch=x86_64", "debug=false", "extra=false", "base=true", "commit=none", "arguments="):
        assert line in printed.splitlines()


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"features": ["extra"]}, "extra=true"),
        ({"all_features": True}, "extra=true"),
        ({"no_default_features": True}, "base=false"),
        ({"cargo_profile": "dev"}, "debug=true"),
        ({"build_args": ["GIT_COMMIT_SHA=abc=1"]}, "commit=abc=1"),
        ({"cargo_args": ["--config", 'build.rustflags=["--cfg","marked"]']}, "lto=true"),
        ({"runtime_env": ["GREETING=hi there"]}, "greeting=hi there"),
        ({"args": ["--port", "80"]}, "arguments=--port,80"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
async def test_option(session, options: dict, line: str) -> None:
    assert line in (await run(crates.hello(), **options)).splitlines()


async def test_a_compiler_and_a_wrapper_that_are_scripts_of_the_project(session) -> None:
    """Regression: the wrapper was ignored, and the compiler was not found by the plan."""
    script = '#!/bin/sh\nexec %s "$@" --cfg %s\n'
    source = (
        crates.hello()
        .with_new_file(
            ".cargo/config.toml", '[build]\nrustc = "tools/rustc.sh"\nrustc-wrapper = "./tools/w.sh"\n'
        )
        .with_new_file("tools/rustc.sh", script % ("rustc", "one"), permissions=0o755)
        .with_new_file("tools/w.sh", '#!/bin/sh\nexec "$@" --cfg two\n', permissions=0o755)
        .with_new_file("src/main.rs", 'fn main() { println!("{} {}", cfg!(one), cfg!(two)) }')
    )
    assert await run(source) == "true true\n"


async def test_a_build_secret_reaches_the_compile_alone(session) -> None:
    module = RustMultiarch(source=crates.hello(), platforms=[AMD64])
    secret = dag.set_secret("build-secret", "c4nary")
    image = await module.with_build_secret("GIT_COMMIT_SHA", secret).build()
    container = image.variants[0].container
    assert "commit=c4nary" in await container.with_exec([], use_entrypoint=True).stdout()
    assert "c4nary" not in image.origin and await container.env_variable("GIT_COMMIT_SHA") is None


async def test_package_and_bin(session) -> None:
    assert await run(crates.workspace(), package="server") == "server/src/main.rs\n"
    assert await run(crates.workspace(), bin=["export"]) == "tools/src/bin/export.rs\n"


async def test_several_binaries_in_one_image(session) -> None:
    image = await RustMultiarch(
        source=crates.workspace(), platforms=[AMD64], bin=["import", "server"]
    ).build()
    container = image.variants[0].container
    assert await container.entrypoint() == ["/usr/local/bin/import"]
    assert await container.with_exec(["/usr/local/bin/server"]).stdout() == "server/src/main.rs\n"


async def test_config_options(session) -> None:
    image = await RustMultiarch(
        source=crates.hello(), platforms=[AMD64], ports=[80, 8443], labels=["a=b"], user="1234:5678"
    ).build()
    container = image.variants[0].container
    assert sorted([await port.port() for port in await container.exposed_ports()]) == [80, 8443]
    assert await container.label("a") == "b"
    assert await container.user() == "1234:5678"


async def test_workdir_entrypoint_and_files(session) -> None:
    own = crates.directory({"etc/motd": "hi\n", "usr/local/bin/hello": "not the program"})
    image = await RustMultiarch(
        source=crates.hello(),
        platforms=[AMD64],
        working_directory="/srv/data",
        entrypoint=["/usr/bin/env", "GREETING=entry point", "/usr/local/bin/hello"],
        files=own,
    ).build()
    container = image.variants[0].container
    assert await container.workdir() == "/srv/data"
    assert await container.exists("/srv/data"), "it cannot be made on a read-only root filesystem"
    assert await container.with_exec(["pwd"]).stdout() == "/srv/data\n"
    assert await container.file("/etc/motd").contents() == "hi\n"
    printed = await container.with_exec([], use_entrypoint=True).stdout()
    assert "greeting=entry point" in printed.splitlines(), "the program is laid over the files"


async def test_an_image_for_each_binary(session, loopback: str) -> None:
    module = RustMultiarch(source=crates.workspace(), platforms=[AMD64], bin=["import", "server"])
    images = await module.images()
    assert [image.name for image in images] == ["import", "server"]
    for image in images:
        container = image.variants[0].container
        assert await container.entrypoint() == [f"/usr/local/bin/{image.name}"]
        assert await container.directory("/usr/local/bin").entries() == [image.name]
        published = await image.publish(f"{loopback}/e2e/apart/{{bin}}:x")
        assert published.startswith(f"{loopback}/e2e/apart/{image.name}:x@sha256:")
    titles = [await i.variants[0].container.label("org.opencontainers.image.title") for i in images]
    assert titles == ["tools", "server"]


async def test_an_image_for_each_binary_there_is(session) -> None:
    images = await RustMultiarch(source=crates.workspace(), platforms=[AMD64]).images()
    assert [image.name for image in images] == ["server", "export", "import"], "in cargo's order"


async def test_runtime_base(session) -> None:
    image = await RustMultiarch(source=crates.hello(), platforms=[AMD64], runtime_base=PYTHON).build()
    assert await image.variants[0].container.with_exec(["python3", "-c", "print(6*7)"]).stdout() == "42\n"


async def test_a_runtime_base_with_layers_in_zstd(session, loopback: str) -> None:
    base = dag.container(platform=dagger.Platform(AMD64)).from_(DEFAULT.base)
    zstd = dagger.ImageLayerCompression.Zstd
    address = await base.publish(f"{loopback}/e2e/zstd:x", forced_compression=zstd)
    image = await RustMultiarch(source=crates.hello(), platforms=[AMD64], runtime_base=address).build()
    assert [row.platform for row in await image.rows()] == [AMD64]


async def test_rust_version_is_used(session) -> None:
    with pytest.raises(errors.BaseImageUnavailable, match=r"rust:9\.1-slim-trixie"):
        await RustMultiarch(source=crates.hello(), rust_version="9.1").build()


async def test_the_toolchain_file_is_used_and_an_argument_wins(session) -> None:
    pinned = crates.hello().with_new_file("rust-toolchain.toml", '[toolchain]\nchannel = "9.2.0"\n')
    with pytest.raises(errors.BaseImageUnavailable, match=r"rust:9\.2\.0-slim-trixie"):
        await RustMultiarch(source=pinned).build()
    assert "arch=x86_64" in await run(pinned, rust_version=RUST)


async def test_default_user_has_no_rights(session) -> None:
    image = await RustMultiarch(source=crates.hello(), platforms=[AMD64]).build()
    container = image.variants[0].container
    assert await container.user() == USER
    assert await container.with_exec(["id", "-u"]).stdout() == "10001\n"
    assert await container.with_exec(["id", "-un"]).stdout() == "app\n"


async def user_of(**options) -> str:
    image = await RustMultiarch(source=crates.hello(), platforms=[AMD64], **options).build()
    return await image.variants[0].container.user()


async def test_a_user_by_name(session) -> None:
    assert await user_of(user="nobody:www-data") == "65534:33"
    with pytest.raises(errors.InvalidArgument, match="no user 'nemo'"):
        await user_of(user="nemo")


async def test_users_of_files_and_of_other_bases(session) -> None:
    assert await user_of(user="nobody") == "65534"
    assert await user_of(user="") == ""
    own = crates.directory({"etc/passwd": "me:x:1234:1::/:/bin/sh\n"})
    assert await user_of(user="me", files=own) == "1234"
    assert await user_of(libc="musl", user="app") == "10001"


async def config_of(image: Image) -> dict:
    """Return the config of an image with one platform."""
    layout = await image.layout()

    async def document(digest: str) -> dict:
        return json.loads(await layout.file(f"blobs/{digest.replace(':', '/')}").contents())

    (top,) = json.loads(await layout.file("index.json").contents())["manifests"]
    return await document((await document(top["digest"]))["config"]["digest"])


VOLUMES = {
    "/var/lib/app": "10001:10001",
    "/srv/data/db": "10001:10001",
    "/seeded": "10001:10001",
    "/seeded/one.txt": "10001:10001",
    "/run/app": "10001:10001",
    "/var/mail": "0:8",
    "/var/lib": "0:0",
    "/srv": "0:0",
}
"""Paths of an image and their owners; /var/run is a link to /run."""


async def test_volumes_belong_to_the_user_of_the_image(session) -> None:
    """Regression: there was no directory, and docker gave the volume to root."""
    volumes = ["/var/lib/app", "/srv/data/db", "/seeded", "/var/run/app", "/var/mail"]
    options = {"volumes": volumes, "files": crates.directory({"seeded/one.txt": "1"})}
    image = await RustMultiarch(source=crates.hello(), platforms=[AMD64], **options).build()
    container = image.variants[0].container
    assert (await container.with_exec(["stat", "-c", "%u:%g", *VOLUMES]).stdout()).split() == [
        *VOLUMES.values()
    ]
    assert await container.with_exec(["stat", "-c", "%F", "/var/run"]).stdout() == "symbolic link\n"
    await container.with_exec(["touch", *(f"{path}/new" for path in volumes[:-1])]).sync()
    config = await config_of(image)
    assert config["config"]["Volumes"] == {path: {} for path in volumes}


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"libc": "musl", "volumes": ["/data"]}, marks=pytest.mark.musl),
        {"volumes": ["/tmp"]},
        {"working_directory": "/srv/app"},
    ],
    ids=["an empty base", "an existing directory", "a working directory"],
)
async def test_the_history_says_what_is_in_each_layer(session, options: dict) -> None:
    image = await RustMultiarch(source=crates.hello(), platforms=[AMD64], **options).build()
    config = await config_of(image)
    made = [step["created_by"] for step in config["history"] if not step.get("empty_layer")]
    own = ["volumes and working directory", "programs hello"]
    assert made[-2:] == [f"rust-multiarch: {what}" for what in own]
    assert len(made) == len(config["rootfs"]["diff_ids"])


async def test_the_health_check_and_the_stop_signal(session) -> None:
    options = {"health_cmd": '["/usr/local/bin/hello"]', "health_interval": "7s", "stop_signal": "INT"}
    module = RustMultiarch(source=crates.hello(), platforms=[AMD64], **options)
    config = await config_of(await module.build())
    assert config["config"]["StopSignal"] == "SIGINT"
    assert config["config"]["Healthcheck"]["Test"] == ["CMD", "/usr/local/bin/hello"]
    assert config["config"]["Healthcheck"]["Interval"] == 7_000_000_000


async def test_builder_is_ready_for_its_platform_alone(session) -> None:
    module = RustMultiarch(source=crates.hello())
    builder = await module.builder("linux/arm64")
    assert await builder.env_variable("CC_aarch64_unknown_linux_gnu") == "aarch64-linux-gnu-gcc"
    assert await builder.env_variable("CC_x86_64_unknown_linux_gnu") is None
    both = await module.builder()
    assert await both.env_variable("CC_x86_64_unknown_linux_gnu") == "x86_64-linux-gnu-gcc"
    command = ["aarch64-linux-gnu-gcc", "-dumpmachine"]
    assert await builder.with_exec(command).stdout() == "aarch64-linux-gnu\n"
    assert "main.rs" in await builder.with_exec(["ls", "src"]).stdout()


async def test_binary_by_platform_and_name(session, tmp_path) -> None:
    module = RustMultiarch(source=crates.workspace(), package="tools", bin=["import", "export"])
    first = await module.binary("linux/arm64")
    await first.export(str(tmp_path / "first"))
    named = await module.binary("linux/arm64", name="export")
    await named.export(str(tmp_path / "named"))
    assert b"src/bin/import.rs" in (tmp_path / "first").read_bytes()
    assert b"src/bin/export.rs" in (tmp_path / "named").read_bytes()
    with pytest.raises(errors.UnknownBinary, match="choose one of import"):
        await module.binary("linux/arm64", name="server")


BUILD_SCRIPT = """
fn main() {
    let said = std::process::Command::new("git").arg("--version").output().unwrap().stdout;
    println!("cargo:rustc-env=GIT_COMMIT_SHA={}", String::from_utf8(said).unwrap().trim());
}
"""


async def test_builder_packages_are_there_for_build_scripts(session) -> None:
    source = crates.hello().with_new_file("build.rs", BUILD_SCRIPT)
    with pytest.raises(errors.CompileError, match="build script of hello did not find") as raised:
        await run(source)
    assert "--builder-packages" in raised.value.fix
    assert "commit=git version 2." in await run(source, builder_packages=["git"])


async def test_runtime_packages_are_in_the_image_of_each_platform(session) -> None:
    platforms = [AMD64, "linux/arm64"]
    image = await RustMultiarch(source=crates.hello(), platforms=platforms, runtime_packages=["jq"]).build()
    for variant in image.variants:
        asked = variant.container.with_exec(["jq", "--null-input", "1 + 1"])
        assert await asked.stdout() == "2\n", variant.platform


@pytest.mark.parametrize("option", ["builder_packages", "target_packages", "runtime_packages"])
async def test_a_package_that_debian_does_not_have(session, option: str) -> None:
    with pytest.raises(errors.PackageUnavailable, match="no package nonesuch-zz"):
        await RustMultiarch(
            source=crates.hello(), platforms=["linux/arm64"], **{option: ["nonesuch-zz"]}
        ).build()


# Common settings for a developer's machine: a wrapper, a compiler driver, linkers.
CONFIGURATION = """
[build]
rustc-wrapper = "sccache"
[target.x86_64-unknown-linux-gnu]
linker = "clang"
rustflags = ["-C", "link-arg=-fuse-ld=mold", "-C", "target-cpu=native"]
[target.'cfg(not(target_arch = "x86_64"))']
rustflags = ["-C", "link-arg=-fuse-ld=lld"]
"""
COMMENTS = {
    "linux/amd64": "mold ",
    "linux/arm64": "Linker: Debian LLD",
}
"""The linkers' text in the section .comment."""


async def test_a_configuration_for_the_authors_machine_does_not_get_in_the_way(session) -> None:
    source = crates.hello().with_new_file(".cargo/config.toml", CONFIGURATION)
    module = RustMultiarch(source=source, platforms=list(COMMENTS))
    image = await module.build()
    for variant in image.variants:
        container = variant.container
        assert "extra=false" in await container.with_exec([], use_entrypoint=True).stdout()
        seen = ["grep", "--text", "--count", COMMENTS[variant.platform], "/usr/local/bin/hello"]
        assert await container.with_exec(seen).stdout() == "1\n", variant.platform
    assert "target-cpu=native: the programs may not start" in await module.plan()


async def test_a_linker_by_its_path_is_refused_before_the_compile(session) -> None:
    text = '[build]\nrustflags = ["-Clink-arg=-fuse-ld=/usr/bin/mold"]\n'
    with pytest.raises(errors.CannotCrossCompile, match="takes a name and no path") as raised:
        await run(crates.hello().with_new_file(".cargo/config.toml", text))
    assert raised.value.where == ".cargo/config.toml"
