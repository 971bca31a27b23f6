"""The page of an experiment: one file without network, in light and dark, readable on a phone and by keyboard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from selfcodealign.experiments.comparison.layout import (
    DIFFERENCES,
    SCORES,
    Layout,
    Rows,
    cell,
    difference_rows,
    published_rows,
)
from selfcodealign.experiments.comparison.number_curves import draw_curves, find_axis
from selfcodealign.experiments.comparison.paper_tables import GRID, MODELS
from selfcodealign.experiments.comparison.picture import draw_dots
from selfcodealign.experiments.comparison.published import Published

_LIGHT = (
    "--page:#fff;--ink:#1f2328;--dim:#57606a;--rule:#d0d7de;--tint:9,105,218;"
    "--c0:#0969da;--c1:#bc4c00;--c2:#1a7f37;--c3:#8250df;--c4:#bf3989;--c5:#0e7490"
)
_DARK = (
    "--page:#0d1117;--ink:#e6edf3;--dim:#9da7b3;--rule:#30363d;--tint:88,166,255;"
    "--c0:#58a6ff;--c1:#f0883e;--c2:#3fb950;--c3:#bc8cff;--c4:#f778ba;--c5:#39c5cf"
)
_STYLE = (
    f":root{{color-scheme:light dark;{_LIGHT}}}@media(prefers-color-scheme:dark){{:root{{{_DARK}}}}}"
    + """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 1.5rem auto; padding: 0 1rem;
       color: var(--ink); background: var(--page); overflow-wrap: anywhere; }
h1 { line-height: 1.25; } figure { margin: 0; } figcaption, .dim { color: var(--dim); }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr)); gap: 1.5rem;
            align-items: start; }
svg { display: block; width: 100%; max-width: 40rem; height: auto; }
svg { font: 13px system-ui, sans-serif; fill: var(--dim); }
.grid { stroke: var(--rule); } .base { stroke: var(--dim); fill: var(--dim); stroke-width: 1.5; }
g.base { stroke: none; } .interval { stroke: currentColor; stroke-width: 2; fill: none; }
g.base .interval { stroke: var(--dim); }
.mean { fill: currentColor; stroke: var(--page); } g.base .mean { fill: var(--dim); }
.seed { fill: var(--page); stroke: currentColor; } .line { stroke: currentColor; stroke-width: 2; fill: none; }
.name { fill: var(--ink); stroke: var(--page); stroke-width: 4; paint-order: stroke; }
"""
    + "".join(f".c{number}{{color:var(--c{number})}}" for number in range(6))
    + """
.scroll { overflow-x: auto; max-width: 100%; } .scroll:focus-visible { outline: 2px solid var(--c0); }
table { border-collapse: collapse; margin: .5rem 0; } caption { text-align: left; color: var(--dim); }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--rule); text-align: right; vertical-align: top;
         overflow-wrap: normal; white-space: nowrap; }
th:first-child { text-align: left; position: sticky; left: 0; background: var(--page); white-space: normal;
                 min-width: 7rem; max-width: min(22rem, 45vw); overflow-wrap: anywhere; font-weight: 600; }
td.text { white-space: normal; text-align: left; min-width: 8rem; }
td.own { outline: 2px solid var(--c1); outline-offset: -2px; } td small { display: block; color: var(--dim); }
summary { cursor: pointer; padding: .3rem 0; } li { margin: .3rem 0; }
"""
)


def html_page(layout: Layout) -> str:
    """Return the page: pictures, the table, differences as sentences, the paper's numbers, notes."""
    title = escape(layout.table.title)
    sections = [
        ("", _pictures(layout)),
        ("Scores", _scores(layout)),
        ("Differences", _differences(layout)),
        ("In the paper", _published(layout, layout.published) if layout.published else ""),
        ("Notes", _list(layout.notes())),
    ]
    body = "".join(
        f"<section>{f'<h2>{name}</h2>' if name else ''}{content}</section>\n" for name, content in sections if content
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head>\n<body><main><h1>{title}</h1>\n"
        f"{body}</main></body></html>\n"
    )


def _pictures(layout: Layout) -> str:
    table, results, axis = layout.table, layout.results, find_axis(layout.table)
    drawn = []
    for benchmark in table.benchmarks:
        if not any((arm.name, benchmark) in results.means for arm in table.arms):
            continue
        name = escape(benchmark)
        drawn.append(_figure(draw_dots(table, results, benchmark), f"{name}: each arm with its 95 % interval."))
        if axis and (curves := draw_curves(table, results, benchmark, axis)):
            drawn.append(_figure(curves, f"{name} over {escape(axis)}, with 95 % intervals."))
    seeds = any(len(found) > 1 for found in results.by_seed.values())
    key = " Small dots are single tuning seeds." if seeds else ""
    key += " Dashed lines are base models." if any(line.is_base for line in table.lines) else ""
    return f'<div class="pictures">{"".join(drawn)}</div><p class="dim">Large dots are means.{key}</p>'


