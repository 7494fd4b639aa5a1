"""Parse the builder's output for compiled crates.

cargo prints `Compiling serde` only once for all targets, and nothing for cached crates. Its JSON messages
(the cargo book, "External tools") have the path of every compiled crate, and so the target. compile.sh turns
each message into a line like cargo's.
"""

from __future__ import annotations

import re

from pipeline.progress.events import CrateReady

# Anywhere in a line, since cargo writes its lines to the other stream in two pieces, and these lines may come
# between them (`    Finished       Built a@1 for …`).
_LINE = re.compile(r"(?:^| )(?P<word>Built|Fresh) (?P<id>.+) for (?P<triple>[a-z0-9_]+-[a-z0-9_-]+)$")


def read(line: str) -> CrateReady | None:
    """Return the crate in a line of the builder's output; None if it has none."""
    found = _LINE.search(line)
    return CrateReady(found["triple"], found["id"], found["word"] == "Fresh") if found else None
