"""What cargo says of each crate it has ready, made short: both ends of one line format.

Cargo's own `Compiling serde` is printed once, however many targets it is compiled for, and nothing is
printed of crates that were there before. Its JSON messages (the cargo book, "External tools") name the file
of every crate and so the target; `sed` in the builder turns each into a line like cargo's own.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from pipeline.progress.events import CrateReady
from pipeline.toolchain.builder import BUILD

FORMAT = "--message-format=json-render-diagnostics"
"""Messages on stdout; warnings and errors stay what a person reads, on stderr."""

# Host crates lie in target/<profile>; a triple is what has a dash in its place.
_ARTIFACT = (
    r's|^\{"reason":"compiler-artifact","package_id":"([^"]+)".*"filenames":\["'
    + BUILD
    + r'/target/([^/"]+-[^/"]+)/.*"fresh":(true\|false)\}$|\3 \1 for \2|'
)
_WORDS = {"true": "Fresh", "false": "Built"}


def reported(command: Sequence[str]) -> str:
    """A shell line, for bash with `pipefail`, that runs a `cargo build` and prints a line for each crate."""
    words = [f"s|^{told} |{word:>12} |" for told, word in _WORDS.items()]
    program = "; ".join([_ARTIFACT, "T", r"s,(registry|sparse)\+[^ #]*#,,", *words, "p"])
    return f"{shlex.join([*command, FORMAT])} | {shlex.join(['sed', '-unE', program])}"


# Anywhere in a line: cargo writes its own lines to the other stream in two pieces, and ours comes between
# them now and then (`    Finished       Built a@1 for …`).
_LINE = re.compile(r"(?:^| )(?P<word>Built|Fresh) (?P<id>.+) for (?P<triple>[a-z0-9_]+-[a-z0-9_-]+)$")


def read(line: str) -> CrateReady | None:
    """The crate that a line of the builder's output is about, if it is about one."""
    found = _LINE.search(line)
    return CrateReady(found["triple"], found["id"], found["word"] == "Fresh") if found else None
