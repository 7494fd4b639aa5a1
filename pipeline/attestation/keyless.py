"""Sign without a key: with a certificate for an identity token, as `cosign sign` does in CI.

Fulcio gives a certificate for a key that only this process has, and Rekor logs each signature. The library
`sigstore` sends the requests to both, and reads the identity tokens of CI systems. It is the extra `keyless`
of this package, imported only here, when it is used.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.metadata import requires
from typing import TYPE_CHECKING, TypeVar

import anyio

from pipeline.attestation.signing import STATEMENT_TYPE
from pipeline.concurrent import each, in_daemon
from pipeline.errors import (
    InvalidArgument,
    KeylessUnavailable,
    NoIdentityToken,
    RustMultiarchError,
    SigstoreRefused,
    SigstoreUnreachable,
)
from pipeline.git import ci
from pipeline.printable import say
from pipeline.registry.credentials import Secret
from pipeline.sdk import dagger

if TYPE_CHECKING:
    from cryptography.x509 import Certificate
    from sigstore.models import ClientTrustConfig
    from sigstore.oidc import IdentityToken
    from sigstore.sign import Signer as CertificateSigner

T = TypeVar("T")

OPTION = "--sign-keyless"
TOKEN_OPTION = "--identity-token"
CONFIG_OPTION = "--sigstore-config"

AUDIENCE = "sigstore"
"""The audience that an identity token must have for Fulcio."""

VARIABLE = "SIGSTORE_ID_TOKEN"
"""The variable that cosign, and GitLab's documentation, use for a token."""

TOKEN_FIXES: Mapping[str, str] = {
    "github": "give the job `permissions: id-token: write`, and not to pull requests of forks",
    "gitlab": f"give the job `id_tokens: {VARIABLE}: aud: {AUDIENCE}`",
    "circleci": "run the command in a job that has the program `circleci`, which requests the token",
    "buildkite": "run the command where the program `buildkite-agent` is, which requests the token",
}
"""What each CI system needs, by its name in `git.ci`."""

MODULE = "DAGGER_MODULE"
"""A variable that an engine sets for the functions of a module."""

LIMIT = 120
"""Seconds for one request; Rekor answers when an entry is in a checkpoint, after some seconds."""

PAUSES = (2, 5)
"""Seconds before each retry of a request that failed for now."""

AT_ONCE = 4
"""Number of signatures that are made in parallel."""

RESERVE = timedelta(minutes=2)
"""How long a certificate must still be valid for one more image. It is valid for ten minutes."""

FULCIO_ISSUER = "1.3.6.1.4.1.57264.1.8"
"""The extension with the issuer of the identity token; see Fulcio's docs/oid-info.md."""


@dataclass(frozen=True)
class KeylessOptions:
    """The options of keyless signing.

    Attributes:
        token: an identity token; None for that of the CI system.
        config: a client trust configuration as JSON; None for the public Sigstore.
    """

    token: Secret | None = None
    config: str | None = None


def check_options(
    keyless: bool, *, key: bool, token: bool = False, config: bool = False, tags: bool = False
) -> None:
    """Check that the options of signatures belong together, and that keyless signing is installed.

    Args:
        keyless: signing without a key is requested.
        key: a key is given.
        token: an identity token is given.
        config: a client trust configuration is given.
        tags: the former form of signatures is requested.

    Raises:
        InvalidArgument: they do not.
        KeylessUnavailable: a package is missing.
    """
    for option, given in ((TOKEN_OPTION, token), (CONFIG_OPTION, config)):
        if given and not keyless:
            raise InvalidArgument(
                f"nothing is signed without a key, so {option} has no use",
                where=option,
                fix=f"add --sign-keyless, or leave {option} out",
            )
    if not keyless:
        return
    if key:
        raise InvalidArgument(
            "an image is signed with a key or without one",
            where=f"{OPTION} and --sign-key",
            fix="leave one of the two out",
        )
    if tags:
        raise InvalidArgument(
            "the form of cosign 1 and 2 needs a key",
            where="--legacy-signatures",
            fix="leave it out, or pass --sign-key instead of --sign-keyless",
        )
    if importlib.util.find_spec("sigstore") is None:
        raise unavailable(os.environ)


