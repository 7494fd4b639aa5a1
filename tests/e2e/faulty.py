"""Run a proxy in front of a real registry that injects faults and records requests."""

from __future__ import annotations

import http.client
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PIECE = 64 * 1024


@dataclass
class Fault:
    """A fault, the requests that it applies to, and how often.

    Attributes:
        method: the method of the requests.
        path: a regular expression to search in their paths.
        status: the status to respond with instead of the registry's; 0 cuts the connection.
        headers: the headers of that response.
        times: the number of requests before it is used up.
        after: bytes of the request's body to read first (and to drop, if there is a response).
        dies: whether to serve nothing afterwards.
    """

    method: str
    path: str
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    times: int = 1
    after: int = 0
    dies: bool = False


@dataclass(frozen=True)
class Seen:
    """A recorded request.

    Attributes:
        method: its method.
        path: its path, with the query.
        body_bytes: the number of bytes received of its body.
        status: the response's status; 0 without a response.
        headers: its headers.
    """

    method: str
    path: str
    body_bytes: int
    status: int
    headers: dict[str, str]


class Proxy:
    """A running proxy; `address` is its host and port.

    Like nginx and Cloudflare, it answers 413 to requests of more than `limit` bytes; 0 for no limit.
    """

    def __init__(self, upstream: str, limit: int = 0) -> None:
        self.upstream = upstream
        self.limit = limit
        self.faults: list[Fault] = []
        self.seen: list[Seen] = []
        self.lock = threading.Lock()
        self.connections: set[socket.socket] = set()
        self.server = self._serve(0)
        self.address = f"127.0.0.1:{self.server.server_address[1]}"

    def _serve(self, port: int) -> ThreadingHTTPServer:
        server = ThreadingHTTPServer(("127.0.0.1", port), type("Bound", (self._handler(),), {"proxy": self}))
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return server

    def _handler(self) -> type[Handler]:
        return Handler

    def fault_for(self, method: str, path: str) -> Fault | None:
        """Return and consume the next fault for a request."""
        with self.lock:
            for fault in self.faults:
                if fault.times and fault.method == method and re.search(fault.path, path):
                    fault.times -= 1
                    return fault
        return None

    def die(self) -> None:
        """Refuse new connections and close existing ones, like a process that was killed."""
        with suppress(OSError):
            self.server.socket.shutdown(socket.SHUT_RDWR)
        self.server.socket.close()
        threading.Thread(target=self.server.shutdown, daemon=True).start()
        for connection in list(self.connections):
            cut(connection)

    def revive(self) -> None:
        """Serve again, at the same address, without faults."""
        self.faults.clear()
        self.server = self._serve(int(self.address.rpartition(":")[2]))

    def uploads(self) -> list[Seen]:
        """Return the requests that uploaded blobs."""
        return [seen for seen in self.seen if seen.method == "PUT" and "/blobs/uploads/" in seen.path]

    def forget(self) -> None:
        """Forget the recorded requests."""
        self.seen.clear()


def cut(connection: socket.socket) -> None:
    """End a connection at once."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


class Handler(BaseHTTPRequestHandler):
    """A connection of a client."""

    proxy: Proxy
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        self.proxy.connections.add(self.connection)

    def finish(self) -> None:
        self.proxy.connections.discard(self.connection)
        with suppress(OSError):
            super().finish()

    def handle(self) -> None:
        with suppress(OSError, ValueError):
            super().handle()

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing, since tests use the recorded requests."""

    def pass_on(self) -> None:
        """Handle a request."""
        fault = self.proxy.fault_for(self.command, self.path)
        total = int(self.headers.get("Content-Length") or 0)
        if fault and not fault.status:
            got = len(self.rfile.read(min(fault.after, total)))
            self.note(got, 0)
            if fault.dies:
                self.proxy.die()
            self.close_connection = True
            cut(self.connection)
            return
        if self.proxy.limit and total > self.proxy.limit:
            self.rfile.read(total)
            self.note(total, 413)
            self.answer(413, {}, b"Request Entity Too Large")
            return
        if fault:
            got = len(self.rfile.read(total))
            self.note(got, fault.status)
            self.answer(fault.status, fault.headers, b"the proxy says so")
            return
        self.forward(total)

    def forward(self, total: int) -> None:
        """Forward a request to the registry."""
        upstream = http.client.HTTPConnection(self.proxy.upstream, timeout=30)
        try:
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() != "connection":
                    upstream.putheader(name, value)
            upstream.endheaders()
            left = total
            while left and (piece := self.rfile.read(min(PIECE, left))):
                upstream.send(piece)
                left -= len(piece)
            response = upstream.getresponse()
            body = response.read()
            self.note(total - left, response.status)
            headers = {k: v for k, v in response.getheaders() if k.lower() not in ("connection", "date")}
            self.answer(response.status, headers, body)
        finally:
            upstream.close()

    def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        """Send a response; for HEAD, the length is that of the missing body."""
        self.send_response_only(status)
        length = next((v for k, v in headers.items() if k.lower() == "content-length"), str(len(body)))
        for name, value in headers.items():
            if name.lower() not in ("content-length", "transfer-encoding"):
                self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def note(self, got: int, status: int) -> None:
        """Record a request."""
        with self.proxy.lock:
            self.proxy.seen.append(Seen(self.command, self.path, got, status, dict(self.headers)))

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = pass_on  # noqa: N815


@contextmanager
def proxy(upstream: str, limit: int = 0) -> Iterator[Proxy]:
    """Run a proxy in front of a registry during the block."""
    made = Proxy(upstream, limit)
    try:
        yield made
    finally:
        made.die()
