"""Test that commands import only what they use: Dagger's SDK and httpx take most of the time of a start."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import typer
from repositories import repository

from pipeline import cli

SAMPLE = Path(__file__).parents[3] / "sample_app"

RUN = """
import json, os, sys
from pipeline import cli

def ended(words):
    sys.argv = ["rust-multiarch", *words]
    try:
        cli.main()
    except SystemExit as end:
        return end.code or 0

found = []
for words in json.loads(sys.argv[1]):
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1), os.dup2(nowhere, 2)
        code = ended(words)
        slow = {"dagger", "httpx", "cryptography", "elftools", "rich"} & set(sys.modules)
        os.write(writing, json.dumps([code, sorted(slow)]).encode())
        os._exit(0)
    os.close(writing)
    found.append(json.loads(os.read(reading, 10_000)))
    os.waitpid(child, 0)
print(json.dumps(found))
"""
"""A program that runs each command in a process of its own, which starts with the command line imported."""


def run(directory: Path, commands: Sequence[Sequence[str]]) -> list[list[object]]:
    """Run commands in a directory; return the exit code of each and the slow packages that it imported."""
    program = [sys.executable, "-c", RUN, json.dumps(commands)]
    done = subprocess.run(program, cwd=directory, check=True, capture_output=True, text=True)
    found: list[list[object]] = json.loads(done.stdout)
    return found


def test_help_imports_no_sdk(tmp_path: Path) -> None:
    commands = [["--help"], ["--version"], *([name, "--help"] for name in cli.COMMANDS)]
    found = dict(zip(map(" ".join, commands), run(tmp_path, commands), strict=True))
    assert {words: ended for words, ended in found.items() if ended != [0, []]} == {}


def test_help_of_the_whole_imports_no_command(tmp_path: Path) -> None:
    program = "import sys; from pipeline import cli; cli.app(['--help'], standalone_mode=False)\n"
    program += "assert not {f'pipeline.cli.{one.module}' for one in cli.COMMANDS.values()} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


def test_commands_without_an_engine_import_no_sdk(tmp_path: Path) -> None:
    codes = {
        ("plan", str(SAMPLE), "--matrix"): 0,
        ("ci", "init", "github", "--stdout", "--image", "ghcr.io/me/app"): 0,
        ("build", str(SAMPLE), "--platform", "linux/mips"): 10,
        ("build", str(SAMPLE), "--no-such-option"): 2,
        ("build", "."): 20,
        ("engine", "status", "--json"): None,  # whether an engine runs
    }
    found = run(repository(tmp_path), list(codes))
    assert [imported for _, imported in found] == [[]] * len(codes)
    assert [code for code, _ in found][:-1] == list(codes.values())[:-1]


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_the_list_of_commands_has_the_description_of_each(name: str) -> None:
    described = typer.main.get_command(cli.app).commands[name].help
    assert described.strip().splitlines()[0] == cli.COMMANDS[name].help
