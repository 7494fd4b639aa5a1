"""Run the command line: parse options, run the module's functions, print results and set exit codes.

Only this package imports typer and `dagger.connection`, which the SDK inside an engine lacks.
A new command is one line in `COMMANDS`, a new group of commands one in `GROUPS`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import typer

from pipeline.cli import ci, doctor, engine, merge, project
from pipeline.errors import RustMultiarchError, first

INTERRUPTED = 130
"""The exit code of a program ended by Ctrl-C."""

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Multi-platform container images of Rust projects, compiled natively.",
)

COMMANDS: dict[str, Callable[..., None]] = {
    **project.COMMANDS,
    "merge": merge.merge,
    "doctor": doctor.examine,
}
"""All commands, in the order of the help."""

for _name, _command in COMMANDS.items():
    app.command(_name)(_command)

GROUPS: dict[str, typer.Typer] = {"ci": ci.app, "engine": engine.app}
"""Groups of commands, by name."""

for _name, _group in GROUPS.items():
    app.add_typer(_group, name=_name)


def main() -> None:
    """Run the command line; print an error's message and use its exit code."""
    try:
        app(prog_name="rust-multiarch")
    except (RustMultiarchError, BaseExceptionGroup) as error:
        inner = first(error)
        if not isinstance(inner, RustMultiarchError):
            raise
        typer.echo(inner.render(), err=True)
        if "--json" in sys.argv:
            typer.echo(as_json(inner))
        sys.exit(inner.exit_code)


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
