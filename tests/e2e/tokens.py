"""Run a token service for docker-registry's token authentication.

The JSON web tokens are signed with openssl, so no library for them is needed.
"""

from __future__ import annotations

import base64
import json
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

SERVICE = "made for a test"
ISSUER = "tests"


@dataclass
class Asked:
    """A recorded token request."""

    method: str
    scopes: list[str]
    authorization: str
    form: dict[str, list[str]]


@dataclass
class Tokens:
    """The service, which issues tokens for one user or one identity token."""

    directory: Path
    user: str = "me"
    password: str = "s3cret-canary"
    identity: str = "identity-canary"
    asked: list[Asked] = field(default_factory=list)
    expired: int = 0
    url: str = ""

    def __post_init__(self) -> None:
        made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=x"]
        made += ["-keyout", str(self.key), "-out", str(self.certificate)]
        subprocess.run(made, check=True, capture_output=True)

    @property
    def key(self) -> Path:
        return self.directory / "token.key"

    @property
    def certificate(self) -> Path:
        return self.directory / "token.pem"

    def auth(self) -> dict[str, Any]:
        """Return the registry's configuration."""
        trusted = str(self.certificate)
        return {"token": {"realm": self.url, "service": SERVICE, "issuer": ISSUER, "rootcertbundle": trusted}}

    def answer(self, asked: Asked) -> tuple[int, dict[str, str]]:
        """Return a token for a request, or a refusal."""
        self.asked.append(asked)
        basic = "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        if asked.form.get("refresh_token") != [self.identity] and asked.authorization != basic:
            return 401, {"details": "incorrect username or password"}
        return 200, {"token": self.token(asked.scopes)}

    def token(self, scopes: list[str]) -> str:
        """Return a signed token; the first `expired` ones are from yesterday."""
        now = int(time.time())
        if self.expired:
            self.expired -= 1
            now -= 86_400
        access = []
        for scope in scopes:
            kind, name, actions = scope.split(":")
            access.append({"type": kind, "name": name, "actions": actions.split(",")})
        der = base64.b64encode(base64.b64decode("".join(self.certificate.read_text().splitlines()[1:-1])))
        header = {"typ": "JWT", "alg": "RS256", "x5c": [der.decode()]}
        claims = {"iss": ISSUER, "aud": SERVICE, "sub": self.user, "access": access, "jti": str(time.time())}
        claims |= {"iat": now, "nbf": now - 5, "exp": now + 300}
        signed = f"{_part(header)}.{_part(claims)}"
        sign = ["openssl", "dgst", "-sha256", "-sign", str(self.key)]
        signature = subprocess.run(sign, input=signed.encode(), check=True, capture_output=True).stdout
        return f"{signed}.{_url(signature)}"


def _url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _part(document: dict[str, Any]) -> str:
    return _url(json.dumps(document).encode())


class _Handler(BaseHTTPRequestHandler):
    tokens: Tokens

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing, since tests use the recorded requests."""

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        form = parse_qs(body) or parse_qs(urlsplit(self.path).query)
        scopes = [scope for text in form.get("scope", []) for scope in text.split(" ")]
        asked = Asked(self.command, scopes, self.headers.get("Authorization", ""), form)
        status, document = self.tokens.answer(asked)
        content = json.dumps(document).encode()
        self.send_response_only(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = answer  # noqa: N815


@contextmanager
def service(directory: Path) -> Iterator[Tokens]:
    """Run a token service during the block."""
    tokens = Tokens(directory)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Handler,), {"tokens": tokens}))
    tokens.url = f"http://127.0.0.1:{server.server_address[1]}/token"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield tokens
    finally:
        server.shutdown()
        server.server_close()
