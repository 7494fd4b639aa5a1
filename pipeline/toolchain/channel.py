"""Read the Rust that a project's toolchain file asks for (the rustup book, "The toolchain file")."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipeline import cargo_toml
from pipeline.errors import InvalidManifest
from pipeline.releases import RUST

FILES = ("rust-toolchain", "rust-toolchain.toml")
"""Where a project names its toolchain; of two, rustup reads the first."""

# As rustup's own `PartialToolchainDesc` reads a name.
_NAME = re.compile(
    r"(?P<channel>nightly|beta|stable|\d{1,4}(?:\.\d{1,4}){0,2}(?P<pre>-(?:beta|nightly)(?:\.\d{1,4})?)?)"
    r"(?:-(?P<date>\d{4}-\d{2}-\d{2}))?(?:-(?P<host>[a-z0-9_]+(?:-[a-z0-9_]+){1,3}))?",
    re.ASCII,
)
_LINUX = re.compile(r"\w+(?:-unknown)?-linux-gnu")

NOT_OF_A_BUILD = frozenset(
    {"rustfmt", "clippy", "rust-analyzer", "rust-docs", "rust-std", "rustc", "cargo", "miri"}
)
"""Components that no build reads, or that every toolchain has; `lint` and `fmt` add theirs themselves."""


@dataclass(frozen=True)
class Toolchain:
    """A Rust toolchain.

    Attributes:
        channel: a version (`1.85`, `1.85.0`), or what rustup has to install: `nightly`, `beta-2026-01-01`;
            empty for the stable Rust that is the default.
        components: additional components that a build may read, such as rust-src.
        targets: additional standard libraries, by triple.
        file: the file that names it; empty for none.
    """

    channel: str = ""
    components: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    file: str = ""

    @property
    def is_version(self) -> bool:
        """Return whether the channel is a version, of which there is an official image."""
        return bool(re.fullmatch(r"\d+(?:\.\d+){0,2}", self.channel))


DEFAULT = Toolchain()


def by_rustup(name: str) -> bool:
    """Return whether a Rust is one that no official image has and that rustup installs, such as nightly."""
    match = _NAME.fullmatch(name)
    if match is None:
        return False
    return match["channel"] in ("nightly", "beta", "stable") or bool(match["pre"] or match["date"])


def is_nightly(name: str) -> bool:
    """Return whether a name is a nightly's."""
    return name.startswith("nightly")


def read(text: str, file: str) -> Toolchain:
    """Return the toolchain that a file asks for.

    Args:
        text: the file's.
        file: its name; `rust-toolchain` may have the bare name of a channel in it.

    Raises:
        InvalidManifest: rustup would refuse it, or it names a toolchain that is only on one machine.
    """
    if file == FILES[0] and len(text.strip().splitlines()) == 1 and "=" not in text and "[" not in text:
        return Toolchain(_channel(text.strip(), file), file=file)
    document = cargo_toml.read(text)
    table = document.get("toolchain")
    if not isinstance(table, dict):
        raise _refused("it has no table [toolchain]", file)
    if "path" in table:
        raise _refused(f"it asks for a toolchain in a directory of one machine, {table['path']!r}", file)
    channel = table.get("channel", "")
    if not isinstance(channel, str):
        raise _refused(f"its channel is {channel!r}, which is no text", file)
    for name in ("components", "targets"):
        if table.get(name) is not None and cargo_toml.strings(table, name) != table[name]:
            raise _refused(f"its {name} are {table[name]!r}, which is no list of names", file)
    components = [name for name in cargo_toml.strings(table, "components") if name not in NOT_OF_A_BUILD]
    return Toolchain(
        _channel(channel, file) if channel or "channel" in table else "",
        tuple(components),
        tuple(cargo_toml.strings(table, "targets")),
        file,
    )


def _channel(name: str, file: str) -> str:
    match = _NAME.fullmatch(name)
    if match is None:
        raise _refused(f"it asks for the toolchain {name!r}, which is no release of Rust", file)
    if match["host"] and not _LINUX.fullmatch(match["host"]):
        raise _refused(f"it asks for {name!r}, a toolchain that runs on {match['host']}", file)
    plain = name.removesuffix(f"-{match['host']}") if match["host"] else name
    return "" if plain == "stable" else plain


def _refused(what: str, file: str) -> InvalidManifest:
    return InvalidManifest(
        f"{file} cannot be followed: {what}",
        where=file,
        fix=f'write a release there, as in `[toolchain]` with `channel = "{RUST}"`, or pass --rust-version, '
        "which goes before the file",
    )
