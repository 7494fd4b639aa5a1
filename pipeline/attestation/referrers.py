"""What is attached to an image as OCI referrers: bills of materials, provenance, debug symbols.

Each is an artifact with a subject; registries list them beside the image, whose index names platforms only.
"""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.attestation import provenance, sbom
from pipeline.oci.layout import Descriptor
from pipeline.registry.artifacts import Artifact, Layer, artifact

SYMBOLS = "application/vnd.rust-multiarch.symbols.v1"
SYMBOL_FILE = "application/vnd.rust-multiarch.symbols.file.v1"
BUILD_ID = "dev.rust-multiarch.build-id"
TITLE = "org.opencontainers.image.title"
"""Clients such as `oras pull` write a layer to the file that this annotation names."""

PREDICATE = "in-toto.io/predicate-type"
"""Which kind of statement an artifact holds, as BuildKit annotates it."""


def of_sbom(subject: Descriptor, document: bytes) -> Artifact:
    """A CycloneDX document, attached to the variant it is about."""
    layer = Layer(sbom.MEDIA_TYPE, document, {TITLE: "sbom.cdx.json"})
    return artifact(subject, sbom.MEDIA_TYPE, (layer,))


def of_provenance(subject: Descriptor, statement: bytes) -> Artifact:
    """An in-toto statement with provenance, attached to the index or a variant."""
    annotations = {PREDICATE: provenance.PREDICATE_TYPE}
    layer = Layer(provenance.MEDIA_TYPE, statement, annotations | {TITLE: "provenance.json"})
    return artifact(subject, provenance.MEDIA_TYPE, (layer,), annotations)


def of_symbols(subject: Descriptor, files: Mapping[str, bytes], build_ids: Mapping[str, str]) -> Artifact:
    """The debug symbols of a variant's binaries, a layer for each file.

    Args:
        subject: the variant.
        files: contents by file name, for example `app.debug`.
        build_ids: GNU build id of the binary each file belongs to, by file name, where it has one.
    """
    layers = []
    for name, content in sorted(files.items()):
        known = {BUILD_ID: build_ids[name]} if build_ids.get(name) else {}
        layers.append(Layer(SYMBOL_FILE, content, {TITLE: name, **known}))
    return artifact(subject, SYMBOLS, tuple(layers))
