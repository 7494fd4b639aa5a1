"""Run a proxy in front of a real registry that supports conditional requests (RFC 9110, 13.1) of tags."""

from __future__ import annotations

import http.client
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import faulty

NEVER = "never"
"""A tag that the registry refuses."""


class Conditional(faulty.Proxy):
    """A running proxy; a tag is read and set under a lock."""

    def __init__(self, upstream: str) -> None:
        self.tags = threading.Lock()
        self.refused = 0
        super().__init__(upstream)

    def _handler(self) -> type[faulty.Handler]:
        return Handler


class Handler(faulty.Handler):
    """A connection of a client."""

    proxy: Conditional

    def forward(self, total: int) -> None:
        tag = re.search(r"/manifests/([^:/]+)$", self.path)
        if self.command not in ("PUT", "DELETE") or not tag:
            super().forward(total)
            return
        with self.proxy.tags:
            if tag[1] == NEVER or not self.met():
                self.proxy.refused += tag[1] != NEVER
                self.rfile.read(total)
                self.note(total, 412)
                self.answer(409 if tag[1] == NEVER else 412, {}, b"")
            else:
                super().forward(total)

    def met(self) -> bool:
        """Return True if the conditions of the request are met."""
        upstream = http.client.HTTPConnection(self.proxy.upstream, timeout=30)
        try:
            accept = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json"
            upstream.request("HEAD", self.path, headers={"Accept": accept})
            response = upstream.getresponse()
            response.read()
        finally:
            upstream.close()
        exists = response.status == 200
        match = self.headers.get("If-Match")
        if match is not None and not (exists and match == response.headers["ETag"]):
            return False
        return not (exists and self.headers.get("If-None-Match") == "*")


@contextmanager
def proxy(upstream: str) -> Iterator[Conditional]:
    """Run a proxy in front of a registry during the block."""
    made = Conditional(upstream)
    try:
        yield made
    finally:
        made.die()
