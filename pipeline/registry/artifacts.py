"""Make artifacts that refer to an image: SBOMs, provenance and signatures, as OCI referrers.

An artifact is a manifest with a `subject`, so the image's index lists only platforms.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from pipeline.oci.layout import MANIFEST, Descriptor, compact, damaged, digest_of, digest_of_file, parsed

EMPTY = b"{}"
EMPTY_CONFIG = Descriptor("application/vnd.oci.empty.v1+json", digest_of(EMPTY), len(EMPTY))


Content = bytes | Path | Callable[[], AsyncGenerator[bytes, None]]


@dataclass(frozen=True)
class Artifact:
    """A referrer, ready to push.

    Attributes:
        descriptor: its descriptor in the index of referrers.
        subject: digest that it refers to.
        body: bytes of its manifest.
        blobs: its config and layers, by descriptor: bytes, or what may be too large for memory, a file or a
            function that opens a stream.
        tag: additional tag, for clients that do not use the referrers API.
    """

    descriptor: Descriptor
    subject: str
    body: bytes
    blobs: tuple[tuple[Descriptor, Content], ...]
    tag: str = ""


@dataclass(frozen=True)
class Layer:
    """A layer of an artifact, which holds one document."""

    media_type: str
    content: bytes | Path
    annotations: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def descriptor(self) -> Descriptor:
        """Return the layer's descriptor."""
        if isinstance(self.content, Path):
            digest, size = digest_of_file(self.content), self.content.stat().st_size
        else:
            digest, size = digest_of(self.content), len(self.content)
        return Descriptor(self.media_type, digest, size, annotations=self.annotations)


def artifact(
    subject: Descriptor,
    artifact_type: str,
    layers: tuple[Layer, ...],
    annotations: Mapping[str, str] | None = None,
    tag: str = "",
) -> Artifact:
    """Make an artifact that refers to a manifest or an index; equal arguments give equal bytes.

    Args:
        subject: the manifest or index.
        artifact_type: media type that clients search for.
        layers: its documents.
        annotations: annotations of the manifest and of its entry in the list of referrers.
        tag: see `Artifact`.
    """
    annotations = dict(sorted((annotations or {}).items()))
    about = {"mediaType": subject.media_type, "digest": subject.digest, "size": subject.size}
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": artifact_type,
        "config": EMPTY_CONFIG.as_json(),
        "layers": [layer.descriptor.as_json() for layer in layers],
        "subject": about,
    }
    body = compact(document | ({"annotations": annotations} if annotations else {}))
    named = Descriptor(
        MANIFEST, digest_of(body), len(body), artifact_type=artifact_type, annotations=annotations
    )
    documents = [(layer.descriptor, layer.content) for layer in layers]
    blobs: list[tuple[Descriptor, Content]] = [(EMPTY_CONFIG, EMPTY), *documents]
    return Artifact(named, subject.digest, body, tuple(blobs), tag)


def joined(artifact: Artifact, present: bytes) -> Artifact:
    """Add the layers of the manifest already at the artifact's tag, so that pushing keeps them.

    Others may sign the same image with other keys, and all signatures are layers of one manifest.

    Args:
        artifact: the artifact to push.
        present: the manifest at its tag.

    Raises:
        PublishError: that manifest is damaged.
    """
    before, now = parsed(present).get("layers", []), json.loads(artifact.body)
    if not isinstance(before, list):
        raise damaged("the layers of a signature are no list", artifact.tag)
    for layer in before:
        Descriptor.parse(layer)
    if not [layer for layer in before if layer not in now["layers"]]:
        return artifact
    now["layers"] = [*before, *(layer for layer in now["layers"] if layer not in before)]
    body = compact(now)
    named = replace(artifact.descriptor, digest=digest_of(body), size=len(body))
    return replace(artifact, descriptor=named, body=body)
