"""Implement `rust-multiarch resolve`: build the images that YAML files name, and write their digests."""

from __future__ import annotations

import dataclasses
import difflib
import json as json_module
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import anyio
import typer

from pipeline import host_files
from pipeline.cli import loading, manifests, session
from pipeline.cli.manifests import PARTS, SCHEME, Reference, YamlFile, part
from pipeline.cli.options import JSON
from pipeline.cli.project import check_publish, rows_of
from pipeline.cli.publish_options import PublishOptions
from pipeline.config.project_files import OnDisk
from pipeline.config.settings import Member, Settings, members
from pipeline.errors import BinaryNotChosen, InvalidArgument, NoBinary, NoReference, UnknownBinary
from pipeline.printable import say
from pipeline.registry.address import BINARY, named, untagged

if TYPE_CHECKING:
    from pipeline.image import Image
    from pipeline.main import RustMultiarch

LOCAL = "rust-multiarch.local"
"""The repository of loaded images, which no registry has."""

VARIABLE = "RUST_MULTIARCH_IMAGE_REPOSITORY"


@dataclass(frozen=True)
class ResolveOptions:
    """The options of `resolve`; each field is an option, named by its annotation."""

    file: Annotated[
        list[str] | None,
        typer.Option(
            "--file",
            "-f",
            help="YAML file, directory, or - for standard input, with references "
            "rust-multiarch://NAME to a package or a binary. Repeatable.",
        ),
    ] = None
    recursive: Annotated[
        bool, typer.Option("--recursive", "-R", help="Also read the directories in a directory.")
    ] = False
    repository: Annotated[
        str,
        typer.Option(
            "--repository",
            "-r",
            help="Repository for the images: with ghcr.io/me, a binary api is pushed to ghcr.io/me/api.",
            envvar=VARIABLE,
        ),
    ] = ""
    by_digest: Annotated[bool, typer.Option("--by-digest", help="Push by digest only, without tags.")] = False
    local: Annotated[
        bool,
        typer.Option(
            "--local", help="Load this machine's platform into docker or podman instead of publishing."
        ),
    ] = False
    partial: Annotated[
        bool,
        typer.Option(
            "--partial", help="Leave references to other workspaces as they are, for another `resolve`."
        ),
    ] = False
    output: Annotated[
        str, typer.Option("--output", "-o", help="File to write to, instead of standard output.")
    ] = ""

    def addresses(self, tags: Sequence[str] | None) -> list[str]:
        """Return the addresses of the images, with `{bin}` for the binary's name."""
        prefix = self.repository.rstrip("/")
        return [*([f"{prefix}/{BINARY}"] if prefix else []), *(tags or ())]


@dataclass(frozen=True)
class Resolution:
    """Files to resolve, whose options were checked.

    Attributes:
        files: the files.
        references: the references in them.
        binaries: the binary of each name in a reference.
        addresses: the addresses of the images, with `{bin}` for the binary's name.
        to: the options of the push.
        options: the options of the command.
        json: print JSON, with the images.
    """

    files: tuple[YamlFile, ...]
    references: Sequence[Reference]
    binaries: Mapping[str, str]
    addresses: Sequence[str]
    to: PublishOptions
    options: ResolveOptions
    json: bool = False


def read(options: ResolveOptions) -> tuple[YamlFile, ...]:
    """Read the files.

    Raises:
        InvalidArgument: no file is given, or one does not exist.
        MalformedYaml: see `manifests.parse`.
        NoReference: the files have no reference.
    """
    if not options.file:
        raise InvalidArgument(
            "no YAML file is given",
            where="--file",
            fix="pass --file deploy.yaml, or --file - for standard input",
        )
    files = tuple(map(manifests.read, manifests.paths(options.file, options.recursive)))
    if not any(file.references for file in files):
        raise NoReference(
            f"there is no reference {SCHEME}NAME in {len(files)} file{'s' if len(files) != 1 else ''}",
            where=", ".join(options.file),
            fix=f"write the image of a package or binary as {SCHEME}NAME, for example image: {SCHEME}api",
        )
    return files


