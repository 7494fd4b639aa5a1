"""Run a registry in memory that rejects every request that the OCI distribution specification 1.1 rejects.

`Quirks` are behaviours of real registries. `wrong` lists requests that break a rule of the specification,
even if real registries accept them.
"""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from pipeline.oci.layout import INDEX, digest_of

NAME = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
TAG = r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}"
DIGEST = r"sha256:[0-9a-f]{64}"


@dataclass
class Quirks:
    """Behaviours of registries.

    Attributes:
        challenges: WWW-Authenticate headers; with any, requests need the token "good". `{}` is replaced by
            the server's address. The token service is at /token.
        tokens: the answer of the token service for a scope; others get the token.
        mounts: the status of a mount; 0 if mounts work.
        limit: the largest body of a request, in bytes; 0 for none.
        least: the smallest chunk but the last (OCI-Chunk-Min-Length).
        keeps: bytes that an upload loses of its first chunk.
        absolute: whether Location has a scheme and host.
        referrers: whether the referrers API exists.
        etags: whether manifests have entity tags, and conditional requests are supported.
        redirects: prefixes of paths, and the address that they are redirected to.
        first: answers to the first requests whose method and path match, by a regular expression.
    """

    challenges: tuple[str, ...] = ()
    tokens: Mapping[str, int] = field(default_factory=dict)
    mounts: int = 0
    limit: int = 0
    least: int = 0
    keeps: int = 0
    absolute: bool = False
    referrers: bool = True
    etags: bool = False
    redirects: Mapping[str, str] = field(default_factory=dict)
    first: list[tuple[str, int, dict[str, str]]] = field(default_factory=list)


@dataclass(frozen=True)
class Seen:
    """A request."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    size: int

    @property
    def line(self) -> str:
        """Return method and path."""
        return f"{self.method} {self.path}"


class StrictRegistry:
    """A running registry; `address` is its host and port."""

    def __init__(self, quirks: Quirks, host: str = "127.0.0.1") -> None:
        self.quirks = quirks
        self.blobs: dict[tuple[str, str], bytes] = {}
        self.manifests: dict[tuple[str, str], tuple[str, bytes]] = {}
        self.uploads: dict[str, bytearray] = {}
        self.begun = 0
        self.seen: list[Seen] = []
        self.wrong: list[str] = []
        self.lock = threading.RLock()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        server = type("Server", (ThreadingHTTPServer,), {"address_family": family, "daemon_threads": True})
        self.server = server((host, 0), type("Bound", (Handler,), {"registry": self}))
        port = self.server.server_address[1]
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def lines(self, pattern: str = "") -> list[str]:
        """Return the requests that match a regular expression."""
        return [seen.line for seen in self.seen if re.search(pattern, seen.line)]

    def tags(self, name: str) -> dict[str, str]:
        """Return the digests of a repository's tags."""
        return {
            reference: digest_of(body)
            for (repository, reference), (_, body) in self.manifests.items()
            if repository == name and ":" not in reference
        }


