"""Examples → the data set: Parquet files with a card, in RUN/dataset."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from selfcodealign.curation.contamination.planting import measure_all
from selfcodealign.dataset.card import CardFacts
from selfcodealign.dataset.write import write_dataset
from selfcodealign.errors import EmptyDataset
from selfcodealign.recipe import recipe_toml
from selfcodealign.report.authors import find_authors
from selfcodealign.report.funnel import StageAccount, account_for
from selfcodealign.rows import Example, extended
from selfcodealign.run_folder.folder import BENCHMARK_VERSIONS, StageFolder
from selfcodealign.settings import DatasetSettings, Recipe
from selfcodealign.stages import Last
from selfcodealign.stages.context import Context, smaller_prompts

#: The setting that chooses among a task's answers by how they ended.
ANSWERS = "selection.answers"


async def publish(context: Context) -> str:
    """Write the data set and its card again, from the rows as they are now.

    Raises `EmptyDataset` after that if there are none: later stages have nothing to work on.
    """
    place = context.places["dataset"]
    assert place.after is not None
    assert place.given is not None
    kind = extended(Example, place.given)
    examples = context.folder.open(place.after, kind)
    stages = context.folder.stages()
    # A claim of what was done, not of what was asked for: the stage that chose the examples must have compared them.
    compared = [one for one in stages if one.decided_by.get(BENCHMARK_VERSIONS)]
    chosen = any(one.description.kind == Example.__name__ for one in compared)
    funnel = account_for(context.folder)
    facts = CardFacts(
        recipe_toml=recipe_toml(context.recipe, published=True),
        run=context.folder.facts(),
        # The units stand beside the name: what a stage is given and what it makes may differ.
        funnel=[(f"{one.name} ({one.units()})", one.books) for one in funnel],
        benchmarks=_measure(context) if chosen else [],
        missing=context.benchmark_texts.missing,
        compared=[one.name for one in compared],
        license=context.recipe.dataset.license,
        authors=find_authors(context.folder),
        answers=_policy(stages),
    )
    with context.folder.connect() as connection:
        rows = examples.shards.sorted_rows(connection, examples.description.row_id)
        write_dataset(context.folder.path / "dataset", rows, examples.books().kept, facts, kind)
    if not examples.books().kept:
        raise EmptyDataset(explain_empty(funnel, context.folder.path, context.recipe))
    return f"{examples.books().kept} examples"


def _policy(stages: Sequence[StageFolder[Any]]) -> str:
    """The setting by which the stage that chose the examples took other answers than those that passed."""
    for stage in stages:
        chosen = stage.decided_by.get(ANSWERS, "passed")
        if stage.description.kind == Example.__name__ and chosen != "passed":
            return f"{ANSWERS} = {chosen}"
    return ""


def _measure(context: Context) -> list[dict[str, Any]]:
    """What is known of each benchmark, with the recall on its own tasks: measured once for the same versions."""
    versions = context.benchmarks()[BENCHMARK_VERSIONS]
    measured = context.folder.facts().get("decontamination", {})
    if measured.get("versions") != versions and context.decontaminator:
        with context.progress.waiting("planting tasks of the benchmarks, to measure how many are found"):
            found = measure_all(context.decontaminator)
        measured = {"versions": versions, "benchmarks": found}
        context.folder.record({"decontamination": measured})
    return measured.get("benchmarks", [])


def explain_empty(funnel: Sequence[StageAccount], run: Path, recipe: Recipe) -> str:
    """Say which stage of a run dropped everything, for which reasons, and where to look."""
    stage = next((one for one in funnel if not one.books.kept), funnel[-1])
    reasons = sorted(stage.books.dropped.items(), key=lambda one: -one[1])
    shown = ", ".join(f"{reason} {count}" for reason, count in reasons[:3]) + (", ..." if len(reasons) > 3 else "")
    too_long = bool(reasons) and reasons[0][0] == "prompt_too_long"
    hint = f"; for prompts that the model can read, use {smaller_prompts(recipe)}" if too_long else ""
    return (
        f"the data set is empty: the stage {stage.name} kept none of {stage.books.entered} {stage.came} "
        f"({shown or 'none came in'}){hint}; see them with: selfcodealign show {run} --stage {stage.name}"
    )


DATASET = Last(
    name="dataset",
    takes=Example,
    settings=DatasetSettings,
    output="dataset",
    rewritten=True,
    decided_by=lambda context: {},
    run=publish,
)
