"""Test that the next steps in messages exist: options, commands, arguments and files."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from docs import generate
from pipeline import cli
from pipeline.config.settings import NAMES, key

FIELDS = {"fix", "advice"}
"""Names of arguments and fields with a next step."""

OPTION = re.compile(r"(?<![\w-])(--?[a-zA-Z][\w-]*)")
COMMAND = re.compile(r"`([^`]+)`")
OF_OTHERS = ('"--check"', "any cargo build without --locked", "sudo -E")
"""Texts with options of other programs."""


def texts() -> Iterator[str]:
    """Yield each text that says what to do next."""
    for each in generate.messages().values():
        yield from (message.fix for message in each)
    for path in sorted(each for folder in ("pipeline", "engine") for each in Path(folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                yield from (generate._text(word.value) for word in node.keywords if word.arg in FIELDS)
            if isinstance(node, ast.Assign) and any(
                isinstance(target, ast.Name) and target.id in ("ADVICE", "fix") for target in node.targets
            ):
                yield generate._text(node.value)
        yield from _fields(".".join(path.with_suffix("").parts).removesuffix(".__init__"))


def _fields(module: str) -> Iterator[str]:
    for value in vars(importlib.import_module(module)).values():
        for row in value if isinstance(value, tuple) else (value,):
            if dataclasses.is_dataclass(row) and not isinstance(row, type):
                yield from (text for name in FIELDS if isinstance(text := getattr(row, name, ""), str))


ADVICE = sorted({text for text in texts() if text.strip("… ")})
ROOT: Any = typer.main.get_command(cli.app)


def commands(command: Any = ROOT, path: str = "") -> Iterator[tuple[str, Any]]:
    yield from generate._commands(command, path)


OPTIONS = {
    name: (path, command, parameter)
    for path, command in commands()
    for parameter in command.params
    for name in parameter.opts
    if name.startswith("-")
}


def of_the_module() -> set[str]:
    """Return the arguments of the module's functions, as `dagger call` has them."""
    return set(re.findall(r"^\| `([a-z-]+)` \|", generate.reference(), re.MULTILINE))


def words_outside_of_commands() -> list[tuple[str, str]]:
    return [
        (option, text)
        for text in ADVICE
        for option in OPTION.findall(COMMAND.sub("", text))
        if option.startswith("--") and not any(each in text for each in OF_OTHERS)
    ]


def in_commands() -> list[str]:
    """Return the commands of all programs that messages name."""
    found = [command for text in ADVICE for command in COMMAND.findall(text)]
    return sorted({each for each in found if re.match(r"(rust-multiarch|git|cargo|docker|dagger) ", each)})


def test_there_are_texts_of_every_kind() -> None:
    text = "\n".join(ADVICE)
    for part in ("--whole-repository", "--git-metadata hands over", "safe.directory", "write -fuse-ld=mold"):
        assert part in text
    assert len(ADVICE) > 150


@pytest.mark.parametrize("option", sorted({option for option, _ in words_outside_of_commands()}))
def test_an_option_in_a_next_step_exists(option: str) -> None:
    assert option in OPTIONS or option.removeprefix("--") in of_the_module(), [
        text for word, text in words_outside_of_commands() if word == option
    ]


SAMPLES = ("x", "1")


@pytest.mark.parametrize(
    "option", sorted({option for option, _ in words_outside_of_commands() if option in OPTIONS})
)
def test_an_option_in_a_next_step_parses(option: str) -> None:
    path, command, parameter = OPTIONS[option]
    line: list[str] = []
    for each in command.params:
        if each.required and each is not parameter:
            line += [each.opts[0], "x"] if each.param_type_name == "option" else ["x"]
    values = [[]] if parameter.is_flag else [[sample] for sample in SAMPLES]
    found = [value for value in values if parses(path, command, [option, *value, *line], parameter.name)]
    assert found, f"{option} takes none of {SAMPLES}"


def parses(path: str, command: Any, line: list[str], name: str) -> bool:
    try:
        given = command.make_context(path, list(line)).params[name]
    except Exception as error:
        assert type(error).__name__ == "BadParameter", error
        return False
    return given not in (None, False, "", [], ())


@pytest.mark.parametrize("command", [each for each in in_commands() if each.startswith("rust-multiarch ")])
def test_a_command_of_this_program_in_a_next_step_exists(command: str) -> None:
    words = shlex.split(command.replace("…", "linux/amd64"))[1:]
    found: Any = ROOT
    while words and words[0] in getattr(found, "commands", {}):
        found = found.commands[words.pop(0)]
    assert not hasattr(found, "commands"), f"{command!r} has no such subcommand"
    found.make_context("x", words)


@pytest.mark.parametrize("command", [each for each in in_commands() if each.startswith(("git ", "cargo "))])
def test_a_command_of_git_or_cargo_in_a_next_step_exists(command: str) -> None:
    program, name, *words = shlex.split(command.replace("…", "x").partition(":")[0])
    if (program, name) == ("git", "lfs"):
        pytest.skip("git-lfs is not part of git")
    ran = subprocess.run(
        [program, name, "--help" if program == "cargo" else "-h"], capture_output=True, text=True
    )
    described = ran.stdout + ran.stderr
    assert "no such" not in described and "is not a git command" not in described
    for option in (word for word in words if word.startswith("--") and len(word) > 2):
        spelled = option.partition("=")[0].removeprefix("--")
        # git-log(1) has no list of its options in `-h`, git prints `--[no-]option`.
        assert spelled in described.replace("[no-]", "") or (name, spelled) == ("log", "format"), described


def test_every_setting_in_a_next_step_exists() -> None:
    """A next step that says `the … setting`, or a variable of the environment."""
    for text in ADVICE:
        for name in re.findall(r"the ([a-z-]+) setting", text):
            assert name in {key(each) for each in NAMES}, text
        for name in re.findall(r"RUST_MULTIARCH_[A-Z_]+", text):
            assert name.removeprefix("RUST_MULTIARCH_").lower() in NAMES, text
