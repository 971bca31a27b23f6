"""The report of one run as a page: the facts are laid out, drawn, and kept small."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from selfcodealign.models.usage import Usage
from selfcodealign.pages.charts import draw_histogram, draw_line
from selfcodealign.pages.code import make_visible
from selfcodealign.pages.template import environment, style
from selfcodealign.report.facts import Histogram, RunFacts
from selfcodealign.report.funnel import StageAccount
from selfcodealign.report.page.bounds import LEVELS, Bounds
from selfcodealign.report.page.curves import show_trainings
from selfcodealign.report.page.figures import key_figures, tell_price, tell_state
from selfcodealign.report.page.flow import draw_flow
from selfcodealign.report.page.texts import read_shown

#: By which a page is known as this package's, and as one of this kind.
ONE_RUN, SEVERAL_RUNS = "selfcodealign report", "selfcodealign report of several runs"
#: The most that a page takes.
MOST_BYTES = 3_000_000
_INTERVAL = re.compile(r"(\d+(?:\.\d+)?) \[(\d+(?:\.\d+)?)–(\d+(?:\.\d+)?)\]")


@dataclass(frozen=True)
class Section:
    """A section of the page: its anchor, which names its template, and its title."""

    id: str
    title: str


@dataclass(frozen=True)
class Drop:
    """A reason of a stage, with its share of what was looked at."""

    reason: str
    count: int
    unit: str
    share: float


def render(facts: RunFacts) -> str:
    """The page; where a run's texts are large, fewer and shorter ones are shown."""
    return fit(lambda bounds: _render(facts, bounds))


def fit(draw: Any) -> str:
    """What `draw` makes of the first bounds that are small enough."""
    page = ""
    for bounds in LEVELS:
        page = draw(bounds)
        if len(page.encode("utf-8", "backslashreplace")) <= MOST_BYTES:
            break
    return page


def list_drops(account: StageAccount) -> list[Drop]:
    """All reasons of a stage, the most frequent first; drops of what entered before drops of what was made of it."""
    found = []
    parts = ((account.whole, account.came, account.books.entered), (account.in_part, account.made, account.looked_at))
    for reasons, unit, of in parts:
        ranked = sorted(reasons.items(), key=lambda one: -one[1])
        found += [Drop(reason, count, unit, count / of if of else 0.0) for reason, count in ranked]
    return found


def _sections(facts: RunFacts) -> list[Section]:
    """The sections that have something to show, in order."""
    marks = facts.marks
    spent = facts.asked.stages or facts.spending.asking_seconds
    repeat = facts.repeat
    all_sections = (
        (facts.stages, "funnel", "Where the rows went"),
        (facts.rates or facts.passes or facts.scores, "passes", "What passed"),
        (facts.evaluation, "evaluation", "Scores on benchmarks"),
        (spent, "cost", "Tokens, time and cost"),
        (facts.shown, "rows", "Rows to read"),
        (facts.concepts, "concepts", "Concepts"),
        (facts.lengths, "lengths", "Lengths"),
        (facts.contamination, "contamination", "Contamination"),
        (facts.licences or facts.origins or facts.authors, "origins", "Licences, origins and authors"),
        (facts.training, "training", "Training"),
        (marks.labels or marks.last or marks.notes, "marks", "Marks by people"),
        (repeat.recipe or repeat.versions or repeat.journey, "repeat", "Repeat this run"),
    )
    return [Section(name, title) for found, name, title in all_sections if found]


def _render(facts: RunFacts, bounds: Bounds) -> str:
    asked: list[tuple[str, Usage]] = list(facts.asked.stages.items())
    if len(asked) > 1:
        asked = [*asked[: bounds.entries - 1], ("in all", facts.asked.total)]
    template = templates().get_template("report.html")
    left = len(facts.shown) - bounds.rows
    return template.render(
        facts=facts,
        bounds=bounds,
        style=style(),
        mark=ONE_RUN,
        state=tell_state(facts),
        run=shlex.quote(str(facts.path)),
        figures=key_figures(facts),
        sections=_sections(facts),
        flow=draw_flow(facts.stages),
        drops=list_drops,
        asked=asked,
        total_tokens=facts.asked.total.tokens,
        coverage=_coverage(facts),
        trainings=show_trainings(facts.training, bounds),
        rows=[read_shown(one) for one in facts.shown[: bounds.rows]],
        left_rows=Markup('<p class="dim">{:,} more rows left out: the page would be too large.</p>').format(left)
        if left > 0
        else "",
        histogram=_histogram,
        interval=read_interval,
        price=tell_price,
        figure=tell_figure,
        recipe_letters=max(2_000, bounds.text * 5),
    )


def tell_figure(value: float) -> str:
    """A mean or a median, with three digits at least.

    >>> tell_figure(0.969149), tell_figure(1234.56)
    ('0.969', '1,235')
    """
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


@lru_cache
def templates() -> Environment:
    """The page's templates. Whatever a template puts out has its invisible characters made visible."""
    return environment("selfcodealign.report.page").overlay(finalize=_show)


def _show(value: object) -> object:
    return make_visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _histogram(one: Histogram, beside: str) -> Markup:
    name = f"Histogram of {one.name[:60]} in {one.unit[:40]}: {one.count:,} {beside}, median {tell_figure(one.median)}"
    return draw_histogram(one.edges[:201], one.counts[:200], one.unit[:40], beside, name)


def _coverage(facts: RunFacts) -> Markup:
    if facts.concepts is None or not facts.concepts.coverage:
        return Markup("")
    points = facts.concepts.coverage
    points = points[:: len(points) // 500 + 1]
    name = f"Distinct concepts over lists read: {points[-1][1]:,} after {points[-1][0]:,} lists"
    return draw_line(points, "lists read", "distinct", name)


def read_interval(cell: str) -> tuple[float, float, float] | None:
    """The score and the ends of its interval in a cell, in percent.

    >>> read_interval("12.5 [8.0–17.0]")
    (12.5, 8.0, 17.0)
    """
    found = _INTERVAL.match(cell)
    if found is None:
        return None
    score, low, high = (min(float(text), 100.0) for text in found.groups())
    return (score, low, high) if low <= high else None