def unavailable(environ: Mapping[str, str]) -> KeylessUnavailable:
    """Return the error for the missing package, with a command that installs it here."""
    if environ.get(MODULE):
        return KeylessUnavailable(
            "the Python package sigstore is not installed for this module",
            where=OPTION,
            fix="publish with the command line, `rust-multiarch publish`, or sign the digest that this "
            "function returns with `cosign sign`; an engine does not install the extras of a module",
        )
    names = " ".join(map(repr, requirements()))
    return KeylessUnavailable(
        "the Python package sigstore is not installed",
        where=OPTION,
        fix=f"run: {sys.executable} -m pip install {names}",
    )


def requirements() -> list[str]:
    """Return the requirements of the extra `keyless`, for pip."""
    texts = [text.partition(";") for text in requires("rust-multiarch") or ()]
    return [text.strip() for text, _, marker in texts if "keyless" in marker]


async def signer(options: KeylessOptions) -> KeylessSigner:
    """Return a signer that has a certificate, so that a refusal comes before a build.

    Raises:
        InvalidArgument: the client trust configuration cannot be used.
        NoIdentityToken, SigstoreRefused, SigstoreUnreachable: see `KeylessSigner.bundles`.
    """
    given = await _plaintext(options.token) if options.token else ""
    identity = await _request(lambda: _identity_token(given))
    made = KeylessSigner(given, await _request(lambda: services(options.config)))
    await made.certified(identity)
    say(f"signing as {made.identity}, whose token is from {made.issuer}")
    return made


async def _plaintext(token: Secret) -> str:
    """Return a given identity token.

    Raises:
        NoIdentityToken: it cannot be read, or is empty.
    """
    fix = "check the variable that it is read from"
    try:
        text = (await token.plaintext()).strip()
    except dagger.QueryError as error:
        raise NoIdentityToken(
            f"the given identity token cannot be read: {error}", where=TOKEN_OPTION, fix=fix
        ) from None
    if not text:
        raise NoIdentityToken("the given identity token is empty", where=TOKEN_OPTION, fix=fix)
    return text


def services(config: str | None) -> ClientTrustConfig:
    """Return the services of Sigstore with their keys: those of a configuration, or the public ones.

    Raises:
        InvalidArgument: the configuration is not one, or it lacks a service.
    """
    from sigstore.errors import Error
    from sigstore.models import ClientTrustConfig

    if config is None:
        return ClientTrustConfig.production()
    try:
        found = ClientTrustConfig.from_json(config)
        _ = found.signing_config, found.trusted_root
    except (ValueError, Error) as error:
        why = str(error).partition("\n")[0]
        raise InvalidArgument(
            f"this is no client trust configuration of Sigstore: {why}",
            where=CONFIG_OPTION,
            fix="pass JSON with mediaType, trustedRoot and signingConfig; see docs/publishing.md",
        ) from None
    return found


@dataclass(frozen=True)
class _Certified:
    """A key of this process with its certificate."""

    signer: CertificateSigner
    certificate: Certificate
    issuer: str

    @property
    def is_usable(self) -> bool:
        """Return True if the certificate is valid long enough for an image."""
        return datetime.now(UTC) + RESERVE < self.certificate.not_valid_after_utc


