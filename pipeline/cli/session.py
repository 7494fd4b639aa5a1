"""Run a command for a project: merge the settings, choose an engine, run the command in its session."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import inspect
import os
import posixpath
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import anyio
import typer

from engine import choice, config
from engine.config import RUNNER
from engine.paths import Paths
from engine.record import BaseImages
from pipeline import sdk
from pipeline.build import entries_directory
from pipeline.cli import access, compiled_directory, engine_address, engine_process, fresh, options, watching
from pipeline.cli import source as source_files
from pipeline.cli.compiled_directory import CompiledDirectory
from pipeline.cli.source import Here, Upload
from pipeline.config import compile_cache, request, settings
from pipeline.config.project_files import OnDisk
from pipeline.config.settings import Layer, Merged, Settings, Value
from pipeline.config.workspace import MANIFEST
from pipeline.errors import InvalidArgument, NotAGitRepository, ReadsUnknown
from pipeline.git import absent, ci
from pipeline.git import facts as git
from pipeline.git.context import BuildContext
from pipeline.printable import printable, say
from pipeline.progress.view import Mode
from pipeline.sdk import dag, dagger
from pipeline.targets import Target, select

if TYPE_CHECKING:
    from pipeline.main import RustMultiarch

_ACCESS = frozenset(parameter.name for parameter in access.PARAMETERS)

Run = Callable[..., Awaitable[str]]
"""A command's function: takes the module and the command's options, returns the output."""

Prepare = Callable[..., Mapping[str, Any]]
"""A function that runs before an engine is started: it makes the arguments of `Run` from the options."""

Before = Callable[..., str | None]
"""A function that runs before an engine is started: it checks options, or returns the output."""


def printed(text: str) -> None:
    """Print a result, without control characters."""
    typer.echo(printable(text))


def written(text: str) -> None:
    """Write a result that is a document to standard output, byte by byte."""
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode())
    sys.stdout.flush()


def project_command(
    run: Run,
    without: frozenset[str] = frozenset(),
    before: Before | None = None,
    by_platform: bool = True,
    every_package: bool = False,
    apart: bool = False,
    prepare: Prepare | None = None,
    workspace: bool = False,
    show: Callable[[str], None] = printed,
    usual: Layer = MappingProxyType({}),
) -> Callable[..., None]:
    """Make a command that calls `run(module, …)` in an engine session and prints the result.

    Args:
        run: the command's function. Options are the constructor's arguments and those of the function.
        without: constructor arguments that the command defines itself.
        before: called with the settings and the command's options before an engine is started.
        every_package: the command uses all packages of the workspace.
        apart: the command makes an image of each binary, with the settings of its package.
        by_platform: show progress for each platform instead of the whole command.
        prepare: called with the settings, the source and the options before an engine is started; it
            returns the arguments of `run`. Its keyword-only arguments are the options.
        workspace: the command is for a whole workspace, in whichever member's directory it runs.
        show: prints the result.
        usual: the command's own values of settings, which only options override.
    """
    own = options.parameters(prepare or run)
    constructor = options.project_parameters(without)
    names = frozenset(parameter.name for parameter in constructor)

    def command(progress: Mode, engine: str, **given: Any) -> None:
        address = engine_address.parse(engine) if engine else ""
        project, rest = _chosen(given, names, usual, workspace, apart)
        rest = options.gather(own, rest)
        used = project.settings
        if before and (known := before(used, source=project.here.directory, **rest)):
            typer.echo(known)
            return
        if prepare:
            rest = dict(prepare(used, project.here.directory, **rest))
        if address:
            use(address)
        rows = [(target.platform, target.triple(used.libc)) for target in project.targets]
        # Platforms of the command's own option need emulators too.
        tested = [target.platform for target in select(rest["platforms"])] if rest.get("platforms") else []
        needed = list(dict.fromkeys([*(platform for platform, _ in rows), *tested]))
        images = BaseImages(needed, request.builders(used), [used.debian])

        def attempt(whole: bool) -> None:
            upload = project.upload(whole, every_package)
            with _made(project, upload) as made:
                module = functools.partial(_module, project, upload, made)
                work = functools.partial(_over_project, run, module, rest, project.compiled)
                answer(images, work, rows if by_platform else [(run.__name__, "")], progress, show)

        try:
            attempt(project.whole)
        except ReadsUnknown as error:
            if project.whole:
                raise
            say(f"warning: {error.what}: now the whole repository is uploaded")
            attempt(True)

    command.__doc__ = run.__doc__
    command.__signature__ = inspect.Signature(
        [*constructor, *access.PARAMETERS, *options.spread(own), options.ENGINE, options.PROGRESS]
    )
    return command


@dataclass(frozen=True)
class _Chosen:
    """A project, its settings and its credentials, as the options of a command choose them.

    Attributes:
        here: the location of the project.
        outright: the settings of the options, the environment and the location.
        settings: all settings.
        targets: the platforms of the settings.
        opened: the options for credentials.
        files: the directories of files for images, by setting.
        ignored: upload also files that git ignores.
        whole: upload the whole repository.
        compiled: the directory of compiled dependencies; None without one.
    """

    here: Here
    outright: Layer
    settings: Settings
    targets: Sequence[Target]
    opened: Mapping[str, Any]
    files: Mapping[str, Path]
    ignored: bool
    whole: bool
    compiled: CompiledDirectory | None = None

    def upload(self, whole: bool, every_package: bool) -> Upload:
        """Choose the files to upload, and print its warnings; see `source.upload`."""
        chosen = source_files.upload(
            self.here,
            self.settings,
            include_ignored=self.ignored,
            whole_repository=whole,
            every_package=every_package,
        )
        for warning in chosen.warnings:
            say(f"warning: {warning}")
        return chosen


def _chosen(
    given: Mapping[str, Any], names: frozenset[str], usual: Layer, workspace: bool, apart: bool
) -> tuple[_Chosen, dict[str, Any]]:
    """Find the project and merge its settings; return them, and the command's own options.

    Args:
        given: the options of a command, by name.
        names: the names of the constructor's arguments.
        usual: see `project_command`; so are `workspace` and `apart`.
    """
    chosen, rest = options.split(options.with_variables(given, os.environ), names)
    opened, rest = options.split(rest, _ACCESS)
    access.check(**opened)
    here = source_files.find(chosen.pop("source"), chosen.pop("manifest_path"))
    if workspace:
        here = dataclasses.replace(here, directory=here.workspace, package="")
    ignored, whole = chosen.pop("include_ignored"), chosen.pop("whole_repository")
    outright = {
        **of_place(here),
        **settings.from_environment(os.environ),
        **usual,
        **settings.given(chosen, lambda name: f"option {options.flags(name)[0]}"),
        **of_fork(os.environ),
    }
    merged = anyio.run(settings_of, here.workspace, outright)
    targets = select(merged.settings.platforms)
    for name in options.not_passed(os.environ, merged.settings):
        say(f"warning: the build does not see {name} of this environment; --build-arg {name} passes it")
    kept = compile_cache.parse(merged.settings.compile_cache)
    secrets = access.with_runners(opened["store_secrets"], kept, os.environ)
    compile_cache.check(kept, (name for name, _ in access.store_credentials(secrets)))
    opened = {**opened, "store_secrets": secrets}
    files = _files(here.workspace, merged)
    if apart:
        files |= anyio.run(_members_files, here.workspace, outright)
    compiled = compiled_directory.of(kept, merged.settings.untrusted)
    return _Chosen(here, outright, merged.settings, targets, opened, files, ignored, whole, compiled), rest


def _files(workspace: Path, merged: Merged) -> dict[str, Path]:
    """Return the directory of files for the image by its setting; {} if none is set.

    Raises:
        InvalidArgument: the directory does not exist.
    """
    path, origin = merged.settings.files_from, merged.origins["files_from"]
    if not path:
        return {}
    directory = (workspace if MANIFEST in origin else Path()) / path
    if not directory.is_dir():
        raise InvalidArgument(
            f"this directory does not exist: {directory}",
            where=origin.removeprefix("option "),
            fix="pass a directory with files to add to the image's root filesystem",
        )
    return {path: directory.resolve()}


async def _members_files(workspace: Path, outright: Layer) -> dict[str, Path]:
    """Return the directories of files in the tables of all members, by their settings."""
    found: dict[str, Path] = {}
    files = OnDisk(workspace)
    for name in await settings.packages(files):
        found |= _files(workspace, settings.merge(*await settings.from_project(files, name), outright))
    return found


def use(engine: str) -> None:
    """Select an engine for this process.

    Raises:
        EngineUnreachable: nothing listens at its address. The embedded engine is started later.
    """
    if engine != choice.address(choice.EMBEDDED):
        anyio.run(engine_address.reach, engine)
    os.environ[RUNNER] = engine


def of_place(here: Here) -> Layer:
    """Return the settings that the directory of a project implies."""
    return {"package": Value(here.package, f"the directory {here.directory.name}")} if here.package else {}


def of_fork(environ: Mapping[str, str]) -> Layer:
    """Return the setting that a fork's pull request implies; no other layer takes precedence over it."""
    event = ci.event(environ)
    return {"untrusted": Value(True, f"{event.system}: a pull request of a fork")} if event.fork else {}


