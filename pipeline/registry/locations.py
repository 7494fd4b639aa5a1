"""Resolve the addresses that a registry sends, which may be relative or invalid."""

from __future__ import annotations

import httpx

from pipeline.errors import PublishError
from pipeline.registry.address import LAST_PORT


def resolved(base: httpx.URL, text: str) -> httpx.URL:
    """Return an address from a response, relative to a URL.

    Raises:
        PublishError: it is not a URL.
    """
    try:
        url = base.join(text)
        if not 0 < (url.port or LAST_PORT) <= LAST_PORT:
            raise ValueError(f"{url.port} is not a port")
    except (httpx.InvalidURL, ValueError) as error:
        raise PublishError(
            f"the registry sent an invalid address, {text!r} ({error})",
            where=base.netloc.decode("ascii", "replace"),
            fix="ask the registry's operator, or push elsewhere; nothing was tagged",
        ) from error
    return url
