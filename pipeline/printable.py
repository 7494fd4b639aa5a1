"""Text that others wrote, as it may be shown on a terminal and in the log of a CI system."""

from __future__ import annotations

import re
import sys

# Controls (but not the tab and the end of a line), what reorders text, and lone surrogates.
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)

# How a line starts that GitHub and Forgejo, Azure, TeamCity take for a command.
_COMMANDS = re.compile(r"^(\s*)(::|##(?=\[|vso\[)|##(?=teamcity\[))", re.MULTILINE)


def printable(text: str) -> str:
    r"""Return text with control characters written as `\x1b`, and without commands to a CI system.

    Registries, cargo, git, build scripts and file names could otherwise write to the clipboard (OSC 52), hide
    lines, or set the outputs of a CI job (`::set-output`).
    """
    shown = _CONTROLS.sub(lambda found: ascii(found[0])[1:-1], text.replace("\r\n", "\n"))
    return _COMMANDS.sub(lambda found: f"{found[1]}\\{found[2]}", shown)


def say(text: str) -> None:
    """Print text to stderr, as `printable`: stdout is for the result of a command."""
    print(printable(text), file=sys.stderr, flush=True)
