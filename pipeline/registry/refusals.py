"""What registries' refusals mean: a table of statuses and error codes, and the next step for each."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipeline.errors import PublishError, RegistryDenied

LOGIN = "pass the user name and the password or token, or log in with `docker login`"


@dataclass(frozen=True)
class Refusal:
    """One row: what an answer has to have, and what it then means.

    Attributes:
        statuses: HTTP statuses it comes with.
        pattern: an expression that is searched in the answer's text, where the error code is.
        signed: whether the request carried credentials; None for either.
        error: the class of the error.
        what: one sentence.
        fix: the next thing to do.
    """

    statuses: tuple[int, ...]
    pattern: str
    signed: bool | None
    error: type[PublishError]
    what: str
    fix: str

    def means(self, status: int, text: str, signed: bool) -> bool:
        """Whether an answer is this refusal."""
        return (
            status in self.statuses
            and self.signed in (None, signed)
            and re.search(self.pattern, text, re.IGNORECASE) is not None
        )


# The first row that fits decides. Error codes are those of the OCI distribution specification.
# fmt: off
REFUSALS: tuple[Refusal, ...] = (
    Refusal((401,), "", False, RegistryDenied, "the registry wants credentials", LOGIN),
    Refusal((401,), "", True, RegistryDenied, "the registry refused the credentials",
            f"they may have expired: {LOGIN}"),
    Refusal((403,), "", None, RegistryDenied, "the registry does not allow this",
            "give the user or token the right to push to this repository (GitHub: write:packages)"),
    Refusal((404,), "NAME_UNKNOWN|repository", None, PublishError, "the registry has no such repository",
            "create the repository first: this registry does not do so by itself"),
    Refusal((413,), "", None, PublishError, "the registry, or a proxy before it, takes no content this large",
            "raise the limit there (nginx: client_max_body_size)"),
    Refusal((400,), "DIGEST_INVALID|SIZE_INVALID", None, PublishError,
            "what was sent is not what its digest says", "build the image again: the layout is damaged"),
    Refusal((400, 409, 412), "immutab|already ?exists|overwrit", None, PublishError,
            "the tag is immutable at this registry", "choose a new tag"),
)
# fmt: on


def explain(status: int, reason: str, text: str, *, where: str, signed: bool) -> PublishError:
    """The error that a registry's answer means.

    Args:
        status: of the answer.
        reason: its words for it.
        text: its body, which the error shows whole.
        where: what was asked for.
        signed: whether the request carried credentials.
    """
    for refusal in REFUSALS:
        if refusal.means(status, text, signed):
            return refusal.error(f"{refusal.what} ({status})", where=where, fix=refusal.fix, output=text)
    fix = "read the registry's answer above; nothing was tagged"
    return PublishError(
        f"the registry answered {status} {reason}".rstrip(), where=where, fix=fix, output=text
    )
