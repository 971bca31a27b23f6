"""The table of an evaluation: for the terminal, as Markdown, as a self-contained HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from selfcodealign.evaluation.scoring import Evaluation, Score

TITLE = "Scores (percent, 95 % interval over tasks)"
#: The heading of the share of answers in which no code was found.
NO_CODE = "no code"
#: Longer names of models are wrapped on a terminal.
LABEL_WIDTH = 24


def columns_of(scores: Sequence[Score]) -> list[tuple[str, int]]:
    """Return the table's columns: benchmark and k, in the order of the scores."""
    return list(dict.fromkeys((score.benchmark, score.k) for score in scores))


def heading(column: tuple[str, int]) -> str:
    """Return a column's heading; with k where it is not 1."""
    benchmark, k = column
    return benchmark if k == 1 else f"{benchmark} pass@{k}"


def cell(score: Score | None) -> str:
    """Format a score: 56.1 [48.8–63.4], with a dagger where tasks could not be judged."""
    if score is None:
        return "–"
    interval = score.interval
    mark = " †" if score.not_judged else ""
    return f"{100 * interval.mean:.1f} [{100 * interval.low:.1f}–{100 * interval.high:.1f}]{mark}"


def rows_of(scores: Sequence[Score]) -> list[list[str]]:
    """Return one row per model: label, mode, a cell per column."""
    found = {(score.label, score.benchmark, score.k): score for score in scores}
    labels = dict.fromkeys((score.label, score.mode) for score in scores)
    return [
        [
            label,
            mode,
            *(cell(found.get((label, *column))) for column in columns_of(scores)),
            no_code_share(scores, label),
        ]
        for label, mode in labels
    ]


def no_code_share(scores: Sequence[Score], label: str) -> str:
    """Return the share of a model's answers, to all benchmarks together, that hold no code."""
    counts = {score.asked: (score.no_code, score.answers) for score in scores if score.label == label}
    without, answers = (sum(count) for count in zip(*counts.values(), strict=True))
    return f"{100 * without / answers:.1f} %" if answers else "–"


def footnotes(evaluation: Evaluation) -> list[str]:
    """Return the comparisons as sentences, the notes, and the versions of the problems."""
    versions = dict.fromkeys(
        f"{score.benchmark}: {score.tasks} tasks, {_count(score.samples)} each; {score.version}."
        for score in evaluation.scores
    )
    return [*(one.sentence() for one in evaluation.comparisons), *_methods(evaluation), *evaluation.notes, *versions]


def _methods(evaluation: Evaluation) -> list[str]:
    """Which intervals are not the bootstrap's."""
    equal = [score for score in evaluation.scores if score.interval.method == "wilson"]
    names = ", ".join(dict.fromkeys(f"{score.label} on {score.benchmark}" for score in equal))
    return [f"Where all tasks score the same the interval is Wilson's, not the bootstrap's: {names}."] if equal else []


def _count(answers: int) -> str:
    return "one answer" if answers == 1 else f"{answers} answers"