class Handler(BaseHTTPRequestHandler):
    """A connection of a client."""

    registry: StrictRegistry
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""

    def answer(self) -> None:
        parts = urlsplit(self.path)
        self.query = dict(parse_qsl(parts.query, keep_blank_values=True))
        length = self.headers.get("Content-Length")
        if self.headers.get("Transfer-Encoding"):
            self.close_connection = True
            self.breaks("a body without Content-Length")
            self.reply(411)
            return
        self.body = self.rfile.read(int(length or 0))
        with self.registry.lock:
            pairs = tuple(parse_qsl(parts.query, keep_blank_values=True))
            self.registry.seen.append(
                Seen(self.command, parts.path, pairs, dict(self.headers), len(self.body))
            )
            self.reply(*self.respond(parts.path))

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815

    def breaks(self, rule: str) -> None:
        self.registry.wrong.append(f"{self.command} {self.path}: {rule}")

    def reply(
        self, status: int, headers: Mapping[str, str | tuple[str, ...]] | None = None, body: bytes = b""
    ) -> None:
        self.send_response_only(status)
        for name, values in (headers or {}).items():
            for value in (values,) if isinstance(values, str) else values:
                self.send_header(name, value)
        if "Content-Length" not in (headers or {}):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def respond(self, path: str) -> tuple[Any, ...]:
        quirks = self.registry.quirks
        for number, (pattern, status, headers) in enumerate(quirks.first):
            if re.search(pattern, f"{self.command} {path}"):
                del quirks.first[number]
                return status, headers, b'{"errors": []}'
        if path == "/token":
            scopes = [value for name, value in self.registry.seen[-1].query if name == "scope"]
            status = next((quirks.tokens[scope] for scope in scopes if scope in quirks.tokens), 200)
            return status, {}, b'{"token": "good"}'
        for prefix, to in quirks.redirects.items():
            if path.startswith(prefix):
                return 307, {"Location": f"{to}{self.path}"}
        if quirks.challenges and self.headers.get("Authorization") != "Bearer good":
            return self.challenged()
        if quirks.limit and len(self.body) > quirks.limit:
            return 413, {}, b"<html>Request Entity Too Large</html>"
        if path == "/v2/":
            return 200, {}
        for pattern, act in ROUTES:
            if match := re.fullmatch(pattern, path):
                return act(self, *match.groups())  # type: ignore[no-any-return]
        self.breaks("no such endpoint")
        return 404, {}

    def challenged(self) -> tuple[Any, ...]:
        here = f"http://{self.registry.address}"
        made = tuple(one.replace("{}", here) for one in self.registry.quirks.challenges)
        return 401, {"WWW-Authenticate": made}, b'{"errors": [{"code": "UNAUTHORIZED"}]}'

    # Blobs.

    def blob(self, name: str, digest: str) -> tuple[Any, ...]:
        if self.command not in ("GET", "HEAD"):
            self.breaks("blobs are only read here")
            return (405,)
        content = self.registry.blobs.get((name, digest))
        if content is None:
            return 404, {}, b'{"errors": [{"code": "BLOB_UNKNOWN"}]}'
        return 200, {"Content-Length": str(len(content)), "Docker-Content-Digest": digest}, content

    def begin(self, name: str) -> tuple[Any, ...]:
        if self.command != "POST":
            self.breaks("an upload begins with POST")
            return (405,)
        if self.headers.get("Content-Length") != "0":
            self.breaks("an upload begins with Content-Length: 0")
        mount, origin = self.query.get("mount"), self.query.get("from")
        if mount and self.registry.quirks.mounts:
            if self.registry.quirks.mounts != 202:
                return self.registry.quirks.mounts, {}, b'{"errors": [{"code": "DENIED"}]}'
        elif mount and (origin, mount) in self.registry.blobs:
            self.registry.blobs[name, mount] = self.registry.blobs[str(origin), mount]
            return 201, {"Location": f"/v2/{name}/blobs/{mount}"}
        self.registry.begun += 1
        session = str(self.registry.begun)
        self.registry.uploads[session] = bytearray()
        least = self.registry.quirks.least
        return 202, self.at(name, session) | ({"OCI-Chunk-Min-Length": str(least)} if least else {})

    def at(self, name: str, session: str) -> dict[str, str]:
        """Return the headers of an upload; its URL changes with each request, like docker-registry's."""
        state = len(self.registry.uploads[session])
        host = f"http://{self.registry.address}" if self.registry.quirks.absolute else ""
        end = f"0-{max(state - 1, 0)}"
        return {"Location": f"{host}/v2/{name}/blobs/uploads/{session}?_state=a%2Bb{state}", "Range": end}

    def go_on(self, name: str, session: str) -> tuple[Any, ...]:
        kept = self.registry.uploads.get(session)
        if kept is None:
            return 404, {}, b'{"errors": [{"code": "BLOB_UPLOAD_UNKNOWN"}]}'
        if self.query.get("_state") != f"a+b{len(kept)}":
            self.breaks("the last Location's query is missing")
        if self.body and self.headers.get("Content-Type") != "application/octet-stream":
            self.breaks("blobs are application/octet-stream")
        if self.command == "PATCH":
            start = len(kept)
            if self.headers.get("Content-Range") != f"{start}-{start + len(self.body) - 1}":
                self.breaks("Content-Range")
                return 416, self.at(name, session)
            kept += self.body[: len(self.body) - self.registry.quirks.keeps]
            self.registry.quirks.keeps = 0
            return 202, self.at(name, session)
        if self.command != "PUT" or not re.fullmatch(DIGEST, self.query.get("digest", "")):
            self.breaks("an upload ends with PUT and a digest")
            return (400,)
        content = bytes(kept + self.body)
        if digest_of(content) != self.query["digest"]:
            return 400, {}, b'{"errors": [{"code": "DIGEST_INVALID"}]}'
        self.registry.blobs[name, self.query["digest"]] = content
        del self.registry.uploads[session]
        return 201, {"Location": f"/v2/{name}/blobs/{self.query['digest']}"}

    # Manifests.

    def manifest(self, name: str, reference: str) -> tuple[Any, ...]:
        if not re.fullmatch(f"{DIGEST}|{TAG}", reference):
            self.breaks("a reference is a digest or a tag")
            return (400,)
        found = self.registry.manifests.get((name, reference))
        if self.registry.quirks.etags and self.command in ("PUT", "DELETE"):
            etag = f'"{digest_of(found[1])}"' if found else ""
            match, none = self.headers.get("If-Match"), self.headers.get("If-None-Match")
            if (match and match != etag) or (none and found):
                return (412,)
        if self.command == "PUT":
            return self.put(name, reference)
        if found is None:
            return 404, {}, b'{"errors": [{"code": "MANIFEST_UNKNOWN"}]}'
        if self.command == "DELETE":
            if ":" in reference:
                self.breaks("a manifest of others may be deleted")
            del self.registry.manifests[name, reference]
            return (202,)
        media_type, body = found
        if media_type not in self.headers.get("Accept", ""):
            self.breaks(f"Accept lacks {media_type}")
        headers = {"Content-Type": media_type, "Docker-Content-Digest": digest_of(body)}
        if self.registry.quirks.etags:
            headers["ETag"] = f'"{digest_of(body)}"'
        return 200, headers | {"Content-Length": str(len(body))}, body

    def put(self, name: str, reference: str) -> tuple[Any, ...]:
        document = json.loads(self.body)
        media_type = self.headers.get("Content-Type", "")
        if document.get("mediaType", media_type) != media_type:
            self.breaks("Content-Type is not the manifest's mediaType")
        digest = digest_of(self.body)
        if ":" in reference and reference != digest:
            return 400, {}, b'{"errors": [{"code": "DIGEST_INVALID"}]}'
        needed = [document["config"], *document["layers"]] if "layers" in document else []
        missing = [one["digest"] for one in needed if (name, one["digest"]) not in self.registry.blobs]
        children = document.get("manifests", [])
        missing += [
            one["digest"]
            for one in children
            if (name, one["digest"]) not in self.registry.manifests and not reference.startswith("sha256-")
        ]
        if missing:
            self.breaks(f"a manifest before what it names: {missing}")
            return 404, {}, b'{"errors": [{"code": "MANIFEST_BLOB_UNKNOWN"}]}'
        self.registry.manifests[name, digest] = self.registry.manifests[name, reference] = (
            media_type,
            self.body,
        )
        subject = document.get("subject")
        headers = {"Location": f"/v2/{name}/manifests/{digest}", "Docker-Content-Digest": digest}
        if subject and self.registry.quirks.referrers:
            headers["OCI-Subject"] = subject["digest"]
        return 201, headers

    def referrers(self, name: str, digest: str) -> tuple[Any, ...]:
        if not self.registry.quirks.referrers:
            return (404,)
        entries = []
        for (repository, reference), (media_type, body) in self.registry.manifests.items():
            document = json.loads(body)
            subject = document.get("subject", {}).get("digest")
            if repository == name and ":" in reference and subject == digest:
                kind = document.get("artifactType") or document.get("config", {}).get("mediaType")
                entry = {"mediaType": media_type, "digest": reference, "size": len(body)}
                more = {"artifactType": kind, "annotations": document.get("annotations", {})}
                entries.append(entry | more)
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
        return 200, {"Content-Type": INDEX}, json.dumps(index).encode()


ROUTES: tuple[tuple[str, Any], ...] = (
    (rf"/v2/({NAME})/blobs/uploads/", Handler.begin),
    (rf"/v2/({NAME})/blobs/uploads/([0-9]+)", Handler.go_on),
    (rf"/v2/({NAME})/blobs/({DIGEST})", Handler.blob),
    (rf"/v2/({NAME})/manifests/([^/]+)", Handler.manifest),
    (rf"/v2/({NAME})/referrers/({DIGEST})", Handler.referrers),
)


@contextmanager
def running(quirks: Quirks | None = None, host: str = "127.0.0.1") -> Iterator[StrictRegistry]:
    """Run a registry during the block."""
    made = StrictRegistry(quirks or Quirks(), host)
    thread = threading.Thread(target=made.server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.server.shutdown()
        made.server.server_close()
