"""Several runs on one page: figures, scores and settings in columns, pass rates and funnels side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from selfcodealign.pages.template import style
from selfcodealign.report.facts import Rate, RunFacts
from selfcodealign.report.facts.comparison import compare_facts
from selfcodealign.report.page.bounds import Bounds
from selfcodealign.report.page.figures import tell_state
from selfcodealign.report.page.flow import draw_flow
from selfcodealign.report.page.render import SEVERAL_RUNS, fit, templates

#: Values of one field that are compared, the most frequent ones.
_MOST_RATES = 30


@dataclass(frozen=True)
class ComparedRates:
    """Pass rates by the values of one field; None where a run has no such value."""

    by: str
    rows: Sequence[tuple[str, Sequence[Rate | None]]]
    left: int


def render_comparison(runs: Sequence[RunFacts]) -> str:
    """The page of several runs."""
    return fit(lambda bounds: _render(runs, bounds))


def _render(runs: Sequence[RunFacts], bounds: Bounds) -> str:
    compared = compare_facts(runs)
    return (
        templates()
        .get_template("comparison.html")
        .render(
            bounds=bounds,
            style=style(),
            mark=SEVERAL_RUNS,
            compared=compared,
            figures=[(one.name, one.told) for one in compared.figures],
            runs=list(zip(compared.names, runs, strict=True)),
            states=[tell_state(one) for one in runs],
            flows=[draw_flow(one.stages, number) for number, one in enumerate(runs)],
            rates=compare_rates(runs),
        )
    )


def compare_rates(runs: Sequence[RunFacts]) -> list[ComparedRates]:
    """The pass rates of all runs by the same values."""
    found = []
    for by in dict.fromkeys(table.by for run in runs for table in run.rates):
        columns = [{one.name: one for table in run.rates if table.by == by for one in table.rates} for run in runs]
        judged: dict[str, int] = {}
        for rate in (rate for column in columns for rate in column.values()):
            judged[rate.name] = judged.get(rate.name, 0) + rate.judged
        names = sorted(judged, key=lambda name: -judged[name])
        rows = [(name, [column.get(name) for column in columns]) for name in names[:_MOST_RATES]]
        found.append(ComparedRates(by, rows, len(names) - len(rows)))
    return found
