"""Artifacts that refer to an image: SBOMs, provenance, signatures, as OCI referrers.

An artifact is a manifest with a `subject`, so the image's own index lists nothing but platforms.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from pipeline.oci.layout import MANIFEST, Descriptor, compact, digest_of

EMPTY = b"{}"
EMPTY_CONFIG = Descriptor("application/vnd.oci.empty.v1+json", digest_of(EMPTY), len(EMPTY))


@dataclass(frozen=True)
class Artifact:
    """One referrer, ready to be pushed.

    Attributes:
        descriptor: what an index of referrers says of it.
        subject: the digest that it is about.
        body: its manifest.
        blobs: its config and layers, by descriptor.
        tag: a tag it also gets, for clients that look there instead of among the referrers.
    """

    descriptor: Descriptor
    subject: str
    body: bytes
    blobs: tuple[tuple[Descriptor, bytes], ...]
    tag: str = ""


@dataclass(frozen=True)
class Layer:
    """One document of an artifact."""

    media_type: str
    content: bytes
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def descriptor(self) -> Descriptor:
        """What names it."""
        return Descriptor(
            self.media_type, digest_of(self.content), len(self.content), annotations=self.annotations
        )


def artifact(
    subject: Descriptor,
    artifact_type: str,
    layers: tuple[Layer, ...],
    annotations: Mapping[str, str] | None = None,
    tag: str = "",
) -> Artifact:
    """An artifact about a manifest or an index; the same bytes for the same arguments.

    Args:
        subject: what it is about.
        artifact_type: media type of the artifact, by which clients look for it.
        layers: its documents.
        annotations: of its manifest, and of the entry in the list of referrers.
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
    blobs = [(EMPTY_CONFIG, EMPTY), *((layer.descriptor, layer.content) for layer in layers)]
    return Artifact(named, subject.digest, body, tuple(blobs), tag)


def joined(artifact: Artifact, present: bytes) -> Artifact:
    """An artifact with the layers that the manifest at its tag has already, so that putting it loses none.

    Others sign the same image with their keys, and all signatures are layers of one manifest.

    Args:
        artifact: the one to put.
        present: the manifest that is there.
    """
    before, now = json.loads(present).get("layers", []), json.loads(artifact.body)
    if not [layer for layer in before if layer not in now["layers"]]:
        return artifact
    now["layers"] = [*before, *(layer for layer in now["layers"] if layer not in before)]
    body = compact(now)
    named = replace(artifact.descriptor, digest=digest_of(body), size=len(body))
    return replace(artifact, descriptor=named, body=body)
