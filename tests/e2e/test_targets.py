"""Build Rust and C for every row of the target table on this platform, and start it.

Only with `--zoo`: each row has separate compilers and a standard library.
"""

import crates
import pytest

from engine import choice
from engine.record import BaseImages
from pipeline import RustMultiarch, errors
from pipeline.targets import TARGETS, Libc, parse
from pipeline.toolchain import zig

pytestmark = [pytest.mark.anyio, pytest.mark.zoo]

BUILD = crates.compiling("word.c", "CC", ("-O2",))
C = """
#include <stdio.h>
int word(char *into) { union { int i; char c; } one = { 1 };
    return sprintf(into, "C: %d bits, little %d", (int)sizeof(long) * 8, one.c); }
"""
MAIN = """
unsafe extern "C" { fn word(into: *mut u8) -> i32; }
fn main() {
    let mut text = [0u8; 64];
    let length = unsafe { word(text.as_mut_ptr()) } as usize;
    println!("Rust: {} bits, little {}", usize::BITS, cfg!(target_endian = "little") as u8);
    println!("{}", String::from_utf8_lossy(&text[..length]));
    println!("caught {}", std::panic::catch_unwind(|| panic!("out")).is_err());
}
"""

ROWS = [
    *((target.platform, Libc.GNU) for target in TARGETS),
    *((target.platform, Libc.MUSL) for target in TARGETS if zig.ROWS[target.platform].std),
]


@pytest.mark.parametrize(("platform", "libc"), ROWS, ids=str)
async def test_a_row(session, engine: choice.Choice, platform: str, libc: Libc) -> None:
    if engine.kind == "embedded":
        choice.choose(images=BaseImages([platform]))
    source = crates.hello(main=MAIN, extra="").with_new_file("build.rs", BUILD).with_new_file("word.c", C)
    try:
        image = await RustMultiarch(source=source, platforms=[platform], libc=libc).build()
    except errors.BaseImageUnavailable as unavailable:
        pytest.skip(f"there is nothing to start it in: {unavailable.render()}")
    target, variant = parse(platform), image.variants[0]
    printed = await variant.container.with_exec([], use_entrypoint=True).stdout()
    word = f"{target.bits} bits, little {int(target.little_endian)}"
    assert printed.splitlines() == [f"Rust: {word}", f"C: {word}", "caught true"]
