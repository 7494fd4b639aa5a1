"""List the files of a source for the build: those that are not uploaded, and the digests of the others."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Iterable
from pathlib import Path

SETTLED = 60
"""Seconds after which an untracked file counts as completely written."""


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


def digests(top: Path, tracked: Iterable[str], others: Iterable[str] = ()) -> bytes:
    """Return the digests of files: for each the SHA-256, the kind, the path and a zero byte.

    Byte 3 is between them. The kind is `tracked` for a file that the source must have, otherwise `other`.
    Links and unreadable files are left out, and so are other files that were just written: they may still
    grow, like the log of this command, and have a new time stamp, so the engine uploads them.

    Args:
        top: the root of the source.
        tracked: files relative to it that git tracks.
        others: other files and directories relative to it.
    """
    before = time.time() - SETTLED
    kinds = {file: b"other" for path in others for file in _below(top / path) if _modified(file) < before}
    kinds |= {file: b"tracked" for path in tracked for file in _below(top / path)}
    rows = [(_digest(file), kinds[file], os.fsencode(file.relative_to(top))) for file in sorted(kinds)]
    return b"".join(b"%b\3%b\3%b\0" % (digest.encode(), kind, path) for digest, kind, path in rows if digest)


def _below(path: Path) -> Iterable[Path]:
    if path.is_symlink():
        return
    if path.is_file():
        yield path
    elif path.is_dir():
        for entry in path.iterdir():
            yield from _below(entry)


def _modified(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return 0


def _digest(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError:
        return ""
