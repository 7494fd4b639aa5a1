"""Upload a directory so that the engine cannot keep an old copy of a file.

An engine uploads a file again only if its size or its time stamp differs from the last upload of the same
path. So the directory is uploaded from a path that depends on its content.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def copied(directory: Path) -> Iterator[Path]:
    """Yield a copy of a directory, at the same path for the same content; it is removed at the end."""
    place = Path(tempfile.gettempdir()) / f"rust-multiarch-{digest(directory)}"
    try:
        place.mkdir(mode=0o700)
    except FileExistsError:  # another command has it, or another user
        place = Path(tempfile.mkdtemp())
    try:
        yield Path(shutil.copytree(directory, place / "files", symlinks=True))
    finally:
        shutil.rmtree(place, ignore_errors=True)


def digest(directory: Path) -> str:
    """Return a digest of a directory: of the names, modes, links and content in it."""
    made = hashlib.sha256()
    for path in sorted(directory.rglob("*")):
        mode = path.lstat().st_mode
        made.update(os.fsencode(path.relative_to(directory)) + b"\0%o\0" % mode)
        if stat.S_ISLNK(mode):
            made.update(os.fsencode(path.readlink()) + b"\0")
        elif stat.S_ISREG(mode):
            with path.open("rb") as opened:
                made.update(hashlib.file_digest(opened, "sha256").digest())
    return made.hexdigest()[:32]
