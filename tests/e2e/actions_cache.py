"""Serve the cache of GitHub Actions, version 2, as opendal's service `ghac` uses it.

The protocol is from opendal's `core/services/ghac`, and the blob service that it uploads to: three methods of
Twirp with protobuf, with the job's token; uploads and downloads at signed addresses of another service, which
does not get the token. An entry is found by key and version once it is finished, and it is never replaced.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import re
import secrets
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "eyJ0.the-job's-token"
METHODS = "/twirp/github.actions.results.api.v1.CacheService/"


def message(*fields: tuple[int, bool | int | str]) -> bytes:
    """Return a message of protobuf."""
    made = b""
    for number, value in fields:
        if isinstance(value, str):
            made += varint(number << 3 | 2) + varint(len(value.encode())) + value.encode()
        else:
            made += varint(number << 3) + varint(int(value))
    return made


def varint(value: int) -> bytes:
    """Return a number of protobuf."""
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*made, value])


def fields(data: bytes) -> dict[int, Any]:
    """Return the fields of a message of protobuf, by number: texts and numbers."""
    found: dict[int, Any] = {}
    at = 0

    def number() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        tag = number()
        if tag & 7 == 0:
            found[tag >> 3] = number()
        else:
            assert tag & 7 == 2, "only numbers and texts are in these messages"
            size = number()
            found[tag >> 3] = data[at : at + size].decode()
            at += size
    return found


@dataclasses.dataclass
class Blob:
    """The content of an entry, and the signatures of its addresses."""

    write: str
    read: str
    content: bytes = b""
    blocks: dict[str, bytes] = dataclasses.field(default_factory=dict)
    finished: bool = False


@dataclasses.dataclass
class Service:
    """The service, and what a test changes of it.

    Attributes:
        entries: the blobs, by key and version.
        calls: the methods that were called.
        refusal: the status of every answer to a method; 0 to answer.
        uploads: the number of entries that are still accepted; others are over the limit of uploads.
        damaged: give other bytes than those that were uploaded.
        seconds: the time that each answer takes.
    """

    address: str = ""
    entries: dict[tuple[str, str], Blob] = dataclasses.field(default_factory=dict)
    calls: list[str] = dataclasses.field(default_factory=list)
    refusal: int = 0
    uploads: int = 1_000
    damaged: bool = False
    seconds: float = 0

    def finished(self) -> list[str]:
        """Return the keys of crates that can be downloaded."""
        return [key for (key, _), blob in self.entries.items() if blob.finished and "check" not in key]

    def blob(self, path: str) -> Blob | None:
        """Return the blob of a signed address."""
        found = list(self.entries.values())
        match = re.fullmatch(r"/actions-cache/(\d+)", path)
        return found[int(match[1])] if match and int(match[1]) < len(found) else None

    def signed(self, blob: Blob, signature: str) -> str:
        """Return the address of a blob with a signature."""
        number = list(self.entries.values()).index(blob)
        return f"{self.address}actions-cache/{number}?se=2030-01-01&sp=rw&sig={signature}"

    def create(self, asked: dict[int, Any]) -> tuple[int, bytes]:
        """Answer CreateCacheEntry."""
        place = (asked[2], asked[3])
        if place in self.entries:
            return 409, b'{"code":"already_exists","msg":"cache entry already exists"}'
        if self.uploads <= 0:
            return 429, b'{"code":"resource_exhausted","msg":"too many uploads"}'
        self.uploads -= 1
        self.entries[place] = Blob(secrets.token_hex(8), secrets.token_hex(8))
        return 200, message((1, True), (2, self.signed(self.entries[place], self.entries[place].write)))

    def finish(self, asked: dict[int, Any]) -> tuple[int, bytes]:
        """Answer FinalizeCacheEntryUpload."""
        blob = self.entries.get((asked[2], asked[4]))
        if blob is None or len(blob.content) != asked.get(3, 0):
            return 400, b'{"code":"invalid_argument","msg":"another size was uploaded"}'
        blob.finished = True
        return 200, message((1, True), (2, 1))

    def find(self, asked: dict[int, Any]) -> tuple[int, bytes]:
        """Answer GetCacheEntryDownloadURL."""
        blob = self.entries.get((asked[2], asked[4]))
        if blob is None or not blob.finished:
            return 200, message((1, False))
        return 200, message((1, True), (2, self.signed(blob, blob.read)), (3, asked[2]))


class Handler(BaseHTTPRequestHandler):
    """The requests to the service and to the store of its blobs."""

    protocol_version = "HTTP/1.1"
    service: Service

    def do_POST(self) -> None:
        """Answer a method."""
        body = self._body()
        name = self.path.removeprefix(METHODS)
        self.service.calls.append(name)
        methods = {
            "CreateCacheEntry": self.service.create,
            "FinalizeCacheEntryUpload": self.service.finish,
            "GetCacheEntryDownloadURL": self.service.find,
        }
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            self._answer(401, b'{"code":"unauthenticated","msg":"no token of a job"}')
        elif self.service.refusal:
            self._answer(self.service.refusal, b'{"code":"unavailable","msg":"refused"}')
        elif name not in methods or self.headers["Content-Type"] != "application/protobuf":
            self._answer(404, b'{"code":"bad_route","msg":"no such method"}')
        else:
            self._answer(*methods[name](fields(body)))

    def do_PUT(self) -> None:
        """Take a blob, one of its blocks, or the list of these."""
        body, address = self._body(), urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(address.query).items()}
        blob = self.service.blob(address.path)
        if blob is None or asked.get("sig") != blob.write or "Authorization" in self.headers:
            self._answer(403, b"AuthenticationFailed")
            return
        part = asked.get("comp", "")
        if part == "block":
            blob.blocks[asked["blockid"]] = body
        elif part == "blocklist":
            names = re.findall(rb"<Latest>([^<]+)</Latest>", body)
            blob.content = b"".join(blob.blocks[name.decode()] for name in names)
        else:
            assert self.headers["x-ms-blob-type"] == "BlockBlob"
            blob.content = body
        self._answer(201, b"")

    def do_GET(self) -> None:
        """Give a blob, or a part of it."""
        address = urlsplit(self.path)
        blob = self.service.blob(address.path)
        asked = parse_qs(address.query).get("sig", [""])[0]
        if blob is None or asked != blob.read or "Authorization" in self.headers:
            self._answer(403, b"AuthenticationFailed")
            return
        content = base64.b64encode(blob.content) if self.service.damaged else blob.content
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if match is None:
            self._answer(200, content)
            return
        start, end = int(match[1]), min(int(match[2] or len(content)), len(content) - 1)
        self._answer(206, content[start : end + 1], f"bytes {start}-{end}/{len(content)}")

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _answer(self, status: int, body: bytes, part: str = "") -> None:
        time.sleep(self.service.seconds)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if part:
            self.send_header("Content-Range", part)
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextlib.contextmanager
def served(host: str = "127.0.0.1", bind: str = "") -> Iterator[Service]:
    """Run the service.

    Args:
        host: the host of its addresses.
        bind: the address to listen on; the host by default.
    """
    service = Service()
    handler = type("Bound", (Handler,), {"service": service})
    with ThreadingHTTPServer((bind or host, 0), handler) as server:
        server.daemon_threads = True
        service.address = f"http://{host}:{server.server_address[1]}/"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield service
        finally:
            server.shutdown()
            thread.join()