async def settings_of(workspace: Path, outright: Layer) -> Merged:
    """Merge the settings before an engine is started, so that errors are reported at once."""
    return settings.merge(*await settings.under(OnDisk(workspace), outright), outright)


async def _over_project(
    run: Run,
    module: Callable[[], Awaitable[RustMultiarch]],
    rest: Mapping[str, Any],
    compiled: CompiledDirectory | None,
) -> str:
    with entries_directory.using(compiled) if compiled else contextlib.nullcontext():
        return await run(await module(), **rest)


def _lists(upload: Upload) -> Iterator[tuple[str, bytes]]:
    """Yield the module's lists of files: the field's name, and the content."""
    if upload.absent:
        yield "absent", absent.listed(upload.root, upload.absent)
    yield "digests", absent.digests(upload.root, upload.sent, upload.others)


def directory(upload: Upload) -> dagger.Directory:
    """Return the source in the engine."""
    return dag.host().directory(
        str(upload.root),
        include=list(upload.include) or None,
        exclude=list(upload.exclude),
        gitignore=upload.gitignore,
    )


@dataclass(frozen=True)
class _Made:
    """Files that are made for one upload.

    Attributes:
        lists: the module's lists of files, by field.
        files: the directories of files for images, by setting.
        commit: the git directory for build scripts, and the path of its checkout; None without one.
    """

    lists: Mapping[str, Path]
    files: Mapping[str, Path]
    commit: tuple[Path, str] | None


