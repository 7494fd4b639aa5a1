"""Read OCI layouts and their descriptors, manifests and blobs, as in the OCI image specification."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import anyio

from pipeline.errors import PublishError
from pipeline.oci import normalize
from pipeline.sdk import dagger

INDEX, MANIFEST = normalize.INDEX, normalize.MANIFEST
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
INDEXES = (INDEX, DOCKER_INDEX)

SHA256 = r"sha256:[0-9a-f]{64}"
ANY_DIGEST = r"[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]{1,256}"
"""Digests of any algorithm, by the OCI image specification."""

READ_BYTES = 1 << 20
"""The size of the pieces that a blob is read in."""


@dataclass(frozen=True)
class Descriptor:
    """A reference to content. Sizes are in bytes; `platform` is `os/arch[/variant]`, or empty."""

    media_type: str
    digest: str
    size: int
    platform: str = ""
    artifact_type: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, document: Mapping[str, Any], digests: str = SHA256) -> Descriptor:
        """Parse a descriptor of an index or a manifest.

        Args:
            document: the descriptor.
            digests: a regular expression of the digests to accept.

        Raises:
            PublishError: it has no size, or no such digest.
        """
        if not isinstance(document, Mapping):
            raise damaged("a descriptor is no object")
        digest, size = document.get("digest"), document.get("size")
        if not isinstance(digest, str) or not re.fullmatch(digests, digest):
            raise damaged(f"{digest!r} is not a {'sha256 ' if digests == SHA256 else ''}digest")
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise damaged("a descriptor has no size", digest)
        annotations, platform = document.get("annotations") or {}, document.get("platform") or {}
        texts = [document.get("mediaType") or "", document.get("artifactType") or ""]
        if not isinstance(platform, Mapping) or not isinstance(annotations, Mapping):
            raise damaged("a descriptor's platform or annotations are no object", digest)
        if not all(isinstance(text, str) for text in (*texts, *annotations.values())):
            raise damaged("a descriptor's type or an annotation is no text", digest)
        return cls(texts[0], digest, size, platform_name(platform), texts[1], annotations)

    def as_json(self) -> dict[str, Any]:
        """Return the descriptor as JSON, without empty fields."""
        os, _, rest = self.platform.partition("/")
        architecture, _, variant = rest.partition("/")
        platform = {"architecture": architecture, "os": os} | ({"variant": variant} if variant else {})
        document = {
            "mediaType": self.media_type,
            "digest": self.digest,
            "size": self.size,
            "artifactType": self.artifact_type,
            "annotations": dict(sorted(self.annotations.items())),
            "platform": platform if self.platform else {},
        }
        return {key: value for key, value in document.items() if value not in ("", {})}


@dataclass(frozen=True)
class Platform:
    """One platform of an image.

    Attributes:
        platform: OCI platform.
        digest: digest of its manifest.
        layer_bytes: total size of the compressed layers, as a registry stores them.
    """

    platform: str
    digest: str
    layer_bytes: int


@dataclass(frozen=True)
class Manifest:
    """A manifest or an index: its exact bytes and its descriptors.

    Attributes:
        children: the manifests of an index.
        blobs: the config and the layers of a manifest.
    """

    descriptor: Descriptor
    body: bytes
    children: tuple[Descriptor, ...] = ()
    blobs: tuple[Descriptor, ...] = ()

    @classmethod
    def parse(cls, descriptor: Descriptor, body: bytes) -> Manifest:
        """Parse a manifest or an index.

        Raises:
            PublishError: the digest does not match, or the content is not a manifest.
        """
        if digest_of(body) != descriptor.digest:
            raise damaged("the content does not have the digest it is stored under", descriptor.digest)
        document = parsed(body, descriptor.digest)
        try:
            if descriptor.media_type in INDEXES or "manifests" in document:
                return cls(descriptor, body, children=tuple(map(Descriptor.parse, document["manifests"])))
            blobs = [document["config"], *document["layers"]]
        except (KeyError, TypeError) as error:
            raise damaged(f"this is not a manifest ({error!r})", descriptor.digest) from error
        return cls(descriptor, body, blobs=tuple(map(Descriptor.parse, blobs)))

    @property
    def layer_bytes(self) -> int:
        """Return the total size of the compressed layers, as a registry stores them."""
        return sum(blob.size for blob in self.blobs[1:])


class Store(Protocol):
    """The source of an image: a directory, or other repositories."""

    @property
    def root(self) -> Descriptor:
        """Return the index, or the manifest of an image with one platform."""
        ...

    async def manifest(self, descriptor: Descriptor) -> bytes:
        """Return the bytes of a manifest or an index."""
        ...

    def blob(self, descriptor: Descriptor) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of a config or a layer in pieces."""
        ...

    def repository(self, host: str, digest: str) -> str:
        """Return a repository of a registry that has this blob; "" if none is known."""
        ...


