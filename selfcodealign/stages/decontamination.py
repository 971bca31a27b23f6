"""Seed → seed: what holds a task of a benchmark goes, with the task, both texts and the rule on the dropped row.

An imported row has no seed: its instruction, response and tests are compared.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from selfcodealign.benchmarks.published import KnownTexts
from selfcodealign.curation.contamination import Decontaminator
from selfcodealign.curation.given_text import given_text
from selfcodealign.rows import Dropped, Seed
from selfcodealign.settings import DecontaminationSettings
from selfcodealign.stages import Each
from selfcodealign.stages.context import Context


class Decontamination:
    """Compares a seed, in whichever process: each reads the kept texts once. `version` tells kept texts apart."""

    def __init__(self, kept: Path, version: int) -> None:
        self._kept = kept
        self._version = version

    def __call__(self, seed: Seed) -> list[Seed | Dropped]:
        given = given_text(seed.fields(), tests=True)
        own = "\n".join(part for part in (seed.commit_message, seed.old_code, seed.seed) if part)
        hit = _open(self._kept, self._version).find(own if given is None else given)
        if hit is None:
            return [seed]
        return [Dropped(parent=seed.id, reason="contaminated", detail=str(hit), row=seed.fields())]


@lru_cache(1)
def _open(kept: Path, version: int) -> Decontaminator:
    return Decontaminator(KnownTexts.read(kept).loaded)


def _build(context: Context) -> Decontamination:
    kept = context.kept_benchmarks.absolute()
    return Decontamination(kept, kept.stat().st_mtime_ns)


DECONTAMINATION = Each(
    name="decontamination",
    takes=Seed,
    gives=Seed,
    settings=DecontaminationSettings,
    columns=("function", "origin", "licence"),
    decided_by=lambda context: context.benchmarks(),
    build=_build,
    rows_at_once=lambda context: 4 * (os.cpu_count() or 1),
    cpu=True,
)
