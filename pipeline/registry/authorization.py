"""Authenticate to registries: with Basic credentials, or with a token of their token service."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass

import httpx

from pipeline.errors import PublishError, RegistryDenied
from pipeline.oci.layout import parsed
from pipeline.registry.credentials import Login
from pipeline.registry.locations import resolved
from pipeline.registry.refusals import LOGIN

CLIENT_ID = "rust-multiarch"


@dataclass(frozen=True)
class Challenge:
    """A registry's authentication challenge."""

    scheme: str
    parameters: Mapping[str, str]


_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_ITEM = re.compile(
    rf"""
    (?P<name>{_TOKEN}) \s* = \s* (?: "(?P<quoted>(?:[^"\\]|\\.)*)" | (?P<bare>[^\s,"]+) )
    | (?P<scheme>{_TOKEN}) (?: [ ]+ [A-Za-z0-9._~+/-]+=* (?= \s*(?:,|$) ) )?
    """,
    re.VERBOSE,
)
"""A parameter, or a scheme with or without one token (RFC 9110, 11.2 and 11.6.1)."""


def parse_challenge(headers: list[str]) -> Challenge:
    """Parse the first supported challenge of WWW-Authenticate headers; Bearer takes precedence over Basic.

    A header may have several challenges, separated by commas like the parameters of one.
    """
    found: dict[str, dict[str, str]] = {}
    for header in headers:
        parameters: dict[str, str] = {}
        for item in _ITEM.finditer(header):
            if item["scheme"]:
                parameters = {}
                found.setdefault(item["scheme"].lower(), parameters)
            else:
                quoted = re.sub(r"\\(.)", r"\1", item["quoted"] or "")
                parameters.setdefault(item["name"].lower(), quoted or item["bare"] or "")
    scheme = next((known for known in ("bearer", "basic") if known in found), "")
    return Challenge(scheme, found.get(scheme, {}))


def basic(login: Login) -> str:
    """Return the Authorization header for a name and a password."""
    return "Basic " + base64.b64encode(f"{login.username}:{login.password}".encode()).decode()


def token_request(
    client: httpx.AsyncClient,
    base: httpx.URL,
    challenge: Challenge,
    scope: str,
    login: Login | None,
) -> httpx.Request:
    """Return the request for a token with some rights; the realm's own query is kept.

    Raises:
        PublishError: the realm is not a URL.
        RegistryDenied: a registry with TLS uses a token service without TLS.
    """
    realm = resolved(base, challenge.parameters.get("realm", ""))
    if realm.scheme != "https" and base.scheme == "https":
        raise RegistryDenied(
            "the registry sends credentials to a token service without TLS",
            where=str(realm),
            fix="ask the registry's operator to correct the realm",
        )
    service = challenge.parameters.get("service", "")
    named = {"service": service} if service else {}
    if login and login.identity_token:
        form = {"grant_type": "refresh_token", **named, "client_id": CLIENT_ID, "scope": scope}
        return client.build_request("POST", realm, data={**form, "refresh_token": login.identity_token})
    headers = {"Authorization": basic(login)} if login else {}
    own = [(name, value) for name, value in realm.params.multi_items() if name not in {*named, "scope"}]
    params = [*own, *named.items(), *(("scope", one) for one in scope.split(" "))]
    return client.build_request("GET", realm.copy_with(params=params), headers=headers)


def token_of(answer: httpx.Response) -> str:
    """Parse a token service's response.

    Raises:
        PublishError: the response has no token.
    """
    try:
        document = parsed(answer.content)
        token = document.get("token") or document["access_token"]
        if not isinstance(token, str) or not re.fullmatch(r"[\x21-\x7e]+", token):
            raise ValueError("no token that a header can have")
        return token
    except (PublishError, ValueError, KeyError):
        raise PublishError(
            "the token service returned no token", where=str(answer.request.url), fix=LOGIN
        ) from None
