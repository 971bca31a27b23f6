"""What the table of an experiment says, in rows of text: Markdown, page and terminal draw the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from selfcodealign.evaluation.pass_at_k import format_p
from selfcodealign.experiments.comparison.comparing import Difference, Results, compare_lines
from selfcodealign.experiments.comparison.crossed import Estimate
from selfcodealign.experiments.comparison.lines import ExperimentTable, Line
from selfcodealign.experiments.comparison.published import Published, find_published

#: So many differences are told in sentences; of more, those outside the noise, and so many of them at most.
TOLD = 30
SCORES = "Scores in percent, with 95 % intervals over tuning seeds and tasks"

Rows = list[list[str]]


@dataclass(frozen=True)
class Layout:
    """An experiment with its results, and the parts of its table."""

    table: ExperimentTable
    results: Results = field(init=False)
    published: Published | None = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "results", compare_lines(self.table.lines, self.table.groups))
        object.__setattr__(self, "published", find_published(self.table.lines))

    def facts(self) -> tuple[list[str], Rows]:
        """Headings and cells of what is known of each line besides its scores, the name first."""
        lines = self.table.lines
        columns = {
            "tuning seeds": [
                str(self._seeds(line)) if self._seeds(line) and not line.is_base else "" for line in lines
            ],
            "rows": [_rows(line) for line in lines],
            "tokens": ["" if line.tokens is None else f"{line.tokens:,}" for line in lines],
        }
        for heading in dict.fromkeys(heading for line in lines for heading in line.facts):
            columns[heading] = [line.facts.get(heading, "") for line in lines]
        shown = {heading: cells for heading, cells in columns.items() if any(cells)}
        return list(shown), [[cells[place] or "–" for cells in shown.values()] for place in range(len(lines))]

    def scores(self) -> Rows:
        """One cell for each line and benchmark."""
        means = self.results.means
        return [
            [cell(means.get((line.name, benchmark))) for benchmark in self.table.benchmarks]
            for line in self.table.lines
        ]

    def told(self) -> tuple[list[Difference], str]:
        """The differences that are told, and a sentence on those that are not."""
        every = list(self.results.differences)
        if len(every) <= TOLD:
            return every, ""
        outside = sorted((one for one in every if not one.inside_noise), key=lambda one: one.estimate.p_value)
        shown = outside[:TOLD]
        most = f", of which the {TOLD} with the lowest p-values are listed" if len(outside) > TOLD else ""
        return shown, (
            f"{len(every)} pairs were compared; {len(outside) or 'none'} differ{'s' if len(outside) == 1 else ''} by "
            f"more than the noise{most}. All of them are in table.json."
        )

    def notes(self) -> list[str]:
        """What a reader must know: the experiment's own notes, those of the statistics, how to read the numbers."""
        equal = [f"{name} on {of}" for (name, of), found in self.results.means.items() if found.method == "wilson"]
        said = [*self.table.notes, *self.results.notes]
        if equal:
            said.append(f"All scores are equal, so that the interval is Wilson's: {', '.join(equal)}.")
        if self.results.differences:
            said.append(
                "A difference is called noise where its p-value is above 0.05 after Holm's correction for all pairs of "
                "the benchmark."
            )
        return said

    def _seeds(self, line: Line) -> int:
        return max((len(self.results.by_seed.get((line.name, of), ())) for of in self.table.benchmarks), default=0)


DIFFERENCES = ("pair", "benchmark", "difference", "p", "corrected p", "p, tasks alone", "p, seeds alone")


def difference_rows(differences: Sequence[Difference]) -> Rows:
    """The cells below `DIFFERENCES`."""
    return [
        [
            f"{one.second} − {one.first}",
            one.benchmark,
            cell(one.estimate, signed=True),
            *(_p(value) for value in (one.estimate.p_value, one.corrected, one.tasks_p, one.seeds_p)),
        ]
        for one in differences
    ]


PUBLISHED = ("in the paper", "its score", "in this experiment")


def published_rows(layout: Layout, published: Published) -> tuple[list[str], Rows]:
    """Headings and cells of the paper's table, and this experiment's lines beside it."""
    names = {row.name: name for name, row in published.lines.items()}
    rows = []
    for row in published.rows:
        low, high = row.interval
        ours = names.get(row.name)
        line = [row.name + (f" ({row.facts})" if row.facts else ""), f"{row.score:.1f} [{low:.1f}–{high:.1f}]"]
        means = (layout.results.means.get((ours, of)) if ours else None for of in layout.table.benchmarks)
        rows.append([*line, ours or "–", *map(cell, means)])
    return [*PUBLISHED, *layout.table.benchmarks], rows


def cell(found: Estimate | None, *, signed: bool = False) -> str:
    """Format an estimate in percent: 56.1 [48.8–63.4]; a difference as +2.0 [-1.5 to +5.5].

    >>> cell(None)
    '–'
    """
    if found is None:
        return "–"
    mean, low, high = (100 * value for value in (found.mean, found.low, found.high))
    return f"{mean:+.1f} [{low:+.1f} to {high:+.1f}]" if signed else f"{mean:.1f} [{low:.1f}–{high:.1f}]"


def _rows(line: Line) -> str:
    if not line.rows:
        return ""
    return f"{line.rows:,} of {line.of:,}" if line.of > line.rows else f"{line.rows:,}"


def _p(value: float | None) -> str:
    return "–" if value is None else format_p(value).removeprefix("p ").removeprefix("= ")
