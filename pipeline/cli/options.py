"""Generate options from the module's interface, so that names, types and help texts exist once."""

from __future__ import annotations

import dataclasses
import inspect
import re
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from typing_extensions import Doc

from pipeline.config.arguments import SOURCE, Arguments
from pipeline.config.settings import NAMES, Settings, key
from pipeline.errors import InvalidArgument
from pipeline.progress.view import Mode
from pipeline.targets import BY_PLATFORM

# Option names as in cargo and docker, where they differ from the module's argument names.
_SPELLINGS = {
    "platforms": ("--platform", "--platforms"),
    "package": ("--package", "-p"),
    "features": ("--features", "-F"),
    "cargo_args": ("--cargo-arg",),
    "build_args": ("--build-arg",),
    "ports": ("--port",),
    "cargo_profile": ("--profile", "--cargo-profile"),
    "runtime_env": ("--env", "--runtime-env"),
    "working_directory": ("--workdir",),
    "args": ("--arg",),
    "labels": ("--label",),
    "target_packages": ("--target-package", "--target-packages"),
    "runtime_packages": ("--runtime-package", "--runtime-packages"),
    "builder_packages": ("--builder-package", "--builder-packages"),
    "tag_rules": ("--tag-rule", "--tag-rules"),
    "volumes": ("--volume", "--volumes"),
}

PANEL = "Project and image"
"""The heading in help of options that are also settings in Cargo.toml and the environment."""

JSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]


Progress = Annotated[
    Mode, typer.Option(help="Display of progress; raw is the engine's log, auto detects a terminal.")
]
PROGRESS = inspect.Parameter(
    "progress", inspect.Parameter.KEYWORD_ONLY, default=Mode.AUTO, annotation=Progress
)

Engine = Annotated[
    str,
    typer.Option("--engine", help="Address of the engine, for example tcp://host:1234; or embedded."),
]
ENGINE = inspect.Parameter("engine", inspect.Parameter.KEYWORD_ONLY, default="", annotation=Engine)

Source = Annotated[Path, typer.Argument(help=SOURCE.documentation, show_default="here")]


def platform_names(incomplete: str) -> list[str]:
    """Return the platforms for shell completion."""
    return [name for name in BY_PLATFORM if name.startswith(incomplete)]


Platforms = Annotated[
    list[str] | None,
    typer.Option("--platform", help="Platforms to use.", autocompletion=platform_names),
]


def flags(name: str) -> tuple[str, ...]:
    """Return the names of a setting's option, the usual one first."""
    return _SPELLINGS.get(name, (f"--{key(name)}",))


INCLUDE_IGNORED = "Also upload files in .gitignore, for example a compiled front end."


MANIFEST_PATH = "Cargo.toml of the project, relative to the source: services/api/Cargo.toml."
WHOLE_REPOSITORY = "Upload the whole repository, not only the files of the built packages."


def project_parameters(without: frozenset[str] = frozenset()) -> list[inspect.Parameter]:
    """Return typer parameters for the source and each setting; None means not given.

    Args:
        without: arguments that the command defines itself.
    """
    parameters = [_parameter("source", Source, Path())]
    hints = typing.get_type_hints(Arguments, include_extras=True)
    for name in NAMES:
        if name in without:
            continue
        kind, *notes = typing.get_args(hints[name])
        option = typer.Option(
            *flags(name),
            help=next(note.documentation for note in notes if isinstance(note, Doc)),
            autocompletion=platform_names if name == "platforms" else None,
            rich_help_panel=PANEL,
        )
        parameters.append(_parameter(name, Annotated[kind, option], None))
    ignored = typer.Option(
        "--include-ignored",
        help=INCLUDE_IGNORED,
        envvar="RUST_MULTIARCH_INCLUDE_IGNORED",
        rich_help_panel=PANEL,
    )
    manifest = typer.Option("--manifest-path", help=MANIFEST_PATH, rich_help_panel=PANEL)
    whole = typer.Option(
        "--whole-repository",
        help=WHOLE_REPOSITORY,
        envvar="RUST_MULTIARCH_WHOLE_REPOSITORY",
        rich_help_panel=PANEL,
    )
    return [
        *parameters,
        _parameter("include_ignored", Annotated[bool, ignored], False),
        _parameter("manifest_path", Annotated[Path | None, manifest], None),
        _parameter("whole_repository", Annotated[bool, whole], False),
    ]


def _parameter(name: str, annotation: Any, default: object) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


VALUED = ("build_args", "runtime_env")
"""Settings whose options may be only the name of a variable of this process, as in docker."""


def with_variables(options: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """Return options with `NAME` replaced by `NAME=value` where docker does that.

    Raises:
        InvalidArgument: a variable is not set.
    """

    def valued(item: str, name: str) -> str:
        if "=" in item or not item:
            return item
        if item not in environ:
            raise InvalidArgument(
                f"the variable {item} is not set",
                where=flags(name)[0],
                fix=f"set and export it, or write {item}=value",
            )
        return f"{item}={environ[item]}"

    changed = {name: [valued(item, name) for item in options[name]] for name in VALUED if options.get(name)}
    return {**options, **changed}


def not_passed(environ: Mapping[str, str], settings: Settings) -> list[str]:
    """Return the variables here that would change what cargo compiles and that the build does not see.

    Source: the cargo book, "Environment Variables". CARGO_BUILD_TARGET and RUSTUP_TOOLCHAIN are left out: the
    platforms and the project choose targets and Rust.
    """
    profile = re.sub(r"\W", "_", settings.cargo_profile).upper()
    flags = r"(CARGO_ENCODED_|CARGO_BUILD_|CARGO_TARGET_\w+_)?RUSTFLAGS|RUSTC_BOOTSTRAP"
    compiled = re.compile(rf"{flags}|CARGO_PROFILE_{profile}_\w+")
    passed = {item.partition("=")[0] for item in settings.build_args}
    return sorted(name for name in environ if compiled.fullmatch(name) and name not in passed)


def split(options: Mapping[str, Any], names: frozenset[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split options into those with the given names, and the others."""
    chosen = {name: value for name, value in options.items() if name in names}
    return chosen, {name: value for name, value in options.items() if name not in names}


def parameters(run: Callable[..., Any]) -> list[inspect.Parameter]:
    """Return the keyword-only parameters of a command's function; the module is in no command line."""
    # The class of the module is imported only in a session.
    signature = inspect.signature(run, eval_str=True, locals={"RustMultiarch": object})
    return [one for one in signature.parameters.values() if one.kind is inspect.Parameter.KEYWORD_ONLY]


def spread(parameters: Iterable[inspect.Parameter]) -> list[inspect.Parameter]:
    """Return parameters with each one whose type is a dataclass of options replaced by its fields."""
    found: list[inspect.Parameter] = []
    for one in parameters:
        if not dataclasses.is_dataclass(one.annotation):
            found.append(one)
            continue
        hints = typing.get_type_hints(one.annotation, include_extras=True)
        fields = dataclasses.fields(one.annotation)
        found += [_parameter(field.name, hints[field.name], field.default) for field in fields]
    return found


def gather(parameters: Iterable[inspect.Parameter], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments for parameters from the options that `spread` made of them."""
    rest, gathered = dict(given), {}
    for one in parameters:
        if dataclasses.is_dataclass(one.annotation):
            values = {field.name: rest.pop(field.name) for field in dataclasses.fields(one.annotation)}
            gathered[one.name] = typing.cast(Any, one.annotation)(**values)
    return {**rest, **gathered}
