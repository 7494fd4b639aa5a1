"""Implement `rust-multiarch doctor`: check the prerequisites of a build."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import anyio
import typer

from pipeline.cli import source as source_files
from pipeline.cli.options import JSON, Platforms, Source
from pipeline.config import settings
from pipeline.config.project_files import OnDisk
from pipeline.errors import NotReady, RustMultiarchError
from pipeline.preview import readiness as doctor
from pipeline.preview.readiness import Check, CheckContext, CheckOutcome, State
from pipeline.printable import printable
from pipeline.registry.address import named_somehow
from pipeline.targets import DEFAULT_PLATFORMS, select


def examine(
    source: Source = Path(),
    *,
    platform: Platforms = None,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", "-t", help="Address that will be pushed to; repeatable.")
    ] = None,
    json: JSON = False,
) -> None:
    """Check engine, project, git, registries, emulators, disk and clock, and print fixes."""
    here = source_files.find(source)
    place = here.workspace
    platforms, outcome = _configured(place, platform or [], here.package)
    subject = CheckContext(place, platforms, named_somehow(tag or ()))
    checks = (*doctor.CHECKS, Check("settings", lambda _: outcome))
    results = anyio.run(doctor.examine, subject, checks)
    typer.echo(doctor.as_json(results) if json else printable(doctor.as_text(results)))
    if doctor.failed(results):
        raise typer.Exit(NotReady.exit_code)


def _configured(source: Path, platforms: list[str], package: str = "") -> tuple[list[str], CheckOutcome]:
    """Return the platforms in the settings, and the result of the settings' check."""
    try:
        outright = settings.from_environment(os.environ)
        if package:
            outright = {"package": settings.Value(package, str(source)), **outright}
        merged = settings.merge(*anyio.run(settings.under, OnDisk(source), outright), outright)
        chosen = select(platforms or merged.settings.platforms)
    except RustMultiarchError as error:
        return list(DEFAULT_PLATFORMS), CheckOutcome(State.FAIL, f"{error.what} ({error.where})", error.fix)
    places = sorted({origin for origin in merged.origins.values() if origin != settings.DEFAULT})
    return [target.platform for target in chosen], CheckOutcome(State.OK, ", ".join(places) or "defaults")


COMMANDS: dict[str, Callable[..., None]] = {"doctor": examine}
