"""Use the OCI distribution API: the blobs, manifests, tags and referrers of one repository."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

from pipeline.errors import PublishError, RegistryFailed
from pipeline.oci.layout import (
    ANY_DIGEST,
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
from pipeline.registry import chunks
from pipeline.registry.address import DOCKER_HUB
from pipeline.registry.retry import TransientError
from pipeline.registry.transport import Registry

ACCEPT = {"Accept": ", ".join((INDEX, MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST))}
OR_NOT = frozenset({200, 404})
UNANSWERED = 3
"""The number of failures of a registry to say whether it has a blob after which the blob is uploaded."""
NO_SUCH_API = frozenset({400, 404, 405, 406, 501})
"""Response statuses of registries without the referrers API."""

MAX_MANIFEST_BYTES = 4 << 20
"""The maximum size of a manifest, which registries have to accept by the specification."""

MAX_PAGES = 100
"""The maximum number of pages of referrers, against registries that never end."""

Open = Callable[[], AsyncGenerator[bytes, None]]


@dataclass(frozen=True)
class Fetched:
    """A manifest downloaded from a registry.

    Attributes:
        descriptor: its media type, digest and size.
        body: its bytes.
        etag: the registry's entity tag, for conditional requests; empty if it sent none, or a weak one.
    """

    descriptor: Descriptor
    body: bytes
    etag: str = ""


CONFLICTS = 10
"""The maximum number of attempts to change a tag that other clients change at the same time."""


NOT_MET = frozenset({412, 501})
"""Statuses of a condition that is not met, or that the registry does not know."""


class TagMoved(Exception):
    """A conditional request failed: the tag may not name what it named when it was read."""


def unchanged(found: Fetched | None) -> dict[str, str]:
    """Return the headers of a request that must fail if a tag names something else than it did.

    Registries that do not support conditional requests ignore them.
    """
    if found is None:
        return {"If-None-Match": "*"}
    return {"If-Match": found.etag} if found.etag else {}


def same(one: Fetched | None, other: Fetched | None) -> bool:
    """Return True if a tag named the same at two times."""
    return (one and one.descriptor.digest) == (other and other.descriptor.digest)


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
        discards the bytes of an incomplete upload: measured on docker-registry 2.8.2.) If the registry only
        fails to say whether it has the blob, upload it. (docker-registry 2.8.2 answers 500 until then if it
        was killed while it stored the blob.)

        Args:
            blob: its descriptor; the registry checks the digest.
            content: opens its bytes, from the start each time it is called.
            mount_from: a repository of the same registry that may have it.
        """
        unanswered = 0

        async def attempt() -> str:
            nonlocal unanswered
            try:
                if await self._has(blob):
                    return "present"
            except TransientError:
                unanswered += 1
                if unanswered < UNANSWERED:
                    raise
            return await self._upload_once(blob, content, mount_from)

        return await self.registry.persist(attempt)

    async def _has(self, blob: Descriptor) -> bool:
        path = f"{self.path}/blobs/{blob.digest}"
        seen = await self.registry.send_once("HEAD", path, scope=self.scope, accept=OR_NOT)
        return seen.status_code == 200

    async def _upload_once(self, blob: Descriptor, content: Open, mount_from: str) -> str:
        scope = self.scope
        begun = await self._mount(blob, mount_from) if mount_from else None
        if begun is None:
            begun = await self._begin(scope)
        elif begun.status_code == 201:
            return "mounted"
        else:
            scope = self._mount_scope(mount_from)
        await chunks.send(self.registry, scope, blob, content, begun, lambda: self._begin(scope))
        return "uploaded"

    def _mount_scope(self, mount_from: str) -> str:
        return f"{self.scope} repository:{mount_from}:pull"

    async def _mount(self, blob: Descriptor, mount_from: str) -> httpx.Response | None:
        """Mount a blob, or begin its upload; return None if the registry refuses mounts from a repository."""
        if (self.path, mount_from) in self.registry.refused_mounts:
            return None
        query = f"?mount={blob.digest}&from={quote(mount_from, safe='/')}"
        try:
            return await self._begin(self._mount_scope(mount_from), query)
        except PublishError:
            # Also if the token service gives no token for both repositories.
            self.registry.refused_mounts.add((self.path, mount_from))
        except TransientError:
            pass
        return None

    async def _begin(self, scope: str, query: str = "") -> httpx.Response:
        return await self.registry.send_once(
            "POST",
            f"{self.path}/blobs/uploads/{query}",
            scope=scope,
            headers={"Content-Length": "0"},
            accept=frozenset({201, 202}),
        )

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
        etag = answer.headers.get("ETag", "")
        strong = etag if re.fullmatch(r'"[\x21\x23-\x7e]*"', etag) else ""
        return Fetched(Descriptor(media_type, digest_of(body), len(body)), body, strong)

    async def put_manifest(
        self, reference: str, media_type: str, body: bytes, condition: Mapping[str, str] | None = None
    ) -> str:
        """Store a manifest by digest or tag; return the subject that the registry acknowledged, if any.

        Args:
            reference: the digest or tag.
            media_type: the manifest's media type.
            body: the manifest.
            condition: headers of a conditional request, see `unchanged`.

        Raises:
            TagMoved: the condition is not met.
        """
        return await self.registry.persist(
            lambda: self._put_manifest_once(reference, media_type, body, condition or {})
        )

    async def _put_manifest_once(
        self, reference: str, media_type: str, body: bytes, condition: Mapping[str, str]
    ) -> str:
        answer = await self.registry.send_once(
            "PUT",
            f"{self.path}/manifests/{reference}",
            scope=self.scope,
            headers={"Content-Type": media_type, **condition},
            content=body,
            accept=frozenset({200, 201, 202, 400, *(NOT_MET if condition else ())}),
        )
        if answer.status_code in NOT_MET:
            raise TagMoved(answer.text)
        if answer.status_code == 400:
            # docker-registry 2.8 also responds like this during another push of the same content; the digest
            # is known to be correct.
            if "DIGEST_INVALID" in answer.text:
                raise TransientError("it answered 400 DIGEST_INVALID to a manifest with the right digest")
            raise self.registry.refusal(answer)
        return str(answer.headers.get("OCI-Subject", ""))

    async def delete_tag(self, tag: str, condition: Mapping[str, str] | None = None) -> bool:
        """Delete only a tag; return False if the registry does not support that.

        Raises:
            TagMoved: the condition is not met.
        """
        answer = await self.registry.send(
            "DELETE",
            f"{self.path}/manifests/{tag}",
            scope=f"{self.scope},delete",
            headers=condition,
            accept=frozenset({200, 202, 400, 404, 405, *(NOT_MET if condition else ())}),
        )
        if answer.status_code in NOT_MET:
            raise TagMoved(answer.text)
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

        What other clients wrote is kept, with fields and digests that are unknown here.
        """
        await self.change_tag(
            fallback_tag(subject), lambda found: (INDEX, _with_entry(found.body if found else None, referrer))
        )

    async def change_tag(self, tag: str, change: Callable[[Fetched | None], tuple[str, bytes]]) -> bytes:
        """Change the manifest of a tag that other clients may change at the same time; return its bytes.

        The request is conditional. For registries without conditional requests, the tag is read afterwards,
        and changed again if another client overwrote it in between.

        Args:
            tag: the tag.
            change: returns the new media type and manifest for the present one; the same one for no change.

        Raises:
            RegistryFailed: other clients change it all the time.
        """
        seen: Fetched | None = None
        for attempt in range(CONFLICTS):
            found = await self.manifest(tag)
            media_type, body = change(found)
            if found and found.body == body:
                return body
            # Some proxies change entity tags, and the condition then fails without a reason.
            condition = {} if attempt and same(seen, found) else unchanged(found)
            with suppress(TagMoved):
                await self.put_manifest(tag, media_type, body, condition)
            seen = found
        raise RegistryFailed(
            f"other clients changed the tag {tag} in {CONFLICTS} attempts to change it",
            where=f"{self.registry.host}/{self.path}:{tag}",
            fix="run the same command again later; what arrived is not sent again",
        )

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


def fallback_tag(subject: str) -> str:
    """Return the tag of a digest's referrers in a registry without the referrers API."""
    return subject.replace(":", "-")[:128]


def _entries(body: bytes) -> tuple[Descriptor, ...]:
    return tuple(Descriptor.parse(entry, ANY_DIGEST) for entry in _documents(parsed(body)))


def _documents(index: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    entries = index.get("manifests") or ()
    if not isinstance(entries, list | tuple) or index.get("mediaType", INDEX) != INDEX:
        raise damaged("the list of referrers is no list")
    return list(entries)


def _with_entry(body: bytes | None, referrer: Descriptor) -> bytes:
    """Return a list of referrers with another one, unchanged otherwise."""
    index = parsed(body) if body is not None else {"schemaVersion": 2, "mediaType": INDEX}
    entries = _documents(index)
    if body is not None and referrer.digest in {Descriptor.parse(one, ANY_DIGEST).digest for one in entries}:
        return body
    return compact({**index, "manifests": [*entries, referrer.as_json()]})