@dataclass(repr=False, eq=False)
class KeylessSigner:
    """Signs with a certificate for an identity token; a new one is requested before one expires.

    Attributes:
        token: the identity token; empty for that of the CI system, which is read for each certificate.
        trust: the services of Sigstore, with their keys.
    """

    token: str
    trust: ClientTrustConfig
    _current: _Certified | None = field(default=None)

    @property
    def option(self) -> str:
        """Return the option that requests it."""
        return OPTION

    @property
    def how(self) -> str:
        """Return the end of a sentence about signed images, with the identity."""
        return f"by {self.identity}"

    @property
    def identity(self) -> str:
        """Return the identity in the certificate, for `cosign verify --certificate-identity`."""
        return ", ".join(_names(self._current.certificate)) if self._current else ""

    @property
    def issuer(self) -> str:
        """Return the issuer of the identity token, for `cosign verify --certificate-oidc-issuer`."""
        return self._current.issuer if self._current else ""

    async def bundles(self, statements: Sequence[bytes]) -> list[bytes]:
        """Return a bundle of each in-toto statement.

        Raises:
            NoIdentityToken: there is no token, or it is not one for Sigstore, or has expired.
            SigstoreRefused: Fulcio or Rekor refuses, or a response is not what the configuration promises.
            SigstoreUnreachable: Fulcio or Rekor does not respond, or fails, also after retries.
        """
        current = await self.certified()

        async def sign(statement: bytes) -> bytes:
            return await _request(lambda: _signed(current.signer, statement))

        return await each(statements, sign, AT_ONCE)

    def verified(self, content: bytes) -> bytes | None:
        """Return the statement in a bundle that the same identity signed; None for other bundles."""
        from sigstore.models import Bundle
        from sigstore.verify import Verifier

        assert self._current is not None, "it is made with a certificate"
        same = _SameIdentity(self._current.certificate)
        try:
            verifier = Verifier(trusted_root=self.trust.trusted_root)
            kind, payload = verifier.verify_dsse(Bundle.from_json(content), same)
        except Exception:  # others wrote the bundle, and the library has no common class for its errors
            return None
        return payload if kind == STATEMENT_TYPE else None

    async def certified(self, identity: IdentityToken | None = None) -> _Certified:
        """Return the certificate, a new one if necessary.

        Args:
            identity: an identity token that was read already.
        """
        if self._current is None or not self._current.is_usable:
            self._current = await _request(lambda: self._certify(identity or _identity_token(self.token)))
        return self._current

    def _certify(self, identity: IdentityToken) -> _Certified:
        from sigstore.sign import SigningContext

        with SigningContext.from_trust_config(self.trust).signer(identity) as made:
            # The library has no public way to the certificate before the first signature.
            return _Certified(made, made._signing_cert(), identity.federated_issuer)


def _identity_token(given: str) -> IdentityToken:
    """Return the given identity token, or else that of the CI system."""
    from sigstore.oidc import IdentityToken

    return IdentityToken(given or token(os.environ))


def _signed(signer: CertificateSigner, statement: bytes) -> bytes:
    """Return a bundle; the library requires that each subject has a name, also an empty one."""
    from sigstore.dsse import Statement

    document = json.loads(statement)
    if not all("name" in subject for subject in document["subject"]):
        document["subject"] = [{"name": "", **subject} for subject in document["subject"]]
        statement = json.dumps(document, separators=(",", ":")).encode()
    return signer.sign_dsse(Statement(statement)).to_json().encode()


def token(environ: Mapping[str, str]) -> str:
    """Return the identity token of the CI system.

    Raises:
        NoIdentityToken: there is no token, or it is not readable.
    """
    from sigstore.oidc import IdentityError, detect_credential

    if given := environ.get(VARIABLE, "").strip():
        return given
    try:
        found = detect_credential(AUDIENCE)
    except IdentityError as error:
        raise NoIdentityToken(
            f"the identity token of the CI system cannot be read: {error}",
            where=OPTION,
            fix=f"{_token_fix(environ)}; or pass --identity-token",
        ) from None
    if not found:
        raise NoIdentityToken(
            "there is no identity token", where=OPTION, fix=f"{_token_fix(environ)}; or pass --identity-token"
        )
    return found


def _token_fix(environ: Mapping[str, str]) -> str:
    """Return what this CI system needs, or what each does."""
    here = TOKEN_FIXES.get(ci.event(environ).system)
    known = "; ".join(f"{name}: {each}" for name, each in TOKEN_FIXES.items())
    return here or f"sign in a job of a CI system ({known})"


class _SameIdentity:
    """The policy that a certificate has the names and the issuer of another one."""

    def __init__(self, certificate: Certificate) -> None:
        self.wanted = _identity(certificate)

    def verify(self, cert: Certificate) -> None:
        """Check a certificate.

        Raises:
            VerificationError: it is of another identity.
        """
        from sigstore.errors import VerificationError as NotVerified

        if _identity(cert) != self.wanted:
            raise NotVerified("the certificate is of another identity")


