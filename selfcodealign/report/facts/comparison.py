"""Several runs side by side: the same figures of each, and the settings in which their recipes differ."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from selfcodealign.report.facts.types import Rate, RunFacts

#: What stands where a run has no such figure or setting, and the longest value of a setting that is told.
NONE, MOST_CHARACTERS = "–", 200


@dataclass(frozen=True)
class ComparedFigure:
    """One figure of several runs: its `values` (None where a run has none), and in words."""

    name: str
    values: Sequence[float | None]
    told: Sequence[str]


@dataclass(frozen=True)
class Comparison:
    """Runs side by side, in the order of `names`.

    `scores` are benchmark and model with the cell of each run; `settings` those that differ, as `section.key`. Both
    have "–" where a run has none.
    """

    names: Sequence[str]
    figures: Sequence[ComparedFigure]
    scores: Sequence[tuple[str, Sequence[str]]]
    settings: Sequence[tuple[str, Sequence[str]]]


def compare_facts(runs: Sequence[RunFacts]) -> Comparison:
    """Compare runs; figures that none of them has are left out."""
    figures = [_figure(name, [read(run) for run in runs], tell) for name, read, tell in _FIGURES]
    figures.insert(3, _pass_rates(runs))
    found = [one for one in figures if any(value is not None for value in one.values)]
    return Comparison(_names(runs), found, _align([_scores(run) for run in runs]), _differing(runs))


def _figure(name: str, values: Sequence[float | None], tell: Callable[[float], str]) -> ComparedFigure:
    return ComparedFigure(name, values, [NONE if value is None else tell(value) for value in values])


def _pass_rates(runs: Sequence[RunFacts]) -> ComparedFigure:
    rates = [_rate(run) for run in runs]
    told = [f"{_percent(one.share)} [{100 * one.low:.1f}–{100 * one.high:.1f}]" if one else NONE for one in rates]
    return ComparedFigure("pass rate", [one.share if one else None for one in rates], told)


def _rate(run: RunFacts) -> Rate | None:
    """The pass rate of the last stage that judged answers."""
    stages = next((table.rates for table in run.rates if table.by == "stage"), ())
    return stages[-1] if stages else None


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _kept(unit: str) -> Callable[[RunFacts], float | None]:
    """The rows of this kind that the last stage of such rows has kept."""
    return lambda run: next((one.books.kept for one in reversed(run.stages) if one.stayed == unit), None)


def _judged(run: RunFacts) -> float | None:
    rate = _rate(run)
    return rate.judged if rate else None


_FIGURES: Sequence[tuple[str, Callable[[RunFacts], float | None], Callable[[float], str]]] = (
    ("seeds", _kept("seeds"), "{:,.0f}".format),
    ("instructions", _kept("instructions"), "{:,.0f}".format),
    ("judged answers", _judged, "{:,.0f}".format),
    ("examples", lambda run: run.asked.examples, "{:,.0f}".format),
    ("verified examples", lambda run: run.asked.verified, "{:,.0f}".format),
    ("split proofs", lambda run: run.split_proofs, "{:,.0f}".format),
    ("mean mutation score", lambda run: run.scores.mean if run.scores else None, "{:.3f}".format),
    ("tokens per example", lambda run: run.asked.tokens_per_example, "{:,.0f}".format),
    ("cached share of prompts", lambda run: run.asked.total.cached_share, _percent),
    ("seconds of asking", lambda run: run.spending.asking_seconds or None, "{:,.1f}".format),
    ("seconds per verified example", lambda run: run.spending.seconds_per_example, "{:,.3f}".format),
    ("cost", lambda run: run.spending.cost, "{:,.2f}".format),
    ("cost per verified example", lambda run: run.spending.cost_per_example, "{:,.5f}".format),
)


def _scores(run: RunFacts) -> dict[str, str]:
    """The cells of a run's table of scores by benchmark and model; first and last column are how a model was asked and
    answers without code."""
    if run.evaluation is None:
        return {}
    heads = run.evaluation.heads
    return {
        f"{heads[place]}: {row[0]}": row[place] for place in range(2, len(heads) - 1) for row in run.evaluation.rows
    }


def _differing(runs: Sequence[RunFacts]) -> list[tuple[str, list[str]]]:
    aligned = _align([dict(_flatten(_read_recipe(run.repeat.recipe))) for run in runs])
    return [(name, values) for name, values in aligned if len(set(values)) > 1]


def _align(columns: Sequence[Mapping[str, str]]) -> list[tuple[str, list[str]]]:
    """All names with the value of each column."""
    names = dict.fromkeys(name for column in columns for name in column)
    return [(name, [column.get(name, NONE) for column in columns]) for name in names]


def _read_recipe(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return {}


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            told = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
            yield f"{prefix}{name}", told if len(told) <= MOST_CHARACTERS else f"{told[: MOST_CHARACTERS - 1]}…"


def _names(runs: Sequence[RunFacts]) -> list[str]:
    """The names of the folders; paths where two have the same name."""
    names = [run.name for run in runs]
    return names if len(set(names)) == len(names) else [str(run.path) for run in runs]