NO_PUSH, NO_OPTIONS = PublishOptions(), ResolveOptions()


def binaries(references: Sequence[Reference], known: Sequence[Member]) -> dict[str, str]:
    """Return the binary of each package or binary that references name.

    Args:
        references: the references.
        known: the packages of the workspace.

    Raises:
        UnknownBinary: there is no binary and no package with a name.
        BinaryNotChosen: several packages have the binary, or a package has several and no default one.
        NoBinary: the package is a library.
    """
    return {reference.program: _binary(reference, known) for reference in references}


def _binary(reference: Reference, known: Sequence[Member]) -> str:
    name, where = reference.program, str(reference)
    owners = [member.package for member in known if name in member.binaries]
    if len(owners) > 1:
        raise BinaryNotChosen(
            f"several packages have a binary {name!r}: {', '.join(owners)}",
            where=where,
            fix="rename one of them, so that a reference is clear",
        )
    if owners:
        return name
    package = next((member for member in known if member.package == name), None)
    if package is None:
        raise _unknown(reference, known)
    if not package.binaries:
        raise NoBinary(
            f"the package {name} is a library",
            where=where,
            fix="refer to a package with a binary: "
            + ", ".join(sorted(member.package for member in known if member.binaries)),
        )
    if package.default_run in package.binaries:
        return package.default_run
    if len(package.binaries) > 1:
        raise BinaryNotChosen(
            f"the package {name} has several binaries: {', '.join(sorted(package.binaries))}",
            where=where,
            fix=f"refer to one of them, for example {SCHEME}{min(package.binaries)}, or set default-run",
        )
    return next(iter(package.binaries))


def _own(references: Sequence[Reference], known: Sequence[Member]) -> list[Reference]:
    """Return the references to packages and binaries of the workspace.

    Raises:
        NoReference: the workspace has none of the names.
    """
    names = {name for member in known for name in (member.package, *member.binaries)}
    own = [reference for reference in references if reference.program in names]
    if not own:
        raise NoReference(
            "no reference is to a package or binary of this workspace",
            where=str(references[0]),
            fix=f"refer to one of them: {', '.join(sorted(names))}",
        )
    return own


def _unknown(reference: Reference, known: Sequence[Member]) -> UnknownBinary:
    possible = sorted(
        {name for member in known if member.binaries for name in (member.package, *member.binaries)}
    )
    plain = reference.program.partition("@")[0].partition(":")[0]
    if plain in possible:
        fix = f"write {SCHEME}{plain}: the digest is added, and --tag has the tags"
    else:
        close = difflib.get_close_matches(reference.program, possible, n=1)
        fix = (f"did you mean {SCHEME}{close[0]}? " if close else "") + f"choose one of {', '.join(possible)}"
    return UnknownBinary(
        f"the workspace has no package or binary {reference.program!r}", where=str(reference), fix=fix
    )


def prepare(
    settings: Settings,
    source: Path,
    *,
    to: PublishOptions = NO_PUSH,
    options: ResolveOptions = NO_OPTIONS,
    json: JSON = False,
) -> Mapping[str, Resolution]:
    """Check files, references and addresses; return the arguments of `resolve`.

    Raises:
        InvalidArgument: a file or the repository is missing, images would get the same address, or see
            `loading.check`.
        MalformedYaml, NoReference: see `read`.
        UnknownBinary, BinaryNotChosen, NoBinary: see `binaries`.
        InvalidAddress and others: see `check_publish`.
    """
    if options.output and Path(options.output).is_dir():
        raise InvalidArgument(
            f"this is a directory: {options.output}", where="--output", fix="pass the path of a file"
        )
    files = read(options)
    known = anyio.run(members, OnDisk(source))
    references = [reference for file in files for reference in file.references]
    if options.partial:
        references = _own(references, known)
    chosen = binaries(references, known)
    _check_parts(references, options.local)
    addresses = options.addresses(to.tag)
    to.check()
    if options.local:
        loading.check(settings.platforms, "--local", "publish the images with --repository")
    else:
        _check_addresses(addresses, len(set(chosen.values())))
        alone = dataclasses.replace(settings, bin=[], package="")
        check_publish(alone, source=source, tag=addresses, by_digest=options.by_digest)
    return {"asked": Resolution(files, references, chosen, addresses, to, options, json)}


