"""Implement the commands for projects with `RustMultiarch`, whose descriptions are the help texts."""

from __future__ import annotations

import dataclasses
import json as json_module
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import anyio
import typer

from engine.record import BaseImages
from pipeline import host_files, releases
from pipeline.cli import caching, loading, output, session, watching
from pipeline.cli.caching import CacheOptions
from pipeline.cli.options import JSON, Progress, platform_names
from pipeline.cli.publish_options import PublishOptions, Tags
from pipeline.concurrent import each
from pipeline.config import arguments
from pipeline.config.project_files import OnDisk
from pipeline.config.request import check_trusted
from pipeline.config.settings import Settings, crates_of, listed
from pipeline.errors import InvalidArgument, NotAGitRepository
from pipeline.git import context, tags
from pipeline.git import facts as git
from pipeline.oci import smoke as smoke_run
from pipeline.oci.layout import digest_of_file
from pipeline.oci.report import ImageRow, as_table
from pipeline.preview import data as preview
from pipeline.printable import say
from pipeline.progress.view import Mode
from pipeline.publishing import PublishRequest
from pipeline.registry.address import named
from pipeline.sdk import dag
from pipeline.targets import parse, select

if TYPE_CHECKING:
    from pipeline.image import Image
    from pipeline.main import RustMultiarch

IMAGES_AT_ONCE = 4
"""Number of images normalized in parallel."""

NO_PUSH, NO_CACHE = PublishOptions(), CacheOptions()


async def build(
    module: RustMultiarch,
    *,
    to: PublishOptions = NO_PUSH,
    push: Annotated[bool, typer.Option("--push", help="Push the image to every --tag.")] = False,
    load: Annotated[
        bool, typer.Option("--load", help="Load this machine's platform into docker or podman.")
    ] = False,
    outputs: Annotated[
        list[str] | None,
        typer.Option("--output", "-o", help="Path, or type=oci|docker,dest=PATH[,tar=false], as in buildx."),
    ] = None,
    file: Annotated[str, typer.Option("--file", "-f", hidden=True)] = "",
    cache: CacheOptions = NO_CACHE,
    json: JSON = False,
) -> str:
    """Compile every platform and assemble the image; push, load or write it."""
    ways = _ways(push, load, outputs)
    kinds = {way.kind for way in ways}
    # Made here, so that the addresses and the key are checked before the build.
    request = await to.request() if "push" in kinds else None
    caches = caching.Caches.parse(cache, to)
    async with caches.read(module) as started:
        image = await started.assembled()
        tags = [named(one, image.name) for one in to.tag or ()]
        for way in ways:
            if way.kind == "archive":
                with host_files.replacing(Path(way.path)) as path:
                    await (await image.tarball()).export(str(path))
            if way.kind == "layout":
                with host_files.replacing(Path(way.path)) as path:
                    await (await image.layout()).export(str(path))
            if way.kind == "docker":
                with host_files.replacing(Path(way.path)) as path:
                    await loading.write(image, tags, str(path))
        document: dict[str, Any] = {"variants": await image.rows()}
        if request is not None:
            document["published"] = json_module.loads(await _push(image, request))
        if "load" in kinds:
            document["loaded"] = await loading.load(image, tags)
        await caches.write(started)
    document["seconds"] = watching.seconds()
    return _json(document) if json else _built(document)


def _ways(push: bool, load: bool, outputs: list[str] | None) -> list[output.Output]:
    """Return the requested outputs, without duplicates."""
    flagged = [output.Output(kind) for kind, wanted in (("push", push), ("load", load)) if wanted]
    return list(dict.fromkeys([*map(output.parse, outputs or []), *flagged]))


