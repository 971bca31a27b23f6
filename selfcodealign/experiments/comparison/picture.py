"""The picture of an experiment as SVG: arms as dots with intervals and seeds, base models as dashed lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from selfcodealign.experiments.comparison.comparing import Results
from selfcodealign.experiments.comparison.crossed import Estimate
from selfcodealign.experiments.comparison.drawing import DASHES, RIGHT, TOP, WIDTH, Axis, shorten, tell_interval
from selfcodealign.experiments.comparison.lines import ExperimentTable, Line
from selfcodealign.training.curves import label

#: Height of a row, the place of the dot in it, and the height of a second line of its name.
_ROW, _DOT, _LINE = 40, 28, 15
#: Characters of a name that fit beside the score, at 13 units each 7 wide.
_FITS = 48


def draw_dots(table: ExperimentTable, results: Results, benchmark: str) -> str:
    """Draw each arm's mean with its interval and its seeds, base models as dashed lines."""
    found = [
        (line, results.means[line.name, benchmark]) for line in table.lines if (line.name, benchmark) in results.means
    ]
    found.sort(key=lambda pair: not pair[0].is_base)
    seeds = {line.name: list(results.by_seed[line.name, benchmark].values()) for line, _ in found}
    axis = Axis(
        [100 * value for line, one in found for value in (one.low, one.high, *seeds[line.name])],
        16,
        WIDTH - RIGHT - 4,
    )
    rows = _lay_out([line.name for line, _ in found])
    bottom = rows[-1].bottom
    parts = [
        f'<path class="grid" d="M{axis.at(tick):.1f} {TOP}V{bottom}"/>'
        f'<text class="tick" x="{axis.at(tick):.1f}" y="{bottom + 16}" text-anchor="middle">{label(tick)}</text>'
        for tick in axis.ticks(7)
    ]
    bases = [one for line, one in found if line.is_base]
    for place, one in enumerate(bases):
        x, dash = axis.at(100 * one.mean), DASHES[place % len(DASHES)]
        path = "".join(row.beside(x) for row in rows[place:])
        parts.append(f'<path class="base" stroke-dasharray="{dash}" d="{path}"/>')
    for row, (line, one) in zip(rows, found, strict=True):
        parts.append(_draw_row(row, line, one, [100 * value for value in seeds[line.name]], axis))
    told = "; ".join(f"{line.name} {tell_interval(one)}" for line, one in found)
    title = f"{benchmark}, percent: {told}"
    return (
        f'<svg viewBox="0 0 {WIDTH} {bottom + 40}" role="img" aria-label="{escape(title)}">{"".join(parts)}'
        f'<text x="{WIDTH / 2}" y="{bottom + 35}" text-anchor="middle">{escape(shorten(benchmark, 50))}, percent'
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
        if x < 8 + 7.5 * max(map(len, self.texts)) or x > WIDTH - 44:
            start = self.dot - _DOT + 18
        return f"M{x:.1f} {start}V{self.bottom}"


def _lay_out(names: Sequence[str]) -> list[_Row]:
    rows: list[_Row] = []
    for name in names:
        rows.append(_Row(rows[-1].bottom if rows else TOP, _break(name)))
    return rows


def _break(name: str) -> list[str]:
    """Two lines for a long name, where it has a joint if there is one; the middle of a longer one is left out."""
    name = shorten(name, 2 * _FITS - 20)
    if len(name) <= _FITS:
        return [name]
    for joints in (" ,|", "=/_"):
        for end in range(_FITS, _FITS - 20, -1):
            if name[end - 1] in joints:
                return [name[:end], name[end:]]
    return [name[:_FITS], name[_FITS:]]


def _draw_row(row: _Row, line: Line, one: Estimate, seeds: Sequence[float], axis: Axis) -> str:
    y, kind = row.dot, "base" if line.is_base else "c0"
    names = "".join(
        f'<text class="name" x="4" y="{row.top + 14 + _LINE * place}">{escape(text)}</text>'
        for place, text in enumerate(row.texts)
    )
    low, mean, high = (axis.at(100 * value) for value in (one.low, one.mean, one.high))
    several = seeds if len(seeds) > 1 else ()
    dots = "".join(f'<circle class="seed" cx="{axis.at(x):.1f}" cy="{y}" r="2.5"/>' for x in several)
    return (
        f'<g class="{kind}"><title>{escape(line.name)}: {tell_interval(one)}</title>'
        f'<path class="interval" d="M{low:.1f} {y}H{high:.1f}M{low:.1f} {y - 4}v8M{high:.1f} {y - 4}v8"/>{dots}'
        f'<circle class="mean" cx="{mean:.1f}" cy="{y}" r="5"/>'
        f'{names}<text class="name" x="{WIDTH - 4}" y="{row.top + 14}" text-anchor="end">{100 * one.mean:.1f}'
        "</text></g>"
    )
