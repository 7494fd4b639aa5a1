"""Test reading the Rust version in a project's toolchain file."""

import pytest

from pipeline.errors import InvalidManifest
from pipeline.toolchain import channel
from pipeline.toolchain.channel import Toolchain

TOML, BARE = "rust-toolchain.toml", "rust-toolchain"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('[toolchain]\nchannel = "1.85.0"\n', "1.85.0"),
        ('[toolchain]\nchannel = "1.85"', "1.85"),
        ('[toolchain]\nchannel = "stable"\n', ""),
        ('[toolchain]\nchannel = "stable-x86_64-unknown-linux-gnu"\n', ""),
        ('toolchain.channel = "1.85"', "1.85"),
        ('toolchain = { profile = "minimal", channel = "1.85" }', "1.85"),
        ('[toolchain]\nchannel = "nightly"', "nightly"),
        ('[toolchain]\nchannel = "beta-2026-01-01-x86_64-unknown-linux-gnu"', "beta-2026-01-01"),
        ('[toolchain]\nchannel = "1.98.0-beta.2"', "1.98.0-beta.2"),
        ("[toolchain]\nprofile = 'minimal'", ""),
    ],
)
def test_the_channel(text: str, found: str) -> None:
    assert channel.read(text, TOML) == Toolchain(found, file=TOML)
    assert channel.read(text, BARE).channel == found


@pytest.mark.parametrize(
    ("text", "found"),
    [("1.80.1\n", "1.80.1"), ("nightly-2026-01-01\n", "nightly-2026-01-01"), ("stable", "")],
)
def test_a_bare_name(text: str, found: str) -> None:
    assert channel.read(text, BARE).channel == found
    with pytest.raises(InvalidManifest, match=r"no table \[toolchain\]"):
        channel.read(text, TOML)


def test_what_a_build_reads_of_components_and_targets() -> None:
    text = """
    [toolchain]
    channel = "1.96"
    components = ["rustfmt", "clippy", "rust-src", "llvm-tools"]
    targets = ["wasm32-unknown-unknown"]
    profile = "default"
    """
    found = channel.read(text, TOML)
    assert (found.components, found.targets) == (("rust-src", "llvm-tools"), ("wasm32-unknown-unknown",))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('[toolchain]\npath = "/opt/rust"', "a directory of one machine, '/opt/rust'"),
        ('[toolchain]\nchannel = "esp"', "'esp', which is no release"),
        ('[toolchain]\nchannel = "stable-x86_64-pc-windows-msvc"', "runs on x86_64-pc-windows-msvc"),
        ("[toolchain]\nchannel = 1.85", "1.85, which is no text"),
        ('[toolchain]\nchannel = ""', "no release"),
        ('[toolchain]\ncomponents = "rust-src"', "its components are 'rust-src'"),
        ("[toolchain]\ntargets = [1]", "its targets are"),
        ("toolchain = 3", r"no table \[toolchain\]"),
        ("", r"no table \[toolchain\]"),
        ("[toolchain", r"no table \[toolchain\]"),
    ],
)
def test_what_cannot_be_followed_is_refused_with_a_way_out(text: str, what: str) -> None:
    with pytest.raises(InvalidManifest, match=what) as raised:
        channel.read(text, TOML)
    assert raised.value.where == TOML
    assert "--rust-version" in raised.value.fix


@pytest.mark.parametrize(
    ("name", "is_rustups", "is_version"),
    [
        ("1.96", False, True),
        ("1", False, True),
        ("", False, False),
        ("nightly", True, False),
        ("beta", True, False),
        ("stable-2026-01-01", True, False),
        ("1.98.0-beta.1", True, False),
        ("9.9.9.9", False, False),
    ],
)
def test_what_rustup_has_to_install(name: str, is_rustups: bool, is_version: bool) -> None:
    assert channel.by_rustup(name) == is_rustups
    assert Toolchain(name).is_version == is_version


def test_a_nightly_is_known_by_its_name() -> None:
    assert channel.is_nightly("nightly-2026-01-01") and not channel.is_nightly("beta")
