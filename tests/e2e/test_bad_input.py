"""Test that invalid input gives a specific error and publishes nothing."""

import crates
import pytest

from pipeline import RustMultiarch, errors

pytestmark = pytest.mark.anyio


async def fails(error: type[errors.RustMultiarchError], source=None, **options) -> errors.RustMultiarchError:
    with pytest.raises(error) as raised:
        await RustMultiarch(source=source or crates.hello(), **options).build()
    assert type(raised.value) is error
    assert raised.value.fix
    return raised.value


async def test_platforms(session) -> None:
    assert "linux/riscv64" in str(await fails(errors.UnsupportedPlatform, platforms=["linux/mips"]))
    await fails(errors.MalformedPlatform, platforms=["amd64"])
    await fails(errors.NoPlatforms, platforms=[])
    await fails(errors.DuplicatePlatform, platforms=["linux/amd64", "linux/amd64"])


async def test_not_a_project(session) -> None:
    await fails(errors.NotACargoProject, crates.directory({"README": "nothing here"}))


async def test_no_lock_file(session) -> None:
    await fails(errors.LockMissing, crates.hello().without_file("Cargo.lock"))


async def test_lock_file_out_of_date(session) -> None:
    manifest = crates.MANIFEST.format(name="hello") + '[dependencies]\nother = { path = "other" }\n'
    source = crates.hello().with_new_file("Cargo.toml", manifest)
    source = source.with_directory("other", crates.hello("other").without_file("src/main.rs"))
    source = source.with_new_file("other/src/lib.rs", "")
    await fails(errors.LockOutOfDate, source)


async def test_a_part_of_a_project(session) -> None:
    outside = crates.MANIFEST.format(name="hello") + '[dependencies]\nother = { path = "../other" }\n'
    lock = crates.LOCK.format(name="hello") + 'dependencies = [\n "other",\n]\n'
    lock += crates.LOCK.format(name="other").partition("\n\n")[2]
    source = crates.hello().with_new_file("Cargo.toml", outside).with_new_file("Cargo.lock", lock)
    assert "not in the source: /other" in str(await fails(errors.InvalidManifest, source))
    member = crates.MANIFEST.format(name="hello").replace('version = "0.1.0"', "version.workspace = true")
    error = await fails(errors.InvalidManifest, crates.hello().with_new_file("Cargo.toml", member))
    assert "whose root is not in it" in str(error)


async def test_a_binary_whose_features_are_not_chosen(session) -> None:
    manifest = crates.MANIFEST.format(name="hello") + crates.FEATURES
    manifest += '[[bin]]\nname = "helper"\npath = "helper.rs"\nrequired-features = ["extra"]\n'
    source = crates.hello().with_new_file("Cargo.toml", manifest).with_new_file("helper.rs", crates.MAIN)
    assert "helper needs a feature" in str(await fails(errors.NoBinary, source, bin=["helper"]))
    image = await RustMultiarch(source=source, platforms=["linux/amd64"]).build()
    assert await image.variants[0].container.entrypoint() == ["/usr/local/bin/hello"]


async def test_a_manifest_that_is_not_toml(session) -> None:
    error = await fails(errors.InvalidManifest, crates.hello().with_new_file("Cargo.toml", "not toml"))
    assert "Cargo.toml" in error.output


async def test_several_binaries(session) -> None:
    error = await fails(errors.BinaryNotChosen, crates.workspace())
    for name in ("server", "import", "export"):
        assert name in str(error)


async def test_names_that_do_not_exist(session) -> None:
    assert "hello" in str(await fails(errors.UnknownBinary, bin=["nope"]))
    assert "hello" in str(await fails(errors.UnknownPackage, package="nope"))
    assert "extra" in str(await fails(errors.UnknownFeature, features=["nope"]))
    await fails(errors.InvalidManifest, cargo_profile="nope")


async def test_a_library(session) -> None:
    library = crates.hello().without_file("src/main.rs").with_new_file("src/lib.rs", "")
    await fails(errors.NoBinary, library)


async def test_a_compile_error_carries_the_compilers_own_message(session) -> None:
    error = await fails(errors.CompileError, crates.hello(main='fn main() { let x: u8 = "no"; }'))
    assert "error[E0308]: mismatched types" in error.output
    assert "src/main.rs:1:25" in error.output
    assert "could not compile `hello`" in error.output


async def test_a_missing_native_library_is_named(session) -> None:
    main = '#[link(name = "nowhere")] unsafe extern "C" { fn f(); } fn main() { unsafe { f() } }'
    error = await fails(errors.LinkError, crates.hello(main=main), platforms=["linux/amd64"])
    assert "nowhere" in error.what


async def test_a_build_script_that_runs_the_targets_binary(session) -> None:
    script = """
    fn main() {
        let out = std::env::var("OUT_DIR").unwrap() + "/probe";
        let compiler = std::env::var("CC_aarch64_unknown_linux_gnu").unwrap();
        std::fs::write(out.clone() + ".c", "int main(){return 0;}").unwrap();
        let arguments = [out.clone() + ".c", "-o".into(), out.clone()];
        let built = std::process::Command::new(compiler).args(arguments).status();
        assert!(built.unwrap().success());
        // Where an emulator is registered the kernel would start it: say what a plain kernel says.
        if std::process::Command::new(&out).status().is_ok() { panic!("Exec format error (os error 8)") }
    }
    """
    source = crates.hello().with_new_file("build.rs", script)
    await fails(errors.BuildScriptRanTarget, source, platforms=["linux/arm64"])


async def test_options_that_are_not_pairs(session) -> None:
    await fails(errors.InvalidSetting, build_args=["NOVALUE"])
    await fails(errors.InvalidSetting, labels=["=x"])
    await fails(errors.InvalidSetting, runtime_env=[""])


async def test_a_runtime_that_does_not_exist(session) -> None:
    error = await fails(errors.BaseImageUnavailable, runtime_base="debian:no-such-tag")
    assert "debian:no-such-tag" in str(error)