def check_build(
    settings: Settings,
    *,
    source: Path,
    to: PublishOptions,
    push: bool,
    load: bool,
    outputs: list[str] | None,
    file: str,
    cache: CacheOptions,
    **_: object,
) -> None:
    """Check the options of `build` before an engine is started.

    Raises:
        InvalidArgument: a Dockerfile is given, a push has no address, docker does not work for a load, an
            address, output or cache location is invalid, or the variable of a password is not set.
    """
    if file:
        raise output.dockerfile()
    check_one_image(settings, to.tag)
    to.check()
    caching.check(settings, cache)
    kinds = {way.kind for way in _ways(push, load, outputs)}
    if "push" in kinds:
        check_publish(settings, source=source, tag=to.tag)
    if "load" in kinds:
        loading.check(settings.platforms)


def check_publish(
    settings: Settings, *, source: Path, tag: list[str] | None, by_digest: bool = False, **_: object
) -> None:
    """Check the addresses of a push, and that git and the tag rules set their tags.

    Raises:
        InvalidArgument, InvalidAddress: there is no address, or it is invalid, or it has no tag and the rules
            give none.
        NotAGitRepository, ShallowClone: an address has no tag, and git cannot determine it.
        DirtyTree: a release or a checkout that must be clean has changes.
        Untrusted: the project is of a stranger.
    """
    check_trusted(settings, "image")
    if not tag:
        raise InvalidArgument("no address to push to is given", where="--tag", fix="pass --tag host/name:tag")
    check_one_image(settings, tag)
    request = PublishRequest(tuple(tag), by_digest=by_digest)
    request.destinations("bin")
    try:
        crates = anyio.run(crates_of, OnDisk(source), settings)
        at = session.situation(source, settings.ref, crates=crates)
    except NotAGitRepository:
        if request.lacks_tags or settings.require_clean:
            raise
        return
    anyio.run(context.situation, settings, at, None)
    context.check_release(settings, at)
    if at is not None:
        for warning in git.differences(at.facts):
            say(f"warning: {warning}")
    if request.lacks_tags and at is not None:
        tags.needed(settings.tag_rules, at)


def check_one_image(settings: Settings, tag: Sequence[str] | None) -> None:
    """Check that an address with {bin} is not meant for an image of each binary.

    Raises:
        InvalidArgument: several binaries are chosen, which go into one image.
    """
    if len(listed(settings.bin)) > 1 and any("{bin}" in address for address in tag or ()):
        raise InvalidArgument(
            "several binaries go into one image, and the address has {bin}",
            where="--tag",
            fix="for an image of each binary, use the command `images`; for one image, write its name",
        )


async def images(
    module: RustMultiarch,
    *,
    to: PublishOptions = NO_PUSH,
    push: Annotated[bool, typer.Option("--push", help="Push each image to every --tag.")] = False,
    json: JSON = False,
) -> str:
    """Compile once and assemble an image of each binary; with --push, push them to addresses with {bin}."""
    request = await to.request() if push else None
    documents: list[dict[str, Any]] = []
    printed: list[str] = []
    made = await module.images()
    for image, rows in zip(made, await rows_of(made), strict=True):
        document: dict[str, Any] = {"name": image.name, "variants": rows}
        if request is not None:
            document["published"] = json_module.loads(await _push(image, request))
        printed.append(_reference(document["published"]) if request is not None else image.name)
        documents.append(document)
    return _json({"images": documents}) if json else "\n".join(printed)


async def rows_of(images: Sequence[Image]) -> list[list[ImageRow]]:
    """Normalize several images at the same time, and return the rows of each."""
    return await each(images, lambda image: image.rows(), IMAGES_AT_ONCE)


def check_images(settings: Settings, *, source: Path, to: PublishOptions, push: bool, **_: object) -> None:
    """Check the addresses of images before an engine is started.

    Raises:
        InvalidArgument, InvalidAddress: an address has no {bin}, or see `check_publish`.
    """
    to.check()
    for address in to.tag or ():
        if "{bin}" not in address:
            raise InvalidArgument(
                f"all images would get the address {address}",
                where="--tag",
                fix="write the place of the binary's name as {bin}, for example ghcr.io/me/{bin}:1.2.3",
            )
    if push:
        check_publish(dataclasses.replace(settings, bin=[]), source=source, tag=to.tag)


