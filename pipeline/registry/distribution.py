"""Use the OCI distribution API: the blobs, manifests, tags and referrers of one repository."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

import httpx

from pipeline.errors import PublishError
from pipeline.oci.layout import (
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    INDEX,
    MANIFEST,
    Descriptor,
    compact,
    damaged,
    digest_of,
    parsed,
)
from pipeline.registry.address import DOCKER_HUB
from pipeline.registry.retry import TransientError
from pipeline.registry.transport import Registry

ACCEPT = {"Accept": ", ".join((INDEX, MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST))}
OR_NOT = frozenset({200, 404})
NO_SUCH_API = frozenset({400, 404, 405, 406, 501})
"""Response statuses of registries without the referrers API."""

MAX_MANIFEST_BYTES = 4 << 20
"""The maximum size of a manifest, which registries have to accept by the specification."""

MAX_PAGES = 100
"""The maximum number of pages of referrers, against registries that never end."""

Open = Callable[[], AsyncGenerator[bytes, None]]


@dataclass(frozen=True)
class Fetched:
    """A manifest downloaded from a registry."""

    descriptor: Descriptor
    body: bytes


@dataclass(frozen=True)
class Repository:
    """A repository of a registry."""

    registry: Registry
    name: str
    actions: str = "pull,push"

    @property
    def scope(self) -> str:
        """Return the scope that a token needs for this repository."""
        return f"repository:{self.path}:{self.actions}"

    @property
    def path(self) -> str:
        """Return the repository's path at the registry; Docker Hub's official images have a namespace."""
        official = self.registry.host == DOCKER_HUB and "/" not in self.name
        return f"library/{self.name}" if official else self.name

    async def upload(self, blob: Descriptor, content: Open, mount_from: str = "") -> str:
        """Upload a blob unless it is there; return `present`, `mounted` or `uploaded`.

        After a dropped connection, check whether the blob arrived, and upload it again if not. (A registry
        discards the bytes of an incomplete upload: measured on docker-registry 2.8.2.)

        Args:
            blob: its descriptor; the registry checks the digest.
            content: opens its bytes, from the start each time it is called.
            mount_from: a repository of the same registry that may have it.
        """
        return await self.registry.persist(lambda: self._upload_once(blob, content, mount_from))

    async def _upload_once(self, blob: Descriptor, content: Open, mount_from: str) -> str:
        seen = await self.registry.send_once(
            "HEAD", f"{self.path}/blobs/{blob.digest}", scope=self.scope, accept=OR_NOT
        )
        if seen.status_code == 200:
            return "present"
        scope, query = self.scope, ""
        if mount_from:
            query = f"?mount={blob.digest}&from={mount_from}"
            scope = f"{scope} repository:{mount_from}:pull"
        begun = await self.registry.send_once(
            "POST",
            f"{self.path}/blobs/uploads/{query}",
            scope=scope,
            headers={"Content-Length": "0"},
            accept=frozenset({201, 202}),
        )
        if begun.status_code == 201:
            return "mounted"
        await self.registry.send_once(
            "PUT",
            upload_url(begun, blob.digest),
            scope=scope,
            headers={"Content-Type": "application/octet-stream", "Content-Length": str(blob.size)},
            content=content,
            accept=frozenset({201, 204}),
        )
        return "uploaded"

    def blob(self, digest: str) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Stream the bytes of a blob."""
        return self.registry.stream(f"{self.path}/blobs/{digest}", scope=self.scope)

    async def small_blob(self, blob: Descriptor) -> bytes:
        """Return all bytes of a small blob, such as a config.

        Raises:
            PublishError: the content does not match the digest.
        """
        answer = await self._ask("GET", f"blobs/{blob.digest}", accept=frozenset({200}))
        body = self._checked(blob.digest, answer.content)
        if len(body) != blob.size:
            raise damaged(
                f"it has {len(body)} bytes where {blob.size} are named", f"{self.path}@{blob.digest}"
            )
        return body

    async def manifest(self, reference: str) -> Fetched | None:
        """Return a manifest by tag or digest; None if it does not exist.

        Raises:
            PublishError: the content is too large, or does not match the requested digest.
        """
        answer = await self._ask("GET", f"manifests/{reference}", headers=ACCEPT, accept=OR_NOT)
        if answer.status_code == 404:
            return None
        body = self._checked(reference, answer.content)
        media_type = answer.headers.get("Content-Type", "").partition(";")[0]
        return Fetched(Descriptor(media_type, digest_of(body), len(body)), body)

    async def put_manifest(self, reference: str, media_type: str, body: bytes) -> str:
        """Store a manifest by digest or tag; return the subject that the registry acknowledged, if any."""
        return await self.registry.persist(lambda: self._put_manifest_once(reference, media_type, body))

    async def _put_manifest_once(self, reference: str, media_type: str, body: bytes) -> str:
        answer = await self.registry.send_once(
            "PUT",
            f"{self.path}/manifests/{reference}",
            scope=self.scope,
            headers={"Content-Type": media_type},
            content=body,
            accept=frozenset({200, 201, 202, 400}),
        )
        if answer.status_code == 400:
            # docker-registry 2.8 also responds like this during another push of the same content; the digest
            # is known to be correct.
            if "DIGEST_INVALID" in answer.text:
                raise TransientError("it answered 400 DIGEST_INVALID to a manifest with the right digest")
            raise self.registry.refusal(answer)
        return str(answer.headers.get("OCI-Subject", ""))

    async def delete_tag(self, tag: str) -> bool:
        """Delete only a tag; return False if the registry does not support that."""
        answer = await self._ask("DELETE", f"manifests/{tag}", accept=frozenset({200, 202, 400, 404, 405}))
        return answer.status_code in (200, 202)

    async def add_referrer(self, subject: str, referrer: Descriptor, body: bytes) -> None:
        """Store a manifest that refers to a digest, so that clients find it.

        A registry with the referrers API acknowledges the subject, or at least lists it; for other
        registries, the list is under the fallback tag.
        """
        noted = await self.put_manifest(referrer.digest, referrer.media_type, body)
        if noted == subject or referrer.digest in {
            entry.digest for entry in await self._listed(subject) or ()
        }:
            return
        await self.add_fallback(subject, referrer)

    async def referrers(self, subject: str) -> tuple[Descriptor, ...]:
        """Return the referrers of a digest, by the referrers API or else by the fallback tag."""
        listed = await self._listed(subject)
        return await self.fallback(subject) if listed is None else listed

    async def _listed(self, subject: str) -> tuple[Descriptor, ...] | None:
        """Return all pages of the referrers API; None without that API."""
        path = f"{self.path}/referrers/{subject}"
        found: list[Descriptor] = []
        for _ in range(MAX_PAGES):
            answer = await self.registry.send(
                "GET", path, scope=self.scope, headers=ACCEPT, accept=frozenset({200, *NO_SUCH_API})
            )
            if answer.status_code in NO_SUCH_API:
                return None
            found += _entries(answer.content)
            more = answer.links.get("next", {}).get("url", "")
            if not more:
                return tuple(found)
            path = self._same_origin(answer.request.url.join(more))
        raise self._endless(f"more than {MAX_PAGES} pages of referrers")

    def _same_origin(self, url: httpx.URL) -> str:
        """Return the address of the next page, which must be at this registry."""
        base = self.registry.base
        if (url.scheme, url.host, url.port) != (base.scheme, base.host, base.port):
            raise self._endless(f"a page of referrers at another host: {url.host}")
        return str(url)

    def _endless(self, what: str) -> PublishError:
        where, fix = f"{self.registry.host}/{self.path}", "ask the registry's operator; nothing was tagged"
        return PublishError(f"the registry names {what}", where=where, fix=fix)

    async def fallback(self, subject: str) -> tuple[Descriptor, ...]:
        """Return the referrers of a digest by the fallback tag."""
        found = await self.manifest(fallback_tag(subject))
        return _entries(found.body) if found else ()

    async def add_fallback(self, subject: str, referrer: Descriptor) -> None:
        """Add a referrer to its subject's fallback tag, as the specification requires of clients.

        Two clients that do this at the same time may lose one of the entries: these registries have no
        conditional update.
        """
        entries = await self.fallback(subject)
        if referrer.digest in {entry.digest for entry in entries}:
            return
        manifests = [entry.as_json() for entry in (*entries, referrer)]
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}
        await self.put_manifest(fallback_tag(subject), INDEX, compact(index))

    def _checked(self, reference: str, body: bytes) -> bytes:
        digest = digest_of(body)
        wrong = reference.startswith("sha256:") and digest != reference
        if wrong or len(body) > MAX_MANIFEST_BYTES:
            raise PublishError(
                f"the registry gave {len(body)} bytes with the digest {digest}",
                where=f"{self.registry.host}/{self.path}@{reference}",
                fix="ask the registry's operator: what it has is not what was pushed",
            )
        return body

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        accept: frozenset[int],
        headers: dict[str, str] | None = None,
        content: bytes | None = None,
    ) -> httpx.Response:
        return await self.registry.send(
            method, f"{self.path}/{path}", scope=self.scope, headers=headers, content=content, accept=accept
        )


def upload_url(begun: httpx.Response, digest: str) -> str:
    """Return the URL that completes an upload, with the digest added.

    The location may be relative, and its query is unchanged, since it may be signed.
    """
    url = str(begun.request.url.join(begun.headers.get("Location", "")))
    return f"{url}{'&' if '?' in url else '?'}digest={digest}"


def fallback_tag(subject: str) -> str:
    """Return the tag of a digest's referrers in a registry without the referrers API."""
    return subject.replace(":", "-")[:128]


def _entries(body: bytes) -> tuple[Descriptor, ...]:
    entries = parsed(body).get("manifests") or ()
    if not isinstance(entries, list | tuple):
        raise damaged("the list of referrers is no list")
    return tuple(map(Descriptor.parse, entries))
