"""`--cache-from` and `--cache-to`: compiled state as a file, which a CI keeps between runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from dagger import dag

from pipeline.main import RustMultiarch

From = Annotated[
    Path | None,
    typer.Option(
        "--cache-from",
        help="File that --cache-to wrote, read where the engine has no compiled state of the project; "
        "there may be none yet.",
    ),
]
To = Annotated[
    Path | None,
    typer.Option("--cache-to", help="File that the compiled state is written to, as export-cache gives it."),
]


def read(module: RustMultiarch, path: Path | None) -> RustMultiarch:
    """The project that starts from an archive, if there is one: a CI's first run has none."""
    if path is None or not path.is_file():
        return module
    return module.with_cache(dag.host().file(str(path)))


async def write(module: RustMultiarch, path: Path | None) -> None:
    """Write the archive of a project that was just built."""
    if path is not None:
        await (await module.export_cache()).export(str(path))
