"""Draw a curve over the steps of a training as SVG, in light and dark, readable on a phone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

from selfcodealign.pages.ticks import find_ticks, label

#: Units of the picture; 480 of them on the 360 points of a phone leave the labels readable.
_WIDTH, _HEIGHT = 480, 270
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 14, 14, 42
#: Above so many steps, points are joined by a thin line instead of having a dot with its value.
_MOST_DOTS = 400

_STYLE = (
    "svg.curve{font:13px system-ui,sans-serif;fill:#57606a}.curve .grid{stroke:#d8dee4}.curve .dots{fill:#8c959f}"
    ".curve .thin{stroke:#8c959f;fill:none}.curve .line{stroke:#0969da;fill:none;stroke-width:2}"
    "@media(prefers-color-scheme:dark){svg.curve{fill:#9da7b3}.curve .grid{stroke:#30363d}.curve .dots{fill:#7d8590}"
    ".curve .thin{stroke:#7d8590}.curve .line{stroke:#58a6ff}}"
)

#: Step and value.
Point = tuple[int, float]


def draw_curve(points: Iterable[Point], last: int, name: str, *, from_zero: bool = True, smooth: bool = False) -> str:
    """Draw the finite ones of `points`, up to the step `last`; `name` is the label of the axis of values.

    `from_zero` begins that axis at 0; `smooth` draws a moving mean over dots, instead of a line through the points.
    Raises `ValueError` when no value is finite.
    """
    points = [(step, value) for step, value in points if math.isfinite(value)]
    if not points:
        raise ValueError(f"there is no finite {name} to draw")
    plot = _Plot([value for _, value in points], max(last, 2), from_zero)
    shown = _moving_mean(points) if smooth else points
    if len(points) <= _MOST_DOTS:
        dots = "".join(
            f'<circle cx="{plot.x(step):.1f}" cy="{plot.y(value):.1f}" r="2.5">'
            f"<title>step {step}: {value:.6g}</title></circle>"
            for step, value in points
        )
        marks = f'<g class="dots">{dots}</g>'
    else:
        marks = f'<polyline class="thin" points="{plot.path(points)}"/>' if smooth else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="curve" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{escape(name)} from {points[0][1]:.4g} to {points[-1][1]:.4g}"><style>{_STYLE}</style>'
        f'{plot.draw_axes(name)}{marks}<polyline class="line" points="{plot.path(shown)}"/></svg>\n'
    )


def _moving_mean(points: Sequence[Point]) -> list[Point]:
    window = max(1, len(points) // 25)
    found = []
    for i, (step, _) in enumerate(points):
        values = [value for _, value in points[max(0, i - window + 1) : i + 1]]
        found.append((step, sum(values) / len(values)))
    return found


class _Plot:
    """Turns steps and values into places."""

    def __init__(self, values: Sequence[float], last: int, from_zero: bool) -> None:
        low, high = min(values), max(values)
        low = min(low, 0.0) if from_zero else low
        if high <= low:  # a level line is drawn in the middle
            low, high = low - (abs(low) or 1.0) * 0.1, high + (abs(high) or 1.0) * 0.1
        pad = (high - low) * 0.04
        self._low, self._high, self._last = low - (0 if from_zero and low == 0 else pad), high + pad, last

    def x(self, step: float) -> float:
        return _LEFT + (step - 1) / (self._last - 1) * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        return _TOP + (self._high - value) / (self._high - self._low) * (_HEIGHT - _TOP - _BOTTOM)

    def path(self, points: Sequence[Point]) -> str:
        return " ".join(f"{self.x(step):.1f},{self.y(value):.1f}" for step, value in points)

    def draw_axes(self, name: str) -> str:
        """Grid lines with round numbers, steps below, the names of both axes."""
        bottom, middle = _HEIGHT - _BOTTOM, (_TOP + _HEIGHT - _BOTTOM) / 2
        parts = [
            f'<path class="grid" d="M{_LEFT} {self.y(value):.1f}H{_WIDTH - _RIGHT}"/>'
            f'<text class="value" x="{_LEFT - 6}" y="{self.y(value) + 4:.1f}" text-anchor="end">{label(value)}</text>'
            for value in find_ticks(self._low, self._high, 6)
        ]
        for step in find_ticks(1, self._last, 7, whole=True):
            parts.append(
                f'<path class="grid" d="M{self.x(step):.1f} {bottom}v5"/>'
                f'<text class="step" x="{self.x(step):.1f}" y="{bottom + 18}" text-anchor="middle">{label(step)}</text>'
            )
        parts.append(
            f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2:.0f}" y="{_HEIGHT - 6}" text-anchor="middle">step</text>'
            f'<text x="13" y="{middle:.0f}" transform="rotate(-90 13 {middle:.0f})" text-anchor="middle">'
            f"{escape(name)}</text>"
        )
        return "".join(parts)
