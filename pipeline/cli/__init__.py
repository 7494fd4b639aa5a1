"""Run the command line: parse options, run the module's functions, print results and set exit codes.

Only this package imports typer and `dagger.connection`, which the SDK inside an engine lacks.
A new command is one line in `COMMANDS`, a new group of commands one in `GROUPS`.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
from collections.abc import Callable
from typing import Annotated

import typer
from typer._click import exceptions as click
from typer._click.exceptions import ClickException, NoArgsIsHelpError, NoSuchOption

from pipeline.cli import ci, doctor, engine, failures, help, merge, project, watching
from pipeline.errors import RustMultiarchError, UsageError

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
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


COMMANDS: dict[str, Callable[..., None]] = {
    **project.COMMANDS,
    "merge": merge.merge,
    "doctor": doctor.examine,
}
"""All commands, in the order of the help."""

for _name, _command in COMMANDS.items():
    app.command(_name, cls=help.Command)(failures.debuggable(_command))

GROUPS: dict[str, typer.Typer] = {"ci": ci.app, "engine": engine.app}
"""Groups of commands, by name."""

for _name, _group in GROUPS.items():
    for _each in _group.registered_commands:
        _each.cls = help.Command
        _each.callback = failures.debuggable(_each.callback) if _each.callback else None
    _group.rich_markup_mode = None
    app.add_typer(_group, name=_name)


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