def _identity(certificate: Certificate) -> tuple[list[str], bytes]:
    """Return the names in a certificate and its extension with the issuer."""
    from cryptography.x509 import UnrecognizedExtension

    values = {one.oid.dotted_string: one.value for one in certificate.extensions}
    issuer = values.get(FULCIO_ISSUER)
    return _names(certificate), issuer.value if isinstance(issuer, UnrecognizedExtension) else b""


def _names(certificate: Certificate) -> list[str]:
    from cryptography.x509 import SubjectAlternativeName

    found = [one.value for one in certificate.extensions if isinstance(one.value, SubjectAlternativeName)]
    return [str(name.value) for names in found for name in names]


async def _request(call: Callable[[], T]) -> T:
    """Call the library in a thread, since it blocks and has no limits of time; retry what failed for now.

    Raises:
        NoIdentityToken, SigstoreRefused, SigstoreUnreachable: see `KeylessSigner.bundles`.
    """

    def reported() -> T:
        with _reported():
            return call()

    for pause in (*PAUSES, None):
        try:
            return await in_daemon(reported, LIMIT)
        except SigstoreUnreachable:
            if pause is None:
                raise
            await anyio.sleep(pause)
        except TimeoutError:
            raise SigstoreUnreachable(
                f"a service of Sigstore did not respond in {LIMIT} seconds",
                where=OPTION,
                fix="check the network and the addresses in --sigstore-config, and run it again",
            ) from None
    raise AssertionError("the last attempt returns or raises")


@contextmanager
def _reported() -> Iterator[None]:
    """Replace the errors of the library, of which only some have a common class."""
    from sigstore.oidc import ExpiredIdentity, IdentityError

    try:
        yield
    except RustMultiarchError:
        raise
    except (IdentityError, ExpiredIdentity) as error:
        what = str(error) or "it has expired"
        raise NoIdentityToken(
            f"the identity token cannot be used: {what}",
            where=OPTION,
            fix="use a token that is still valid, with the audience sigstore",
        ) from error
    except Exception as error:
        raise _failure(error) from error


def _failure(error: Exception) -> SigstoreRefused | SigstoreUnreachable:
    """Return the error for a failed request: whether it may succeed later decides on its class."""
    import requests
    from sigstore.errors import NetworkError, TUFError
    from sigstore.models import InvalidBundle

    causes = list(_causes(error))
    answered = [one.response for one in causes if isinstance(one, requests.HTTPError)]
    response = next((one for one in answered if one is not None), None)
    if response is not None:
        what = f"{response.status_code} {_message(response.text) or response.reason}"
        if response.status_code >= 500 or response.status_code == 429:
            return SigstoreUnreachable(
                f"a service of Sigstore fails: {what}",
                where=response.url,
                fix="check the network and the addresses in --sigstore-config, and run it again",
            )
        return SigstoreRefused(
            f"a service of Sigstore refused: {what}",
            where=response.url,
            fix="check that it accepts the issuer of the identity token, and that the token is still valid",
        )
    what = str(causes[-1]) or type(causes[-1]).__name__
    unreachable = (requests.ConnectionError, requests.Timeout, NetworkError, TUFError)
    if any(isinstance(one, unreachable) for one in causes):
        return SigstoreUnreachable(
            f"a service of Sigstore cannot be reached: {what}",
            where=_address(causes),
            fix="check the network and the addresses in --sigstore-config, and run it again",
        )
    if isinstance(error, InvalidBundle):
        # The library only logs that a timestamp authority fails, but a bundle for Rekor 2 needs a timestamp.
        return SigstoreUnreachable(
            f"a timestamp or a log entry is missing: {what}",
            where=OPTION,
            fix="check the network and the timestamp authority in --sigstore-config, and run it again",
        )
    return SigstoreRefused(
        f"a response of Sigstore cannot be used: {str(error) or what}",
        where=OPTION,
        fix="check that --sigstore-config has the keys of these services",
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, and the errors that led to it."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def _address(causes: Sequence[BaseException]) -> str:
    """Return the address of the request that failed."""
    found = (getattr(getattr(one, "request", None), "url", "") for one in causes)
    return next(filter(None, found), OPTION)


def _message(body: str) -> str:
    """Return the message in the JSON of a response; empty without one."""
    try:
        message = json.loads(body)["message"]
    except (ValueError, TypeError, KeyError):
        return ""
    return str(message)[:500]
