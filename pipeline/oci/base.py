"""Describe a platform of a base as its registry has it, so that an image can list its layers unchanged."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.errors import MalformedPlatform, PublishError, UnsupportedPlatform
from pipeline.oci.layout import Descriptor, Manifest, damaged, parsed
from pipeline.oci.normalize import LAYER
from pipeline.targets import parse

REGISTRY = "its registry"
"""The base was read from its registry, or from a mirror of it."""

ENGINE = "its registry, through the engine"
"""The base was read through the engine, which reaches a registry that this process does not."""

REWRITTEN = "rewritten"
"""The base is not in a registry, or could not be read there; its layers were packed again."""

DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
"""Docker's own media type of layers; in an OCI manifest, the same bytes have OCI's type."""


@dataclass(frozen=True)
class RegistryBase:
    """A platform of a base image in a registry.

    Attributes:
        name: its full name, with host and tag.
        digest: the digest of the platform's own manifest.
        way: how it was read: REGISTRY or ENGINE.
        host: the registry that has its blobs, perhaps a mirror.
        repository: the repository there.
        layers: the descriptors of its layers as JSON, as in the manifest.
        diff_ids: the digests of its uncompressed layers.
        history: the history in its config, as JSON.
        config: the settings of containers in its config, as JSON: its environment, its labels.
    """

    name: str
    digest: str
    way: str
    host: str
    repository: str
    layers: str
    diff_ids: tuple[str, ...]
    history: str = "[]"
    config: str = "{}"

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """Return the descriptors of its layers."""
        return tuple(map(Descriptor.parse, json.loads(self.layers)))

    def as_json(self) -> str:
        """Return the document for `normalize.KnownBase.parse`."""
        document = {
            "name": self.name,
            "layers": json.loads(self.layers),
            "diff_ids": self.diff_ids,
            "history": json.loads(self.history),
        }
        return json.dumps(document)


def chosen(children: Sequence[Descriptor], platform: str) -> Descriptor | None:
    """Return the entry of an index for a platform; None if it has none."""
    return next((child for child in children if _is(child.platform, platform)), None)


def _is(described: str, platform: str) -> bool:
    try:
        return parse(described).platform == platform
    except (MalformedPlatform, UnsupportedPlatform):
        return False


def contents(manifest: Manifest, config: bytes) -> dict[str, Any]:
    """Return the layers, diff IDs and history of a manifest as fields of `RegistryBase`.

    Raises:
        PublishError: manifest and config do not have the same number of layers.
    """
    described = parsed(config, manifest.descriptor.digest)
    rootfs, history = described.get("rootfs"), described.get("history") or []
    diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    layers = json.loads(manifest.body)["layers"]
    if not isinstance(diff_ids, list) or not all(isinstance(one, str) for one in diff_ids):
        raise _wrong(manifest, "a config without diff IDs")
    if len(diff_ids) != len(layers):
        raise _wrong(manifest, f"{len(layers)} layers in the manifest and {len(diff_ids)} in the config")
    if not isinstance(history, list) or not all(isinstance(one, dict) for one in history):
        raise _wrong(manifest, "a history that is no list")
    settings = described.get("config") or {}
    if not isinstance(settings, dict):
        raise _wrong(manifest, "settings that are no object")
    translated = [
        {**one, "mediaType": LAYER} if one.get("mediaType") == DOCKER_LAYER else one for one in layers
    ]
    return {
        "layers": json.dumps(translated),
        "diff_ids": tuple(diff_ids),
        "history": json.dumps(history),
        "config": json.dumps(settings),
    }


def _wrong(manifest: Manifest, what: str) -> PublishError:
    return damaged(f"the base has {what}", manifest.descriptor.digest)