def _built(document: dict[str, Any]) -> str:
    rows: Sequence[ImageRow] = document["variants"]
    lines = [as_table(rows, document["seconds"], _width(sys.__stdout__))]
    lines += [_reference(document["published"])] if "published" in document else []
    lines += [document["loaded"]] if "loaded" in document else []
    return "\n".join(lines)


def _width(stream: TextIO | None) -> int | None:
    """Return the width of a terminal; None for files and pipes."""
    return shutil.get_terminal_size().columns if stream is not None and stream.isatty() else None


def _reference(receipt: dict[str, Any]) -> str:
    """Return the first address of the pushed image, with the digest, for programs."""
    return str(receipt["references"][0])


async def _push(image: Image, request: PublishRequest) -> str:
    """Push to every address and return the receipt as JSON."""
    return dataclasses.replace(request, as_json=True).answer(await image.push(request))


async def publish(
    module: RustMultiarch,
    *,
    to: PublishOptions = NO_PUSH,
    cache: CacheOptions = NO_CACHE,
    by_digest: Annotated[bool, typer.Option("--by-digest", help=arguments.BY_DIGEST.documentation)] = False,
    json: JSON = False,
) -> str:
    """Build, push an index to every --tag, and print its first address with the digest."""
    request = await to.request(by_digest)
    caches = caching.Caches.parse(cache, to)
    async with caches.read(module) as started:
        image = await started.assembled()
        say(as_table(await image.rows(), watching.seconds(), _width(sys.__stderr__)))
        receipt = await _push(image, request)
        await caches.write(started)
    return receipt if json else _reference(json_module.loads(receipt))


def check_publishing(
    settings: Settings,
    *,
    source: Path,
    to: PublishOptions,
    cache: CacheOptions,
    by_digest: bool,
    **_: object,
) -> None:
    """Check addresses, passwords and caches before an engine is started.

    Raises:
        InvalidArgument, InvalidAddress: see `check_publish`, `PublishOptions.check` and `Caches.parse`.
    """
    check_publish(settings, source=source, tag=to.tag, by_digest=by_digest)
    to.check()
    caching.check(settings, cache)


def matrix_alone(settings: Settings, *, matrix: bool, **_: object) -> str | None:
    """Return the CI matrix, which needs no engine."""
    return preview.as_matrix(select(settings.platforms), settings.libc) if matrix else None


async def plan(
    module: RustMultiarch,
    *,
    tag: Tags = None,
    matrix: Annotated[bool, typer.Option("--matrix", help=arguments.MATRIX.documentation)] = False,
    json: JSON = False,
) -> str:
    """Show what a build would do and why, without compiling."""
    return await module.plan(tag, as_json=json, matrix=matrix)


async def natives(module: RustMultiarch, *, json: JSON = False) -> str:
    """Show what the native dependencies need for each platform and why, without compiling."""
    return await module.natives(json) or "nothing to install"


CHECKSUMS = "SHA256SUMS"
"""The file of checksums for `sha256sum --check`."""


async def binary(
    module: RustMultiarch,
    *,
    directory: Annotated[str, typer.Option("--output", "-o", help="Directory to write to.")] = ".",
    json: JSON = False,
) -> str:
    """Write stripped binaries to `<output>/<os>-<arch>/`, with checksums and without an image."""
    planned, compiled = await module.compiled()
    names = [each.name for each in planned.binaries]
    output, written, sums, places = Path(directory), [], [], []
    with host_files.beside(output) as folder:
        for target in planned.request.targets:
            platform = target.platform.replace("/", "-")
            made = compiled.directory(target.triple(planned.request.libc)).filter(include=names)
            await made.export(str(folder / platform))
            for path in host_files.regular(folder / platform, names):
                place = f"{platform}/{path.name}"
                sums.append(f"{digest_of_file(path).removeprefix('sha256:')}  {place}\n")
                size = path.stat().st_size
                written.append({"platform": target.platform, "path": str(output / place), "bytes": size})
                places.append((path, output / place))
        checksums = folder / CHECKSUMS
        checksums.write_text("".join(sums))
        host_files.move([*places, (checksums, output / CHECKSUMS)], output)
    return _json({"binaries": written}) if json else "\n".join(str(each["path"]) for each in written)


