"""What cargo says of each crate it has ready, made short.

Cargo's own `Compiling serde` is printed once, however many targets it is compiled for, and nothing is
printed of crates that were there before. Its JSON messages (the cargo book, "External tools") name the file
of every crate and so the target; compile.sh turns each into a line like cargo's own.
"""

from __future__ import annotations

import re

from pipeline.progress.events import CrateReady

# Anywhere in a line: cargo writes its own lines to the other stream in two pieces, and ours comes between
# them now and then (`    Finished       Built a@1 for …`).
_LINE = re.compile(r"(?:^| )(?P<word>Built|Fresh) (?P<id>.+) for (?P<triple>[a-z0-9_]+-[a-z0-9_-]+)$")


def read(line: str) -> CrateReady | None:
    """The crate that a line of the builder's output is about, if it is about one."""
    found = _LINE.search(line)
    return CrateReady(found["triple"], found["id"], found["word"] == "Fresh") if found else None