@dataclass(frozen=True)
class Layout:
    """An OCI image layout: a directory with one image in it."""

    path: Path
    root: Descriptor

    @classmethod
    async def open(cls, path: str | Path) -> Layout:
        """Open the layout in a directory.

        Raises:
            PublishError: the directory is not a layout, or its index.json does not have exactly one image.
        """
        try:
            index = await (anyio.Path(path) / "index.json").read_bytes()
        except OSError as error:
            raise damaged(f"this is not an OCI layout ({error!r})", str(path)) from error
        return cls(Path(path), only_image(index, str(path)))

    async def manifest(self, descriptor: Descriptor) -> bytes:
        """Return the bytes of a manifest or an index."""
        path = await self._file(descriptor)
        return await path.read_bytes()

    async def blob(self, descriptor: Descriptor) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of a config or a layer in pieces."""
        async for piece in pieces(Path(await self._file(descriptor))):
            yield piece

    def repository(self, host: str, digest: str) -> str:
        """Return "", since a directory has no repository."""
        return ""

    def has(self, descriptor: Descriptor) -> bool:
        """Return True if the directory has this content."""
        return (self.path / "blobs" / descriptor.digest.replace(":", "/")).exists()

    async def _file(self, descriptor: Descriptor) -> anyio.Path:
        path = anyio.Path(self.path) / "blobs" / descriptor.digest.replace(":", "/")
        try:
            size = (await path.stat()).st_size
        except OSError as error:
            raise damaged("the layout lacks content that it refers to", str(path)) from error
        if size != descriptor.size:
            raise damaged(f"the file has {size} bytes instead of {descriptor.size}", str(path))
        return path


@dataclass(frozen=True)
class EngineLayout:
    """An OCI image layout in the engine, without its layers."""

    directory: dagger.Directory
    root: Descriptor

    @classmethod
    async def open(cls, directory: dagger.Directory) -> EngineLayout:
        """Open the layout in a directory.

        Raises:
            PublishError: see `only_image`.
        """
        return cls(directory, only_image((await directory.file("index.json").contents()).encode(), "layout"))

    async def manifest(self, descriptor: Descriptor) -> bytes:
        """Return the bytes of a manifest or an index."""
        path = f"blobs/{descriptor.digest.replace(':', '/')}"
        return (await self.directory.file(path).contents()).encode()

    async def blob(self, descriptor: Descriptor) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of a config."""
        yield await self.manifest(descriptor)

    def repository(self, host: str, digest: str) -> str:
        """Return "", since a directory has no repository."""
        return ""


def only_image(index: bytes, where: str) -> Descriptor:
    """Return the only image of a layout's index.json.

    Raises:
        PublishError: this is not such an index, or it does not have exactly one image.
    """
    entries = parsed(index, where).get("manifests")
    if not isinstance(entries, list):
        raise damaged("this is not an OCI layout", where)
    if len(entries) != 1:
        raise damaged(f"index.json has {len(entries)} images instead of one", where)
    return Descriptor.parse(entries[0])


async def walk(store: Store) -> tuple[Manifest, ...]:
    """Return all manifests of an image, each after its children; the root is the last."""
    found: dict[str, Manifest] = {}

    async def visit(descriptor: Descriptor) -> None:
        manifest = Manifest.parse(descriptor, await store.manifest(descriptor))
        for child in manifest.children:
            if child.digest not in found:
                await visit(child)
        found[descriptor.digest] = manifest

    await visit(store.root)
    return tuple(found.values())


async def platforms(store: Store, manifests: Sequence[Manifest]) -> tuple[Platform, ...]:
    """Return the platforms of an image's manifests, in order, from the index or else from the configs."""
    found = []
    for image in manifests:
        if image.blobs:
            name = image.descriptor.platform or await _described(store, image)
            found.append(Platform(name, image.descriptor.digest, image.layer_bytes))
    return tuple(found)


async def _described(store: Store, image: Manifest) -> str:
    config = b"".join([piece async for piece in store.blob(image.blobs[0])])
    return platform_name(parsed(config))


def platform_name(document: Mapping[str, Any]) -> str:
    """Return `os/arch[/variant]` of a descriptor's platform or an image config; "" if it has none."""
    return "/".join(str(document[key]) for key in ("os", "architecture", "variant") if document.get(key))


async def pieces(content: bytes | Path) -> AsyncGenerator[bytes, None]:
    """Yield some bytes, or those of a file that may be too large for memory."""
    if isinstance(content, bytes):
        yield content
        return
    async with await anyio.open_file(content, "rb") as file:
        while piece := await file.read(READ_BYTES):
            yield piece


def digest_of(content: bytes) -> str:
    """Return the digest of some bytes."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def digest_of_file(path: Path) -> str:
    """Return the digest of a file, reading it in pieces."""
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def compact(document: Mapping[str, Any]) -> bytes:
    """Encode a JSON document in a canonical form, keeping the order of keys."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def parsed(body: bytes, where: str = "") -> dict[str, Any]:
    """Parse a JSON object of a layout or a registry.

    Raises:
        PublishError: the bytes are not JSON, are nested too deeply, or are not an object.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise damaged(f"this is no JSON document ({type(error).__name__})", where) from error
    if not isinstance(document, dict):
        raise damaged("this JSON document is no object", where)
    return document


def damaged(what: str, where: str = "layout") -> PublishError:
    """Return the error for a damaged image."""
    return PublishError(what, where=where, fix="build the image again; nothing was tagged")
