"""Define the options of a push, and make the request from them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from pipeline.attestation import attest
from pipeline.cli import keyless
from pipeline.cli.keyless import IdentityToken, SigstoreConfig
from pipeline.cli.merge import SignPassword, check_passwords
from pipeline.config import arguments
from pipeline.publishing import PublishRequest, requested
from pipeline.sdk import dag

Tags = Annotated[
    list[str] | None, typer.Option("--tag", "-t", help=arguments.ADDRESS.documentation + " Repeatable.")
]


@dataclass(frozen=True)
class PublishOptions:
    """The options of a push; each field is an option, named by its annotation."""

    tag: Tags = None
    username: Annotated[str, typer.Option(help=arguments.USERNAME.documentation)] = ""
    password: Annotated[
        str,
        typer.Option(help="Name of the environment variable with the password or token for the registry."),
    ] = ""
    no_clobber: Annotated[bool, typer.Option("--no-clobber", help=arguments.NO_CLOBBER.documentation)] = False
    plain_http: Annotated[list[str] | None, typer.Option(help=arguments.PLAIN_HTTP.documentation)] = None
    sbom: Annotated[bool, typer.Option("--sbom", help=arguments.SBOM.documentation)] = False
    sbom_format: Annotated[
        str,
        typer.Option("--sbom-format", help=arguments.SBOM_FORMAT.documentation + " Also: --sbom=spdx."),
    ] = ""
    provenance: Annotated[bool, typer.Option("--provenance", help=arguments.PROVENANCE.documentation)] = False
    symbols: Annotated[bool, typer.Option("--symbols", help=arguments.SYMBOLS.documentation)] = False
    sign_key: Annotated[
        str,
        typer.Option(help=arguments.SIGN_KEY.documentation + " A file, or env://NAME for a variable."),
    ] = ""
    sign_password: SignPassword = ""
    legacy_signatures: Annotated[
        bool, typer.Option("--legacy-signatures", help=arguments.LEGACY_SIGNATURES.documentation)
    ] = False
    sign_keyless: Annotated[
        bool, typer.Option("--sign-keyless", help=arguments.SIGN_KEYLESS.documentation)
    ] = False
    identity_token: IdentityToken = ""
    sigstore_config: SigstoreConfig = ""

    def check(self) -> None:
        """Check what the engine would refuse only after the build: variables and the options of signatures.

        Raises:
            InvalidArgument: a variable is not set, the format of the SBOM does not exist, or see
                `keyless.check`.
            KeylessUnavailable: see `keyless.check`.
        """
        if self.sbom_format:
            attest.sbom_format(self.sbom_format)
        check_passwords(self.password, self.sign_password)
        keyless.check(
            self.sign_keyless,
            self.identity_token,
            self.sigstore_config,
            key=self.sign_key,
            legacy_signatures=self.legacy_signatures,
        )

    async def request(self, by_digest: bool = False) -> PublishRequest:
        """Make the request in an engine session; the signing key is a local file or a variable.

        Raises:
            InvalidAddress, UnusableKey, WrongKeyPassword, NoIdentityToken, SigstoreRefused,
                SigstoreUnreachable: see `publishing.requested`.
        """
        token = keyless.variable(self.identity_token) if self.identity_token else ""
        first, *more = self.tag or [""]
        return await requested(
            first,
            also=more,
            username=self.username,
            password=dag.secret(f"env://{self.password}") if self.password else None,
            no_clobber=self.no_clobber,
            plain_http=self.plain_http,
            sbom=self.sbom,
            provenance=self.provenance,
            symbols=self.symbols,
            sign_key=dag.secret(place(self.sign_key)) if self.sign_key else None,
            sign_password=dag.secret(f"env://{self.sign_password}") if self.sign_password else None,
            by_digest=by_digest,
            sbom_format=self.sbom_format or None,
            legacy_signatures=self.legacy_signatures,
            sign_keyless=self.sign_keyless,
            identity_token=dag.secret(f"env://{token}") if token else None,
            sigstore_config=dag.host().file(self.sigstore_config) if self.sigstore_config else None,
        )


def place(key: str) -> str:
    """Return the address of a secret in a local file, unless it is an address already."""
    return key if "://" in key else f"file://{Path(key).absolute()}"
