"""Implement `rust-multiarch merge`: merge published images into an index, without an engine."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import anyio
import typer

from pipeline.cli import keyless, session
from pipeline.cli import source as source_files
from pipeline.cli.keyless import IdentityToken, SigstoreConfig
from pipeline.cli.variables import FromEnvironment
from pipeline.config import arguments, settings
from pipeline.config.project_files import OnDisk
from pipeline.config.request import check_trusted, pairs
from pipeline.config.settings import Settings
from pipeline.errors import UnusableKey
from pipeline.git import ci, tags
from pipeline.printable import say
from pipeline.publishing import AttachmentOptions, PublishRequest
from pipeline.registry.address import Destination
from pipeline.registry.credentials import Secret

Password = Annotated[str, typer.Option(help="Name of the environment variable with the password or token.")]
SignPassword = Annotated[
    str, typer.Option(help="Name of the environment variable with the password of the private key.")
]


def check_passwords(password: str, sign_password: str) -> None:
    """Check that the variables of passwords are set, if they are given.

    Raises:
        InvalidArgument: a variable is not set.
    """
    for option, name in (("--password", password), ("--sign-password", sign_password)):
        if name:
            FromEnvironment(name, option).check()


def merge(
    sources: Annotated[list[str], typer.Argument(help="Images, each host/name with a digest or a tag.")],
    *,
    tag: Annotated[
        list[str],
        typer.Option(
            "--tag",
            "-t",
            help="Address to push to, host/name:tag; git and the tag rules set missing tags.",
        ),
    ],
    tag_rules: Annotated[
        list[str] | None, typer.Option("--tag-rules", help="Tag rules, for example type=sha.")
    ] = None,
    annotation: Annotated[
        list[str] | None, typer.Option("--annotation", help="Annotation of the index, NAME=value.")
    ] = None,
    username: Annotated[str, typer.Option(help="User name for the registry.")] = "",
    password: Password = "",
    no_clobber: Annotated[
        bool, typer.Option("--no-clobber", help="Fail if a tag already points to another image.")
    ] = False,
    plain_http: Annotated[
        list[str] | None, typer.Option("--plain-http", help="Use plain HTTP for this registry.")
    ] = None,
    sbom: Annotated[bool, typer.Option("--sbom", help="Require an SBOM of each image.")] = False,
    sbom_format: Annotated[
        str, typer.Option("--sbom-format", help="Format of the required SBOM: cyclonedx or spdx.")
    ] = "",
    provenance: Annotated[
        bool, typer.Option("--provenance", help="Require provenance of each image.")
    ] = False,
    sign_key: Annotated[
        str,
        typer.Option(help=arguments.MERGE_KEY.documentation + " A file, or env://NAME for a variable."),
    ] = "",
    sign_password: SignPassword = "",
    legacy_signatures: Annotated[
        bool, typer.Option("--legacy-signatures", help=arguments.LEGACY_SIGNATURES.documentation)
    ] = False,
    sign_keyless: Annotated[
        bool, typer.Option("--sign-keyless", help=arguments.MERGE_KEYLESS.documentation)
    ] = False,
    identity_token: IdentityToken = "",
    sigstore_config: SigstoreConfig = "",
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Merge published images of single platforms into one index."""
    from pipeline.attestation import attest, carried
    from pipeline.registry.publish import join

    secret = FromEnvironment(password)
    if password:
        secret.check()
    without_key = keyless.check(
        sign_keyless, identity_token, sigstore_config, key=sign_key, legacy_signatures=legacy_signatures
    )
    options = AttachmentOptions(
        sbom=attest.sbom_format(sbom_format or "cyclonedx") if sbom or sbom_format else "",
        provenance=provenance,
        signer=anyio.run(attest.signer, *key(sign_key, sign_password), without_key),
        tags=legacy_signatures,
    )
    source, settled = asked()
    check_trusted(settled, "image")
    request = PublishRequest(
        tuple(tag), clobber=not no_clobber, plain_http=tuple(plain_http or ()), as_json=json
    )
    request = request.with_login(username, secret) if password else request
    to = goals(request, dataclasses.replace(settled, tag_rules=tag_rules or settled.tag_rules), source)
    joined = functools.partial(
        join,
        annotations=dict(pairs("annotation", annotation or [])),
        clobber=request.clobber,
        plain_http=request.plain_http,
        attach=functools.partial(
            carried.attach, options=options, name=to[0].name, event=ci.event(os.environ)
        ),
    )
    typer.echo(request.answer(anyio.run(joined, sources, to, request.logins)))


@dataclass(frozen=True)
class FromFile:
    """A secret in a file."""

    path: str

    async def plaintext(self) -> str:
        """Return the file's text.

        Raises:
            UnusableKey: it cannot be read.
        """
        try:
            return await anyio.Path(self.path).read_text(errors="replace")
        except OSError as error:
            raise UnusableKey(
                f"the signing key cannot be read: {(error.strerror or str(error)).lower()}",
                where=self.path,
                fix="pass the path of the private key, or env://NAME for a variable with it",
            ) from None


VARIABLE = "env://"


def key(place: str, password: str) -> tuple[Secret | None, Secret | None]:
    """Return the secrets of a signing key and its password."""
    if not place:
        return None, None
    variable = place.startswith(VARIABLE)
    name = place.removeprefix(VARIABLE)
    secret: Secret = FromEnvironment(name, "--sign-key") if variable else FromFile(place)
    return secret, FromEnvironment(password, "--sign-password") if password else None


def asked() -> tuple[Path, Settings]:
    """Return the current project and its settings, for the same tags as `publish`."""
    here = source_files.find(Path())
    environment = settings.from_environment(os.environ)
    outright = {**session.of_place(here), **environment, **session.of_fork(os.environ)}
    return here.directory, anyio.run(session.settings_of, here.workspace, outright).settings


def goals(request: PublishRequest, settings: Settings, source: Path) -> tuple[Destination, ...]:
    """Return the destinations of an index; addresses without a tag get those of git and the tag rules.

    Raises:
        InvalidAddress: see `destinations`.
        ShallowClone, InvalidArgument: the rules cannot be applied.
        NotAGitRepository: the checkout cannot be read.
    """
    names = named_by_git(settings, source, os.environ) if request.lacks_tags else ()
    return request.destinations(names=names)


def named_by_git(asked: Settings, directory: Path, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the tags of a directory by git and CI, or by a given git reference; () outside a repository.

    Raises:
        NotAGitRepository: see `session.situation`.
        InvalidArgument, ShallowClone: see `tags.needed`.
    """
    crates = anyio.run(settings.crates_of, OnDisk(directory), asked)
    at = session.situation(directory, asked.ref, environ, crates)
    if at and (warning := tags.unread(asked.tag_rules, at)):
        say(f"warning: {warning}")
    return tags.needed(asked.tag_rules, at) if at else ()


COMMANDS: dict[str, Callable[..., None]] = {"merge": merge}
