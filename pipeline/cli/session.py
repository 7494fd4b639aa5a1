"""A command over a project: settings merged, an engine chosen, the command run in its session."""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import posixpath
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
import typer
from dagger import dag

from engine import choice
from engine.config import RUNNER
from pipeline.cli import access, engine_address, options, watching
from pipeline.cli import source as source_files
from pipeline.cli.source import Here, Upload
from pipeline.config import request, settings
from pipeline.config.settings import Layer, Merged, Value
from pipeline.config.workspace import MANIFEST
from pipeline.errors import InvalidArgument, NotAGitRepository
from pipeline.git import ci
from pipeline.git import facts as git
from pipeline.git.context import BuildContext
from pipeline.main import RustMultiarch
from pipeline.printable import printable
from pipeline.progress.view import Mode
from pipeline.targets import select

_ACCESS = frozenset(parameter.name for parameter in access.PARAMETERS)

Run = Callable[..., Awaitable[str]]
"""What a command does: the module and the command's own options in, its answer out."""

Before = Callable[..., str | None]
"""What can be said without an engine: it refuses what cannot work, or has the answer already."""


def say(line: str) -> None:
    """A line of progress, on stderr: stdout is for the answer."""
    typer.echo(printable(line), err=True)


def project_command(
    run: Run,
    without: frozenset[str] = frozenset(),
    before: Before | None = None,
    by_platform: bool = True,
    every_package: bool = False,
) -> Callable[..., None]:
    """A command over a project: `run(module, …)` inside an engine session, its answer on stdout.

    Args:
        run: what it does. The command's options are those of the module's constructor and then its own.
        without: constructor arguments that the command has a meaning of its own for.
        before: called with the settings and the command's own options while there is no engine yet.
        every_package: it works on all packages of the workspace.
        by_platform: progress has a line for each platform, not one for the whole command.
    """
    own = list(inspect.signature(run, eval_str=True).parameters.values())[1:]
    project = options.project_parameters(without)
    names = frozenset(parameter.name for parameter in project)

    def command(progress: Mode, engine: str, **given: Any) -> None:
        address = engine_address.parse(engine) if engine else ""
        chosen, rest = options.split(given, names)
        opened, rest = options.split(rest, _ACCESS)
        access.check(**opened)
        here = source_files.find(chosen.pop("source"), chosen.pop("manifest_path"))
        files = _files(chosen.pop("files"))
        ignored, whole = chosen.pop("include_ignored"), chosen.pop("whole_repository")
        given_outright = settings.given(chosen, lambda name: f"option {options.flags(name)[0]}")
        outright = {**of_place(here), **settings.from_environment(os.environ), **given_outright}
        merged = anyio.run(settings_of, here.workspace, outright)
        targets = select(merged.settings.platforms)
        if before and (known := before(merged.settings, source=here.directory, **rest)):
            typer.echo(known)
            return
        upload = source_files.upload(
            here,
            merged.settings,
            include_ignored=ignored,
            whole_repository=whole,
            every_package=every_package,
        )
        for warning in upload.warnings:
            say(f"warning: {warning}")
        if address:
            _use(address)
        commit: list[tuple[Path, str]] = []
        module = functools.partial(
            _module, here, upload, commit, files, outright, opened, merged.settings.ref
        )
        work = functools.partial(_over_project, run, module, rest)
        rows = [(target.platform, target.triple(merged.settings.libc)) for target in targets]
        shown = rows if by_platform else [(run.__name__, "")]
        # The command's own are those to run for: their emulators have to be there too.
        own_platforms = select(rest["platforms"]) if rest.get("platforms") else ()
        needed = dict.fromkeys(target.platform for target in (*targets, *own_platforms))
        with tempfile.TemporaryDirectory() as made:
            if merged.settings.git_metadata:
                commit.append(source_files.commit(here, upload, Path(made)))
            answer(list(needed), work, shown, progress, request.builders(merged.settings))

    command.__doc__ = run.__doc__
    command.__signature__ = inspect.Signature(
        [*project, *access.PARAMETERS, *own, options.ENGINE, options.PROGRESS]
    )
    return command


