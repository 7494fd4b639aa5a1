"""What a push did, as data: for a person as text, for a program as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from pipeline.text_table import mebibytes


@dataclass(frozen=True)
class Platform:
    """One platform of what was pushed.

    Attributes:
        platform: OCI platform.
        digest: digest of its manifest.
        layer_bytes: bytes of the compressed layers together.
    """

    platform: str
    digest: str
    layer_bytes: int


@dataclass(frozen=True)
class Delivery:
    """What one repository got. Blobs are configs and layers; bytes are theirs as stored.

    Attributes:
        repository: host and name.
        tags: those that now name the image.
        uploaded_blobs: sent over the network by this push.
        uploaded_bytes: of those.
        mounted_blobs: taken from another repository of the same registry.
        mounted_bytes: of those.
        present_blobs: there before.
        present_bytes: of those.
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
        """A delivery, counted from how each blob came (`uploaded`, `mounted`, `present`) and its size."""
        counts: dict[str, int] = {}
        for way, size in ways:
            counts[f"{way}_blobs"] = counts.get(f"{way}_blobs", 0) + 1
            counts[f"{way}_bytes"] = counts.get(f"{way}_bytes", 0) + size
        return cls(repository, tags, **counts)


@dataclass(frozen=True)
class Receipt:
    """What a push did, everywhere.

    Attributes:
        digest: digest of the index, or of the manifest of an image of one platform.
        media_type: which of the two it is.
        platforms: the variants, in the order of the index.
        referrers: digests of the artifacts that refer to the image.
        deliveries: per repository.
    """

    digest: str
    media_type: str
    platforms: tuple[Platform, ...]
    referrers: tuple[str, ...]
    deliveries: tuple[Delivery, ...]

    @property
    def references(self) -> tuple[str, ...]:
        """Every address with tag and digest, `host/name:tag@sha256:…`, or the digest alone without tags."""
        return tuple(
            f"{to.repository}{name}@{self.digest}"
            for to in self.deliveries
            for name in ([f":{tag}" for tag in to.tags] or [""])
        )

    def as_json(self) -> str:
        """The receipt as a JSON document with the fields of these classes, and `references`."""
        return json.dumps(asdict(self) | {"references": self.references}, indent=2)

    def as_text(self) -> str:
        """The receipt as lines: variants, what moved to where, and every address."""
        lines = [f"{p.platform}  {mebibytes(p.layer_bytes)}  {p.digest}" for p in self.platforms]
        lines += [f"referrer  {digest}" for digest in self.referrers]
        for to in self.deliveries:
            lines.append(
                f"{to.repository}: uploaded {_blobs(to.uploaded_blobs, to.uploaded_bytes)}, "
                f"mounted {_blobs(to.mounted_blobs, to.mounted_bytes)}, "
                f"already there {_blobs(to.present_blobs, to.present_bytes)}"
            )
        return "\n".join([*lines, *self.references])


def _blobs(count: int, size: int) -> str:
    return f"{count} ({mebibytes(size)})"
