"""The project that a directory means: a member's is its workspace, as it is to cargo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline import cargo_toml
from pipeline.errors import NotACargoProject


def located(directory: Path) -> tuple[Path, str]:
    """The project's directory, and the package to take of it where none is chosen; empty for cargo's choice.

    A member has no lock file, and inherits from a manifest above it that an engine has to be given too. Cargo
    looks for that in the directories above (the cargo book, "Workspaces").

    Raises:
        NotACargoProject: there is no such directory.
    """
    if not directory.is_dir():
        raise NotACargoProject(
            "there is no such directory",
            where=str(directory),
            fix="pass the directory that holds Cargo.toml",
        )
    own = _manifest(directory)
    name = cargo_toml.package(own)
    if not name or "workspace" in own or (directory / "Cargo.lock").exists():
        return directory, ""
    root = next((above for above in directory.parents if "workspace" in _manifest(above)), None)
    return (root, name) if root else (directory, "")


def _manifest(directory: Path) -> dict[str, Any]:
    """The manifest in a directory; nothing where there is none that can be read."""
    try:
        return cargo_toml.read((directory / "Cargo.toml").read_text(errors="replace"))
    except OSError:
        return {}
