"""Run the command line: parse options, run the module's functions, print results and set exit codes.

Only this package imports typer and `dagger.connection`, which the SDK inside an engine lacks.
A new command, or a new group of commands, is one line in `COMMANDS`.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from typer._click import exceptions as click
from typer._click.exceptions import ClickException, NoArgsIsHelpError, NoSuchOption
from typer.core import TyperGroup

from pipeline.cli import failures, help, watching
from pipeline.errors import RustMultiarchError, UsageError


@dataclass(frozen=True)
class Entry:
    """A command or a group of commands, imported when it is used.

    Attributes:
        module: the module of this package whose `COMMANDS` has it.
        help: the first line of its description.
    """

    module: str
    help: str


COMMANDS: Mapping[str, Entry] = {
    "build": Entry("project", "Compile every platform and assemble the image; push, load or write it."),
    "images": Entry(
        "project",
        "Compile once and assemble an image of each binary; with --push, push them to addresses with {bin}.",
    ),
    "publish": Entry(
        "project", "Build, push an index to every --tag, and print its first address with the digest."
    ),
    "plan": Entry("project", "Show what a build would do and why, without compiling."),
    "natives": Entry(
        "project", "Show what the native dependencies need for each platform and why, without compiling."
    ),
    "binary": Entry(
        "project", "Write stripped binaries to `<output>/<os>-<arch>/`, with checksums and without an image."
    ),
    "verify": Entry(
        "project", "Check a program against an image: architecture, loader, libraries, symbol versions."
    ),
    "smoke": Entry(
        "project", "Build, then smoke-test each platform; list those skipped without an emulator."
    ),
    "run": Entry("run", "Build for this machine and start the image; with --watch, again after each change."),
    "test": Entry("project", "Run the project's tests."),
    "lint": Entry("project", "Run clippy over the whole workspace."),
    "fmt": Entry("project", "Check the formatting of the whole workspace without changing files."),
    "resolve": Entry(
        "resolve",
        "Build and push the images that YAML files refer to, and print the files with their digests.",
    ),
    "merge": Entry("merge", "Merge published images of single platforms into one index."),
    "rebase": Entry(
        "rebase",
        "Put a new base under a published image, after a check of its programs; nothing is compiled.",
    ),
    "doctor": Entry(
        "doctor", "Check engine, project, git, registries, emulators, disk and clock, and print fixes."
    ),
    "ci": Entry("ci", "Configurations for CI systems."),
    "engine": Entry("engine", "The embedded Dagger engine, for machines without Docker."),
}
"""All commands and groups of commands, in the order of the help."""

_SETTINGS = {"help_option_names": ["-h", "--help"]}


class _Commands(Mapping[str, Any]):
    """The commands by name, each made when it is first used."""

    def __getitem__(self, name: str) -> Any:
        return _command(name)

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


@functools.cache
def _command(name: str) -> Any:
    """Return the command or group that typer makes of a function or a `typer.Typer`.

    Raises:
        KeyError: there is no such command.
    """
    found = importlib.import_module(f"{__name__}.{COMMANDS[name].module}").COMMANDS[name]
    made = found if isinstance(found, typer.Typer) else _alone(name, found)
    for each in made.registered_commands:
        each.cls = help.Command
        each.callback = failures.debuggable(each.callback) if each.callback else None
    made.rich_markup_mode, made._add_completion = None, False
    command = typer.main.get_command(made)
    command.name = name
    return command


def _alone(name: str, function: Callable[..., None]) -> typer.Typer:
    """Return an app with a single command."""
    made = typer.Typer(context_settings=_SETTINGS)
    made.command(name)(function)
    return made


class _Group(TyperGroup):
    """The root command; its help imports no command."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands: Any = _Commands()

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands."""
        return list(COMMANDS)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the names of all commands with their descriptions."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items()])


app = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings=_SETTINGS,
    help="Multi-platform container images of Rust projects, compiled natively.",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rust-multiarch {importlib.metadata.version('rust-multiarch')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", "-V", help="Print the version.", is_eager=True, callback=_version)
    ] = False,
) -> None:
    """Build multi-platform container images of Rust projects, compiled natively."""


def main() -> None:
    """Run the command line; print an error's message and use its exit code."""
    failures.end_on_sigterm()
    sys.exit(failures.guard(_run, _show, watching.recent))


def _run() -> int:
    try:
        code = app(prog_name="rust-multiarch", standalone_mode=False)
    except typer.Abort:
        return watching.EXIT_CODE
    except NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except ClickException as error:
        found = usage_error(error)
        _show(found)
        return found.exit_code
    return code if isinstance(code, int) else 0


def usage_error(error: ClickException) -> UsageError:
    """Return the error for a wrong command line: what is wrong, where, and what to do next."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    path = context.command_path if context else "rust-multiarch"
    what, fix = error.format_message().rstrip("."), f"see {path} --help"
    if isinstance(error, NoSuchOption):
        what = f"there is no option {error.option_name}"
        possible = [flag for one in context.command.params for flag in one.opts] if context else []
        fix = help.instead(error.option_name, possible)
    return UsageError(what, where=path, fix=fix)


def _show(error: RustMultiarchError) -> None:
    typer.echo(error.render(), err=True)
    if "--json" in sys.argv:
        typer.echo(as_json(error))


def as_json(error: RustMultiarchError) -> str:
    """Return an error as a JSON document, for commands with --json."""
    fields = {
        "type": type(error).__name__,
        "exit_code": error.exit_code,
        "what": error.what,
        "where": error.where,
        "fix": error.fix,
        "output": error.output,
    }
    return json.dumps({"error": fields}, indent=2)
