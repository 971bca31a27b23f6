"""All facts of a run on a terminal, in tables that fit 80 columns; `facts` reads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from shlex import quote

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from selfcodealign.report.asked import draw_asked
from selfcodealign.report.facts import (
    Concepts,
    Contamination,
    EvaluationTable,
    Histogram,
    MarkCounts,
    RateTable,
    Repeat,
    RunFacts,
    Spending,
    Training,
)
from selfcodealign.report.funnel import draw_funnel
from selfcodealign.report.visible import show_line

#: Lines of a list that are printed, and characters of one text; the page and --json have more.
MOST_LINES, MOST_CHARACTERS = 12, 160
#: Characters of the longest bar, and what heights of columns are drawn with.
_BAR, _HEIGHTS = 20, "▁▂▃▄▅▆▇█"


def tell_facts(facts: RunFacts) -> Iterator[RenderableType]:
    """Tell all facts but single rows, which `show RUN --stage STAGE` shows."""
    state = "" if facts.finished else " (not finished)"
    begun = f", started {facts.started}" if facts.started else ""
    yield Text(f"{show_line(facts.name)}{state}{show_line(begun)}", style="bold")
    if facts.stages:
        yield draw_funnel(list(facts.stages))
    if facts.asked.stages:
        yield draw_asked(facts.asked)
    yield from _tell_spending(facts.spending)
    yield from chain.from_iterable(_tell_rates(table) for table in facts.rates)
    yield from _tell_passes(facts.passes, facts.split_proofs)
    yield from _tell_histograms([*facts.lengths, *([facts.scores] if facts.scores else [])])
    yield from _tell_concepts(facts.concepts)
    yield from _tell_contamination(facts.contamination, f"selfcodealign show {quote(str(facts.path))}")
    yield from _tell_counts("licence", facts.licences)
    yield from _tell_counts("origin", facts.origins)
    if facts.authors:
        rows = [(field, who, stage) for field, who, stage in facts.authors]
        yield _table("Who wrote what", ("field", "written by", "stage"), rows)
    yield from chain.from_iterable(map(_tell_training, facts.training))
    yield from _tell_scores(facts.evaluation)
    yield from _tell_marks(facts.marks)
    yield from _tell_repeat(facts.repeat)
    for warning in facts.warnings:
        yield Text(f"not told: {show_line(warning)}", style="yellow")


def _table(title: str, heads: Sequence[str], rows: Sequence[Sequence[object]], right: Sequence[int] = ()) -> Table:
    """A table of texts that anybody may have written; the columns `right` are numbers."""
    table = Table(title=Text(title, style="bold"), title_justify="left", show_header=any(heads))
    for place, head in enumerate(heads):
        if place in right:
            table.add_column(Text(show_line(head)), justify="right", no_wrap=True)
        else:
            table.add_column(Text(show_line(head)), overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cut(show_line(cell))) for cell in row))
    return table


def _cut(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 1]}…"


def _more(number: int) -> list[Text]:
    return [Text(f"  … and {number:,} more")] if number > 0 else []


def _bar(share: float) -> str:
    """A bar for a share of 1; what is above 0 is seen.

    >>> _bar(0.5), _bar(0.001), _bar(0)
    ('██████████', '▏', '')
    """
    return "█" * round(_BAR * share) or ("▏" if share > 0 else "")


def _heights(counts: Sequence[int]) -> str:
    """Columns of these heights; what is above 0 is seen.

    >>> _heights([0, 1, 100, 50])
    ' ▁█▅'
    """
    most = max(counts, default=0)
    return "".join(_HEIGHTS[round((len(_HEIGHTS) - 1) * count / most)] if count else " " for count in counts)


def _tell_spending(spent: Spending) -> Iterator[RenderableType]:
    told = [f"the model was asked for {spent.asking_seconds:,.1f} s"] if spent.asking_seconds else []
    if spent.seconds_per_example is not None and told:
        told.append(f"{spent.seconds_per_example:,.3f} s for each verified example")
    if spent.cost is not None:
        each = f", {spent.cost_per_example:,.5f} each" if spent.cost_per_example is not None else ""
        told.append(f"{spent.cost:,.2f} {show_line(spent.currency or '(money)')}{each}")
    if told:
        yield Text("; ".join(told))


def _tell_rates(table: RateTable) -> Iterator[RenderableType]:
    rows = [
        (
            one.name,
            f"{one.passed:,} of {one.judged:,}",
            f"{100 * one.share:.1f} %",
            f"{100 * one.low:.1f}–{100 * one.high:.1f}",
            _bar(one.share),
        )
        for one in table.rates[:MOST_LINES]
    ]
    heads = (table.by, "passed", "rate", "95 %", "")
    yield _table(f"Answers that passed, by {table.by}", heads, rows, right=(1, 2, 3))
    yield from _more(table.others + len(table.rates) - len(rows))


def _tell_passes(passes: Mapping[int, int], split_proofs: int | None) -> Iterator[RenderableType]:
    if passes:
        total = sum(passes.values())
        rows = [(number, f"{often:,}", _bar(often / total)) for number, often in list(passes.items())[:MOST_LINES]]
        yield _table("Verified answers of an instruction", ("answers", "instructions", ""), rows, right=(0, 1))
        yield from _more(len(passes) - MOST_LINES)
    if split_proofs:
        yield Text(f"{split_proofs:,} of the last answers also passed apart from their tests")


def _tell_histograms(found: Sequence[Histogram]) -> Iterator[RenderableType]:
    if not found:
        return
    rows = []
    for one in found:
        number = "{:,.0f}" if one.mean >= 10 else "{:.2f}"
        figures = [number.format(value) for value in (one.mean, one.median, one.p95)]
        ends = f"{one.edges[0]:g} {_heights(one.counts)} {one.edges[-1]:g}"
        rows.append((f"{one.name} ({one.unit})", f"{one.count:,}", *figures, ends))
    yield _table("Sizes", ("of", "number", "mean", "median", "p95", "distribution"), rows, right=(1, 2, 3, 4))


def _tell_concepts(found: Concepts | None) -> Iterator[RenderableType]:
    if found is None:
        return
    yield Text(
        f"Concepts: {found.distinct:,} spellings in {found.lists:,} lists, {found.groups:,} without near-duplicates; "
        f"{found.once:,} were named once"
    )
    rows = [(name, f"{often:,}") for name, often in found.top[:MOST_LINES]]
    yield _table("Most frequent concepts", ("concept", "named"), rows, right=(1,))
    if found.near_duplicates:
        groups = [
            (", ".join(f"{name} ({often:,})" for name, often in group.spellings), f"{group.count:,}")
            for group in found.near_duplicates[:MOST_LINES]
        ]
        yield _table("Spellings of one concept", ("spellings", "named"), groups, right=(1,))
        yield from _more(found.several - len(groups))


def _tell_contamination(found: Contamination | None, show: str) -> Iterator[RenderableType]:
    if found is None:
        yield Text("The rows were compared with no benchmark.")
        return
    names = ", ".join(map(show_line, found.benchmarks)) or "no benchmark"
    drops = ", ".join(f"{show_line(name)} {number:,}" for name, number in found.by_benchmark.items())
    yield Text(f"Compared with {names}; {found.count:,} rows held a task" + (f" ({drops})" if drops else ""))
    for name, why in found.missing.items():
        yield Text(f"not compared with {show_line(name)}: {show_line(why)}", style="yellow")
    if found.hits:
        rows = [(f"{one.benchmark} {one.task}", one.rule, one.theirs, one.ours) for one in found.hits[:3]]
        yield _table("Rows that held a task", ("task", "rule", "benchmark", "row"), rows)
        if found.count > len(rows):
            yield Text(
                f"  … and {found.count - len(rows):,} more: {show_line(show)} --reason contaminated --stage STAGE"
            )


def _tell_counts(what: str, counts: Mapping[str, int]) -> Iterator[RenderableType]:
    if any(counts):
        rows = [(name or "not stated", f"{number:,}") for name, number in list(counts.items())[:MOST_LINES]]
        yield _table(f"Rows by {what}", (what, "rows"), rows, right=(1,))
        yield from _more(len(counts) - len(rows))


def _tell_training(found: Training) -> Iterator[RenderableType]:
    yield _table(f"Training ({found.stage})", ("", ""), list(found.figures.items()))
    if losses := [step["loss"] for step in found.steps if step.get("loss", -1) >= 0]:
        # As many columns as fit, each the loss of one step.
        stride = -(-len(losses) // 60)
        yield Text(f"loss of {found.last_step:,} steps: {_heights([round(1000 * loss) for loss in losses[::stride]])}")


def _tell_scores(found: EvaluationTable | None) -> Iterator[RenderableType]:
    if found is not None:
        yield _table("Scores (percent, 95 % interval over tasks)", found.heads, found.rows, range(2, len(found.heads)))
        yield from (Text(f"- {show_line(note)}") for note in found.notes)


def _tell_marks(found: MarkCounts) -> Iterator[RenderableType]:
    if found.labels or found.notes:
        told = [f"{kind}: {label} {n:,}" for kind, labels in found.labels.items() for label, n in labels.items()]
        yield Text(f"Marks: {'; '.join(map(show_line, told)) or 'no labels'}; notes {found.notes:,}")
        told = f"honoured by selection: {found.honoured:,}; without effect there: {found.without_effect:,}"
        yield Text(f"{told}; not yet: {found.waiting:,}")


def _tell_repeat(found: Repeat) -> Iterator[RenderableType]:
    rows = [*found.versions.items()]
    rows += [(f"{name}: {key}", value) for name, one in found.models.items() for key, value in one.items()]
    rows += [(f"rows of {stage}", f"digest {digest}") for stage, digest in found.rows.items()]
    rows += [(name, f"SHA-256 {digest}") for name, digest in found.files.items()]
    yield _table("What repeats the run", ("", ""), rows)
