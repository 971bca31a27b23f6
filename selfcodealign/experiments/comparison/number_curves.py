"""Scores over a number that was varied, as curves in SVG: one curve for each value of what else was varied."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from selfcodealign.experiments.comparison.comparing import Results
from selfcodealign.experiments.comparison.crossed import Estimate
from selfcodealign.experiments.comparison.drawing import (
    COLOURS,
    DASHES,
    RIGHT,
    TOP,
    WIDTH,
    Axis,
    shorten,
    tell_interval,
)
from selfcodealign.experiments.comparison.lines import ExperimentTable
from selfcodealign.training.curves import label


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
    across = Axis(values, left + 14, WIDTH - RIGHT - 14, log=log)
    bases = [
        results.means[line.name, benchmark]
        for line in table.lines
        if line.is_base and (line.name, benchmark) in results.means
    ]
    spread = [100 * value for points in series.values() for _, one in points for value in (one.low, one.high)]
    up = Axis([*spread, *(100 * one.mean for one in bases)], bottom - 8, TOP + 8)
    parts = [
        f'<path class="grid" d="M{left} {up.at(tick):.1f}H{WIDTH - RIGHT}"/>'
        f'<text class="tick" x="{left - 6}" y="{up.at(tick) + 4:.1f}" text-anchor="end">{label(tick)}</text>'
        for tick in up.ticks(6)
    ]
    parts += [
        f'<path class="grid" d="M{across.at(value):.1f} {bottom}v5"/><text class="tick" x="{across.at(value):.1f}" '
        f'y="{bottom + 20}" text-anchor="middle">{label(value)}</text>'
        for value in _apart(values, across)
    ]
    parts += [
        f'<path class="base" stroke-dasharray="{DASHES[place % len(DASHES)]}" '
        f'd="M{left} {up.at(100 * one.mean):.1f}H{WIDTH - RIGHT}"/>'
        for place, one in enumerate(bases)
    ]
    parts += [
        _curve(name, points, across, up, place, len(series)) for place, (name, points) in enumerate(series.items())
    ]
    names = _legend(table, benchmark, results, [name for name in series if name], bottom + 62)
    middle = (TOP + bottom) / 2
    height = bottom + 52 + 20 * names.count("<text")
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(_tell_curves(benchmark, key, series))}">'
        f'{"".join(parts)}<text x="{(left + WIDTH) / 2}" y="{bottom + 40}" text-anchor="middle">'
        f"{escape(shorten(key, 40))}{' (log scale)' if log else ''}</text>"
        f'<text x="13" y="{middle}" transform="rotate(-90 13 {middle})" text-anchor="middle">'
        f"{escape(shorten(benchmark, 28))}, percent</text>{names}</svg>"
    )


def _curve(name: str, points: list[tuple[float, Estimate]], across: Axis, up: Axis, place: int, of: int) -> str:
    # Curves stand a little apart, so that their intervals can be told from each other.
    shift = 5 * (place - (of - 1) / 2) if of <= COLOURS else 0.0
    points = sorted(points, key=lambda point: point[0])
    at = [(across.at(x) + shift, up.at(100 * one.mean), one) for x, one in points]
    bars = "".join(f"M{x:.1f} {up.at(100 * one.low):.1f}V{up.at(100 * one.high):.1f}" for x, _, one in at)
    dots = "".join(
        f'<circle class="mean" cx="{x:.1f}" cy="{y:.1f}" r="4"><title>{escape(name)} {label(value)}: '
        f"{tell_interval(one)}</title></circle>"
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
        ("", "base", f' stroke-dasharray="{DASHES[place % len(DASHES)]}"', name) for place, name in enumerate(bases)
    ]
    return "".join(
        f'<g class="{colour}"><path class="{kind}"{dashes} d="M8 {top + 20 * place - 4}h28"/>'
        f'<text x="44" y="{top + 20 * place}">{escape(shorten(name, 46))}</text></g>'
        for place, (colour, kind, dashes, name) in enumerate(rows)
    )


def _colour(place: int) -> str:
    return f"c{place % COLOURS}"


def _dashes(place: int) -> str:
    return f' stroke-dasharray="{DASHES[(place // COLOURS - 1) % len(DASHES)]}"' if place >= COLOURS else ""


def _tell_curves(benchmark: str, key: str, series: Mapping[str, list[tuple[float, Estimate]]]) -> str:
    told = []
    for name, points in series.items():
        along = ", ".join(f"{label(x)} → {tell_interval(one)}" for x, one in sorted(points, key=lambda point: point[0]))
        told.append(f"{name}: {along}" if name else along)
    return f"{benchmark} in percent over {key}: {'; '.join(told)}"


def _apart(values: Sequence[float], axis: Axis) -> list[float]:
    """The values whose labels do not touch."""
    kept: list[float] = []
    for value in values:
        if not kept or axis.at(value) - axis.at(kept[-1]) > 4 * (len(label(value)) + len(label(kept[-1]))) + 8:
            kept.append(value)
    return kept


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
