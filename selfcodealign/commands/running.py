"""What commands that run a recipe share: its loading, the run on the screen, the plan of a dry run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfcodealign.errors import EmptyDataset, RecipeError, did_you_mean

if TYPE_CHECKING:
    from selfcodealign.engine.budget import Budget
    from selfcodealign.engine.ray.driver import RayEngine
    from selfcodealign.settings import Recipe


def as_settings(given: Mapping[str, Any]) -> list[str]:
    """What options gave, as `section.key=value`; a JSON value is a TOML value. What was not given overrides nothing."""
    return [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in given.items() if value not in (None, [])]


def load(name: str, settings: list[str], added: list[str], removed: list[str]) -> Recipe:
    """Load a recipe, its settings and its journey edited. Raises `RecipeError`."""
    from selfcodealign.pipeline import CATALOGUE
    from selfcodealign.stages.editing import load_edited, refuse_unread

    loaded = load_edited(name, settings, added, removed, CATALOGUE)
    refuse_unread(settings, loaded.journey, CATALOGUE)
    return loaded


def read_budget(given: list[str] | None) -> Budget | None:
    """Read the options `--budget`; None without any. Raises `RecipeError`."""
    from selfcodealign.engine.budget import Budget

    return Budget.read(given) if given else None


def check_engine(engine: str, address: str | None, shard: str | None) -> None:
    """Raise `RecipeError` for an engine that is none, and for options that belong to another one."""
    if engine not in ("local", "ray"):
        raise RecipeError(f"--engine {engine}: local or ray{did_you_mean(engine, ('local', 'ray'))}")
    if engine == "ray" and shard is not None:
        raise RecipeError("--shard divides a run without Ray: leave out --engine ray or --shard")
    if engine != "ray" and address is not None:
        raise RecipeError("--address belongs to --engine ray: give both")


def open_engine(engine: str, address: str | None) -> RayEngine | None:
    """The engine of these options; None for this process."""
    if engine == "local":
        return None
    from selfcodealign.engine.ray.driver import RayEngine

    return RayEngine(address)


def run_and_report(
    recipe: Recipe,
    folder: Path,
    until: str | None,
    yes: bool,
    budget: Budget | None = None,
    engine: RayEngine | None = None,
) -> None:
    """Run a recipe with its progress on the screen, then print the funnel and what came out."""
    from rich.console import Console
    from rich.text import Text

    from selfcodealign.commands.stopping import run_stoppable
    from selfcodealign.pipeline import run_recipe
    from selfcodealign.progress.log import log_drawn
    from selfcodealign.progress.terminal import open_progress
    from selfcodealign.report.funnel import REPORT, draw_funnel, print_funnel, read_funnel

    with open_progress() as progress:
        try:
            work = run_recipe(
                recipe, folder, until=until, progress=progress, replace_finished=yes, budget=budget, engine=engine
            )
            result = run_stoppable(work, progress, "all finished rows are")
        except EmptyDataset:
            progress.show(draw_funnel(read_funnel(folder)))
            if (folder / REPORT).is_file():
                progress.say(f"report: {folder / REPORT}")
            raise

    def draw(console: Console) -> None:
        print_funnel(folder, console)
        if until is not None and until != recipe.journey[-1]:
            console.print(Text(f"stopped after {until}, as --until says; without it, the same command goes on"))
        if result.stopped:
            console.print(Text(result.stopped), soft_wrap=True)

    log_drawn(draw)
    draw(Console())


def run_one_shard(recipe: Recipe, folder: Path, shard: str, until: str | None, yes: bool) -> None:
    """Take the rows of shard "i/n" through the next stages, or complete them ("merge"), and print what came of it."""
    from rich.console import Console

    from selfcodealign.commands.stopping import run_stoppable
    from selfcodealign.pipeline import merge_shards, run_shard
    from selfcodealign.progress.terminal import open_progress
    from selfcodealign.run_folder.partition import Partition

    with open_progress() as progress:
        if shard == "merge":
            work = merge_shards(recipe, folder, until=until, progress=progress)
        else:
            part = Partition.parse(shard)
            work = run_shard(recipe, folder, part, until=until, progress=progress, replace_finished=yes)
        told = run_stoppable(work, progress, "all finished rows are")
    Console().print(told or f"complete: {folder}", markup=False, highlight=False, soft_wrap=True)


def show_plan(
    recipe: Recipe, folder: Path, until: str | None, base: Recipe | None, budget: Budget | None = None
) -> None:
    """Print what a run would do in each stage, and the settings: all, or those that differ from the recipe `base`."""
    import asyncio

    from rich.console import Console
    from rich.text import Text

    from selfcodealign.pipeline import forecast_recipe, plan_recipe, tell_spent
    from selfcodealign.recipe import changed_settings, recipe_toml
    from selfcodealign.stages.forecast import tell
    from selfcodealign.stages.plan import list_lost

    decisions = asyncio.run(plan_recipe(recipe, folder, until=until, budget=budget))
    console = Console()
    console.print(Text(f"What a run would do in {folder}", style="bold"))
    for decision in decisions:
        console.print(Text(f"  {decision.sentence}"), soft_wrap=True)
    if lost := list_lost(decisions):
        told = f"The run needs --yes, because finished work of a model would move to superseded/: {lost}"
        console.print(Text(told), soft_wrap=True)
    if budget is not None:
        spent = "; ".join(tell_spent(recipe, folder, decisions, budget))
        console.print(Text(f"Budget, of which all runs of this folder have spent: {spent}"), soft_wrap=True)
    for number, line in enumerate(tell(forecast_recipe(recipe, folder, decisions))):
        console.print(Text(line if number else f"\n{line}", style="" if number else "bold"), soft_wrap=True)
    if base is None:
        console.print(Text("\nSettings", style="bold"))
        console.print(Text(recipe_toml(recipe).strip()), soft_wrap=True)
        return
    changed = changed_settings(base, recipe)
    if changed:
        console.print(Text("\nSettings that differ from the recipe's", style="bold"))
        for line in changed:
            console.print(Text(f"  {line}"), soft_wrap=True)
    console.print(Text("All settings in force: --settings", style="dim"))