def _figure(picture: str, caption: str) -> str:
    return f"<figure>{picture}<figcaption>{caption}</figcaption></figure>"


def _scores(layout: Layout) -> str:
    table = layout.table
    heads, facts = layout.facts()
    rows = [
        [line.name, *scores, *known] for line, known, scores in zip(table.lines, facts, layout.scores(), strict=True)
    ]
    found = _table(SCORES, ["", *table.benchmarks, *heads], rows)
    if table.arms and all({"generator", "student"} <= set(arm.varied) for arm in table.arms):
        scored = [name for name in table.benchmarks if any(name in arm.scores for arm in table.arms)]
        found = "".join(_own_grid(layout, benchmark) for benchmark in scored) + found
    return found


@dataclass(frozen=True)
class _Cell:
    text: str
    share: float
    title: str = ""


def _own_grid(layout: Layout, benchmark: str) -> str:
    cells: dict[tuple[str, str], list[_Cell]] = {}
    students = {name: name for arm in layout.table.arms if (name := str(arm.varied["student"]))}
    generators = list(dict.fromkeys(str(arm.varied["generator"]) for arm in layout.table.arms))
    for arm in layout.table.arms:
        if one := layout.results.means.get((arm.name, benchmark)):
            place = str(arm.varied["student"]), str(arm.varied["generator"])
            cells.setdefault(place, []).append(_Cell(cell(one), one.mean, arm.name))
    return _grid(f"{benchmark}, percent: tuned models (rows) on data by (columns)", students, generators, cells)


def _grid(
    caption: str,
    students: Mapping[str, str],
    generators: Sequence[str],
    cells: Mapping[tuple[str, str], Sequence[_Cell]],
) -> str:
    """A table of students (with what stands at their row) and generators; own data are framed.

    The stronger the tint of a cell, the higher its score.
    """
    shares = [one.share for found in cells.values() for one in found]
    low, high = min(shares, default=0.0), max(shares, default=1.0)
    rows = ""
    for student, told in students.items():
        row = ""
        for generator in generators:
            found = cells.get((student, generator), ())
            own = student == generator
            depth = max(((one.share - low) / ((high - low) or 1.0) for one in found), default=0.0)
            style = f' style="background:rgba(var(--tint),{0.35 * depth:.2f})"' if found else ""
            text = "<br>".join(f'<span title="{escape(one.title)}">{escape(one.text)}</span>' for one in found) or "–"
            row += f"<td{' class=own' if own else ''}{style}>{text}{'<small>own data</small>' if own else ''}</td>"
        rows += f'<tr><th scope="row">{escape(told)}</th>{row}</tr>'
    heads = "".join(f'<th scope="col">{escape(name)}</th>' for name in ("tuned \\ data by", *generators))
    return _scrolling(caption, f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody>")


def _differences(layout: Layout) -> str:
    if not layout.results.differences:
        return ""
    told, further = layout.told()
    intro = f"<p>{escape(further)}</p>" if further else ""
    if not told:
        return intro
    rows = _table("Second line minus first, in points", DIFFERENCES, difference_rows(told))
    return f"{intro}{_list([one.sentence() for one in told])}<details><summary>As a table</summary>{rows}</details>"


def _published(layout: Layout, published: Published) -> str:
    if published.is_grid:
        cells = {
            (row.student, row.generator): [_Cell(f"{row.score:.1f}", row.score / 100, row.name)]
            for row in published.rows
        }
        drawn = _grid(published.title, {name: f"{name} (base {GRID[name][0]})" for name in MODELS}, MODELS, cells)
    else:
        drawn = _table(published.title, *published_rows(layout, published))
    order, noise = published.tell_order(layout.results), published.tell_noise()
    told = (
        f"<details open><summary>What the paper's differences show</summary>{_list(noise)}</details>" if noise else ""
    )
    return f"<p>{escape(published.about)}</p>{drawn}{_list(order)}{told}"


def _table(caption: str, heads: Sequence[str], rows: Rows) -> str:
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in heads)
    body = "".join(f'<tr><th scope="row">{escape(row[0])}</th>{"".join(map(_data, row[1:]))}</tr>' for row in rows)
    return _scrolling(caption, f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>")


def _data(text: str) -> str:
    return f'<td class="text">{escape(text)}</td>' if len(text) > 30 else f"<td>{escape(text)}</td>"


def _scrolling(caption: str, content: str) -> str:
    """A table that is wider than the screen scrolls by itself, by touch and by keyboard."""
    name = escape(caption)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{name}">'
        f"<table><caption>{name}</caption>{content}</table></div>"
    )


def _list(texts: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(text)}</li>' for text in texts)}</ul>" if texts else ""
