"""Define the options of keyless signing, and read what they name on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.attestation import keyless
from pipeline.attestation.keyless import CONFIG_OPTION, TOKEN_OPTION, KeylessOptions
from pipeline.cli.variables import FromEnvironment
from pipeline.config import arguments
from pipeline.errors import InvalidArgument

IdentityToken = Annotated[
    str,
    typer.Option(
        TOKEN_OPTION, help=arguments.IDENTITY_TOKEN.documentation + " The variable with it: env:VARIABLE."
    ),
]
SigstoreConfig = Annotated[str, typer.Option(CONFIG_OPTION, help=arguments.SIGSTORE_CONFIG.documentation)]


def check(
    wanted: bool, identity_token: str, sigstore_config: str, *, key: str, legacy_signatures: bool
) -> KeylessOptions | None:
    """Check the options before an engine is started; return them, None without keyless signing.

    Raises:
        InvalidArgument: they contradict each other, the variable is not set, or the file cannot be read.
        KeylessUnavailable: a package is missing.
    """
    keyless.check_options(
        wanted,
        key=bool(key),
        token=bool(identity_token),
        config=bool(sigstore_config),
        tags=legacy_signatures,
    )
    if not wanted:
        return None
    token = FromEnvironment(variable(identity_token), TOKEN_OPTION) if identity_token else None
    if token:
        token.check()
    return KeylessOptions(token, _read(sigstore_config) if sigstore_config else None)


def variable(place: str) -> str:
    """Return the name of the variable with the identity token.

    Raises:
        InvalidArgument: the text is not of the form env:VARIABLE; it may be the token, and is not quoted.
    """
    scheme, _, name = place.partition(":")
    if scheme != "env" or not name.removeprefix("//"):
        raise InvalidArgument(
            "the identity token is not of the form env:VARIABLE",
            where=TOKEN_OPTION,
            fix="write --identity-token env:VARIABLE, with the name of a variable here",
        )
    return name.removeprefix("//")


def _read(place: str) -> str:
    try:
        return Path(place).read_text(errors="replace")
    except OSError as error:
        raise InvalidArgument(
            f"the client trust configuration cannot be read: {(error.strerror or str(error)).lower()}",
            where=f"{CONFIG_OPTION} {place}",
            fix="pass the path of a file with the client trust configuration",
        ) from None