def _files(directory: Path | None) -> Path | None:
    """The directory of files for the image, where one is named.

    Raises:
        InvalidArgument: there is no such directory.
    """
    if directory and not directory.is_dir():
        raise InvalidArgument(
            f"there is no such directory: {directory}",
            where="--files",
            fix="name the directory whose content is laid over the image's root",
        )
    return directory.resolve() if directory else None


def _use(engine: str) -> None:
    """Use an engine for everything that follows.

    Raises:
        EngineUnreachable: nothing listens at its address; the embedded engine is started later.
    """
    if engine != choice.address(choice.EMBEDDED):
        anyio.run(engine_address.reach, engine)
    os.environ[RUNNER] = engine


def of_place(here: Here) -> Layer:
    """Return the settings that the directory of a project implies."""
    return {"package": Value(here.package, f"the directory {here.directory.name}")} if here.package else {}


async def settings_of(workspace: Path, outright: Layer) -> Merged:
    """The settings, known before there is an engine: what is wrong with them is said at once."""
    package = outright["package"].value if "package" in outright else ""
    return settings.merge(*await settings.from_project(settings.OnDisk(workspace), package), outright)


async def _over_project(
    run: Run, module: Callable[[], Awaitable[RustMultiarch]], rest: Mapping[str, Any]
) -> str:
    return await run(await module(), **rest)


async def _module(
    here: Here,
    upload: Upload,
    commit: Sequence[tuple[Path, str]],
    files: Path | None,
    outright: Layer,
    opened: Mapping[str, Any],
    ref: str,
) -> RustMultiarch:
    """The module as the options have it; made inside the engine session that it belongs to."""
    directory = dag.host().directory(
        str(upload.root),
        include=list(upload.include) or None,
        exclude=list(upload.exclude),
        gitignore=upload.gitignore,
    )
    module = RustMultiarch(source=directory, **{name: each.value for name, each in outright.items()})
    module.origins = {name: each.origin for name, each in outright.items()}
    module.manifest_path = posixpath.join(upload.directory, MANIFEST)
    for path, place in commit:
        module.commit, module.commit_place = dag.host().directory(str(path)), place
    module.files = dag.host().directory(str(files)) if files else None
    # Where git has to be read, that was seen to before.
    with contextlib.suppress(NotAGitRepository):
        module.situation = await anyio.to_thread.run_sync(situation, here.directory, ref)
    return access.grant(module, **opened)


def situation(
    source: Path, ref: str, environ: Mapping[str, str] = os.environ, crates: tuple[str, ...] = ()
) -> BuildContext | None:
    """What git and the environment say of the source; None outside a repository.

    Args:
        source: the project.
        ref: a git reference in place of what CI says.
        environ: the environment variables.
        crates: see `BuildContext`.

    Raises:
        NotAGitRepository: there is one, and git cannot read it.
    """
    facts = git.read_if_any(source)
    return BuildContext(facts, ci.of_ref(ref) if ref else ci.event(environ), crates) if facts else None


def answer(
    platforms: Sequence[str],
    work: Callable[[], Awaitable[str]],
    rows: Sequence[tuple[str, str]],
    progress: Mode,
    builders: Sequence[str] = (),
) -> None:
    """Print what some work in an engine session returns.

    Args:
        platforms: what base images will be needed for.
        work: run in the session.
        rows: name and triple of each line of progress.
        progress: how it is shown.
        builders: platforms besides the engine's own that the compiler runs on.
    """
    os.environ.update(choice.choose(say, platforms, builders=builders).environment)
    try:
        printed = anyio.run(watching.watch, work, rows, progress)
    except watching.Interrupted as interrupted:
        say(str(interrupted))
        raise typer.Exit(watching.EXIT_CODE) from None
    if printed:
        typer.echo(printable(printed))
