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
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 16, 14, 40


class Axes:
    """Turns values into places in the picture, and draws the axes; the vertical one begins at 0."""

    def __init__(self, across: tuple[float, float], highest: float) -> None:
        self._low, self._high = across if across[1] > across[0] else (across[0], across[0] + 1)
        self._top = highest if highest > 0 else 1.0

    def x(self, value: float) -> float:
        return _LEFT + (value - self._low) / (self._high - self._low) * (WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        return _TOP + (1 - value / self._top) * (_HEIGHT - _TOP - _BOTTOM)

    def draw(self, below: str, beside: str) -> Iterable[Markup]:
        """Grid lines and round numbers; `below` and `beside` name the axes."""
        bottom = _HEIGHT - _BOTTOM
        for value in find_ticks(0, self._top, 5):
            yield Markup('<path class="grid" d="M{} {:.1f}H{}"/>').format(_LEFT, self.y(value), WIDTH - _RIGHT)
            yield _text(_LEFT - 6, self.y(value) + 4, label(value), "end")
        for value in find_ticks(self._low, self._high, 6):
            yield Markup('<path class="grid" d="M{:.1f} {}v5"/>').format(self.x(value), bottom)
            yield _text(self.x(value), bottom + 18, label(value), "middle")
        yield _text((_LEFT + WIDTH - _RIGHT) / 2, _HEIGHT - 5, below, "middle")
        middle = (_TOP + bottom) / 2
        yield Markup('<text x="11" y="{0:.0f}" transform="rotate(-90 11 {0:.0f})" text-anchor="middle">{1}</text>').format(
            middle, make_visible(beside)
        )


def draw_histogram(edges: Sequence[float], counts: Sequence[int], unit: str, beside: str, name: str) -> Markup:
    """Draw how many values lie between neighbouring `edges`; bins that cannot be drawn are left out."""
    bins = [
        (low, high, count)
        for low, high, count in zip(edges, edges[1:], counts, strict=False)
        if all(map(math.isfinite, (low, high, count)))
    ]
    if not bins:
        return Markup("")
    axes = Axes((bins[0][0], bins[-1][1]), max(count for *_, count in bins))
    bars = [
        Markup('<rect class="column" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"><title>{}</title></rect>').format(
            axes.x(low) + 0.5,
            axes.y(count),
            max(0.5, axes.x(high) - axes.x(low) - 1),
            axes.y(0) - axes.y(count),
            f"{label(low)} to {label(high)}: {count:,}",
        )
        for low, high, count in bins
    ]
    return picture([*axes.draw(unit, beside), *bars], _HEIGHT, name)


def draw_line(points: Iterable[tuple[float, float]], below: str, beside: str, name: str) -> Markup:
    """Draw a line through the finite ones of `points`."""
    found = [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
    if not found:
        return Markup("")
    axes = Axes((min(0, found[0][0]), max(x for x, _ in found)), max(y for _, y in found))
    path = " ".join(f"{axes.x(x):.1f},{axes.y(y):.1f}" for x, y in found)
    return picture([*axes.draw(below, beside), Markup('<polyline class="line" points="{}"/>').format(path)], _HEIGHT, name)


def picture(parts: Iterable[Markup], height: float, name: str, *, kind: str = "chart") -> Markup:
    """An SVG of `parts` with a name."""
    return Markup('<svg class="{}" viewBox="0 0 {} {:.0f}" role="img" aria-label="{}">{}</svg>').format(
        kind, WIDTH, height, make_visible(name), Markup("").join(parts)
    )


def _text(x: float, y: float, text: str, anchor: str) -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(x, y, anchor, escape(text))
