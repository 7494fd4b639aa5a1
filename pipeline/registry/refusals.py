"""Map registry errors to hints."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipeline.errors import PublishError, RegistryDenied

LOGIN = "pass the user name and the password or token, or log in with `docker login`"


@dataclass(frozen=True)
class Refusal:
    """A row: conditions on a response, and its meaning.

    Attributes:
        statuses: HTTP statuses that match.
        pattern: regular expression to find in the body, which has the error code.
        signed: whether the request carried credentials; None for either.
        error: the class of the error.
        what: one sentence.
        fix: the next step.
    """

    statuses: tuple[int, ...]
    pattern: str
    signed: bool | None
    error: type[PublishError]
    what: str
    fix: str

    def means(self, status: int, text: str, signed: bool) -> bool:
        """Check whether a response matches this row."""
        return (
            status in self.statuses
            and self.signed in (None, signed)
            and re.search(self.pattern, text, re.IGNORECASE) is not None
        )


# The first matching row applies. Error codes are those of the OCI distribution specification.
# fmt: off
REFUSALS: tuple[Refusal, ...] = (
    Refusal((401,), "", False, RegistryDenied, "the registry requires credentials", LOGIN),
    Refusal((401,), "", True, RegistryDenied, "the registry refused the credentials",
            f"they may have expired: {LOGIN}"),
    Refusal((403,), "", None, RegistryDenied, "the registry does not allow this",
            "give the user or token the right to push to this repository (GitHub: write:packages)"),
    Refusal((404,), "NAME_UNKNOWN|repository", None, PublishError, "the registry has no such repository",
            "create the repository first: this registry does not create it on push"),
    Refusal((413,), "", None, PublishError, "the registry, or a proxy before it, refuses uploads this large",
            "raise the limit there (nginx: client_max_body_size)"),
    Refusal((400,), "DIGEST_INVALID|SIZE_INVALID", None, PublishError,
            "the content does not match its digest", "build the image again: the layout is damaged"),
    Refusal((400, 409, 412), "immutab|already ?exists|overwrit", None, PublishError,
            "the tag is immutable at this registry", "choose a new tag"),
)
# fmt: on


def explain(status: int, reason: str, text: str, *, where: str, signed: bool) -> PublishError:
    """Return the error for a registry's response.

    Args:
        status: HTTP status.
        reason: HTTP reason phrase.
        text: body, shown in full with the error.
        where: the requested resource.
        signed: whether the request carried credentials.
    """
    for refusal in REFUSALS:
        if refusal.means(status, text, signed):
            return refusal.error(f"{refusal.what} ({status})", where=where, fix=refusal.fix, output=text)
    fix = "read the registry's response above; no tag was changed"
    return PublishError(
        f"the registry returned {status} {reason}".rstrip(), where=where, fix=fix, output=text
    )
