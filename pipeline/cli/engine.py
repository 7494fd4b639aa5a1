"""Implement `rust-multiarch engine`: the embedded Dagger engine, for machines without Docker."""

from __future__ import annotations

import dataclasses
import json as json_module
from datetime import datetime
from typing import Annotated, Any

import typer

from engine import choice, lifecycle
from engine.record import BaseImages
from pipeline.cli.options import JSON, Platforms
from pipeline.errors import EngineError
from pipeline.printable import printable, say
from pipeline.targets import DEFAULT_PLATFORMS, select
from pipeline.text_table import mebibytes

app = typer.Typer(no_args_is_help=True, help="The embedded Dagger engine, for machines without Docker.")
COMMANDS = {"engine": app}


def _as_lines(record: Any) -> str:
    fields = dataclasses.asdict(record).items()
    present = ((name, value) for name, value in fields if value not in (None, "", []))
    return "\n".join(f"{name}: {' '.join(v) if isinstance(v, list) else v}" for name, v in present)


def _print_more(found: lifecycle.Status) -> None:
    """Print the start of the engine as a time, and the size of its cache, which takes time to count."""
    if found.since is not None:
        typer.echo(f"since: {datetime.fromtimestamp(found.since).astimezone():%Y-%m-%d %H:%M:%S %Z}")
    typer.echo(f"cache: {mebibytes(found.cache_bytes)} of layers, downloads and compiled state")


def _as_json(document: Any) -> str:
    return json_module.dumps(document, indent=2, default=str)


@app.command("start")
def start(
    platform: Platforms = None,
    builder: Annotated[
        list[str] | None,
        typer.Option(
            "--builder",
            help="Other platforms that the compiler will run on, with QEMU.",
        ),
    ] = None,
    debian: Annotated[
        list[str] | None,
        typer.Option("--debian", help="Other Debian releases to make base images of, for example bookworm."),
    ] = None,
    json: JSON = False,
) -> None:
    """Build the engine if needed, make the base images, and start it."""
    platforms = [target.platform for target in select(platform or DEFAULT_PLATFORMS)]
    builders = [target.platform for target in select(builder)] if builder else []
    status = lifecycle.start(BaseImages(platforms, builders, debian or []), say)
    if json:
        typer.echo(_as_json(dataclasses.asdict(status)))


@app.command("stop")
def stop(json: JSON = False) -> None:
    """Stop the engine and keep its cache."""
    stopped = lifecycle.stop(say)
    if json:
        typer.echo(_as_json({"stopped": stopped}))


@app.command("status")
def status(json: JSON = False) -> None:
    """Show the state of the engine."""
    found = lifecycle.status()
    shown = found if json else dataclasses.replace(found, since=None)
    typer.echo(_as_json(dataclasses.asdict(found)) if json else _as_lines(shown))
    if not json:
        _print_more(found)
    if not found.running:
        raise typer.Exit(EngineError.exit_code)


@app.command("logs")
def logs(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Follow the log.")] = False,
    json: JSON = False,
) -> None:
    """Print the engine's log; with --json, each line as a string."""
    for line in lifecycle.logs(follow=follow):
        text = line.rstrip("\n")
        typer.echo(json_module.dumps(text) if json else printable(text))


@app.command("env")
def env(json: JSON = False) -> None:
    """Print shell commands that make `dagger` use this machine's engine; use with eval."""
    variables = choice.choose(say).environment
    typer.echo(_as_json(variables) if json else lifecycle.export_lines(variables))
