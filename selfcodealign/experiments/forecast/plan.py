"""Run a pilot and look ahead from it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isnan
from pathlib import Path

from rich.console import Group
from rich.table import Table
from rich.text import Text

from selfcodealign.engine.budget import unpriced_models
from selfcodealign.errors import RecipeError
from selfcodealign.experiments.forecast.intervals import Interval
from selfcodealign.experiments.forecast.outlook import Outlook, look_ahead
from selfcodealign.experiments.forecast.pilot import read_pilot
from selfcodealign.models import Model
from selfcodealign.pipeline import make_journey, run_recipe
from selfcodealign.progress import Progress
from selfcodealign.run_folder.folder import RunFolder
from selfcodealign.settings import Recipe


@dataclass(frozen=True)
class Wanted:
    """What is planned: so many examples, or so many seeds (neither: those there are), from a pilot of some seeds."""

    examples: int | None = None
    seeds: int | None = None
    pilot: int = 50


async def run_pilot(
    recipe: Recipe, out: Path, wanted: Wanted, *, progress: Progress | None = None, model: Model | None = None
) -> Outlook:
    """Take the pilot's seeds through all stages that give rows, or resume that, and look ahead.

    Raises a `UserError`.
    """
    stages = [step.name for step in make_journey(recipe).steps if step.place.gives is not None]
    if "near_dedup" not in recipe.journey or "selection" not in recipe.journey:
        raise RecipeError("a plan needs the stages near_dedup, which limits a pilot, and selection: add them")
    seeds = recipe.seeds.model_copy(update={"limit": wanted.pilot})
    small = recipe.model_copy(update={"seeds": seeds})
    _refuse_larger(out, wanted.pilot)
    if progress is not None:
        progress.say(f"the pilot: a run of {wanted.pilot:,} seeds up to {stages[-1]}, kept and resumed")
    await run_recipe(small, out, until=stages[-1], progress=progress, model=model)
    pilot = read_pilot(RunFolder(out))
    if recipe.seeds.limit is not None:
        pilot = replace(pilot, available=min(pilot.available, recipe.seeds.limit))
    if len(pilot.seeds) < 2:
        raise RecipeError(f"the pilot has {len(pilot.seeds)} seeds: name sources with more, or a larger --pilot")
    unpriced = unpriced_models(recipe, stages)
    return look_ahead(pilot, recipe.prices, examples=wanted.examples, seeds=wanted.seeds, unpriced=unpriced)


def _refuse_larger(out: Path, pilot: int) -> None:
    """A folder with more seeds is no pilot to resume: most of its rows would go."""
    stage = RunFolder(out).look_at("near_dedup")
    if stage is None:
        return
    limit = stage.decided_by.get("seeds.limit")
    if limit is None or limit > pilot:
        seeds = "all seeds" if limit is None else f"{limit:,} seeds"
        raise RecipeError(
            f"{out} holds a run of {seeds}, not a pilot of {pilot:,}: name another --out, or a larger --pilot"
        )


def draw(found: Outlook, servers: int = 1, currency: str | None = None) -> Group:
    """The outlook as tables and notes."""
    stages = Table(title="What the stages of the pilot kept", title_justify="left")
    for head in ("stage", "in", "kept", "rows for each that came in"):
        stages.add_column(head, justify="left" if head == "stage" else "right")
    for name, (entered, kept, rate) in found.yields.items():
        stages.add_row(
            name,
            f"{entered:,}",
            f"{kept:,}",
            "–" if isnan(rate.expected) else f"{rate.expected:.2f} ({rate.low:.2f}–{rate.high:.2f})",
        )
    run = Table(title="What a run would come to", title_justify="left")
    for head in ("", "expected", "from", "to"):
        run.add_column(head, justify="right" if head else "left")
    rows: list[tuple[str, Interval | None, str]] = [
        ("seeds", found.seeds, ",.0f"),
        ("examples", found.examples, ",.0f"),
        ("prompt tokens", found.prompt_tokens, ",.0f"),
        ("of these cached", found.cached_tokens, ",.0f"),
        ("answer tokens", found.answer_tokens, ",.0f"),
        ("server-hours", found.server_hours, ",.2f"),
        ("hours of execution", found.execution_hours, ",.3f"),
        ("MiB of disk", _scaled(found.disk_bytes, 2**-20), ",.1f"),
        (f"cost in {currency}" if currency else "cost", found.money, ",.2f"),
    ]
    if servers > 1:
        rows.insert(6, (f"hours with {servers} servers", _scaled(found.server_hours, 1 / servers), ",.2f"))
    for name, one, form in rows:
        if one is not None:
            run.add_row(name, *(format(value, form) for value in (one.expected, one.low, one.high)))
    return Group(stages, run, *(Text(f"- {note}") for note in found.notes))


def _scaled(one: Interval, by: float) -> Interval:
    return Interval(one.expected * by, one.low * by, one.high * by)
