"""The project that a directory means: a member's is its workspace, as it is to cargo."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any


def located(directory: Path) -> tuple[Path, str]:
    """The project's directory, and the package to take of it where none is chosen; empty for cargo's choice.

    A member has no lock file, and inherits from a manifest above it that an engine has to be given too. Cargo
    looks for that in the directories above (the cargo book, "Workspaces").
    """
    manifest = _manifest(directory)
    name = manifest.get("package", {}).get("name", "")
    if not name or "workspace" in manifest or (directory / "Cargo.lock").exists():
        return directory, ""
    root = next((above for above in directory.parents if "workspace" in _manifest(above)), None)
    return (root, str(name)) if root else (directory, "")


def _manifest(directory: Path) -> dict[str, Any]:
    """The manifest in a directory; nothing where there is none, or one that cargo will explain."""
    try:
        return tomllib.loads((directory / "Cargo.toml").read_text(errors="replace"))
    except (OSError, tomllib.TOMLDecodeError):
        return {}
