"""Make OCI referrers of an image: bills of materials, provenance and debug symbols.

Each is an artifact with a subject. Registries list referrers beside an image; the index has only platforms.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pipeline.attestation import provenance, sbom
from pipeline.oci.layout import Descriptor
from pipeline.registry.artifacts import Artifact, Layer, artifact

SYMBOLS = "application/vnd.rust-multiarch.symbols.v1"
SYMBOL_FILE = "application/vnd.rust-multiarch.symbols.file.v1"
BUILD_ID = "dev.rust-multiarch.build-id"
TITLE = "org.opencontainers.image.title"
"""File name that clients such as `oras pull` write a layer to."""

PREDICATE = "in-toto.io/predicate-type"
"""Predicate type of a statement, as BuildKit annotates it."""


def of_sbom(subject: Descriptor, document: bytes, kind: sbom.SbomFormat) -> Artifact:
    """Attach a bill of materials to a platform's manifest."""
    layer = Layer(kind.media_type, document, {TITLE: kind.file})
    return artifact(subject, kind.media_type, (layer,))


def of_provenance(subject: Descriptor, statement: bytes) -> Artifact:
    """Attach an in-toto statement with provenance to an index or a manifest."""
    annotations = {PREDICATE: provenance.PREDICATE_TYPE}
    layer = Layer(provenance.MEDIA_TYPE, statement, annotations | {TITLE: "provenance.json"})
    return artifact(subject, provenance.MEDIA_TYPE, (layer,), annotations)


def of_symbols(subject: Descriptor, files: Mapping[str, Path], build_ids: Mapping[str, str]) -> Artifact:
    """Attach debug symbols to a platform's manifest, one layer per file.

    Args:
        subject: the manifest.
        files: the files by name, for example `app.debug`.
        build_ids: GNU build id of the binary that each file belongs to, by file name.
    """
    layers = []
    for name, path in sorted(files.items()):
        known = {BUILD_ID: build_ids[name]} if build_ids.get(name) else {}
        layers.append(Layer(SYMBOL_FILE, path, {TITLE: name, **known}))
    return artifact(subject, SYMBOLS, tuple(layers))
