"""Format text for tables: aligned columns and sizes."""

from __future__ import annotations

from collections.abc import Sequence


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Align rows of equal length into lines of text."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]


def mebibytes(size: int) -> str:
    """Format a number of bytes as MiB with one decimal."""
    return f"{size / 2**20:.1f} MiB"
