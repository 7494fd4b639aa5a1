"""List the files of a checkout that are not uploaded, for their stand-ins in the build."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path


def listed(top: Path, paths: Iterable[str]) -> bytes:
    """Return the list for `pipeline/build/state.sh`.

    Each entry ends with a zero byte: the kind (`e` an empty file, `f` a file, `x` an executable file, `l` a
    link), the byte 3, the path, and for a link the byte 3 and its target. It has no sizes, so it does not
    change with the files' content.

    Args:
        top: the root of the source.
        paths: files relative to it. One that a sparse checkout leaves out counts as a plain file.
    """
    return b"".join(_entry(top, path) for path in sorted(paths))


def _entry(top: Path, path: str) -> bytes:
    name = os.fsencode(path)
    try:
        found = (top / path).lstat()
    except OSError:
        return b"f\3%b\0" % name
    if stat.S_ISLNK(found.st_mode):
        return b"l\3%b\3%b\0" % (name, os.fsencode((top / path).readlink()))
    kind = b"e" if found.st_size == 0 else b"x" if found.st_mode & 0o111 else b"f"
    return b"%b\3%b\0" % (kind, name)
