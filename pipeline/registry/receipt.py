"""Describe the result of a push, as text or JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.oci.layout import Platform
from pipeline.text_table import mebibytes

SIGNATURES = frozenset(
    {
        "application/vnd.dev.cosign.artifact.sig.v1+json",
        "application/vnd.dev.cosign.artifact.att.v1+json",
        "application/vnd.dev.sigstore.bundle.v0.3+json",
    }
)
"""The media types of signatures, and of signed statements."""


@dataclass(frozen=True)
class Transfer:
    """A blob that arrived.

    Attributes:
        way: `uploaded`, `mounted` or `present`.
        size: its size in bytes.
        seconds: the time that it took.
    """

    way: str
    size: int
    seconds: float = 0.0


@dataclass(frozen=True)
class Delivery:
    """The part of a push to one repository. Blobs are configs and layers; bytes are their stored size.

    Attributes:
        repository: host and name.
        tags: tags that name the image now.
        uploaded_blobs: uploaded by this push.
        uploaded_bytes: their size.
        uploaded_seconds: the time of each, added up; some are sent at the same time.
        mounted_blobs: mounted from another repository of the registry.
        mounted_bytes, mounted_seconds: see above.
        present_blobs: already in the repository.
        present_bytes, present_seconds: see above.
        seconds: the time to send everything but the tags.
    """

    repository: str
    tags: tuple[str, ...]
    uploaded_blobs: int = 0
    uploaded_bytes: int = 0
    uploaded_seconds: float = 0.0
    mounted_blobs: int = 0
    mounted_bytes: int = 0
    mounted_seconds: float = 0.0
    present_blobs: int = 0
    present_bytes: int = 0
    present_seconds: float = 0.0
    seconds: float = 0.0

    @classmethod
    def of(
        cls, repository: str, tags: tuple[str, ...], transfers: Iterable[Transfer], seconds: float = 0.0
    ) -> Delivery:
        """Count blobs by the way each came, with their sizes and times."""
        counts: dict[str, Any] = {}
        for one in transfers:
            for name, value in (("blobs", 1), ("bytes", one.size), ("seconds", one.seconds)):
                counts[f"{one.way}_{name}"] = counts.get(f"{one.way}_{name}", 0) + value
        times = {name: round(value, 3) for name, value in counts.items() if name.endswith("seconds")}
        return cls(repository, tags, **(counts | times), seconds=round(seconds, 3))


@dataclass(frozen=True)
class Attached:
    """An artifact that refers to the image or to one of its platforms.

    Attributes:
        digest: digest of its manifest.
        subject: digest that it refers to.
        artifact_type: media type that clients search for.
        bytes: size of its documents.
    """

    digest: str
    subject: str
    artifact_type: str
    bytes: int

    @property
    def signs(self) -> bool:
        """Return True if it is a signature, or a signed statement."""
        return self.artifact_type in SIGNATURES


@dataclass(frozen=True)
class BaseLayers:
    """The base of a platform's image, and the origin of its layers.

    Attributes:
        platform: OCI platform.
        name: full name of the base; empty for a custom container.
        digest: digest of the base's manifest for the platform; empty if it is unknown.
        layers: how the layers were read; see `oci.base`.
    """

    platform: str
    name: str
    digest: str
    layers: str

    def as_text(self) -> str:
        """Format the base as a line."""
        name = f"{self.name}@{self.digest}" if self.digest else self.name or "a custom container"
        return f"base  {self.platform}  {name}  layers: {self.layers}"


@dataclass(frozen=True)
class Receipt:
    """The result of a push.

    Attributes:
        digest: digest of the index, or of the manifest of a single-platform image.
        media_type: media type of that digest.
        platforms: the platforms, in the order of the index.
        referrers: digests of the artifacts that refer to the image.
        deliveries: results by repository.
        attached: those artifacts.
        seconds: the time of the push.
        attaching_seconds: the time to make and sign the artifacts.
        bases: the base of each platform that has one.
    """

    digest: str
    media_type: str
    platforms: tuple[Platform, ...]
    referrers: tuple[str, ...]
    deliveries: tuple[Delivery, ...]
    attached: tuple[Attached, ...] = ()
    seconds: float = 0.0
    attaching_seconds: float = 0.0
    bases: tuple[BaseLayers, ...] = ()

    @property
    def signed(self) -> tuple[str, ...]:
        """Return the digests that have a signature."""
        return tuple(dict.fromkeys(one.subject for one in self.attached if one.signs))

    @property
    def references(self) -> tuple[str, ...]:
        """Return every address with its digest, `host/name:tag@sha256:…`, or without a tag if it has none."""
        return tuple(
            f"{to.repository}{name}@{self.digest}"
            for to in self.deliveries
            for name in ([f":{tag}" for tag in to.tags] or [""])
        )

    def as_json(self) -> str:
        """Format the receipt as JSON, with `references` and `signed`."""
        more = {"references": self.references, "signed": self.signed}
        return json.dumps(asdict(self) | more, indent=2)

    def as_text(self) -> str:
        """Format the receipt as text: platforms, transfers and addresses."""
        lines = [f"{p.platform}  {mebibytes(p.layer_bytes)}  {p.digest}" for p in self.platforms]
        lines += [base.as_text() for base in self.bases]
        lines += [f"referrer  {one.digest}  {_size(one.bytes)}  {one.artifact_type}" for one in self.attached]
        lines += [f"signed  {digest}" for digest in self.signed]
        for to in self.deliveries:
            lines.append(
                f"{to.repository}: uploaded {_blobs(to.uploaded_blobs, to.uploaded_bytes)}, "
                f"mounted {_blobs(to.mounted_blobs, to.mounted_bytes)}, "
                f"already present {_blobs(to.present_blobs, to.present_bytes)}, in {to.seconds:.1f} s"
            )
        made = f", {self.attaching_seconds:.1f} s for what is attached" if self.attached else ""
        lines.append(f"pushed in {self.seconds:.1f} s{made}")
        return "\n".join([*lines, *self.references])


def _blobs(count: int, size: int) -> str:
    return f"{count} ({mebibytes(size)})"


def _size(size: int) -> str:
    return mebibytes(size) if size >= 1 << 20 else f"{size / 1024:.1f} KiB"
