"""The pictures of an experiment as SVG: arms as dots with intervals, and curves over a number that was varied.

Colours are variables of the page (`page`), which knows light and dark. 420 units on the 360 points of a phone leave the
labels readable, so a name stands above its dot, not beside it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from selfcodealign.experiments.comparing import Results
from selfcodealign.experiments.crossed import Estimate
from selfcodealign.experiments.lines import ExperimentTable, Line
from selfcodealign.training.curves import find_ticks, label

_WIDTH, _RIGHT, _TOP = 420, 12, 6
#: Height of a row, the place of the dot in it, and the height of a second line of its name.
_ROW, _DOT, _LINE = 40, 28, 15
#: Characters of a name that fit beside the score, at 13 units each 7 wide.
_FITS = 48
_DASHES = ("6 4", "2 4", "12 4", "12 4 2 4")
#: Colours of the page; further series repeat them with dashes.
COLOURS = 6


def draw_dots(table: ExperimentTable, results: Results, benchmark: str) -> str:
    """Draw each arm's mean with its interval and its seeds, base models as dashed lines."""
    found = [
        (line, results.means[line.name, benchmark]) for line in table.lines if (line.name, benchmark) in results.means
    ]
    found.sort(key=lambda pair: not pair[0].is_base)
    seeds = {line.name: list(results.by_seed[line.name, benchmark].values()) for line, _ in found}
    axis = _Axis(
        [100 * value for line, one in found for value in (one.low, one.high, *seeds[line.name])],
        16,
        _WIDTH - _RIGHT - 4,
    )
    rows = _lay_out([line.name for line, _ in found])
    bottom = rows[-1].bottom
    parts = [
        f'<path class="grid" d="M{axis.at(tick):.1f} {_TOP}V{bottom}"/>'
        f'<text class="tick" x="{axis.at(tick):.1f}" y="{bottom + 16}" text-anchor="middle">{label(tick)}</text>'
        for tick in axis.ticks(7)
    ]
    bases = [one for line, one in found if line.is_base]
    for place, one in enumerate(bases):
        x, dash = axis.at(100 * one.mean), _DASHES[place % len(_DASHES)]
        path = "".join(row.beside(x) for row in rows[place:])
        parts.append(f'<path class="base" stroke-dasharray="{dash}" d="{path}"/>')
    for row, (line, one) in zip(rows, found, strict=True):
        parts.append(_draw_row(row, line, one, [100 * value for value in seeds[line.name]], axis))
    told = "; ".join(f"{line.name} {_interval(one)}" for line, one in found)
    title = f"{benchmark}, percent: {told}"
    return (
        f'<svg viewBox="0 0 {_WIDTH} {bottom + 40}" role="img" aria-label="{escape(title)}">{"".join(parts)}'
        f'<text x="{_WIDTH / 2}" y="{bottom + 35}" text-anchor="middle">{escape(_short(benchmark, 50))}, percent'
        "</text></svg>"
    )


@dataclass(frozen=True)
class _Row:
    """The place of a line: its name, in one or two lines of text, stands above its dot."""

    top: int
    texts: Sequence[str]

    @property
    def dot(self) -> int:
        return self.top + _DOT + _LINE * (len(self.texts) - 1)

    @property
    def bottom(self) -> int:
        return self.dot + _ROW - _DOT

    def beside(self, x: float) -> str:
        """A vertical line through the row, below its name where that stands in the way."""
        start = self.top
        if x < 8 + 7.5 * max(map(len, self.texts)) or x > _WIDTH - 44:
            start = self.dot - _DOT + 18
        return f"M{x:.1f} {start}V{self.bottom}"


def _lay_out(names: Sequence[str]) -> list[_Row]:
    rows: list[_Row] = []
    for name in names:
        rows.append(_Row(rows[-1].bottom if rows else _TOP, _break(name)))
    return rows


def _break(name: str) -> list[str]:
    """Two lines for a long name, where it has a joint if there is one; the middle of a longer one is left out."""
    name = _short(name, 2 * _FITS - 20)
    if len(name) <= _FITS:
        return [name]
    end = max((place + 1 for place in range(_FITS - 20, _FITS) if name[place] in " ,=/_|-."), default=_FITS)
    return [name[:end], name[end:][:_FITS]]


