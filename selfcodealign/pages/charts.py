"""Charts as SVG: a histogram, and a line through points. They take numbers and a name, and know no run.

A picture is 400 units wide: on a phone of 360 points its labels are still 10 points high. It has a name for those who
cannot see it. Colours come from the pages' style sheet.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from markupsafe import Markup, escape

from selfcodealign.pages.code import make_visible
from selfcodealign.pages.ticks import find_ticks, label

WIDTH = 400
_HEIGHT = 210
_LEFT, _RIGHT, _TOP, _BASE = 52, 26, 14, 170
#: The room of a letter of a label.
_LETTER = 8


class Axes:
    """Turns values into places in the picture, and draws the axes; the vertical one begins at 0."""

    def __init__(self, across: tuple[float, float], highest: float) -> None:
        self._low, self._high = across if across[1] > across[0] else (across[0], across[0] + 1)
        self._top = highest if highest > 0 else 1.0

    def x(self, value: float) -> float:
        return _LEFT + (value - self._low) / (self._high - self._low) * (WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        return _TOP + (1 - value / self._top) * (_BASE - _TOP)

    def draw(self, below: str, beside: str) -> Iterable[Markup]:
        """Grid lines with round numbers, and the names of the axes."""
        for value in find_ticks(0, self._top, 5):
            yield Markup('<path class="grid" d="M{} {:.1f}H{}"/>').format(_LEFT, self.y(value), WIDTH - _RIGHT)
            yield _text(_LEFT - 6, self.y(value) + 4, label(value), "end")
        yield _text((_LEFT + WIDTH - _RIGHT) / 2, _HEIGHT - 5, make_visible(below), "middle")
        text = '<text x="11" y="{0:.0f}" transform="rotate(-90 11 {0:.0f})" text-anchor="middle">{1}</text>'
        yield Markup(text).format((_TOP + _BASE) / 2, make_visible(beside))

    def mark(self, values: Iterable[tuple[float, str]]) -> Iterable[Markup]:
        """Strokes below the horizontal axis, with texts where they have room beside each other."""
        end = -math.inf
        for value, text in values:
            x, half = self.x(value), len(text) * _LETTER / 2
            yield Markup('<path class="grid" d="M{:.1f} {}v5"/>').format(x, _BASE)
            if x - half > end:
                yield _text(x, _BASE + 18, text, "middle")
                end = x + half


def draw_histogram(edges: Sequence[float], counts: Sequence[int], unit: str, beside: str, name: str) -> Markup:
    """Draw how many values lie between neighbouring `edges`; bins that cannot be drawn are left out.

    All columns are of one width, and the edges are told below: bins that grow towards the right stay readable.
    """
    bins = [
        (low, high, count)
        for low, high, count in zip(edges, edges[1:], counts, strict=False)
        if all(map(math.isfinite, (low, high, count)))
    ]
    if not bins:
        return Markup("")
    axes = Axes((0, len(bins)), max(count for *_, count in bins))
    marks = axes.mark((place, label(edge)) for place, edge in enumerate([*(low for low, *_ in bins), bins[-1][1]]))
    column = '<rect class="column" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"><title>{}</title></rect>'
    columns = [
        Markup(column).format(
            axes.x(place) + 0.5,
            axes.y(count),
            max(0.5, axes.x(place + 1) - axes.x(place) - 1),
            axes.y(0) - axes.y(count),
            f"{label(low)} to {label(high)}: {count:,}",
        )
        for place, (low, high, count) in enumerate(bins)
    ]
    return picture([*axes.draw(unit, beside), *marks, *columns], _HEIGHT, name)


def draw_line(points: Iterable[tuple[float, float]], below: str, beside: str, name: str) -> Markup:
    """Draw a line through the finite ones of `points`."""
    found = [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
    if not found:
        return Markup("")
    low, high = min(0, min(x for x, _ in found)), max(x for x, _ in found)
    axes = Axes((low, high), max(y for _, y in found))
    marks = axes.mark((value, label(value)) for value in find_ticks(low, high, 6))
    path = " ".join(f"{axes.x(x):.1f},{axes.y(y):.1f}" for x, y in found)
    line = Markup('<polyline class="line" points="{}"/>').format(path)
    return picture([*axes.draw(below, beside), *marks, line], _HEIGHT, name)


def picture(parts: Iterable[Markup], height: float, name: str, *, kind: str = "chart") -> Markup:
    """An SVG of `parts` with a name."""
    return Markup('<svg class="{}" viewBox="0 0 {} {:.0f}" role="img" aria-label="{}">{}</svg>').format(
        kind, WIDTH, height, make_visible(name), Markup("").join(parts)
    )


def _text(x: float, y: float, text: str, anchor: str) -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(x, y, anchor, escape(text))
