"""The figures at the top of the page."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from selfcodealign.pages.template import show_clock, show_percent
from selfcodealign.report.asked import NOT_TOLD
from selfcodealign.report.facts import EvaluationTable, RunFacts
from selfcodealign.report.funnel import StageAccount


@dataclass(frozen=True)
class Figure:
    """A number with its name, and a few words on it."""

    name: str
    value: str
    note: str = ""


def tell_state(facts: RunFacts) -> str:
    """Whether the run has ended, and what ended it."""
    stopped = dict.fromkeys(one.stopped for one in facts.stages if one.stopped)
    if stopped:
        return f"stopped by its budget: {', '.join(stopped)}"
    return "finished" if facts.finished else "not finished"


def key_figures(facts: RunFacts) -> list[Figure]:
    """The figures that the run has, from seeds to scores."""
    return [*_rows(facts.stages), *_passes(facts), *_examples(facts), *_spent(facts), *_scores(facts.evaluation)]


def _rows(stages: Sequence[StageAccount]) -> Iterator[Figure]:
    """What went on to the next kind of rows: several stages may have kept such rows."""
    for unit in ("seeds", "instructions"):
        last = next((one for one in reversed(stages) if one.stayed == unit), None)
        if last is not None:
            yield Figure(unit, f"{last.books.kept:,}", f"kept by {last.name}")


def _passes(facts: RunFacts) -> Iterator[Figure]:
    judged = next((one for one in facts.stages if one.made == "responses" and one.came != "responses"), None)
    if judged is not None:
        yield Figure("answers", f"{judged.looked_at or judged.books.kept:,}", f"drawn by {judged.name}")
    rates = [one for table in facts.rates if table.by == "stage" for one in table.rates]
    if all_judged := sum(one.judged for one in rates):
        passed = sum(one.passed for one in rates)
        yield Figure("pass rate", show_percent(passed / all_judged), f"{passed:,} of {all_judged:,} answers judged")


def _examples(facts: RunFacts) -> Iterator[Figure]:
    asked = facts.asked
    if asked.examples is None:
        return
    yield Figure("examples", f"{asked.examples:,}", f"{asked.verified or 0:,} of them passed their tests")
    if facts.split_proofs is not None and asked.examples:
        share = show_percent(facts.split_proofs / asked.examples)
        yield Figure("proved apart from tests", share, f"{facts.split_proofs:,} examples with a split proof")
    if asked.tokens_per_example is not None:
        name = "tokens per verified example" if asked.verified == asked.examples else "tokens per example"
        yield Figure(name, f"{asked.tokens_per_example:,.0f}", "prompts and answers")


def _spent(facts: RunFacts) -> Iterator[Figure]:
    asked, spent = facts.asked, facts.spending
    if asked.stages:
        share = asked.total.cached_share
        yield Figure("cached share", NOT_TOLD if share is None else show_percent(share), "of prompt tokens")
    if spent.asking_seconds:
        yield Figure("time with the model", show_clock(spent.asking_seconds), "h:mm:ss, all runs")
    if spent.seconds_per_example is not None:
        yield Figure("time per verified example", f"{spent.seconds_per_example:,.2f} s")
    if spent.cost is not None:
        yield Figure("cost", tell_price(spent.cost, spent.currency))
    if spent.cost_per_example is not None:
        yield Figure("cost per verified example", tell_price(spent.cost_per_example, spent.currency))


def tell_price(price: float, currency: str) -> str:
    """A price with its currency; small ones keep two digits that tell something."""
    return f"{price:,.2f} {currency}".strip() if price >= 1 else f"{price:.2g} {currency}".strip()


def _scores(table: EvaluationTable | None) -> Iterator[Figure]:
    """For each benchmark: the score of the base model and that of the last model trained."""
    if table is None:
        return
    bases = [row for row in table.rows if row and row[0].startswith("base")]
    trained = [row for row in table.rows if row and not row[0].startswith("base")]
    if not bases or not trained:
        return
    base, last = bases[0], trained[-1]
    for place in range(2, min(len(table.heads), len(base), len(last), 6)):
        before, after = (re.match(r"\d+(\.\d+)?(?= \[|$)", row[place]) for row in (base, last))
        if before and after:
            yield Figure(table.heads[place], f"{before[0]} → {after[0]}", f"{base[0]} → {last[0]}, percent")
