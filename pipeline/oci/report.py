"""Report the built images as a table or as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

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


def as_json(rows: Sequence[ImageRow]) -> str:
    """Return the rows as a JSON document: `{"variants": [...]}` with the fields of `ImageRow`."""
    return json.dumps({"variants": [asdict(row) for row in rows]}, indent=2)


def as_table(
    rows: Sequence[ImageRow], seconds: Mapping[str, float] | None = None, width: int | None = None
) -> str:
    """Return the rows as aligned columns, with sizes in MiB.

    Args:
        rows: the platforms.
        seconds: the build time of each platform, if known.
        width: the width of the terminal; in a narrow one, each digest has a line of its own.
    """
    cells = [("PLATFORM", "TRIPLE", "BINARY", "IMAGE", *(("TIME",) if seconds else ()), "DIGEST")]
    for row in rows:
        sizes = mebibytes(row.binary_bytes), mebibytes(row.image_bytes)
        time = (f"{seconds.get(row.platform, 0.0):.1f} s",) if seconds else ()
        cells.append((row.platform, row.triple, *sizes, *time, row.digest))
    lines = columns(cells)
    if width is None or max(map(len, lines)) <= width:
        return "\n".join(lines)
    narrow = columns([line[:-1] for line in cells])
    digests = ["", *(f"\n  {row.digest}" for row in rows)]
    return "\n".join(line + digest for line, digest in zip(narrow, digests, strict=True))