def _draw_row(row: _Row, line: Line, one: Estimate, seeds: Sequence[float], axis: _Axis) -> str:
    y, kind = row.dot, "base" if line.is_base else "c0"
    names = "".join(
        f'<text class="name" x="4" y="{row.top + 14 + _LINE * place}">{escape(text)}</text>'
        for place, text in enumerate(row.texts)
    )
    low, mean, high = (axis.at(100 * value) for value in (one.low, one.mean, one.high))
    dots = (
        ""
        if len(seeds) < 2
        else "".join(f'<circle class="seed" cx="{axis.at(x):.1f}" cy="{y}" r="2.5"/>' for x in seeds)
    )
    return (
        f'<g class="{kind}"><title>{escape(line.name)}: {_interval(one)}</title>'
        f'<path class="interval" d="M{low:.1f} {y}H{high:.1f}M{low:.1f} {y - 4}v8M{high:.1f} {y - 4}v8"/>{dots}'
        f'<circle class="mean" cx="{mean:.1f}" cy="{y}" r="5"/>'
        f'{names}<text class="name" x="{_WIDTH - 4}" y="{row.top + 14}" text-anchor="end">{100 * one.mean:.1f}'
        "</text></g>"
    )


def find_axis(table: ExperimentTable) -> str | None:
    """Return the numeric key that is varied, of several the one with the most values; None where there is none."""
    keys = [key for key in table.keys if all(_is_number(arm.varied.get(key)) for arm in table.arms)]
    return max(keys, key=lambda key: len({arm.varied[key] for arm in table.arms}), default=None)


def draw_curves(table: ExperimentTable, results: Results, benchmark: str, key: str) -> str:
    """Draw the scores over the numeric `key`, one curve for each value of what else is varied."""
    series: dict[str, list[tuple[float, Estimate]]] = {}
    others = [name for name in table.keys if name != key]
    for arm in table.arms:
        if one := results.means.get((arm.name, benchmark)):
            name = ", ".join(f"{other}={arm.varied.get(other, 'default')}" for other in others)
            series.setdefault(name, []).append((float(arm.varied[key]), one))
    if not series:
        return ""
    values = sorted({x for points in series.values() for x, _ in points})
    log = values[0] > 0 and values[-1] > 10 * values[0]
    left, bottom = 52, 270
    across = _Axis(values, left + 14, _WIDTH - _RIGHT - 14, log=log)
    bases = [
        results.means[line.name, benchmark]
        for line in table.lines
        if line.is_base and (line.name, benchmark) in results.means
    ]
    spread = [100 * value for points in series.values() for _, one in points for value in (one.low, one.high)]
    up = _Axis([*spread, *(100 * one.mean for one in bases)], bottom - 8, _TOP + 8)
    parts = [
        f'<path class="grid" d="M{left} {up.at(tick):.1f}H{_WIDTH - _RIGHT}"/>'
        f'<text class="tick" x="{left - 6}" y="{up.at(tick) + 4:.1f}" text-anchor="end">{label(tick)}</text>'
        for tick in up.ticks(6)
    ]
    parts += [
        f'<path class="grid" d="M{across.at(value):.1f} {bottom}v5"/><text class="tick" x="{across.at(value):.1f}" '
        f'y="{bottom + 20}" text-anchor="middle">{label(value)}</text>'
        for value in _apart(values, across)
    ]
    parts += [
        f'<path class="base" stroke-dasharray="{_DASHES[place % len(_DASHES)]}" '
        f'd="M{left} {up.at(100 * one.mean):.1f}H{_WIDTH - _RIGHT}"/>'
        for place, one in enumerate(bases)
    ]
    parts += [
        _curve(name, points, across, up, place, len(series)) for place, (name, points) in enumerate(series.items())
    ]
    names = _legend(table, benchmark, results, [name for name in series if name], bottom + 62)
    middle = (_TOP + bottom) / 2
    height = bottom + 52 + 20 * names.count("<text")
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(_tell_curves(benchmark, key, series))}">'
        f'{"".join(parts)}<text x="{(left + _WIDTH) / 2}" y="{bottom + 40}" text-anchor="middle">'
        f"{escape(_short(key, 40))}{' (log scale)' if log else ''}</text>"
        f'<text x="13" y="{middle}" transform="rotate(-90 13 {middle})" text-anchor="middle">'
        f"{escape(_short(benchmark, 28))}, percent</text>{names}</svg>"
    )


