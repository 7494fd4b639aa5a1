"""Describe the result of a push, as text or JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from pipeline.oci.layout import Platform
from pipeline.text_table import mebibytes


@dataclass(frozen=True)
class Delivery:
    """The part of a push to one repository. Blobs are configs and layers; bytes are their stored size.

    Attributes:
        repository: host and name.
        tags: tags that name the image now.
        uploaded_blobs: uploaded by this push.
        uploaded_bytes: their size.
        mounted_blobs: mounted from another repository of the registry.
        mounted_bytes: their size.
        present_blobs: already in the repository.
        present_bytes: their size.
    """

    repository: str
    tags: tuple[str, ...]
    uploaded_blobs: int = 0
    uploaded_bytes: int = 0
    mounted_blobs: int = 0
    mounted_bytes: int = 0
    present_blobs: int = 0
    present_bytes: int = 0

    @classmethod
    def of(cls, repository: str, tags: tuple[str, ...], ways: Iterable[tuple[str, int]]) -> Delivery:
        """Count blobs by the way each came (`uploaded`, `mounted`, `present`), with their sizes."""
        counts: dict[str, int] = {}
        for way, size in ways:
            counts[f"{way}_blobs"] = counts.get(f"{way}_blobs", 0) + 1
            counts[f"{way}_bytes"] = counts.get(f"{way}_bytes", 0) + size
        return cls(repository, tags, **counts)


@dataclass(frozen=True)
class Receipt:
    """The result of a push.

    Attributes:
        digest: digest of the index, or of the manifest of a single-platform image.
        media_type: media type of that digest.
        platforms: the platforms, in the order of the index.
        referrers: digests of the artifacts that refer to the image.
        deliveries: results by repository.
    """

    digest: str
    media_type: str
    platforms: tuple[Platform, ...]
    referrers: tuple[str, ...]
    deliveries: tuple[Delivery, ...]

    @property
    def references(self) -> tuple[str, ...]:
        """Return every address with its digest, `host/name:tag@sha256:…`, or without a tag if it has none."""
        return tuple(
            f"{to.repository}{name}@{self.digest}"
            for to in self.deliveries
            for name in ([f":{tag}" for tag in to.tags] or [""])
        )

    def as_json(self) -> str:
        """Format the receipt as JSON, with `references`."""
        return json.dumps(asdict(self) | {"references": self.references}, indent=2)

    def as_text(self) -> str:
        """Format the receipt as text: platforms, transfers and addresses."""
        lines = [f"{p.platform}  {mebibytes(p.layer_bytes)}  {p.digest}" for p in self.platforms]
        lines += [f"referrer  {digest}" for digest in self.referrers]
        for to in self.deliveries:
            lines.append(
                f"{to.repository}: uploaded {_blobs(to.uploaded_blobs, to.uploaded_bytes)}, "
                f"mounted {_blobs(to.mounted_blobs, to.mounted_bytes)}, "
                f"already present {_blobs(to.present_blobs, to.present_bytes)}"
            )
        return "\n".join([*lines, *self.references])


def _blobs(count: int, size: int) -> str:
    return f"{count} ({mebibytes(size)})"
