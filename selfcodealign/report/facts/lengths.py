"""How long texts are, in characters: of the rows that the last stage of each kind has kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from selfcodealign.report.facts.histograms import draw_histogram, log_edges
from selfcodealign.report.facts.tables import FILES, RunTables, quoted
from selfcodealign.report.facts.types import Histogram
from selfcodealign.rows import Instruction, Response, Seed

#: The texts by the rows that have them first.
_TEXTS = (
    (Seed.id_field, ("seed",)),
    (Instruction.id_field, ("instruction",)),
    (Response.id_field, ("response", "tests")),
)


def measure_lengths(tables: RunTables) -> list[Histogram]:
    """Histograms of the lengths of seeds, instructions, responses and tests; empty texts are left out."""
    return [one for row_id, names in _TEXTS for one in _measure(tables, row_id, names)]


def _measure(tables: RunTables, row_id: str, names: Sequence[str]) -> Iterator[Histogram]:
    table = tables.last(row_id)
    if table is None:
        return
    names = [name for name in names if name in table.columns]
    sizes = ", ".join(f"length({quoted(name)}) AS size_{place}" for place, name in enumerate(names))
    sets = ", ".join(f"(size_{place})" for place in range(len(names)))
    grouping = ", ".join(f"size_{place}" for place in range(len(names)))
    # One pass over the texts; which set a row belongs to is told apart by what it is grouped by.
    found = tables.ask(
        f"SELECT grouping({grouping}), {grouping}, count(*) FROM (SELECT {sizes} FROM {FILES}) "
        f"GROUP BY GROUPING SETS ({sets})",
        table.kept,
    )
    everything = 2 ** len(names) - 1
    for place, name in enumerate(names):
        own = everything - 2 ** (len(names) - 1 - place)
        counts = {row[1 + place]: row[-1] for row in found if row[0] == own and row[1 + place]}
        if counts:
            one = draw_histogram(name, "characters", counts, log_edges(min(counts), max(counts)))
            yield from [] if one is None else [one]
