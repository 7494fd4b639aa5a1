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
from pipeline.registry.refusals import LOGIN

CLIENT_ID = "rust-multiarch"


@dataclass(frozen=True)
class Challenge:
    """A registry's authentication challenge."""

    scheme: str
    parameters: Mapping[str, str]


def parse_challenge(headers: list[str]) -> Challenge:
    """Parse the first supported challenge of WWW-Authenticate headers; Bearer takes precedence over Basic."""
    found = {}
    for header in headers:
        scheme, _, rest = header.strip().partition(" ")
        pairs = re.findall(r'([A-Za-z_]+)=(?:"([^"]*)"|([^\s,]+))', rest)
        found[scheme.lower()] = {name.lower(): quoted or bare for name, quoted, bare in pairs}
    scheme = next((known for known in ("bearer", "basic") if known in found), "")
    return Challenge(scheme, found.get(scheme, {}))


def basic(login: Login) -> str:
    """Return the Authorization header for a name and a password."""
    return "Basic " + base64.b64encode(f"{login.username}:{login.password}".encode()).decode()


def token_request(
    client: httpx.AsyncClient, base: httpx.URL, challenge: Challenge, scope: str, login: Login | None
) -> httpx.Request:
    """Return the request for a token with some rights.

    Raises:
        RegistryDenied: a registry with TLS uses a token service without TLS.
    """
    realm = base.join(challenge.parameters.get("realm", ""))
    if realm.scheme != "https" and base.scheme == "https":
        raise RegistryDenied(
            "the registry sends credentials to a token service without TLS",
            where=str(realm),
            fix="ask the registry's operator to correct the realm",
        )
    service = challenge.parameters.get("service", "")
    if login and login.identity_token:
        form = {"grant_type": "refresh_token", "service": service, "client_id": CLIENT_ID, "scope": scope}
        return client.build_request("POST", realm, data={**form, "refresh_token": login.identity_token})
    headers = {"Authorization": basic(login)} if login else {}
    params = {"service": service, "scope": scope.split(" ")}
    return client.build_request("GET", realm, params=params, headers=headers)


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
