"""Test that commands import only what they use: Dagger's SDK and httpx take most of the time of a start."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from repositories import repository

from pipeline import cli

SAMPLE = Path(__file__).parents[3] / "sample_app"

RUN = """
import sys
from pipeline import cli
sys.argv[0] = "rust-multiarch"
try:
    cli.main()
except SystemExit as ended:
    code = ended.code
slow = {"dagger", "httpx", "cryptography", "elftools", "rich"}
print("imported:", *sorted(slow & set(sys.modules)), file=sys.stderr)
sys.exit(code)
"""


def run(directory: Path, *words: str) -> tuple[int, str]:
    """Run a command in a process of its own; return its exit code and the slow packages that it imported."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, *words], cwd=directory, capture_output=True, text=True, env=os.environ
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("imported:")]
    return done.returncode, lines[-1].removeprefix("imported:").strip() if lines else done.stderr


@pytest.mark.parametrize("words", [("--help",), ("--version",), *((name, "--help") for name in cli.COMMANDS)])
def test_help_imports_no_sdk(words: tuple[str, ...], tmp_path: Path) -> None:
    assert run(tmp_path, *words) == (0, "")


def test_help_of_the_whole_imports_no_command(tmp_path: Path) -> None:
    program = "import sys; from pipeline import cli; cli.app(['--help'], standalone_mode=False)\n"
    program += "assert not {f'pipeline.cli.{one.module}' for one in cli.COMMANDS.values()} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("plan", str(SAMPLE), "--matrix"), 0),
        (("ci", "init", "github", "--stdout", "--image", "ghcr.io/me/app"), 0),
        (("engine", "status", "--json"), 0),
        (("build", str(SAMPLE), "--platform", "linux/mips"), 10),
        (("build", str(SAMPLE), "--no-such-option"), 2),
        (("build", "."), 20),
    ],
    ids=str,
)
def test_commands_without_an_engine_import_no_sdk(words: tuple[str, ...], code: int, tmp_path: Path) -> None:
    ended, imported = run(repository(tmp_path), *words)
    assert imported == ""
    assert ended == code or words[0] == "engine"


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_the_list_of_commands_has_the_description_of_each(name: str) -> None:
    described = typer.main.get_command(cli.app).commands[name].help
    assert described.strip().splitlines()[0] == cli.COMMANDS[name].help