@contextlib.contextmanager
def _made(project: _Chosen, upload: Upload) -> Iterator[_Made]:
    """Make the files for an upload; they are removed at the end.

    Raises:
        NotAGitRepository: see `source.commit`.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        copies = {name: stack.enter_context(fresh.copied(path)) for name, path in project.files.items()}
        commit = source_files.commit(project.here, upload, folder) if project.settings.git_metadata else None
        lists = {}
        for name, listed in _lists(upload):
            lists[name] = folder / name
            lists[name].write_bytes(listed)
        yield _Made(lists, copies, commit)


async def _module(project: _Chosen, upload: Upload, made: _Made) -> RustMultiarch:
    """Create the module with the options, inside its engine session."""
    from pipeline.main import RustMultiarch

    module = RustMultiarch(
        source=directory(upload), **{name: each.value for name, each in project.outright.items()}
    )
    module.origins = {name: each.origin for name, each in project.outright.items()}
    module.manifest_path = posixpath.join(upload.directory, MANIFEST)
    if made.commit is not None:
        path, module.commit_place = made.commit
        module.commit = dag.host().directory(str(path))
    for name, path in made.lists.items():
        setattr(module, name, dag.host().file(str(path)))
    module.mirrors = mirrors()
    module.places = {name: dag.host().directory(str(path)) for name, path in made.files.items()}
    # Commands that need git have checked for it before.
    with contextlib.suppress(NotAGitRepository):
        at = await anyio.to_thread.run_sync(situation, project.here.directory, project.settings.ref)
        module.situation = at and dataclasses.replace(
            at, facts=dataclasses.replace(at.facts, added=upload.added)
        )
    return access.grant(module, **project.opened)


def mirrors() -> dict[str, str]:
    """Return the mirrors of registries that the embedded engine uses, by host; {} with another engine."""
    embedded = os.environ.get(RUNNER) == choice.address(choice.EMBEDDED)
    return config.mirrors(Paths.default()) if embedded else {}


def situation(
    source: Path, ref: str, environ: Mapping[str, str] = os.environ, crates: tuple[str, ...] = ()
) -> BuildContext | None:
    """Return the state of git and CI for a source; None outside a repository.

    Args:
        source: the project.
        ref: a git reference that overrides the one of CI.
        environ: the environment variables.
        crates: see `BuildContext`.

    Raises:
        NotAGitRepository: git cannot read the repository.
    """
    facts = git.read_if_any(source)
    event = ci.event(environ)
    if ref:
        event = dataclasses.replace(ci.of_ref(ref), builder=event.builder, run=event.run)
    return BuildContext(facts, event, crates) if facts else None


def answer(
    images: BaseImages,
    work: Callable[[], Awaitable[str]],
    rows: Sequence[tuple[str, str]],
    progress: Mode,
    show: Callable[[str], None] = printed,
) -> None:
    """Run a function in an engine session and print its result.

    Args:
        images: the base images that the work needs.
        work: the function to run in the session.
        rows: name and triple of each line of progress.
        progress: the display of progress.
        show: prints the result.
    """
    os.environ.update(choice.choose(say, images).environment)
    try:
        with engine_process.started(os.environ, raw=progress is Mode.RAW) as process:
            # Imported while the process starts.
            sdk.prepare()
            importlib.import_module("pipeline.main")
            result = anyio.run(watching.watch, work, rows, progress, process)
    except watching.Interrupted as interrupted:
        say(str(interrupted))
        raise typer.Exit(interrupted.exit_code) from None
    if result:
        show(result)
