"""Rounds side by side: rounds.md and the terminal have a column for each round, index.html a curve over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from selfcodealign.errors import RunFolderError
from selfcodealign.evaluation.scoring import Score
from selfcodealign.experiments.comparison.layout import Layout
from selfcodealign.experiments.comparison.lines import ExperimentTable, Line
from selfcodealign.experiments.comparison.table import plain, write_table
from selfcodealign.experiments.rounds.figures import MONITORS
from selfcodealign.experiments.rounds.folder import Design, Round, Rounds
from selfcodealign.files import write_text
from selfcodealign.report.asked import read_asked
from selfcodealign.run_folder.folder import RunFolder

TITLE = "Rounds: a model learns from its own data"
_WRITERS = {
    "previous": "The model that a round tuned wrote the data of the next; the first seed's, where there are several.",
    "base": "The base model wrote the data of all rounds, with other draws in each.",
}
_TUNED = {"base": "the base model each time", "previous": "the model of the round before"}
_DATA = {"round": "the data of the round", "all": "the data of all rounds so far"}
SAME = (
    "Distinct shares and entropies are of the same number of items in all rounds; an entropy is a share of its maximum."
)


def write_report(found: Rounds) -> None:
    """Write rounds.md, and index.html, table.md and table.json, into the folder. Raises a `UserError`."""
    out = found.folder.path
    write_text(out / "rounds.md", _markdown(found), error=RunFolderError)
    write_table(make_table(found), out)


def make_table(found: Rounds) -> ExperimentTable:
    """The rounds as lines of an experiment, with the monitors beside their scores."""
    base, _ = found.folder.read_scores(0)
    labels = dict.fromkeys(one.label for one in base)
    lines = [Line(name=label, scores=_by_benchmark([s for s in base if s.label == label])) for label in labels]
    for one in found.rounds:
        tokens = read_asked(RunFolder(found.folder.run(one.number))).total.completion_tokens
        lines.append(
            Line(
                name=f"round {one.number}",
                varied={"round": one.number},
                rows=one.rows,
                of=one.rows,
                tokens=tokens,
                facts={monitor.title: show(name, one.figures) for name, monitor in MONITORS.items() if name != "rows"},
                scores=_by_benchmark(one.scores),
            )
        )
    return ExperimentTable(title=TITLE, lines=lines, notes=tell(found))


def _by_benchmark(scores: Sequence[Score]) -> dict[str, list[Mapping[str, float]]]:
    found: dict[str, list[Mapping[str, float]]] = {}
    for one in scores:
        name = one.benchmark if one.k == 1 else f"{one.benchmark} pass@{one.k}"
        found.setdefault(name, []).append(one.values)
    return found


def show(name: str, figures: Mapping[str, float | None] | None) -> str:
    """A monitor's value in a table; "–" where there is none.

    >>> show("pass_rate", {"pass_rate": 0.25}), show("rows", {"rows": 1200}), show("solved", {})
    ('0.250', '1,200', '–')
    """
    value = (figures or {}).get(name)
    if value is None:
        return "–"
    if MONITORS[name].share:
        return f"{value:.3f}"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"


def tell(found: Rounds) -> list[str]:
    """How the rounds were made, and the reasons to stop, as sentences."""
    design: Design = found.folder.design
    notes = [f"{_WRITERS[design.writer]} Tuned was {_TUNED[design.tune]}, on {_DATA[design.data]}.", SAME]
    notes += [f"Round {one.number}: {reason}." for one in found.rounds for reason in one.reasons]
    if found.stopped:
        notes.append(f"No round follows round {found.rounds[-1].number}: {'; '.join(found.stopped)}.")
    return notes


def _rows(found: Rounds) -> list[list[str]]:
    """A row for each score and monitor, its name first, then base models and rounds as columns."""
    layout = Layout(make_table(found))
    lines, cells = layout.table.lines, layout.scores()
    rows = [
        [benchmark, *(cells[place][number] for place in range(len(lines)))]
        for number, benchmark in enumerate(layout.table.benchmarks)
    ]
    bases = sum(line.is_base for line in lines)
    for name, monitor in MONITORS.items():
        values = [show(name, one.figures) for one in found.rounds]
        if any(value != "–" for value in values):
            rows.append([monitor.title, *[""] * bases, *values])
    return [["", *(line.name for line in lines)], *rows]


def _markdown(found: Rounds) -> str:
    head, *rows = [[plain(text) for text in row] for row in _rows(found)]
    rule = ["---", *("---:" for _ in head[1:])]
    lines = ["| " + " | ".join(row) + " |" for row in (head, rule, *rows)]
    notes = [f"- {plain(note)}" for note in tell(found)]
    about = "Scores in percent, with 95 % intervals over tuning seeds and tasks. index.html has the curve over rounds."
    meanings = [f"- {plain(one.title)}: {plain(one.meaning)}" for one in MONITORS.values()]
    return "\n".join([f"# {TITLE}", "", about, "", *lines, "", *notes, "", "## What is counted", "", *meanings, ""])


def draw(found: Rounds) -> Group:
    """The same for the terminal."""
    head, *rows = _rows(found)
    table = Table(title=TITLE, title_justify="left")
    for place, name in enumerate(head):
        table.add_column(name, justify="right" if place else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(text.replace(" [", "\n[")) for text in row))
    return Group(table, *(Text(f"- {note}") for note in tell(found)))


def one_line(one: Round) -> str:
    """A round's first score, for the progress; "" without one.

    >>> one_line(Round(1, "embedded", 0, 1.0))
    ''
    """
    if not one.scores:
        return ""
    first = one.scores[0]
    found = [score.percent for score in one.scores if (score.benchmark, score.k) == (first.benchmark, first.k)]
    return f"{first.benchmark} pass@{first.k} {', '.join(f'{percent:.1f}' for percent in found)}"
