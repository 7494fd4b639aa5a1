"""Test the help of commands, and the suggestions for options that do not exist."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from engine.paths import Paths
from pipeline import cli, errors
from pipeline.cli import help, options
from pipeline.config.settings import Settings
from pipeline.errors import InvalidArgument

COMMAND = typer.main.get_command(cli.app)
PROJECT = ("build", "publish", "plan", "natives", "binary", "smoke", "test", "lint", "fmt")


def shown(*words: str) -> str:
    return CliRunner().invoke(cli.app, [*words], prog_name="rust-multiarch", env={"COLUMNS": "80"}).output


@pytest.mark.parametrize("name", PROJECT)
def test_the_short_help_fits_and_starts_with_what_people_use_first(name: str) -> None:
    lines = shown(name, "-h").splitlines()
    assert len(lines) <= 64
    assert max(map(len, lines)) <= 80
    assert any("--platform OS/ARCH" in line for line in lines[:12])


@pytest.mark.parametrize("name", PROJECT)
def test_the_long_help_describes_every_option_in_a_group(name: str) -> None:
    printed = shown(name, "--help")
    options = [
        one for one in COMMAND.commands[name].params if one.param_type_name == "option" and not one.hidden
    ]
    for option in options:
        assert any(f"  {flag}" in printed for flag in option.opts) or f", {option.opts[0]}" in printed
    assert help.OTHER not in printed
    assert printed.count("\n") < 190


def test_an_option_is_described_once() -> None:
    assert shown("build", "--help").count("--platform OS/ARCH") == 1


def test_every_name_in_the_tables_is_an_option() -> None:
    known = {one.name for command in COMMAND.commands.values() for one in command.params}
    known |= {one.name for group in ("ci", "engine") for each in COMMAND.commands[group].commands.values()
              for one in each.params}  # fmt: skip
    named = {*help.COMMON, *help.VALUES, *(name for names in help.GROUPS.values() for name in names)}
    assert named - {"help", "untrusted"} <= known


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown("--version") == f"rust-multiarch {importlib.metadata.version('rust-multiarch')}\n"


@pytest.mark.parametrize(
    ("option", "wanted"),
    [
        ("--secret", "use --build-secret NAME=env:VARIABLE"),
        ("--build-context", "use --files"),
        ("--target", "use --platform"),
        ("--release", "release is the default"),
        ("--platfrom", "did you mean --platform"),
        ("--xyzzy", "see --help"),
    ],
)
def test_an_option_of_another_tool_or_a_typing_error_has_a_next_step(option: str, wanted: str) -> None:
    context = COMMAND.commands["build"].make_context("build", [])
    with pytest.raises(cli.NoSuchOption) as raised:
        context.command.parse_args(context, [option])
    message = cli.usage_error(raised.value).message()
    assert message.startswith(f"UsageError: there is no option {option}\n")
    assert wanted in message


@pytest.mark.parametrize("option", help.NOT_HERE)
def test_options_of_other_tools_are_none_of_this_project(option: str) -> None:
    assert option not in [flag for one in COMMAND.commands["build"].params for flag in one.opts]


def test_a_wrong_command_line_is_an_error_with_the_exit_code_of_click() -> None:
    command = [
        sys.executable,
        "-c",
        "from pipeline.cli import main; main()",
        "build",
        "--platfrom=linux/amd64",
    ]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=60)
    assert done.returncode == errors.UsageError.exit_code == 2
    assert "did you mean --platform" in done.stderr and "UsageError" in done.stderr
    assert json.loads(done.stdout)["error"]["type"] == "UsageError"


def test_the_engines_log_is_printed_without_control_characters(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    log = Paths.default().log
    log.parent.mkdir(parents=True)
    log.write_text("one \x1b]52;c;AAAA\x07 two\n")
    done = CliRunner().invoke(cli.app, ["engine", "logs"], prog_name="rust-multiarch")
    assert "\x1b" not in done.output and "\x07" not in done.output
    assert done.output.startswith("one ") and done.output.endswith(" two\n")


def test_variables_of_cargo_that_are_not_passed() -> None:
    """Regression: RUSTFLAGS of the environment, which cargo would use, had no effect and no warning."""
    environ = {
        **dict.fromkeys(["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_TARGET_X_RUSTFLAGS"], "-g"),
        **dict.fromkeys(["CARGO_PROFILE_MY_OWN_LTO", "CARGO_PROFILE_RELEASE_LTO", "RUSTC_BOOTSTRAP"], "1"),
        **dict.fromkeys(["CARGO_HOME", "CARGO_BUILD_TARGET", "RUSTUP_TOOLCHAIN", "RUSTFLAGS_OLD"], "x"),
    }
    settings = Settings(cargo_profile="my-own", build_args=["RUSTFLAGS=-g", "CARGO_TARGET_X_RUSTFLAGS="])
    assert options.not_passed(environ, settings) == [
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_PROFILE_MY_OWN_LTO",
        "RUSTC_BOOTSTRAP",
    ]


def test_the_name_of_a_variable_alone_has_its_value_here_as_in_docker() -> None:
    given = {"build_args": ["A", "B=2", "C="], "runtime_env": ["A"], "labels": ["A"], "ports": None}
    found = options.with_variables(given, {"A": "1=1", "B": "other"})
    assert found == {**given, "build_args": ["A=1=1", "B=2", "C="], "runtime_env": ["A=1=1"]}
    with pytest.raises(InvalidArgument, match="the variable A is not set") as raised:
        options.with_variables({"runtime_env": ["A"]}, {})
    assert raised.value.where == "--env"
