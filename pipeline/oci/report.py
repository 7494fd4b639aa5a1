"""Report the built images as a table or as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import dagger

from pipeline.targets import parse
from pipeline.text_table import columns, mebibytes


@dataclass(frozen=True)
class ImageRow:
    """The image of a platform.

    Attributes:
        platform: OCI platform.
        triple: rustc triple.
        binary_bytes: total size of the stripped binaries.
        image_bytes: total size of the compressed layers, as a registry stores them.
        digest: digest of the platform's manifest.
    """

    platform: str
    triple: str
    binary_bytes: int
    image_bytes: int
    digest: str


@dataclass(frozen=True)
class VariantManifest:
    """A platform's manifest in an OCI layout."""

    platform: str
    digest: str
    image_bytes: int


async def manifests(layout: dagger.Directory) -> list[VariantManifest]:
    """Return the image manifests of an OCI layout: those of its index, in order, or its only manifest."""

    async def blob(digest: str) -> Any:
        return json.loads(await layout.file(f"blobs/{digest.replace(':', '/')}").contents())

    index = json.loads(await layout.file("index.json").contents())
    while len(index["manifests"]) == 1 and "index" in index["manifests"][0]["mediaType"]:
        index = await blob(index["manifests"][0]["digest"])
    found = []
    for entry in index["manifests"]:
        manifest = await blob(entry["digest"])
        # In an archive of one image, the platform is only in the image's config.
        described = entry.get("platform") or await blob(manifest["config"]["digest"])
        names = (described.get(key) for key in ("os", "architecture", "variant"))
        size = sum(layer["size"] for layer in manifest["layers"])
        found.append(VariantManifest(parse("/".join(filter(None, names))).platform, entry["digest"], size))
    return found


def as_json(rows: Sequence[ImageRow]) -> str:
    """Return the rows as a JSON document: `{"variants": [...]}` with the fields of `ImageRow`."""
    return json.dumps({"variants": [asdict(row) for row in rows]}, indent=2)


def as_table(rows: Sequence[ImageRow], seconds: Mapping[str, float] | None = None) -> str:
    """Return the rows as aligned columns, with sizes in MiB.

    Args:
        rows: the platforms.
        seconds: the build time of each platform, if known.
    """
    cells = [("PLATFORM", "TRIPLE", "BINARY", "IMAGE", *(("TIME",) if seconds else ()), "DIGEST")]
    for row in rows:
        sizes = mebibytes(row.binary_bytes), mebibytes(row.image_bytes)
        time = (f"{seconds.get(row.platform, 0.0):.1f} s",) if seconds else ()
        cells.append((row.platform, row.triple, *sizes, *time, row.digest))
    return "\n".join(columns(cells))
