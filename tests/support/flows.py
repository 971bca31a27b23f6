"""A flow of two small stages: sixty seeds, some dropped, some doubled, each concept written up as an instruction."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from selfcodealign.engine.flow import RowWork, flow
from selfcodealign.progress import Progress
from selfcodealign.rows import Concepts, Dropped, Instruction, Seed, digest
from selfcodealign.run_folder.folder import Description, RunFolder, StageFolder
from tests.support.rows import make_seed

SEEDS = [make_seed(number) for number in range(60)]


async def write_concepts(seed: Seed) -> list[Concepts | Dropped]:
    """Every third seed is dropped, every fourth gives two rows."""
    await asyncio.sleep(0)
    if seed.source_line % 3 == 0:
        return [Dropped(parent=seed.id, reason="third", detail="", row=seed.fields())]
    return [
        Concepts(**seed.fields(), concepts_id=digest(seed.id, number), concepts=["a"])
        for number in range(2 if seed.source_line % 4 == 0 else 1)
    ]


async def write_instructions(row: Concepts) -> list[Instruction | Dropped]:
    """Every fifth seed's row is dropped."""
    await asyncio.sleep(0)
    if row.source_line % 5 == 0:
        return [Dropped(parent=row.id, reason="fifth", detail="", row=row.fields())]
    own = {"instruction_id": digest(row.id, "i"), "instruction": "Add.", "language": "Python"}
    return [Instruction(**row.fields(), **own, category="function", difficulty="easy")]


def expected(seeds: Sequence[Seed]) -> list[str]:
    """Return the ids of the concepts rows of these seeds."""
    return sorted(
        digest(seed.id, number)
        for seed in seeds
        if seed.source_line % 3
        for number in range(2 if seed.source_line % 4 == 0 else 1)
    )


def expected_instructions(seeds: Sequence[Seed]) -> list[str]:
    """Return the ids of the instructions of these seeds."""
    return sorted(digest(one, "i") for one in expected([seed for seed in seeds if seed.source_line % 5]))


def concepts_folder(folder: RunFolder) -> StageFolder[Any]:
    return folder.stage(
        "concepts", Description("Concepts", "concepts_id", "seed_id", None, Concepts.field_names()), Concepts
    )


def instructions_folder(folder: RunFolder) -> StageFolder[Any]:
    description = Description("Instruction", "instruction_id", "concepts_id", "concepts", Instruction.field_names())
    return folder.stage("instructions", description, Instruction)


def ids(stage: StageFolder[Any]) -> list[str]:
    return sorted(row.id for row in stage.shards.rows())


async def run_flow(
    folder: RunFolder,
    seeds: Sequence[Seed],
    *,
    concepts: Any = write_concepts,
    instructions: Any = write_instructions,
    stages: int = 2,
    rows_at_once: int = 7,
    progress: Progress | None = None,
) -> None:
    """Take seeds through the first stage or through both."""
    works = [
        RowWork(concepts_folder(folder), concepts, rows_at_once, {}),
        RowWork(instructions_folder(folder), instructions, rows_at_once, {}),
    ]
    await flow(works[:stages], iter(seeds), len(seeds), flush_seconds=0.05, progress=progress or Progress())
