"""Build Rust and C for every row of the target table on this platform, and start it.

Only with `--zoo`: each row has separate compilers and a standard library.
"""

import re
import subprocess

import crates
import dagger
import outcomes
import pytest
import targets

from engine import choice
from engine.record import BaseImages
from pipeline import RustMultiarch, errors
from pipeline.targets import TARGETS, Libc, parse

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

NEWEST_INSTRUCTIONS = {"linux/loong64": (8, 1)}
"""The first QEMU that has the instructions of rustc's baseline (LSX, in QEMU's changelog of 8.1)."""

ROWS = [(target.platform, column) for target in TARGETS for column in targets.COLUMNS]


def qemu() -> tuple[int, ...]:
    """Return the version of this machine's QEMU."""
    printed = subprocess.run(["qemu-riscv64-static", "--version"], capture_output=True, text=True, check=True)
    found = re.search(r"version (\d+)\.(\d+)", printed.stdout)
    assert found
    return int(found[1]), int(found[2])


@pytest.mark.parametrize(("platform", "column"), ROWS, ids=str)
async def test_a_row(session, engine: choice.Choice, platform: str, column: str) -> None:
    target, (libc, release) = parse(platform), targets.COLUMNS[column]
    if engine.kind == "embedded":
        choice.choose(images=BaseImages([platform], [], [release]))
    if qemu() < NEWEST_INSTRUCTIONS.get(platform, (0, 0)) and libc is Libc.MUSL:
        pytest.skip(f"QEMU {qemu()} lacks instructions that rustc uses for {platform}")
    source = crates.hello(main=MAIN, extra="").with_new_file("build.rs", BUILD).with_new_file("word.c", C)
    word = f"{target.bits} bits, little {int(target.little_endian)}"
    found = "ok"
    try:
        image = await RustMultiarch(source=source, platforms=[platform], libc=libc, debian=release).build()
        printed = await image.variants[0].container.with_exec([], use_entrypoint=True).stdout()
        if printed.splitlines() != [f"Rust: {word}", f"C: {word}", "caught true"]:
            found = f"it printed {printed!r}"
    except errors.UnsupportedLibc:
        found = outcomes.REFUSED
    except (errors.RustMultiarchError, dagger.QueryError) as error:
        found = str(error).splitlines()[0]
    targets.SUITE.record(platform, {column: found})
    exists = target.port is not None if libc is Libc.GNU else target.zig.std
    assert found == ("ok" if exists else outcomes.REFUSED)
