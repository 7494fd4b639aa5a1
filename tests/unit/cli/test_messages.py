import json
import subprocess
from pathlib import Path

import pytest

from pipeline.build import scripts
from pipeline.cli import engine_log
from pipeline.progress.events import CrateReady

ARM64, AMD64 = "aarch64-unknown-linux-gnu", "x86_64-unknown-linux-gnu"


def artifact(package: str, place: str, fresh: bool) -> str:
    """Return a message of cargo 1.96, without the parts that are not read."""
    message = {
        "reason": "compiler-artifact",
        "package_id": package,
        "manifest_path": "/cargo/registry/src/x/Cargo.toml",
        "target": {"kind": ["lib"], "crate_types": ["lib"], "name": "x", "edition": "2021"},
        "profile": {"opt_level": "3", "debuginfo": 0, "test": False},
        "features": ["default"],
        "filenames": [f"/build/target/{place}/libx.rlib", f"/build/target/{place}/libx.rmeta"],
        "executable": None,
        "fresh": fresh,
    }
    return json.dumps(message, separators=(",", ":"))


def printed(text: str, command: str = "cat") -> subprocess.CompletedProcess[str]:
    """Return the output of compile.sh with a command that prints a text instead of cargo."""
    program = Path(scripts.__file__).with_name("compile.sh").read_text()
    build = program[program.index("\nbuild() {") : program.index("\n}\n") + 3]
    known = f"state_tmp=$(mktemp -d)\nstate_triples='{ARM64}|{AMD64}'\ncargo() {{ {command}; }}"
    lines = f"{known}\n{build}build cargo"
    shell = ["bash", "-o", "pipefail", "-ec", lines]
    return subprocess.run(shell, input=text, text=True, capture_output=True, check=False)


@pytest.mark.parametrize(
    ("package", "place", "fresh", "line"),
    [
        ("registry+https://example.com/index#serde@1.0.2", f"{ARM64}/release", False,
         f"       Built serde@1.0.2 for {ARM64}"),
        ("sparse+https://example.com/index/#serde@1.0.2", f"{AMD64}/dist", True,
         f"       Fresh serde@1.0.2 for {AMD64}"),
        ("path+file:///build/src/crates/a#0.1.0", f"{AMD64}/release", False,
         f"       Built path+file:///build/src/crates/a#0.1.0 for {AMD64}"),
        # As cargo before 1.77 wrote it.
        ("syn 1.0.2 (registry+https://example.com/index)", f"{AMD64}/release/deps", False,
         f"       Built syn 1.0.2 (registry+https://example.com/index) for {AMD64}"),
    ],
)  # fmt: skip
def test_a_crate_is_a_line(package: str, place: str, fresh: bool, line: str) -> None:
    assert printed(artifact(package, place, fresh) + "\n").stdout == f"{line}\n"
    crate = engine_log.crate(line)
    assert crate is not None
    assert (crate.triple, crate.fresh) == (place.partition("/")[0], fresh)
    assert crate.id == line.split(maxsplit=1)[1].partition(" for ")[0]


@pytest.mark.parametrize(
    "message",
    [
        artifact("registry+https://example.com/index#syn@2.0.0", "release/deps", False),
        '{"reason":"build-script-executed","package_id":"x","out_dir":"/build/target/a-b/release"}',
        '{"reason":"build-finished","success":true}',
        "",
    ],
)
def test_what_is_for_no_target_is_no_line(message: str) -> None:
    assert printed(message + "\n").stdout == ""


def test_a_cargo_that_fails_fails_the_line() -> None:
    assert printed("", "false").returncode == 1


@pytest.mark.parametrize("line", ["   Compiling serde v1.0.2", "Built for", "", "Built x for release"])
def test_other_lines(line: str) -> None:
    assert engine_log.crate(line) is None


def test_a_crate() -> None:
    assert engine_log.crate(f"  Fresh a@1 for {ARM64}") == CrateReady(ARM64, "a@1", True)


@pytest.mark.parametrize("piece", ["    Finished", "   Compiling"])
def test_a_crate_between_the_two_pieces_of_a_line_of_cargos(piece: str) -> None:
    """cargo writes the word and the rest of its line to the other stream, one after the other."""
    assert engine_log.crate(f"{piece}       Built a@1 for {ARM64}") == CrateReady(ARM64, "a@1", False)