def terminal_tables(evaluation: Evaluation, width: int) -> list[Table]:
    """Return the table for rich's console; several, with some of the columns each, where it is wider than `width`.

    Where one table has no room, an interval stands below its score.
    """
    from rich.markup import escape as plain
    from rich.table import Table

    heads, rows = columns_of(evaluation.scores), rows_of(evaluation.scores)
    names = [heading(column) for column in heads]
    asked = max(len(row[1]) for row in rows)
    # A column has a border and two spaces; the last border and the column "no code" come once.
    room = width - min(max(len(row[0]) for row in rows), LABEL_WIDTH) - asked - len(NO_CODE) - 10

    def widths(split: bool) -> list[int]:
        cells = [[len(part) for row in rows for part in _lines(row[2 + place], split)] for place in range(len(heads))]
        return [max(len(name), *found) + 3 for name, found in zip(names, cells, strict=True)]

    split = sum(widths(False)) > room
    groups: list[list[int]] = [[]]
    used = 0
    for place, needed in enumerate(widths(split)):
        if groups[-1] and used + needed > room:
            groups.append([])
            used = 0
        groups[-1].append(place)
        used += needed
    tables = []
    for group in groups:
        table = Table(title=TITLE if not tables else None, title_justify="left")
        table.add_column("model", overflow="fold", max_width=LABEL_WIDTH)
        table.add_column("asked by", overflow="fold")
        for place in group:
            table.add_column(plain(names[place]), justify="right", no_wrap=True)
        table.add_column(NO_CODE, justify="right", no_wrap=True)
        for row in rows:
            cells = ["\n".join(_lines(row[2 + place], split)) for place in group]
            table.add_row(*(plain(text) for text in (*row[:2], *cells, row[-1])))
        tables.append(table)
    return tables


def _lines(cell: str, split: bool) -> list[str]:
    return cell.split(" ", 1) if split else [cell]


def markdown_table(evaluation: Evaluation) -> str:
    """The table alone, as Markdown."""
    heads = ["model", "asked by", *(heading(column) for column in columns_of(evaluation.scores)), NO_CODE]
    lines = [heads, ["---", "---", *("---:" for _ in heads[2:])], *rows_of(evaluation.scores)]
    return "\n".join("| " + " | ".join(text.replace("|", "\\|") for text in line) + " |" for line in lines) + "\n"


def markdown_page(evaluation: Evaluation) -> str:
    """Return the table and its footnotes as Markdown."""
    notes = "".join(f"- {text}\n" for text in footnotes(evaluation))
    return f"# {TITLE}\n\n{markdown_table(evaluation)}\n{notes}"


_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 64rem; padding: 0 1rem; }
table { border-collapse: collapse; } th, td { padding: .4rem .8rem; border-bottom: 1px solid #8884; text-align: right; }
th:nth-child(-n+2), td:nth-child(-n+2) { text-align: left; }
.bar { position: relative; height: .5rem; background: #8882; min-width: 8rem; }
.bar i { position: absolute; height: 100%; background: #4a7bd0aa; }
.bar b { position: absolute; width: 2px; height: 100%; background: currentColor; }
@media (prefers-color-scheme: dark) { body { background: #16181c; color: #e6e6e6; } }
"""


def html_page(evaluation: Evaluation) -> str:
    """Return a self-contained page: the table with drawn intervals, and the footnotes."""
    columns = columns_of(evaluation.scores)
    found = {(score.label, score.benchmark, score.k): score for score in evaluation.scores}
    heads = "".join(f"<th>{escape(text)}</th>" for text in ["model", "asked by", *map(heading, columns), NO_CODE])
    body = ""
    for label, mode in dict.fromkeys((score.label, score.mode) for score in evaluation.scores):
        cells = "".join(_html_cell(found.get((label, *column))) for column in columns)
        share = escape(no_code_share(evaluation.scores, label))
        body += f"<tr><td>{escape(label)}</td><td>{escape(mode)}</td>{cells}<td>{share}</td></tr>\n"
    notes = "".join(f"<li>{escape(text)}</li>\n" for text in footnotes(evaluation))
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{TITLE}</title><style>{_STYLE}</style>\n'
        f"<h1>{TITLE}</h1>\n<table><tr>{heads}</tr>\n{body}</table>\n<ul>\n{notes}</ul></html>\n"
    )


def _html_cell(score: Score | None) -> str:
    if score is None:
        return "<td>–</td>"
    low, mean, high = (100 * value for value in (score.interval.low, score.interval.mean, score.interval.high))
    bar = f'<i style="left:{low:.1f}%;width:{high - low:.1f}%"></i><b style="left:{mean:.1f}%"></b>'
    return f'<td>{escape(cell(score))}<div class="bar">{bar}</div></td>'