async def smoke(
    module: RustMultiarch,
    *,
    command: Annotated[
        list[str] | None,
        typer.Option("--command", help=arguments.SMOKE_COMMAND.documentation + " Repeatable."),
    ] = None,
    seconds: Annotated[
        int, typer.Option("--seconds", help=arguments.SMOKE_SECONDS.documentation, min=0)
    ] = smoke_run.SECONDS,
    json: JSON = False,
) -> str:
    """Build, then smoke-test each platform; list those skipped without an emulator."""
    image = await module.assembled()
    variants = [(variant.platform, variant.container) for variant in image.variants]
    outcomes = await smoke_run.run(variants, command or [], seconds)
    return _json({"outcomes": outcomes}) if json else smoke_run.as_text(outcomes)


async def test(
    module: RustMultiarch,
    *,
    platforms: Annotated[
        list[str] | None,
        typer.Option("--platform", help=arguments.TESTED.documentation, autocompletion=platform_names),
    ] = None,
    json: JSON = False,
) -> str:
    """Run the project's tests."""
    return _passed(await module.test(platforms), json)


async def lint(
    module: RustMultiarch,
    *,
    deny_warnings: Annotated[
        bool, typer.Option("--deny-warnings", help=arguments.DENY_WARNINGS.documentation)
    ] = False,
    json: JSON = False,
) -> str:
    """Run clippy over the whole workspace."""
    return _passed(await module.lint(deny_warnings), json)


async def fmt(module: RustMultiarch, *, json: JSON = False) -> str:
    """Check the formatting of the whole workspace without changing files."""
    return _passed(await module.fmt(), json)


def verify(
    file: Annotated[Path, typer.Argument(help=arguments.PROGRAM.documentation)],
    *,
    platform: Annotated[
        str,
        typer.Option(help=arguments.PROGRAM_PLATFORM.documentation, autocompletion=platform_names),
    ],
    image: Annotated[str, typer.Option(help=arguments.PROGRAM_IMAGE.documentation)] = releases.DEFAULT.base,
    static: Annotated[bool, typer.Option("--static", help=arguments.PROGRAM_STATIC.documentation)] = False,
    json: JSON = False,
    progress: Progress = Mode.AUTO,
) -> None:
    """Check a program against an image: architecture, loader, libraries, symbol versions."""
    if not file.is_file():
        raise InvalidArgument(
            "this file does not exist", where=str(file), fix="pass the path of the program to check"
        )

    async def run() -> str:
        from pipeline.main import RustMultiarch

        program = dag.host().file(str(file.resolve()))
        return await RustMultiarch(source=dag.directory()).verify(program, platform, image, static, json)

    target = parse(platform)
    session.answer(BaseImages([target.platform]), run, [("verify", "")], progress)


def _passed(printed: str, json: bool) -> str:
    return _json({"passed": True, "output": printed}) if json else printed


def _json(document: dict[str, Any]) -> str:
    def plain(record: Any) -> Any:
        return dataclasses.asdict(record)

    return json_module.dumps(document, indent=2, default=plain)


COMMANDS: dict[str, Callable[..., None]] = {
    "build": session.project_command(build, before=check_build),
    "images": session.project_command(images, before=check_images, apart=True),
    "publish": session.project_command(publish, before=check_publishing),
    "plan": session.project_command(plan, by_platform=False, before=matrix_alone),
    "natives": session.project_command(natives, by_platform=False),
    "binary": session.project_command(binary),
    "verify": verify,
    "smoke": session.project_command(smoke),
    "test": session.project_command(
        test, without=frozenset({"platforms"}), by_platform=False, every_package=True
    ),
    "lint": session.project_command(lint, by_platform=False, every_package=True),
    "fmt": session.project_command(fmt, by_platform=False, every_package=True),
}
