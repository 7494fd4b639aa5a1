"""Upload blobs in one request, or in chunks if the registry, or a proxy before it, limits a request's size.

The limit is not known: after the first response 413, chunks are halved until they are accepted, and other
blobs of the same registry start with that size. Chunks are in memory, so that each can be sent again.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

import httpx

from pipeline.oci.layout import Descriptor
from pipeline.registry.retry import TransientError
from pipeline.registry.transport import Registry

CHUNK_BYTES = 16 << 20
"""The largest chunk."""

SMALLEST_BYTES = 1 << 20
"""The smallest chunk, which is the default limit of nginx."""

OCTETS = {"Content-Type": "application/octet-stream"}
DONE = frozenset({201, 204})
TOO_LARGE = 413

Open = Callable[[], AsyncGenerator[bytes, None]]
Begin = Callable[[], Awaitable[httpx.Response]]


async def send(
    registry: Registry, scope: str, blob: Descriptor, content: Open, begun: httpx.Response, begin: Begin
) -> None:
    """Send the bytes of a blob.

    Args:
        registry: the registry.
        scope: the scope that a token needs.
        blob: the blob's descriptor.
        content: opens its bytes, from the start each time it is called.
        begun: the response that began the upload.
        begin: begins another upload.

    Raises:
        PublishError: even the smallest chunk is too large, or another refusal.
    """
    size = registry.chunk_bytes
    if not size or blob.size <= size:
        answer = await registry.send_once(
            "PUT",
            upload_url(registry, begun, blob.digest),
            scope=scope,
            headers={**OCTETS, "Content-Length": str(blob.size)},
            content=content,
            accept=DONE | {TOO_LARGE},
        )
        if answer.status_code != TOO_LARGE:
            return
        size = _below(min(blob.size, size or 2 * CHUNK_BYTES))
        begun = await begin()
    while True:
        least = max(SMALLEST_BYTES, _minimum(begun))
        refused = await _in_chunks(registry, scope, blob, content, begun, max(size, least))
        if refused is None:
            registry.chunk_bytes = max(size, least)
            return
        if size <= least:
            raise registry.refusal(refused)
        size = _below(size)
        begun = await begin()


def _below(size: int) -> int:
    """Return the largest power of two below a number of bytes, of at most `CHUNK_BYTES`."""
    return int(min(CHUNK_BYTES, 1 << (max(size, 2) - 1).bit_length() - 1))


def _minimum(begun: httpx.Response) -> int:
    text = begun.headers.get("OCI-Chunk-Min-Length", "")
    return min(int(text), CHUNK_BYTES) if re.fullmatch(r"[0-9]{1,18}", text) else 0


async def _in_chunks(
    registry: Registry, scope: str, blob: Descriptor, content: Open, begun: httpx.Response, size: int
) -> httpx.Response | None:
    """Send a blob in chunks; return the response that refuses one for its size."""
    start = 0
    async with aclosing(content()) as pieces:
        async for chunk in _cut(pieces, size):
            end = start + len(chunk) - 1
            begun = await registry.send_once(
                "PATCH",
                registry.location(begun),
                scope=scope,
                headers={**OCTETS, "Content-Length": str(len(chunk)), "Content-Range": f"{start}-{end}"},
                content=chunk,
                accept=frozenset({201, 202, 204, TOO_LARGE, 416}),
            )
            if begun.status_code == TOO_LARGE:
                return begun
            kept = begun.headers.get("Range", f"0-{end}").removeprefix("bytes=")
            if begun.status_code == 416 or kept != f"0-{end}":
                raise TransientError(f"it kept {kept!r} of an upload that has 0-{end}")
            start = end + 1
    await registry.send_once(
        "PUT",
        upload_url(registry, begun, blob.digest),
        scope=scope,
        headers={**OCTETS, "Content-Length": "0"},
        content=b"",
        accept=DONE,
    )
    return None


async def _cut(pieces: AsyncGenerator[bytes, None], size: int) -> AsyncGenerator[bytes, None]:
    """Yield the same bytes in pieces of one size; the last may be shorter."""
    gathered = bytearray()
    async for piece in pieces:
        gathered += piece
        while len(gathered) >= size:
            yield bytes(gathered[:size])
            del gathered[:size]
    if gathered:
        yield bytes(gathered)


def upload_url(registry: Registry, begun: httpx.Response, digest: str) -> str:
    """Return the URL that completes an upload, with the digest added.

    The location may be relative, and its query is unchanged, since it may be signed.
    """
    url = registry.location(begun)
    return f"{url}{'&' if '?' in url else '?'}digest={digest}"
