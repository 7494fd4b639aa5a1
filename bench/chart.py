"""Bar charts as SVG text: horizontal bars in groups, with whiskers for the spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, LABEL, VALUE = 800, 300, 110
BAR, GAP, TITLE = 18, 12, 34
COLOURS = (
    "#0969da", "#a0a7af", "#c9a26d", "#8fb08c", "#a792b8", "#c58a80", "#7fb0b5", "#b8b26a", "#8d99c4",
    "#c7a0b4", "#9aa58a", "#b09a86",
)  # fmt: skip
"""One colour for each kind; the first, for this project, is the only strong one."""


@dataclass(frozen=True)
class Bar:
    """A bar of a chart.

    Attributes:
        label: text to its left.
        value: its length, in the chart's unit.
        low: start of its whisker.
        high: end of its whisker.
        text: text to its right.
        kind: index of its colour.
    """

    label: str
    value: float
    low: float
    high: float
    text: str
    kind: int = 0


@dataclass(frozen=True)
class Group:
    """Bars under one heading."""

    heading: str
    bars: tuple[Bar, ...]


def svg(title: str, groups: Sequence[Group]) -> str:
    """Return the chart as SVG. Every group has a separate scale, since groups may differ by magnitudes."""
    parts: list[str] = []
    y = TITLE
    for group in groups:
        y += GAP + 16
        parts.append(_text(10, y, group.heading, "font-weight='bold'"))
        y += 8
        longest = max((max(bar.value, bar.high) for bar in group.bars), default=0) or 1.0
        for bar in group.bars:
            parts += _bar(bar, y, (WIDTH - LABEL - VALUE) / longest)
            y += BAR + 6
    height = y + GAP
    head = (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{height}' "
        f"viewBox='0 0 {WIDTH} {height}' font-family='sans-serif' font-size='13' role='img'>"
    )
    background = "<style>text{fill:#1f2328}path{stroke:#1f2328}@media(prefers-color-scheme:dark){"
    background += "text{fill:#f0f6fc}path{stroke:#f0f6fc}}</style>"
    heading = _text(10, 22, title, "font-size='16' font-weight='bold'")
    return "\n".join([head, f"<title>{escape(title)}</title>", background, heading, *parts, "</svg>", ""])


def _bar(bar: Bar, y: int, scale: float) -> list[str]:
    length, middle = bar.value * scale, y + BAR / 2
    colour = COLOURS[bar.kind % len(COLOURS)]
    drawn = [
        _text(LABEL - 8, y + 14, bar.label, "text-anchor='end'"),
        f"<rect x='{LABEL}' y='{y}' width='{length:.1f}' height='{BAR}' fill='{colour}'/>",
    ]
    if bar.high > bar.low:
        low, high = LABEL + bar.low * scale, LABEL + bar.high * scale
        drawn.append(
            f"<path d='M{low:.1f} {middle}H{high:.1f}M{low:.1f} {middle - 4}v8M{high:.1f} {middle - 4}v8' "
            "fill='none'/>"
        )
    drawn.append(_text(LABEL + max(length, bar.high * scale) + 6, y + 14, bar.text))
    return drawn


def _text(x: float, y: float, text: str, more: str = "") -> str:
    space = " " if more else ""
    return f"<text x='{x:.1f}' y='{y}'{space}{more}>{escape(text)}</text>"
