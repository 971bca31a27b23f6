"""Examples → the data set: Parquet files with a card, in RUN/dataset."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from selfcodealign.dataset.card import CardFacts
from selfcodealign.dataset.write import write_dataset
from selfcodealign.errors import EmptyDataset
from selfcodealign.recipe import recipe_toml
from selfcodealign.rows import Books, Example, extended
from selfcodealign.stages import Last
from selfcodealign.stages.context import BENCHMARK_VERSIONS, Context


async def publish(context: Context) -> None:
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
    compared = any(one.decided_by.get(BENCHMARK_VERSIONS) for one in stages if one.description.kind == Example.__name__)
    facts = CardFacts(
        recipe_toml=recipe_toml(context.recipe),
        run=context.folder.facts(),
        funnel=[(stage.name, stage.books()) for stage in stages],
        benchmarks=context.decontaminator.describe() if compared and context.decontaminator else [],
    )
    with context.folder.connect() as connection:
        rows = examples.shards.sorted_rows(connection, examples.description.row_id)
        write_dataset(context.folder.path / "dataset", rows, examples.books().kept, facts, kind)
    if not examples.books().kept:
        raise EmptyDataset(explain_empty(facts.funnel, context.folder.path))


def explain_empty(funnel: Sequence[tuple[str, Books]], run: Path) -> str:
    """Say which stage of a run dropped everything, for which reasons, and where to look."""
    name, books = next((one for one in funnel if not one[1].kept), funnel[-1])
    reasons = sorted(books.dropped.items(), key=lambda one: -one[1])
    shown = ", ".join(f"{reason} {count}" for reason, count in reasons[:3]) + (", ..." if len(reasons) > 3 else "")
    return (
        f"the data set is empty: the stage {name} kept none of {books.entered} rows ({shown or 'none came in'}); "
        f"see them with: selfcodealign show {run}"
    )


DATASET = Last(
    name="dataset",
    takes=Example,
    output="dataset",
    rewritten=True,
    decided_by=lambda context: {},
    run=publish,
)
