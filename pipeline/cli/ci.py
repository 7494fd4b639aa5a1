"""Implement `rust-multiarch ci`: write CI configurations."""

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
from pipeline.config.project_files import OnDisk
from pipeline.errors import InvalidArgument
from pipeline.git import command
from pipeline.registry.address import destinations, lowered, named_somehow, open_to_tags
from pipeline.targets import select

app = typer.Typer(no_args_is_help=True, help="Configurations for CI systems.")
COMMANDS = {"ci": app}


@app.callback()
def _group() -> None:
    """Keep `init` a subcommand, since typer drops the name of a single command."""


@app.command("init")
def init(
    system: Annotated[
        str, typer.Argument(help="One of " + ", ".join(row.name for row in ci_config.SYSTEMS) + ".")
    ],
    *,
    image: Annotated[
        str, typer.Option(help="Image address without a tag; by default derived from the git remote.")
    ] = "",
    platform: Annotated[
        list[str] | None,
        typer.Option("--platform", help="Platforms to build for; by default those in Cargo.toml."),
    ] = None,
    branch: Annotated[
        str, typer.Option(help="Branch whose pushes are published; by default that of origin's HEAD.")
    ] = "",
    matrix: Annotated[
        bool, typer.Option("--matrix", help="Use a native runner per platform, and a job that merges.")
    ] = False,
    directory: Annotated[Path, typer.Option(help="The repository's directory.")] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Overwrite existing files.")] = False,
    stdout: Annotated[
        bool, typer.Option("--stdout", help="Print the configuration instead of writing it.")
    ] = False,
    json: JSON = False,
) -> None:
    """Write a CI configuration: pull requests build, the main branch and tags publish."""
    row = ci_config.system(system)
    options = ci_config.Options(
        image=_without_tag(image) if image else _image(directory),
        platforms=_platforms(platform, directory, matrix),
        version=importlib.metadata.version("rust-multiarch"),
        branch=branch or _branch(directory),
        matrix=matrix,
        commit=ci_config.installed_commit(),
    )
    files = ci_config.render(row, options)
    if not stdout:
        for path in ci_config.write(files, directory, force=force):
            typer.echo(f"wrote {path}", err=True)
    if json:
        typer.echo(json_module.dumps({"files": files, "next": ci_config.steps(row, options)}, indent=2))
    elif stdout:
        typer.echo("".join(files.values()), nl=False)
    for number, step in enumerate(ci_config.steps(row, options), 1):
        typer.echo(f"next, {number}: {step}", err=True)


def _branch(directory: Path) -> str:
    """Return the branch to publish: that of origin's HEAD, else the one checked out, else main."""
    top = command.top(directory)
    if top is None:
        return "main"
    for words in (["rev-parse", "--abbrev-ref", "origin/HEAD"], ["symbolic-ref", "--short", "HEAD"]):
        done = command.run(["git", *words], top)
        name = done.stdout.strip().removeprefix("origin/")
        if done.returncode == 0 and name not in ("", "HEAD"):
            return name
    return "main"


def _platforms(given: list[str] | None, directory: Path, matrix: bool) -> tuple[str, ...]:
    """Return the platforms to write: the given ones; for a matrix, those in the settings by default."""
    if not given and not matrix:
        return ()
    layers = anyio.run(settings.from_project, OnDisk(directory))
    return tuple(target.platform for target in select(given or settings.merge(*layers).settings.platforms))


def _without_tag(address: str) -> str:
    """Check an address without a tag; tags are added later, from git and for compiled state.

    Raises:
        InvalidAddress, InvalidArgument: the address is invalid, or has a tag.
    """
    address = lowered(address)  # GitHub owners may have capitals, image repositories may not
    named = named_somehow([address])
    destinations(named)
    if not open_to_tags(*named):
        raise InvalidArgument(
            f"{address} has a tag, and the tags come from git",
            where="--image",
            fix="remove the tag, and set the tags with the tag-rules setting",
        )
    return address


def _image(directory: Path) -> str:
    """Derive the image address from a repository's git remote.

    Raises:
        InvalidArgument: it has no remote, or the registry of its host is unknown.
    """
    top = command.top(directory)
    remote = command.run(["git", "remote", "get-url", "origin"], top).stdout.strip() if top else ""
    address = ci_config.image_of(remote)
    if not address:
        raise InvalidArgument(
            "no image address is given, and the git remote has no known registry",
            where=remote or str(directory.resolve()),
            fix="pass --image, for example ghcr.io/me/app",
        )
    return address
