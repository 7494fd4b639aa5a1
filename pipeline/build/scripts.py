"""Run the shell programs beside this module in a container."""

from __future__ import annotations

from pathlib import Path

from pipeline.sdk import dagger

FOLDER = "/opt/rust-multiarch/programs"


def added(container: dagger.Container) -> dagger.Container:
    """Add the programs to a container, in `FOLDER`."""
    for path in sorted(Path(__file__).parent.glob("*.sh")):
        container = container.with_new_file(f"{FOLDER}/{path.name}", path.read_text())
    return container


def command(name: str, *arguments: str) -> list[str]:
    """Return the command that runs a program."""
    return ["bash", f"{FOLDER}/{name}", *arguments]
