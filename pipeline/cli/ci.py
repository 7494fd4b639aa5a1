"""`rust-multiarch ci …`: writes CI configurations."""

from __future__ import annotations

import importlib.metadata
import json as json_module
from pathlib import Path
from typing import Annotated

import anyio
import typer

from pipeline.ci import config as ci_config
from pipeline.cli.options import JSON
from pipeline.config import settings
from pipeline.errors import InvalidArgument
from pipeline.git import command
from pipeline.registry.address import destinations, lowered, named_somehow, open_to_tags
from pipeline.targets import select

app = typer.Typer(no_args_is_help=True, help="Configurations for CI systems.")


@app.callback()
def _group() -> None:
    """Keeps `init` a command of its own: typer drops the name of an only command."""


@app.command("init")
def init(
    system: Annotated[
        str, typer.Argument(help="One of " + ", ".join(row.name for row in ci_config.SYSTEMS) + ".")
    ],
    *,
    image: Annotated[
        str, typer.Option(help="Image address without a tag; by default the one of the git remote.")
    ] = "",
    platform: Annotated[
        list[str] | None,
        typer.Option("--platform", help="Platforms to build for; those of Cargo.toml when left out."),
    ] = None,
    branch: Annotated[str, typer.Option(help="Branch whose pushes are published.")] = "main",
    matrix: Annotated[
        bool, typer.Option("--matrix", help="A native runner per platform, and a job that merges.")
    ] = False,
    directory: Annotated[Path, typer.Option(help="The repository's directory.")] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Overwrite what is there.")] = False,
    stdout: Annotated[bool, typer.Option("--stdout", help="Print the configuration, write nothing.")] = False,
    json: JSON = False,
) -> None:
    """Write a CI configuration: pull requests build, the main branch and tags publish."""
    row = ci_config.system(system)
    options = ci_config.Options(
        image=_without_tag(image) if image else _image(directory),
        platforms=_platforms(platform, directory, matrix),
        version=importlib.metadata.version("rust-multiarch"),
        branch=branch,
        matrix=matrix,
    )
    files = ci_config.render(row, options)
    if not stdout:
        for path in ci_config.write(files, directory, force=force):
            typer.echo(f"wrote {path}", err=True)
    if json:
        typer.echo(json_module.dumps({"files": files, "needs": row.needs}, indent=2))
    elif stdout:
        typer.echo("".join(files.values()), nl=False)
    for need in row.needs:
        typer.echo(f"it needs {need}", err=True)


def _platforms(given: list[str] | None, directory: Path, matrix: bool) -> tuple[str, ...]:
    """The platforms to write down: those given; for a matrix, which needs some, those that are set."""
    if not given and not matrix:
        return ()
    layers = anyio.run(settings.from_project, settings.OnDisk(directory))
    return tuple(target.platform for target in select(given or settings.merge(*layers).settings.platforms))


def _without_tag(address: str) -> str:
    """An address that is given its tags later, by git and for compiled state.

    Raises:
        InvalidAddress, InvalidArgument: it is none, or has one already.
    """
    address = lowered(address)  # GitHub's owners have capitals, and repositories have none
    named = named_somehow([address])
    destinations(named)
    if not open_to_tags(*named):
        raise InvalidArgument(
            f"{address} names a tag, and the tags come from git",
            where="--image",
            fix="leave the tag out; the tag-rules setting says which there are to be",
        )
    return address


def _image(directory: Path) -> str:
    """The image address of a repository's git remote.

    Raises:
        InvalidArgument: it has none, or its host has no registry that is known.
    """
    top = command.top(directory)
    remote = command.run(["git", "remote", "get-url", "origin"], top).stdout.strip() if top else ""
    address = ci_config.image_of(remote)
    if not address:
        raise InvalidArgument(
            "no image address is given, and the git remote names no known registry",
            where=remote or str(directory.resolve()),
            fix="pass --image, for example ghcr.io/me/app",
        )
    return address
