"""The command line: options in, the same core as the module's, results and exit codes out.

Only this module knows typer and `dagger.connection` (which the SDK inside an engine does not have). Every
project option is read off `RustMultiarch` itself, so its name, type and help text exist once.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import json as json_module
import os
import sys
import typing
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

import anyio
import dagger
import typer
from dagger import Doc, dag

from engine import choice, lifecycle
from pipeline import ci, git
from pipeline.build import IGNORED
from pipeline.cli_ci import ci_app
from pipeline.cli_merge import merge
from pipeline.errors import EngineError, NotAGitRepository, RustMultiarchError, first
from pipeline.image import Image
from pipeline.main import RustMultiarch
from pipeline.report import as_json, as_table
from pipeline.situation import Situation
from pipeline.targets import DEFAULT_PLATFORMS, select

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Multi-platform container images of Rust projects, compiled natively.",
)
engine_app = typer.Typer(
    no_args_is_help=True, help="The embedded Dagger engine, for machines without Docker."
)
app.add_typer(engine_app, name="engine")
app.add_typer(ci_app, name="ci")
app.command("merge")(merge)

# The option names that cargo and docker users type, where they differ from the module's plural lists.
_SPELLINGS = {
    "platforms": ("--platform", "--platforms"),
    "package": ("--package", "-p"),
    "features": ("--features", "-F"),
    "cargo_args": ("--cargo-arg",),
    "build_args": ("--build-arg",),
    "ports": ("--port",),
    "args": ("--arg",),
    "labels": ("--label",),
}

_JSON = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
_PLATFORMS = Annotated[
    list[str] | None, typer.Option("--platform", help="Platforms whose base images will be needed.")
]


def _project_parameters() -> list[inspect.Parameter]:
    """A typer parameter for each constructor argument of the module."""
    hints = typing.get_type_hints(RustMultiarch, include_extras=True)
    parameters: list[inspect.Parameter] = []
    arguments = [f for f in dataclasses.fields(RustMultiarch) if f.init]  # type: ignore[arg-type]
    for field in arguments:
        kind, *notes = typing.get_args(hints[field.name])
        help_text = next(note.documentation for note in notes if isinstance(note, Doc))
        if field.name == "source":
            annotation: Any = Annotated[Path, typer.Argument(help=help_text)]
            default: object = Path()
        else:
            flag = f"--{field.name.replace('_', '-')}"
            names = _SPELLINGS.get(field.name, (flag,))
            annotation = Annotated[kind, typer.Option(*names, help=help_text)]
            factory = field.default_factory
            default = field.default if factory is dataclasses.MISSING else factory()
        parameters.append(
            inspect.Parameter(
                field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
            )
        )
    return parameters


def project_command(run: Callable[..., Awaitable[str]]) -> Callable[..., None]:
    """A command over a project: `run(module, …)` inside an engine session, its answer on stdout.

    The command's options are those of the module's constructor and then `run`'s own.
    """
    own = list(inspect.signature(run, eval_str=True).parameters.values())[1:]
    project = _project_parameters()
    names = {parameter.name for parameter in project}

    def command(**options: Any) -> None:
        chosen = {name: value for name, value in options.items() if name in names}
        rest = {name: value for name, value in options.items() if name not in names}
        answer = anyio.run(functools.partial(_in_session, run, chosen, rest))
        if answer:
            typer.echo(answer)

    command.__doc__ = run.__doc__
    command.__signature__ = inspect.Signature([*project, *own])
    return command


async def _in_session(
    run: Callable[..., Awaitable[str]], chosen: dict[str, Any], rest: dict[str, Any]
) -> str:
    source = await anyio.Path(chosen.pop("source")).resolve()
    platforms = [target.platform for target in select(chosen["platforms"])]
    os.environ.update(choice.choose(say, platforms).environment)
    async with dagger.connection(dagger.Config(log_output=sys.stderr)):
        directory = dag.host().directory(str(source), exclude=IGNORED, gitignore=True)
        module = RustMultiarch(source=directory, **chosen)
        module.situation = await anyio.to_thread.run_sync(_situation, Path(source))
        return await run(module, **rest)


def _situation(source: Path) -> Situation | None:
    """What git and the environment say of the source; None outside a repository."""
    try:
        return Situation(git.read_here(source), ci.event(os.environ))
    except NotAGitRepository:
        return None


def say(line: str) -> None:
    """A line of progress, on stderr: stdout is for the answer."""
    typer.echo(line, err=True)


@app.command("build")
@project_command
async def build(
    module: RustMultiarch,
    *,
    output: Annotated[str, typer.Option("--output", "-o", help="Write the image to this OCI archive.")] = "",
    json: _JSON = False,
) -> str:
    """Compile every platform and assemble the image."""
    image: Image = await module.build()
    if output:
        await image.tarball().export(output)
    rows = await image.rows()
    return as_json(rows) if json else as_table(rows)


@app.command("natives")
@project_command
async def natives(module: RustMultiarch, *, json: _JSON = False) -> str:
    """Print what the native dependencies need for each platform and why; compiles nothing."""
    return await module.natives(json)


@app.command("publish")
@project_command
async def publish(
    module: RustMultiarch,
    *,
    tag: Annotated[
        list[str], typer.Option("--tag", "-t", help="Where to push: host/name:tag. May be given again.")
    ],
    username: Annotated[str, typer.Option(help="User name at the first address's registry.")] = "",
    password: Annotated[
        str, typer.Option(help="Name of the environment variable with the password or token.")
    ] = "",
    no_clobber: Annotated[
        bool, typer.Option("--no-clobber", help="Move no tag that names another image already.")
    ] = False,
    plain_http: Annotated[
        list[str] | None, typer.Option("--plain-http", help="Registry that is spoken to without TLS.")
    ] = None,
    json: _JSON = False,
) -> str:
    """Build, push one index to every address and print the first with the digest."""
    return await module.publish(
        tag[0],
        also=tag[1:],
        username=username,
        password=dag.secret(f"env://{password}") if password else None,
        no_clobber=no_clobber,
        plain_http=plain_http,
        as_json=json,
    )


@app.command("binary")
@project_command
async def binary(
    module: RustMultiarch,
    *,
    output: Annotated[str, typer.Option("--output", "-o", help="Directory to write to.")] = ".",
) -> str:
    """Write the stripped binary of every platform to `<output>/<os>-<arch>/`."""
    image: Image = await module.build()
    for variant in image.variants:
        await variant.binaries.export(str(Path(output) / variant.platform.replace("/", "-")))
    return ""


def _as_json(record: Any) -> str:
    return json_module.dumps(dataclasses.asdict(record), indent=2, default=str)


def _as_lines(record: Any) -> str:
    fields = dataclasses.asdict(record).items()
    return "\n".join(f"{name}: {' '.join(v) if isinstance(v, list) else v}" for name, v in fields)


@engine_app.command("start")
def engine_start(platform: _PLATFORMS = None) -> None:
    """Build the engine once, make the base images that are needed, and start it."""
    lifecycle.start([target.platform for target in select(platform or DEFAULT_PLATFORMS)], say)


@engine_app.command("stop")
def engine_stop() -> None:
    """Stop the engine; its cache is kept."""
    lifecycle.stop(say)


@engine_app.command("status")
def engine_status(json: _JSON = False) -> None:
    """Whether the engine runs, since when, and what it keeps."""
    status = lifecycle.status()
    typer.echo(_as_json(status) if json else _as_lines(status))
    if not status.running:
        raise typer.Exit(EngineError.exit_code)


@engine_app.command("logs")
def engine_logs(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as the log grows.")] = False,
) -> None:
    """The engine's own log."""
    for line in lifecycle.logs(follow=follow):
        typer.echo(line, nl=False)


@engine_app.command("env")
def engine_env() -> None:
    """Shell exports that point `dagger` at the engine this machine has; use with eval."""
    typer.echo(lifecycle.export_lines(choice.choose(say).environment))


def main() -> None:
    """Run the command line; an error of ours ends in its message and its exit code."""
    try:
        app()
    except (RustMultiarchError, BaseExceptionGroup) as error:
        inner = first(error)
        if not isinstance(inner, RustMultiarchError):
            raise
        typer.echo(inner.render(), err=True)
        sys.exit(inner.exit_code)
