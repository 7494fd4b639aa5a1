"""Make the publish request, a frozen record of a push, once per command or function call."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Self

from typing_extensions import Doc

from pipeline.attestation import attest, keyless
from pipeline.attestation.attest import AttachmentOptions
from pipeline.attestation.keyless import KeylessOptions
from pipeline.config import arguments
from pipeline.printable import say
from pipeline.registry.address import Destination, destinations, named, named_somehow, open_to_tags, tagged
from pipeline.registry.credentials import Secret
from pipeline.registry.receipt import Receipt
from pipeline.sdk import dagger

if TYPE_CHECKING:
    from pipeline.registry.publish import Logins

AddressArgument = Annotated[str, arguments.ADDRESS]
UsernameArgument = Annotated[str | None, arguments.USERNAME]
TagsArgument = Annotated[list[str] | None, Doc("Additional tags of the image, at every address.")]
AlsoArgument = Annotated[list[str] | None, Doc("Additional addresses to push the same image to.")]
NoClobberArgument = Annotated[bool | None, arguments.NO_CLOBBER]
PlainHttpArgument = Annotated[list[str] | None, arguments.PLAIN_HTTP]
ReceiptArgument = Annotated[bool | None, Doc("Return a receipt of all pushes as JSON.")]


@dataclass(frozen=True)
class PublishRequest:
    """A request for a push.

    Attributes:
        addresses: the addresses to push to, perhaps with `{bin}` and without tags.
        tags: additional tags, at every address.
        logins: credentials by host.
        clobber: whether a tag may be moved from another image.
        plain_http: hosts to use plain HTTP for.
        service: the service through which the first address's registry is reached.
        attachments: the attachments to make, and what signs them.
        as_json: whether the result is a receipt as JSON, instead of the first address with the digest.
        by_digest: whether to push without tags.
    """

    addresses: tuple[str, ...]
    tags: tuple[str, ...] = ()
    logins: Logins = field(default_factory=dict)
    clobber: bool = True
    plain_http: tuple[str, ...] = ()
    service: dagger.Service | None = None
    attachments: AttachmentOptions = field(default_factory=AttachmentOptions)
    as_json: bool = False
    by_digest: bool = False

    @property
    def lacks_tags(self) -> bool:
        """Return True if git and the tag rules have to set the tags of an address."""
        return not self.by_digest and any(map(open_to_tags, named_somehow(self.addresses)))

    def destinations(self, binary: str = "", names: Sequence[str] = ()) -> tuple[Destination, ...]:
        """Return the repositories and tags to push to.

        Args:
            binary: the name of the image's binary, for `{bin}`; an image without one has no such address.
            names: tags for the addresses without a tag.

        Raises:
            InvalidAddress: see `address.destinations`.
        """
        addresses = [named(one, binary) if binary else one for one in self.addresses]
        to = destinations(tagged(addresses, names), self.tags)
        return tuple(dataclasses.replace(one, tags=()) for one in to) if self.by_digest else to

    def with_login(self, username: str, password: Secret) -> Self:
        """Return the request with credentials for the first address's registry."""
        return dataclasses.replace(self, logins={self.destinations("bin")[0].host: (username, password)})

    def answer(self, receipt: Receipt) -> str:
        """Print the receipt to stderr, and return the result of the function."""
        say(receipt.as_text())
        return receipt.as_json() if self.as_json else receipt.references[0]


# None instead of False by default, since TypeScript bindings require every option that cannot be null.
async def requested(
    address: AddressArgument,
    tags: TagsArgument = None,
    also: AlsoArgument = None,
    username: UsernameArgument = None,
    password: Annotated[dagger.Secret | None, arguments.PASSWORD] = None,
    no_clobber: NoClobberArgument = None,
    plain_http: PlainHttpArgument = None,
    registry: Annotated[dagger.Service | None, arguments.REGISTRY] = None,
    sbom: Annotated[bool | None, arguments.SBOM] = None,
    provenance: Annotated[bool | None, arguments.PROVENANCE] = None,
    symbols: Annotated[bool | None, arguments.SYMBOLS] = None,
    sign_key: Annotated[dagger.Secret | None, arguments.SIGN_KEY] = None,
    sign_password: Annotated[dagger.Secret | None, Doc("Password of the private key.")] = None,
    as_json: ReceiptArgument = None,
    by_digest: Annotated[bool | None, arguments.BY_DIGEST] = None,
    sbom_format: Annotated[str | None, arguments.SBOM_FORMAT] = None,
    legacy_signatures: Annotated[bool | None, arguments.LEGACY_SIGNATURES] = None,
    sign_keyless: Annotated[bool | None, arguments.SIGN_KEYLESS] = None,
    identity_token: Annotated[dagger.Secret | None, arguments.IDENTITY_TOKEN] = None,
    sigstore_config: Annotated[dagger.File | None, arguments.SIGSTORE_CONFIG] = None,
) -> PublishRequest:
    """Make the request from the flat arguments of a Dagger function; check the addresses and the signer.

    Raises:
        InvalidAddress: see `address.destinations`.
        InvalidArgument, KeylessUnavailable: see `attest.sbom_format` and `keyless.check_options`.
        UnusableKey, WrongKeyPassword, NoIdentityToken, SigstoreRefused, SigstoreUnreachable: see
            `attest.signer`.
    """
    request = PublishRequest(
        addresses=(address, *(also or ())),
        tags=tuple(tags or ()),
        clobber=not no_clobber,
        plain_http=tuple(plain_http or ()),
        service=registry,
        as_json=bool(as_json),
        by_digest=bool(by_digest),
    )
    request.destinations("bin")
    keyless.check_options(
        bool(sign_keyless),
        key=sign_key is not None,
        token=identity_token is not None,
        config=sigstore_config is not None,
        tags=bool(legacy_signatures),
    )
    without_key = None
    if sign_keyless:
        config = await sigstore_config.contents() if sigstore_config else None
        without_key = KeylessOptions(identity_token, config)
    options = AttachmentOptions(
        sbom=attest.sbom_format(sbom_format or "cyclonedx") if sbom or sbom_format else "",
        provenance=bool(provenance),
        symbols=bool(symbols),
        signer=await attest.signer(sign_key, sign_password, without_key),
        tags=bool(legacy_signatures),
    )
    request = dataclasses.replace(request, attachments=options)
    return request.with_login(username or "", password) if password is not None else request


def publishes(method: Callable[[Any, PublishRequest], Awaitable[Receipt]]) -> Callable[..., Awaitable[str]]:
    """Give a method that takes a request the flat arguments of `requested`, which Dagger needs."""

    @functools.wraps(method)
    async def publish(self: Any, *given: Any, **named: Any) -> str:
        request = await requested(*given, **named)
        return request.answer(await method(self, request))

    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    spell_out(publish, [own, *inspect.signature(requested, eval_str=True).parameters.values()], str)
    return publish


def spell_out(function: Any, parameters: Iterable[inspect.Parameter], result: Any = None) -> None:
    """Set the signature of a function that takes any arguments, from which Dagger reads them.

    Args:
        function: the function.
        parameters: its parameters, with `self` or `cls`.
        result: the type of its result; unchanged if None.
    """
    parameters = list(parameters)
    hints: Mapping[str, Any] = {one.name: one.annotation for one in parameters[1:]}
    result = {} if result is None else {"return": result}
    function.__signature__ = inspect.Signature(parameters)
    function.__annotations__ = {**hints, **result}
