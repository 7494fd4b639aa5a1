"""Put a new base under a published image: rewrite its manifests and configs, and keep its own layers.

The history of an image says which layers are its own. Its environment and labels are its own where they
differ from the old base's, or all of them if the old base is unknown.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipeline.errors import NotRebasable
from pipeline.git.metadata import OCI
from pipeline.oci.base import RegistryBase
from pipeline.oci.layout import Descriptor, Manifest, compact, digest_of, parsed
from pipeline.oci.normalize import CONFIG, MADE_BY, KnownBase, filling

NAME, DIGEST = f"{OCI}base.name", f"{OCI}base.digest"
"""Annotations and labels that name the base of an image."""

Document = dict[str, Any]


@dataclass(frozen=True)
class PublishedPlatform:
    """A platform of a published image.

    Attributes:
        platform: OCI platform.
        manifest: its manifest.
        document: its manifest as JSON.
        config: its config as JSON.
    """

    platform: str
    manifest: Manifest
    document: Document
    config: Document

    @property
    def base(self) -> str:
        """Return the full name of its base with its manifest's digest; "" if it is unknown."""
        found = self.document.get("annotations") or {}
        return f"{found[NAME]}@{found[DIGEST]}" if found.get(NAME) and found.get(DIGEST) else ""

    @property
    def own(self) -> int:
        """Return the number of its own layers, which are above its base.

        Raises:
            NotRebasable: its history does not say which layers are its own.
        """
        layers = self.document["layers"]
        history = filling(self.config.get("history") or ())
        count = 0
        for entry in reversed(history):
            if not str(entry.get("created_by", "")).startswith(MADE_BY):
                break
            count += 1
        if len(history) != len(layers) or not 0 < count < len(layers):
            raise NotRebasable(
                f"the history of {self.platform} does not say which layers are above a base",
                where=self.manifest.descriptor.digest,
                fix="publish the image again with this version; an image from scratch has no base to replace",
            )
        return count

    @property
    def layers(self) -> tuple[Descriptor, ...]:
        """Return the descriptors of its own layers."""
        return self.manifest.blobs[-self.own :]


def parse(platform: str, manifest: Manifest, config: bytes) -> PublishedPlatform:
    """Parse a platform of a published image.

    Raises:
        NotRebasable: its config has other layers than its manifest.
    """
    where = manifest.descriptor.digest
    document, described = parsed(manifest.body, where), parsed(config, where)
    rootfs = described.get("rootfs")
    diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if not isinstance(diff_ids, list) or len(diff_ids) != len(document["layers"]):
        raise NotRebasable(
            f"the config of {platform} has other layers than its manifest",
            where=where,
            fix="publish the image again",
        )
    return PublishedPlatform(platform, manifest, document, described)


def rebased(part: PublishedPlatform, new: RegistryBase, old: RegistryBase | None) -> tuple[bytes, bytes]:
    """Return the manifest and the config of a platform on a new base.

    Args:
        part: the platform.
        new: the new base.
        old: the old base; None if it is unknown.
    """
    known, own = KnownBase.parse(new.as_json()), part.own
    before = dict(part.config.get("config") or {})
    under, over = json.loads(old.config) if old else {}, json.loads(new.config)
    environment = _merged(_variables(over), _variables(under), _variables(before))
    labels = _merged(over.get("Labels") or {}, under.get("Labels") or {}, before.get("Labels") or {})
    changed = {
        "Env": [f"{name}={value}" for name, value in environment.items()],
        "Labels": _named(labels, new),
    }
    past = known.past(_epoch(part.config))
    config = {
        **part.config,
        "config": {**before, **{name: value for name, value in changed.items() if value}},
        "rootfs": {
            "type": "layers",
            "diff_ids": [*new.diff_ids, *part.config["rootfs"]["diff_ids"][-own:]],
        },
        "history": [*past, *_last(part.config["history"], own)],
    }
    body = compact(config)
    manifest = {
        **part.document,
        "config": Descriptor(CONFIG, digest_of(body), len(body)).as_json(),
        "layers": [*json.loads(new.layers), *part.document["layers"][-own:]],
    }
    if part.document.get("annotations"):
        manifest["annotations"] = _named(part.document["annotations"], new)
    return compact(manifest), body


def index_of(
    root: Manifest, manifests: Mapping[str, tuple[Descriptor, bytes]], base: str
) -> tuple[Descriptor, bytes]:
    """Return an index whose manifests are replaced.

    Args:
        root: the index.
        manifests: the new manifests, by the digests of the old ones.
        base: the full name of the new base.
    """
    document = parsed(root.body, root.descriptor.digest)
    entries = []
    for entry in document["manifests"]:
        new = manifests[entry["digest"]][0]
        entries.append({**entry, "digest": new.digest, "size": new.size})
    changed = {**document, "manifests": entries}
    if NAME in (document.get("annotations") or {}):
        changed["annotations"] = {**document["annotations"], NAME: base}
    body = compact(changed)
    return Descriptor(root.descriptor.media_type, digest_of(body), len(body)), body


def _named(labels: Mapping[str, str], base: RegistryBase) -> dict[str, str]:
    return dict(sorted({**labels, NAME: base.name, DIGEST: base.digest}.items()))


def _variables(config: Mapping[str, Any]) -> dict[str, str]:
    return {name: value for name, _, value in (line.partition("=") for line in config.get("Env") or ())}


def _merged(over: Mapping[str, str], under: Mapping[str, str], image: Mapping[str, str]) -> dict[str, str]:
    """Return the new base's entries, with those of the image that are not the old base's."""
    return {**over, **{name: value for name, value in image.items() if under.get(name) != value}}


def _last(history: Sequence[Document], layers: int) -> list[Document]:
    """Return the end of a history, with as many layers."""
    left = layers
    for place in range(len(history) - 1, -1, -1):
        left -= not history[place].get("empty_layer")
        if not left:
            return list(history[place:])
    return list(history)


def _epoch(config: Mapping[str, Any]) -> int:
    try:
        return int(datetime.fromisoformat(str(config["created"]).replace("Z", "+00:00")).timestamp())
    except (KeyError, ValueError):
        return 0
