"""Execute the rows of docs/migrating.md: each gives the same setting at every entrance."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest
import typer

from pipeline import cli
from pipeline.cli import options
from pipeline.config import settings
from pipeline.config.settings import Settings
from pipeline.main import RustMultiarch

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/migrating.md").read_text()
SECTION = PAGE[PAGE.index("## What a Dockerfile did") : PAGE.index("## From cross")]
ROWS = [
    tuple(cell.strip() for cell in line.strip("| ").split(" | "))
    for line in SECTION[: SECTION.index("Secrets are no settings")].splitlines()
    if line.startswith("| ") and "`RUST_MULTIARCH_" in line
]

INSTRUCTIONS = ("FROM", "COPY", "RUN", "ENV", "EXPOSE", "USER", "WORKDIR", "VOLUME", "LABEL", "ENTRYPOINT",
                "CMD", "HEALTHCHECK", "STOPSIGNAL", "ARG")  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_row_gives_the_same_setting_at_every_entrance(row: tuple[str, ...]) -> None:
    _, table, option, variable, argument = (cell.strip("`") for cell in row)
    from_table = settings.merge(settings.from_table(tomllib.loads(table), "here")).settings
    name, _, text = variable.partition("=")
    from_environment = settings.merge(settings.from_environment({name: shlex.split(text)[0]})).settings
    command = typer.main.get_command(cli.app).commands["build"]
    given = command.make_context("build", shlex.split(option)).params
    chosen = {name: value for name, value in given.items() if value not in (None, (), [], False)}
    from_option = settings.merge(settings.given(chosen, options.key)).settings
    assert from_table == from_environment == from_option != Settings()
    assert argument.replace("-", "_") in RustMultiarch.create.__func__.__signature__.parameters


@pytest.mark.parametrize("instruction", INSTRUCTIONS)
def test_every_instruction_of_a_dockerfile_has_a_row(instruction: str) -> None:
    assert any(re.match(rf"`{instruction}\b", row[0]) for row in ROWS)


def test_options_functions_and_inputs_of_secrets_exist() -> None:
    page = SECTION[SECTION.index("Secrets are no settings") :]
    flags = {flag for one in typer.main.get_command(cli.app).commands["build"].params for flag in one.opts}
    named = set(re.findall(r"`(--[a-z-]+)", page))
    assert {"--build-secret", "--ssh", "--git-token", "--registry-token"} <= named
    assert named - {"--push", "--tag"} <= flags
    for function in re.findall(r"`(with-[a-z-]+)", page):
        assert hasattr(RustMultiarch, function.replace("-", "_"))
