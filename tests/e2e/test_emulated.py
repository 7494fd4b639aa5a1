"""Test the compiler with QEMU: on each platform, and on arm64 cross-compiling to amd64.

Only with `--emulated` (`make emulated`): a Rust image for arm64 has to be made and set up under QEMU first.
"""

import crates
import pytest

from engine import choice
from engine.record import BaseImages
from pipeline import RustMultiarch, errors
from pipeline.abi import elf
from pipeline.targets import Strategy

pytestmark = [pytest.mark.anyio, pytest.mark.emulated]

# Prints the machine that ran the build script, and the machine of the program.
BUILD = 'fn main() { println!("cargo:rustc-env=BUILT_ON={}", std::env::consts::ARCH); }\n'
MAIN = 'fn main() { println!("{} on {}", std::env::consts::ARCH, env!("BUILT_ON")); }\n'


@pytest.fixture(scope="module", autouse=True)
def arm64_compiler(engine: choice.Choice) -> None:
    choice.choose(images=BaseImages(["linux/amd64", "linux/arm64"], ["linux/arm64"]))


def where_am_i() -> RustMultiarch:
    source = crates.hello(main=MAIN, extra="").with_new_file("build.rs", BUILD)
    return RustMultiarch(source=source, platforms=["linux/amd64", "linux/arm64"])


async def said(module: RustMultiarch) -> dict[str, str]:
    """Return the output of each platform's program."""
    image = await module.build()
    return {
        v.platform: (await v.container.with_exec([], use_entrypoint=True).stdout()).strip()
        for v in image.variants
    }


async def test_emulated_each_platform_compiles_itself(session) -> None:
    module = where_am_i()
    module.strategy = Strategy.EMULATED
    assert await said(module) == {
        "linux/amd64": "x86_64 on x86_64",
        "linux/arm64": "aarch64 on aarch64",
    }


async def test_an_arm64_machine_crosses_to_amd64(session, tmp_path) -> None:
    module = where_am_i()
    module.build_platform = "linux/arm64"
    assert await said(module) == {
        "linux/amd64": "x86_64 on aarch64",
        "linux/arm64": "aarch64 on aarch64",
    }
    await (await module.binary("linux/amd64")).export(str(tmp_path / "hello"))
    assert elf.read((tmp_path / "hello").read_bytes()).machine == "EM_X86_64"
    shown = (
        await (await module.builder()).with_exec(["sh", "-c", "uname -m; echo $CARGO_TARGET_DIR"]).stdout()
    )
    assert shown.split()[0] == "aarch64"


async def test_a_platform_without_a_rust_image(session) -> None:
    module = where_am_i()
    module.build_platform = "linux/riscv64"
    with pytest.raises(errors.BaseImageUnavailable, match="linux/riscv64") as raised:
        await module.build()
    assert "engine start --builder linux/riscv64" in raised.value.fix
