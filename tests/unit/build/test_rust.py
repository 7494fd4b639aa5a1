"""Test the choice of Rust (option, toolchain file, default) and its messages."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import dagger
import pytest
from engine_directory import Directory

from pipeline import releases
from pipeline.build import plan
from pipeline.config.request import BuildRequest
from pipeline.errors import BaseImageUnavailable, CompileError, InvalidManifest, RustTooOld
from pipeline.project.rust_version import Declared
from pipeline.releases import DEFAULT, RELEASES
from pipeline.targets import select
from pipeline.toolchain import builder as toolchain
from pipeline.toolchain import channel
from pipeline.toolchain.channel import Toolchain

pytestmark = pytest.mark.anyio
NIGHTLY = '[toolchain]\nchannel = "nightly"\n'


def request(text: str = "", **more: Any) -> BuildRequest:
    source: Any = Directory({"rust-toolchain.toml": text} if text else {})
    return BuildRequest(source=source, targets=select(["linux/amd64"]), **more)


@pytest.fixture
def rustup(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Replace the images; record those that are made, and fail for the unavailable ones."""
    state: dict[str, Any] = {"asked": [], "fails": {}}

    def native(
        version: str, release: Any, platform: str = "", components: Any = (), targets: Any = ()
    ) -> SimpleNamespace:
        state["asked"].append((version, tuple(components), tuple(targets)))
        state["release"] = release

        async def sync() -> str:
            for name in (version, *components, *targets):
                if name in state["fails"]:
                    raise state["fails"][name]
            return f"container with {version}"

        return SimpleNamespace(sync=sync)

    monkeypatch.setattr(toolchain, "native", native)
    return state


def failed(error: type[dagger.QueryError]) -> Exception:
    found: Exception = Exception.__new__(error)
    found.errors = [SimpleNamespace(message="no such thing")]  # type: ignore[attr-defined]
    Exception.__init__(found, "no such thing")
    found.stdout, found.stderr = "", "rustup: no such thing"  # type: ignore[attr-defined]
    return found


async def compiler(text: str = "", **more: Any) -> Any:
    return await plan._compiler(request(text, **more))


async def test_the_image_has_the_requested_release(rustup: dict[str, Any]) -> None:
    await compiler(debian=RELEASES["bookworm"])
    assert rustup["release"] is RELEASES["bookworm"]
    await compiler(rust="1.90")
    assert rustup["release"] is DEFAULT


async def test_without_a_file_it_is_the_default(rustup: dict[str, Any]) -> None:
    found = await compiler()
    assert (found.rust, found.warnings) == (releases.RUST, ())


async def test_the_file_is_followed(rustup: dict[str, Any]) -> None:
    text = '[toolchain]\nchannel = "1.85"\ncomponents = ["rust-src", "clippy"]\n'
    text += 'targets = ["wasm32-unknown-unknown"]'
    found = await compiler(text)
    assert found.rust == "1.85" and found.pinned.is_version
    assert rustup["asked"] == [("1.85", ("rust-src",), ("wasm32-unknown-unknown",))]
    assert (await compiler(NIGHTLY)).rust == "nightly"


async def test_the_option_goes_before_the_file_and_that_is_said(rustup: dict[str, Any]) -> None:
    found = await compiler(NIGHTLY, rust="1.90")
    assert found.rust == "1.90"
    assert found.warnings == ("rust-toolchain.toml asks for Rust nightly, and Rust 1.90 is used",)
    assert (await compiler('[toolchain]\nchannel = "1.90"', rust="1.90.0")).warnings == ()
    assert (
        (await compiler("broken", rust="1.90"))
        .warnings[0]
        .startswith("rust-toolchain.toml cannot be followed")
    )
    assert rustup["asked"][-1] == ("1.90", (), ())


async def test_a_nightly_that_cannot_be_installed_is_refused_by_name(rustup: dict[str, Any]) -> None:
    rustup["fails"]["nightly"] = failed(dagger.ExecError)
    with pytest.raises(CompileError, match="the project needs a nightly Rust") as raised:
        await compiler(NIGHTLY)
    assert raised.value.where == "rust-toolchain.toml" and raised.value.exit_code == 30
    assert "RUSTC_BOOTSTRAP=1" in raised.value.fix and "--rust-version" in raised.value.fix


