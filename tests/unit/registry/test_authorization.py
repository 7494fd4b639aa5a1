import json

import httpx
import pytest

from pipeline.errors import PublishError, RegistryDenied
from pipeline.registry.authorization import Challenge, basic, parse_challenge, token_of, token_request
from pipeline.registry.credentials import Login

BEARER = Challenge("bearer", {"realm": "https://auth.example/token", "service": "registry"})
SCOPE = "repository:a:pull,push repository:b:pull"
BASE = httpx.URL("https://registry.example/v2/")


@pytest.mark.parametrize(
    ("headers", "challenge"),
    [
        (
            ['Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a:pull,push"'],
            Challenge("bearer", {"realm": "https://auth.docker.io/token", "service": "registry.docker.io",
                                 "scope": "repository:a:pull,push"}),
        ),
        (['Basic realm="a b"'], Challenge("basic", {"realm": "a b"})),
        (["Basic realm=x", 'bearer Realm="y"'], Challenge("bearer", {"realm": "y"})),
        (["Negotiate"], Challenge("", {})),
        (['Basic realm="a, b", Bearer realm="https://c/t",service="s"'],
         Challenge("bearer", {"realm": "https://c/t", "service": "s"})),
        (['Bearer realm="https://c/t?x=1,2",service="s" , Basic realm=a'],
         Challenge("bearer", {"realm": "https://c/t?x=1,2", "service": "s"})),
        (["Negotiate YWI=, NTLM, Basic realm=\"x\", charset=\"UTF-8\""],
         Challenge("basic", {"realm": "x", "charset": "UTF-8"})),
        (['Basic realm="say \\"hi\\", Bearer realm=\\"no\\""'],
         Challenge("basic", {"realm": 'say "hi", Bearer realm="no"'})),
        (['Bearer realm = "y", service = z', 'Bearer realm="second"'],
         Challenge("bearer", {"realm": "y", "service": "z"})),
        ([""], Challenge("", {})),
        ([], Challenge("", {})),
    ],
)  # fmt: skip
def test_parses_challenges(headers: list[str], challenge: Challenge) -> None:
    assert parse_challenge(headers) == challenge


def asked(login: Login | None) -> httpx.Request:
    return token_request(httpx.AsyncClient(), BASE, BEARER, SCOPE, login)


def test_token_requests_with_and_without_credentials() -> None:
    request = asked(None)
    assert request.method == "GET" and "Authorization" not in request.headers
    assert request.url.params.get_list("scope") == ["repository:a:pull,push", "repository:b:pull"]
    assert request.url.params["service"] == "registry"
    assert (
        asked(Login("me", "pass")).headers["Authorization"]
        == basic(Login("me", "pass"))
        == "Basic bWU6cGFzcw=="
    )


def test_an_identity_token_is_sent_in_the_body() -> None:
    request = asked(Login(identity_token="canary"))
    form = dict(httpx.QueryParams(request.read().decode()))
    assert request.method == "POST" and "canary" not in str(request.url)
    assert form["refresh_token"] == "canary" and form["grant_type"] == "refresh_token"
    assert form["scope"] == SCOPE and form["service"] == "registry" and form["client_id"]


def test_a_token_service_without_tls_is_refused() -> None:
    challenge = Challenge("bearer", {"realm": "http://auth.example/token"})
    with pytest.raises(RegistryDenied, match="without TLS"):
        token_request(httpx.AsyncClient(), BASE, challenge, SCOPE, Login("me", "pass"))


def answer(body: str) -> httpx.Response:
    return httpx.Response(200, text=body, request=httpx.Request("GET", "https://auth.example/token"))


@pytest.mark.parametrize("name", ["token", "access_token"])
def test_reads_the_token(name: str) -> None:
    assert token_of(answer(json.dumps({name: "t"}))) == "t"


@pytest.mark.parametrize("body", ["", "[]", "{}", "<html>"])
def test_a_response_without_a_token_is_an_error(body: str) -> None:
    with pytest.raises(PublishError) as raised:
        token_of(answer(body))
    assert raised.value.where == "https://auth.example/token"


def test_the_realms_own_query_is_kept() -> None:
    """Regression: `?account=…&client=…` of the realm was replaced, and the token service refused."""
    realm = "https://auth.example/token?client=a%2Fb&scope=old&service=old"
    challenge = Challenge("bearer", {"realm": realm, "service": "registry"})
    request = token_request(httpx.AsyncClient(), BASE, challenge, "repository:a:pull", None)
    assert request.url.params.multi_items() == [
        ("client", "a/b"), ("service", "registry"), ("scope", "repository:a:pull"),
    ]  # fmt: skip
    login = Login(identity_token="canary")
    posted = token_request(httpx.AsyncClient(), BASE, challenge, SCOPE, login)
    assert posted.url.params["client"] == "a/b"


def test_an_empty_service_is_left_out() -> None:
    challenge = Challenge("bearer", {"realm": "/token", "service": ""})
    request = token_request(httpx.AsyncClient(), BASE, challenge, SCOPE, None)
    assert "service" not in request.url.params and request.url.path == "/token"
    login = Login(identity_token="canary")
    posted = token_request(httpx.AsyncClient(), BASE, challenge, SCOPE, login)
    assert "service" not in dict(httpx.QueryParams(posted.read().decode()))
