"""The table of an experiment: JSON, Markdown, a self-contained page, and the terminal."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from selfcodealign.errors import ExperimentError
from selfcodealign.experiments.comparison.layout import (
    DIFFERENCES,
    SCORES,
    Layout,
    Rows,
    difference_rows,
    published_rows,
)
from selfcodealign.experiments.comparison.lines import ExperimentTable, Line
from selfcodealign.experiments.comparison.page import html_page
from selfcodealign.files import make_folder, write_json, write_text

__all__ = ["ExperimentTable", "Line", "draw_table", "write_table"]

#: The most columns of a name on a terminal; longer ones are folded.
NAME_WIDTH = 30


def write_table(table: ExperimentTable, out: Path) -> list[Path]:
    """Write or replace table.json, table.md and index.html in `out`, and return their paths.

    Raises `ExperimentError` for lines that no table can be made of, or a folder that cannot be written to.
    """
    layout = Layout(table)
    make_folder(out, error=ExperimentError)
    paths = [out / name for name in ("table.json", "table.md", "index.html")]
    write_json(paths[0], as_json(layout), error=ExperimentError)
    write_text(paths[1], markdown_page(layout), error=ExperimentError)
    write_text(paths[2], html_page(layout), error=ExperimentError)
    return paths


def as_json(layout: Layout) -> dict[str, Any]:
    """Everything that the table says and was made of; scores, means and differences in 0..1, the paper's in percent."""
    table, results, published = layout.table, layout.results, layout.published
    return {
        "title": table.title,
        "benchmarks": table.benchmarks,
        "varied": table.keys,
        "lines": [
            {
                "name": line.name,
                "base": line.is_base,
                "varied": dict(line.varied),
                "rows": line.rows,
                "of": line.of,
                "tokens": line.tokens,
                "facts": dict(line.facts),
                "means": {
                    name: {**asdict(found), "by_seed": {str(k): v for k, v in results.by_seed[line.name, name].items()}}
                    for name in table.benchmarks
                    if (found := results.means.get((line.name, name)))
                },
                "scores": {name: [dict(scores) for scores in seeds] for name, seeds in line.scores.items()},
            }
            for line in table.lines
        ],
        "differences": [
            {**asdict(one), "inside_noise": one.inside_noise, "sentence": one.sentence()} for one in results.differences
        ],
        "published": published
        and {
            "table": published.number,
            "title": published.title,
            "about": published.about,
            "rows": [
                {
                    "name": row.name,
                    "facts": row.facts,
                    "score": row.score,
                    "interval": list(row.interval),
                    "student": row.student or None,
                    "generator": row.generator or None,
                    "lines": [name for name, matched in published.lines.items() if matched is row],
                }
                for row in published.rows
            ],
            "noise": published.tell_noise(),
            "order": published.tell_order(results),
        },
        "notes": layout.notes(),
        "groups": dict(table.groups),
    }


def markdown_page(layout: Layout) -> str:
    """Return the tables and what they show as Markdown."""
    heads, facts = layout.facts()
    names = [[line.name] for line in layout.table.lines]
    rows = [name + known + scores for name, known, scores in zip(names, facts, layout.scores(), strict=True)]
    parts = [
        f"# {plain(layout.table.title)}",
        f"{SCORES}.",
        _markdown(["", *heads, *layout.table.benchmarks], rows),
    ]
    told, further = layout.told()
    if layout.results.differences:
        parts += ["## Differences", *([further] if further else []), _list([one.sentence() for one in told])]
        parts += [_markdown(DIFFERENCES, difference_rows(told))] if told else []
    if published := layout.published:
        parts += [
            "## In the paper",
            f"{plain(published.title)}. {plain(published.about)}",
            _markdown(*published_rows(layout, published)),
            _list([*published.tell_order(layout.results), *published.tell_noise()]),
        ]
    if notes := layout.notes():
        parts += ["## Notes", _list(notes)]
    return "\n\n".join(part for part in parts if part) + "\n"


def plain(text: str) -> str:
    """Escape what Markdown would read as markup; line ends become spaces.

    >>> plain("a|b_*")
    'a\\\\|b\\\\_\\\\*'
    """
    return re.sub(r"([\\`*_\[\]<>|#~&])", r"\\\1", " ".join(text.split()))


def _markdown(heads: Sequence[str], rows: Rows) -> str:
    lines = [[plain(text) for text in line] for line in (heads, *rows)]
    lines.insert(1, ["---", *("---:" for _ in heads[1:])])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _list(texts: Sequence[str]) -> str:
    return "\n".join(f"- {plain(text)}" for text in texts)


def draw_table(table: ExperimentTable) -> RenderableType:
    """Return the table for the terminal; it fits the width of the console that prints it, 80 columns or more.

    Raises `ExperimentError` for lines that no table can be made of.
    """
    return _Drawn(Layout(table))


class _Drawn:
    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        layout, width = self._layout, options.max_width
        names = [line.name for line in layout.table.lines]
        yield Text(layout.table.title, style="bold")
        yield from _fitting(SCORES, names, layout.table.benchmarks, layout.scores(), width)
        heads, facts = layout.facts()
        yield from _fitting("Data", names, heads, facts, width)
        told, further = layout.told()
        yield from _paragraphs("Differences", [*([further] if further else []), *(one.sentence() for one in told)])
        if published := layout.published:
            heads, rows = published_rows(layout, published)
            title = f"In the paper: {published.title}"
            # A grid of other models would hide the experiment's own few scores; table.md and the page have it.
            rows = [row for row in rows if not published.is_grid or row[2] != "–"]
            if rows:
                yield from _fitting(title, [row[0] for row in rows], heads[1:], [row[1:] for row in rows], width)
            yield from _paragraphs(
                "", [published.about, *published.tell_order(layout.results), published.count_noise()]
            )
        yield from _paragraphs("Notes", layout.notes())


def _fitting(title: str, names: Sequence[str], heads: Sequence[str], rows: Rows, width: int) -> list[RenderableType]:
    """One table, or several with some of the columns each where one has no room; intervals go below their scores."""
    room = width - min(max(map(len, names)), NAME_WIDTH) - 4
    split = sum(max(map(len, [head, *cells])) + 3 for head, cells in zip(heads, zip(*rows, strict=True), strict=True))
    if split > room:
        rows = [[text.replace(" [", "\n[") for text in row] for row in rows]
    groups: list[list[int]] = []
    used = room + 1
    for place, head in enumerate(heads):
        lines = [line for row in rows for line in row[place].split("\n")]
        needed = min(max(map(len, [head, *lines])), NAME_WIDTH) + 3
        if used + needed > room:
            groups.append([])
            used = 0
        groups[-1].append(place)
        used += needed
    tables: list[RenderableType] = [Text(f"\n{title}", style="bold")] if groups else []
    for group in groups:
        table = Table()
        table.add_column("", overflow="fold", max_width=NAME_WIDTH)
        for place in group:
            table.add_column(Text(heads[place]), justify="right", overflow="fold", max_width=NAME_WIDTH)
        for name, row in zip(names, rows, strict=True):
            table.add_row(Text(name), *(Text(row[place]) for place in group))
        tables.append(table)
    return tables


def _paragraphs(title: str, texts: Sequence[str]) -> list[RenderableType]:
    if not texts:
        return []
    listed: list[RenderableType] = [Text(f"\n{title}", style="bold")] if title else []
    for text in texts:
        row = Table.grid(padding=(0, 1))
        row.add_row(Text("-"), Text(text, overflow="fold"))
        listed.append(row)
    return listed