async def test_a_stable_rust_that_takes_unstable_features_is_used_and_said(rustup: dict[str, Any]) -> None:
    rustup["fails"]["nightly"] = failed(dagger.ExecError)
    found = await compiler(NIGHTLY, build_args=(("RUSTC_BOOTSTRAP", "1"),))
    assert found.rust == releases.RUST and found.pinned.channel == ""
    assert "asks for nightly, which cannot be installed here" in found.warnings[0]


async def test_a_component_that_cannot_be_installed_is_refused_by_name(rustup: dict[str, Any]) -> None:
    rustup["fails"]["llvm-tools"] = failed(dagger.ExecError)
    with pytest.raises(CompileError, match=r"rust-toolchain\.toml wants llvm-tools in it") as raised:
        await compiler('[toolchain]\ncomponents = ["llvm-tools"]', build_args=(("RUSTC_BOOTSTRAP", "1"),))
    assert "RUSTC_BOOTSTRAP" not in raised.value.fix


async def test_an_image_that_cannot_be_pulled_and_a_file_that_cannot_be_followed(
    rustup: dict[str, Any],
) -> None:
    rustup["fails"]["1.2"] = failed(dagger.QueryError)
    with pytest.raises(BaseImageUnavailable):
        await compiler('[toolchain]\nchannel = "1.2"')
    with pytest.raises(InvalidManifest):
        await compiler('[toolchain]\nchannel = "esp"')


NEEDED = plan._Needed([Declared("ahead", "0.1.0", "1.199"), Declared("b", "2.0.0", "1.99")], "1.96.0")


async def test_the_rust_that_a_crate_declares_is_used_and_said(rustup: dict[str, Any]) -> None:
    used = await compiler('[toolchain]\ncomponents = ["rust-src"]\n')
    found = await plan._newer(request(), used, NEEDED)
    assert found.rust == "1.199" and rustup["asked"][-1] == ("1.199", ("rust-src",), ())
    assert found.warnings == (f"ahead 0.1.0 needs Rust 1.199, which is used instead of {releases.RUST}",)


@pytest.mark.parametrize(
    ("text", "more"),
    [
        ('[toolchain]\nchannel = "1.85"\n', {}),
        (NIGHTLY, {}),
        ("", {"rust": "1.90"}),
        ("", {"builder": SimpleNamespace()}),
    ],
)
async def test_a_chosen_rust_is_not_replaced(rustup: dict[str, Any], text: str, more: dict[str, Any]) -> None:
    pinned = channel.read(text, "rust-toolchain.toml") if text else Toolchain()
    used = plan._Compiler("1.90", SimpleNamespace(), pinned)  # type: ignore[arg-type]
    with pytest.raises(RustTooOld):
        await plan._newer(request(text, **more), used, NEEDED)
    assert rustup["asked"] == []


async def test_a_declared_rust_without_an_image_is_named(rustup: dict[str, Any]) -> None:
    rustup["fails"]["1.199"] = failed(dagger.QueryError)
    with pytest.raises(RustTooOld, match=r"ahead 0\.1\.0 needs 1\.199") as raised:
        await plan._newer(request(), await compiler(), NEEDED)
    assert "no such thing" in raised.value.output


@pytest.mark.parametrize(
    ("more", "pinned", "fix"),
    [
        ({}, Toolchain(), "pass --rust-version 1.199;"),
        ({}, Toolchain("1.70", file="rust-toolchain.toml"), "write 1.199 into rust-toolchain.toml, or pass"),
        ({"builder": SimpleNamespace()}, Toolchain(), "hand in a builder with Rust 1.199"),
    ],
)
def test_too_old_a_rust_names_what_helps(more: dict[str, Any], pinned: Toolchain, fix: str) -> None:
    used = plan._Compiler("1.96", SimpleNamespace(), pinned)  # type: ignore[arg-type]
    error = plan._too_old(NEEDED, request(**more), used)
    assert error.what == "Rust 1.96.0 is too old: ahead 0.1.0 needs 1.199, b 2.0.0 needs 1.99"
    assert error.fix.startswith(fix) and error.exit_code == 36