def _check_parts(references: Sequence[Reference], local: bool) -> None:
    """Check the parts of addresses after a `#`.

    Raises:
        InvalidArgument: there is no such part, or a loaded image has none.
    """
    for one in references:
        if one.part not in ("", *PARTS):
            raise InvalidArgument(
                f"an address has no part {one.part!r}",
                where=str(one),
                fix=f"write {SCHEME}{one.program}#digest, or another of {', '.join(PARTS)}",
            )
        if one.part and local:
            raise InvalidArgument(
                "a loaded image has only a name, no registry and no digest",
                where=str(one),
                fix=f"write {SCHEME}{one.program}, or publish the image with --repository",
            )


def _check_addresses(addresses: Sequence[str], images: int) -> None:
    if not addresses:
        raise InvalidArgument(
            "no repository for the images is given",
            where="--repository",
            fix=f"pass --repository ghcr.io/me or set {VARIABLE}; --local loads the images into docker",
        )
    if images > 1 and (alike := [address for address in addresses if BINARY not in address]):
        raise InvalidArgument(
            f"all images would get the address {alike[0]}",
            where="--tag",
            fix=f"write the place of the binary's name as {BINARY}, for example ghcr.io/me/{BINARY}:1.2.3",
        )


async def resolve(module: RustMultiarch, *, asked: Resolution) -> str:
    """Build and push the images that YAML files refer to, and print the files with their digests."""
    publish = dataclasses.replace(asked.to, tag=list(asked.addresses))
    # Made before the build, so that the key is checked first.
    request = None if asked.options.local else await publish.request(asked.options.by_digest)
    images: list[dict[str, Any]] = []
    made = await module.images_of(list(dict.fromkeys(asked.binaries.values())))
    await rows_of(made)  # faster than one after the other
    for image in made:
        document: dict[str, Any] = {"name": image.name}
        if request is None:
            document["reference"] = await _loaded(image, asked.addresses)
        else:
            receipt = await image.push(request)
            say(receipt.as_text())
            document["reference"] = f"{receipt.deliveries[0].repository}@{receipt.digest}"
            document["published"] = json_module.loads(receipt.as_json())
        images.append(document)
    references = {document["name"]: document["reference"] for document in images}
    addresses = {
        one.name: part(references[asked.binaries[one.program]], one.part) for one in asked.references
    }
    text = manifests.stream(asked.files, addresses)
    if asked.options.output:
        with host_files.replacing(Path(asked.options.output)) as path:
            path.write_bytes(text.encode())
    if asked.json:
        return json_module.dumps({"images": images, "resolved": text}, indent=2) + "\n"
    return "" if asked.options.output else text


async def _loaded(image: Image, addresses: Sequence[str]) -> str:
    """Load an image with its digest as a tag, so that another image has another name."""
    platform = loading.chosen(image, "--local")
    digest = next(row.digest for row in await image.rows() if row.platform == platform)
    address = named(addresses[0] if addresses else f"{LOCAL}/{BINARY}", image.name)
    return await loading.load(image, [f"{untagged(address)}:{digest.removeprefix('sha256:')}"])


COMMANDS: dict[str, Callable[..., None]] = {
    "resolve": session.project_command(
        resolve,
        without=frozenset({"package", "bin"}),
        every_package=True,
        apart=True,
        prepare=prepare,
        workspace=True,
        show=session.written,
    )
}
