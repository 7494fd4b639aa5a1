"""`rust-multiarch merge`: one index of images that were built elsewhere. It needs no engine."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import anyio
import typer

from pipeline.errors import InvalidArgument, NotAGitRepository
from pipeline.naming import ci, git, tags
from pipeline.naming.situation import Situation
from pipeline.orders import pairs
from pipeline.registry.address import destinations, tagged
from pipeline.registry.publish import join


@dataclass(frozen=True)
class FromEnvironment:
    """A secret that is read when it is asked for, and kept nowhere."""

    name: str

    async def plaintext(self) -> str:
        """The variable's value.

        Raises:
            InvalidArgument: no variable has this name.
        """
        if self.name not in os.environ:
            raise InvalidArgument(
                "no environment variable has this name",
                where="--password",
                fix="give the name of the variable that has the password, not the password",
            )
        return os.environ[self.name]


def merge(
    sources: Annotated[list[str], typer.Argument(help="Images, each host/name with a digest or a tag.")],
    *,
    tag: Annotated[
        list[str],
        typer.Option(
            "--tag",
            "-t",
            help="Where to push: host/name:tag; git and the tag rules give missing tags.",
        ),
    ],
    tag_rules: Annotated[
        list[str] | None, typer.Option("--tag-rules", help="Rules of the tags, for example type=sha.")
    ] = None,
    annotation: Annotated[
        list[str] | None, typer.Option("--annotation", help="Annotation of the index, NAME=value.")
    ] = None,
    username: Annotated[str, typer.Option(help="User name at the registry.")] = "",
    password: Annotated[
        str, typer.Option(help="Name of the environment variable with the password or token.")
    ] = "",
    no_clobber: Annotated[
        bool, typer.Option("--no-clobber", help="Refuse to move a tag that names another image.")
    ] = False,
    plain_http: Annotated[
        list[str] | None, typer.Option("--plain-http", help="Registry that is spoken to without TLS.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Join images of single platforms, as other runners published them, into one index."""
    to = destinations(tagged(tag, named_by_git(tag_rules or [], Path(), os.environ)))
    login = {to[0].host: (username, FromEnvironment(password))} if password else {}
    joined = functools.partial(
        join,
        annotations=dict(pairs("annotation", annotation or [])),
        clobber=not no_clobber,
        plain_http=plain_http or (),
    )
    receipt = anyio.run(joined, sources, to, login)
    if json:
        typer.echo(receipt.as_json())
    else:
        typer.echo(receipt.as_text(), file=sys.stderr)
        typer.echo(receipt.references[0])


def named_by_git(rules: Sequence[str], directory: Path, environ: Mapping[str, str]) -> tuple[str, ...]:
    """What git and CI call what is built in a directory; nothing outside of a repository."""
    try:
        return tags.from_text(rules, Situation(git.read_here(directory), ci.event(environ)))
    except NotAGitRepository:
        return ()
