"""Give files of this process to the engine, from a client and from a module's function alike.

The bindings of a client have `host()`. Those that an official engine generates for a module have not: a
function gives its own files by the module's working directory. So the bindings say which of the two this is.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from pipeline.sdk import dag, dagger


def directory(path: Path, include: Sequence[str] = ()) -> dagger.Directory:
    """Return a folder of this process as a directory of the engine.

    Args:
        path: the folder, absolute. The engine reads it when the directory is first used.
        include: patterns of the files to take; all of them by default.
    """
    host = getattr(dag, "host", None)
    if host is not None:
        made: dagger.Directory = host().directory(str(path), include=list(include))
        return made
    return dag.current_module().workdir(_in_workdir(path, Path.cwd()), include=list(include))


def _in_workdir(path: Path, workdir: Path) -> str:
    """Return where a folder is below the working directory, copied there if it is elsewhere."""
    if path.is_relative_to(workdir):
        return str(path.relative_to(workdir))
    name = path.relative_to(path.anchor)
    shutil.copytree(path, workdir / name, dirs_exist_ok=True)
    return str(name)
