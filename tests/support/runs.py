"""The rows of a run on disk, and a run in a separate process that a test may kill."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from selfcodealign.report.funnel import read_funnel

#: Measured, not decided: the only fields in which two runs of one recipe may differ.
MEASURED = ("seconds", "peak_memory_mib")
#: Stages that give rows, in the order of a journey.
ROW_STAGES = (
    "seeds",
    "decontamination",
    "near_dedup",
    "judge",
    "concepts",
    "instructions",
    "distinct",
    "responses",
    "selection",
)


def rows_of(run: Path, stage: str, kind: str = "kept") -> list[dict[str, Any]]:
    """Return all rows of a stage without measured fields, in a fixed order."""
    rows = [row for path in sorted((run / stage).glob(f"{kind}-*.parquet")) for row in pq.read_table(path).to_pylist()]
    plain = [{key: value for key, value in row.items() if key not in MEASURED} for row in rows]
    return sorted(plain, key=lambda row: json.dumps(row, sort_keys=True, default=str))


def claims_of(run: Path) -> str:
    """Return what the card of a run's data set says of its rows: not the columns, the licences and the settings."""
    card = (run / "dataset" / "README.md").read_text("utf-8")
    sections = card[: card.index("## Settings")].split("\n## ")
    return "\n## ".join(one for one in sections if not one.startswith(("Columns", "Licences")))


def everything(run: Path) -> str:
    """Return the rows of all stages, without measured fields."""
    found = {f"{stage}/{kind}": rows_of(run, stage, kind) for stage in ROW_STAGES for kind in ("kept", "dropped")}
    return json.dumps(found, sort_keys=True, default=str)


def books(run: Path) -> dict[str, tuple[int, int, dict[str, int]]]:
    return {one.name: (one.books.entered, one.books.kept, one.books.dropped) for one in read_funnel(run)}


#: Arguments: the folder of sources, the folder of the run.
KILLED = """
import asyncio, sys
from pathlib import Path
from selfcodealign import run_recipe
from tests.support.journey import scripted_model, small_recipe
recipe = small_recipe(Path(sys.argv[1]), "flush_seconds=0.05")
asyncio.run(run_recipe(recipe, Path(sys.argv[2]), model=scripted_model(latency=0.01, concurrency=4)))
"""
