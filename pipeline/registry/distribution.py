"""The OCI distribution API: the blobs, manifests, tags and referrers of one repository."""

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
"""What registries without the referrers API answer to it."""

MAX_MANIFEST_BYTES = 4 << 20
"""What registries have to take, by the specification; what is larger is no manifest."""

MAX_PAGES = 100
"""Pages of referrers that are read; a registry that has more is not believed."""

Open = Callable[[], AsyncGenerator[bytes, None]]


@dataclass(frozen=True)
class Fetched:
    """A manifest as a registry gave it."""

    descriptor: Descriptor
    body: bytes


@dataclass(frozen=True)
class Repository:
    """One repository of a registry."""

    registry: Registry
    name: str
    actions: str = "pull,push"

    @property
    def scope(self) -> str:
        """The rights that a token needs here."""
        return f"repository:{self.path}:{self.actions}"

    @property
    def path(self) -> str:
        """The repository's path at the registry; Docker Hub's official images have a namespace there."""
        official = self.registry.host == DOCKER_HUB and "/" not in self.name
        return f"library/{self.name}" if official else self.name

    async def upload(self, blob: Descriptor, content: Open, mount_from: str = "") -> str:
        """Have a blob here; how it came: `present`, `mounted` or `uploaded`.

        A dropped connection makes a new upload of this blob, after a look whether it arrived all the
        same. (A registry discards what it got of a broken upload: measured on docker-registry 2.8.2.)

        Args:
            blob: what it is; the registry checks the digest.
            content: its bytes, from their start, each time it is called.
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
        """A blob's bytes, piece by piece, as they come."""
        return self.registry.stream(f"{self.path}/blobs/{digest}", scope=self.scope)

    async def small_blob(self, blob: Descriptor) -> bytes:
        """A blob whole, for documents.

        Raises:
            PublishError: its bytes do not have its digest.
        """
        answer = await self._ask("GET", f"blobs/{blob.digest}", accept=frozenset({200}))
        body = self._checked(blob.digest, answer.content)
        if len(body) != blob.size:
            raise damaged(
                f"it has {len(body)} bytes where {blob.size} are named", f"{self.path}@{blob.digest}"
            )
        return body

    async def manifest(self, reference: str) -> Fetched | None:
        """A manifest by tag or digest; None where there is none.

        Raises:
            PublishError: its bytes do not have the digest asked for, or are too many.
        """
        answer = await self._ask("GET", f"manifests/{reference}", headers=ACCEPT, accept=OR_NOT)
        if answer.status_code == 404:
            return None
        body = self._checked(reference, answer.content)
        media_type = answer.headers.get("Content-Type", "").partition(";")[0]
        return Fetched(Descriptor(media_type, digest_of(body), len(body)), body)

    async def put_manifest(self, reference: str, media_type: str, body: bytes) -> str:
        """Store a manifest under a digest or a tag; the subject that the registry took note of, if any."""
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
            # docker-registry 2.8 says so, too, where another push of the same content is writing at the
            # moment; that the digest is right is known here.
            if "DIGEST_INVALID" in answer.text:
                raise TransientError("it answered 400 DIGEST_INVALID to a manifest with the right digest")
            raise self.registry.refusal(answer)
        return str(answer.headers.get("OCI-Subject", ""))

    async def delete_tag(self, tag: str) -> bool:
        """Take a tag away, and nothing else; False where the registry cannot do that."""
        answer = await self._ask("DELETE", f"manifests/{tag}", accept=frozenset({200, 202, 400, 404, 405}))
        return answer.status_code in (200, 202)

    async def add_referrer(self, subject: str, referrer: Descriptor, body: bytes) -> None:
        """Store a manifest that refers to a digest, where clients look for it.

        A registry with the referrers API says that it took note of the subject, or at least lists it;
        elsewhere the fallback tag has the list.
        """
        noted = await self.put_manifest(referrer.digest, referrer.media_type, body)
        if noted == subject or referrer.digest in {
            entry.digest for entry in await self._listed(subject) or ()
        }:
            return
        await self.add_fallback(subject, referrer)

    async def referrers(self, subject: str) -> tuple[Descriptor, ...]:
        """What refers to a digest, by the referrers API, or by the fallback tag where there is none."""
        listed = await self._listed(subject)
        return await self.fallback(subject) if listed is None else listed

    async def _listed(self, subject: str) -> tuple[Descriptor, ...] | None:
        """What the referrers API lists, all pages of it; None without that API."""
        path = f"{self.path}/referrers/{subject}"
        found: list[Descriptor] = []
        for _ in range(MAX_PAGES):
            answer = await self.registry.send(
                "GET", path, scope=self.scope, headers=ACCEPT, accept=frozenset({200, *NO_SUCH_API})
            )
            if answer.status_code in NO_SUCH_API:
                return None
            found += _entries(answer.content)
            further = answer.links.get("next", {}).get("url", "")
            if not further:
                return tuple(found)
            path = self._same_origin(answer.request.url.join(further))
        raise self._endless(f"more than {MAX_PAGES} pages of referrers")

    def _same_origin(self, url: httpx.URL) -> str:
        """The address of the next page, which has to be this registry's own."""
        base = self.registry.base
        if (url.scheme, url.host, url.port) != (base.scheme, base.host, base.port):
            raise self._endless(f"a page of referrers at another host: {url.host}")
        return str(url)

    def _endless(self, what: str) -> PublishError:
        where, fix = f"{self.registry.host}/{self.path}", "ask the registry's operator; nothing was tagged"
        return PublishError(f"the registry names {what}", where=where, fix=fix)

    async def fallback(self, subject: str) -> tuple[Descriptor, ...]:
        """What the fallback tag says refers to a digest."""
        found = await self.manifest(fallback_tag(subject))
        return _entries(found.body) if found else ()

    async def add_fallback(self, subject: str, referrer: Descriptor) -> None:
        """Enter a referrer under its subject's fallback tag, as the specification has clients do it.

        Two clients that do this at one time may lose one of the entries: registries that need the
        fallback offer nothing against it.
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
    """Where a registry says an upload goes on, with the digest that ends it.

    The location may be relative, and its query is left as it is: it may be signed.
    """
    url = str(begun.request.url.join(begun.headers.get("Location", "")))
    return f"{url}{'&' if '?' in url else '?'}digest={digest}"


def fallback_tag(subject: str) -> str:
    """The tag under which a registry without the referrers API keeps a digest's referrers."""
    return subject.replace(":", "-")[:128]


def _entries(body: bytes) -> tuple[Descriptor, ...]:
    entries = parsed(body).get("manifests") or ()
    if not isinstance(entries, list | tuple):
        raise damaged("the list of referrers is no list")
    return tuple(map(Descriptor.parse, entries))