def _curve(name: str, points: list[tuple[float, Estimate]], across: _Axis, up: _Axis, place: int, of: int) -> str:
    # Curves stand a little apart, so that their intervals can be told from each other.
    shift = 5 * (place - (of - 1) / 2) if of <= COLOURS else 0.0
    points = sorted(points, key=lambda point: point[0])
    at = [(across.at(x) + shift, up.at(100 * one.mean), one) for x, one in points]
    bars = "".join(f"M{x:.1f} {up.at(100 * one.low):.1f}V{up.at(100 * one.high):.1f}" for x, _, one in at)
    dots = "".join(
        f'<circle class="mean" cx="{x:.1f}" cy="{y:.1f}" r="4"><title>{escape(name)} {label(value)}: {_interval(one)}'
        "</title></circle>"
        for (x, y, one), (value, _) in zip(at, points, strict=True)
    )
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in at)
    return (
        f'<g class="{_colour(place)}"><path class="interval" d="{bars}"/>'
        f'<polyline class="line"{_dashes(place)} points="{line}"/>{dots}</g>'
    )


def _legend(table: ExperimentTable, benchmark: str, results: Results, names: Sequence[str], top: int) -> str:
    bases = [line.name for line in table.lines if line.is_base and (line.name, benchmark) in results.means]
    rows = [(_colour(place), "line", _dashes(place), name) for place, name in enumerate(names)]
    rows += [
        ("", "base", f' stroke-dasharray="{_DASHES[place % len(_DASHES)]}"', name) for place, name in enumerate(bases)
    ]
    return "".join(
        f'<g class="{colour}"><path class="{kind}"{dashes} d="M8 {top + 20 * place - 4}h28"/>'
        f'<text x="44" y="{top + 20 * place}">{escape(_short(name, 46))}</text></g>'
        for place, (colour, kind, dashes, name) in enumerate(rows)
    )


def _colour(place: int) -> str:
    return f"c{place % COLOURS}"


def _dashes(place: int) -> str:
    return f' stroke-dasharray="{_DASHES[(place // COLOURS - 1) % len(_DASHES)]}"' if place >= COLOURS else ""


def _tell_curves(benchmark: str, key: str, series: Mapping[str, list[tuple[float, Estimate]]]) -> str:
    told = []
    for name, points in series.items():
        along = ", ".join(f"{label(x)} → {_interval(one)}" for x, one in sorted(points, key=lambda point: point[0]))
        told.append(f"{name}: {along}" if name else along)
    return f"{benchmark} in percent over {key}: {'; '.join(told)}"


class _Axis:
    """Places of values between two ends of the picture; level values stand in the middle."""

    def __init__(self, values: Sequence[float], first: float, last: float, *, log: bool = False) -> None:
        self._map = math.log if log else float
        low, high = min(values), max(values)
        if high <= low:
            low, high = low - (abs(low) or 1.0) * 0.1, high + (abs(high) or 1.0) * 0.1
        self.low, self.high, self._first, self._last = low, high, first, last

    def at(self, value: float) -> float:
        low, high = self._map(self.low), self._map(self.high)
        return self._first + (self._map(value) - low) / (high - low) * (self._last - self._first)

    def ticks(self, most: int) -> list[float]:
        return find_ticks(self.low, self.high, most)


def _apart(values: Sequence[float], axis: _Axis) -> list[float]:
    """The values whose labels do not touch."""
    kept: list[float] = []
    for value in values:
        if not kept or axis.at(value) - axis.at(kept[-1]) > 4 * (len(label(value)) + len(label(kept[-1]))) + 8:
            kept.append(value)
    return kept


def _interval(one: Estimate) -> str:
    return f"{100 * one.mean:.1f} ({100 * one.low:.1f} to {100 * one.high:.1f})"


def _short(name: str, most: int) -> str:
    """Leave out the middle: names of arms differ in their ends."""
    if len(name) <= most:
        return name
    end = most // 2
    return f"{name[: most - end - 1]}…{name[-end:]}"


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
