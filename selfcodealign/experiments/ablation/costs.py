"""What the rows of a run have cost: the tokens that models wrote, by the instruction they were written for.

A stage's tokens are counted by its engine, and are shared out by the length of the texts. What was written before there
was an instruction (concepts, tasks that were dropped) is shared by all instructions alike.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from selfcodealign.experiments.ablation.sharing import first_of
from selfcodealign.run_folder.folder import ASKED, RunFolder, StageFolder

#: Columns with what a model wrote, the first of them that a row has.
_WRITTEN = ("completion", "instruction", "concepts")


def count_tokens(folder: RunFolder, first_samples: int | None = None) -> dict[str, float]:
    """Generated tokens by the id of the instruction; of the answers to it, only the first so many are counted."""
    shared, own = 0.0, defaultdict[str, float](float)
    for stage in folder.stages():
        rate = _find_rate(folder, stage.name)
        for instruction, sample, length in _texts(stage) if rate else ():
            if instruction is None:
                shared += rate * length
            elif first_samples is None or sample is None or sample < first_samples:
                own[instruction] += rate * length
    return {one: tokens + shared / len(own) for one, tokens in own.items()}


def _find_rate(folder: RunFolder, name: str) -> float:
    """Tokens for each character that a stage wrote, by the run that asked for its rows; 0 where no model is asked."""
    asker = first_of(folder, name)
    tokens: int = asker.facts().get(ASKED, {}).get(name, {}).get("completion_tokens", 0)
    stage = asker.look_at(name) if tokens else None
    return tokens / sum(length for *_, length in _texts(stage)) if stage is not None else 0.0


def _texts(stage: StageFolder[Any]) -> Iterator[tuple[str | None, int | None, float]]:
    """Of each row, kept or dropped: its instruction, its number among the answers, the length of its text."""
    for _, row in stage.shards.outcomes(["instruction_id", "sample", *_WRITTEN]):
        text = next((row[name] for name in _WRITTEN if row.get(name)), "")
        yield (
            row.get("instruction_id"),
            row.get("sample"),
            1.0 + len(text if isinstance(text, str) else ", ".join(text)),
        )
