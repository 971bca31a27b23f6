"""Stages for `bench.ray_engine`: seeds that are made up, stages that cost little, and one that sleeps.

A recipe names them as `bench/ray_stages.py:NUMBERED`, as any stage of one's own.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydantic import Field

from selfcodealign.rows import Dropped, Seed, SourceFile, digest, grow
from selfcodealign.settings import Section
from selfcodealign.stages import Each, Source
from selfcodealign.stages.context import Context


class NumberedSettings(Section):
    """The section [own.numbered]."""

    rows: int = Field(1000, ge=1)


class SleepSettings(Section):
    """The section [own.sleep]: each row takes `seconds`, `at_once` rows are under way in each worker."""

    seconds: float = 0.5
    at_once: int = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured(Seed):
    """A seed and its length in words."""

    words: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Slept(Seed):
    """A seed, and which process slept for it from when to when (Unix time)."""

    process: int
    began: float
    ended: float


def read(context: Context) -> Iterator[SourceFile]:
    """Files with a number and no text."""
    count = context.section("numbered").rows
    return (SourceFile(id=digest("file", n), path=f"{n}.py", text="", origin="bench") for n in range(count))


async def make(file: SourceFile) -> Sequence[Seed]:
    """A seed of ordinary length, different for each file."""
    code = f"def total_{file.path[:-3]}(values):\n" + '    """Return the sum of the values."""\n' * 12
    return [
        Seed(
            seed_id=digest("seed", file.id),
            source_id=file.id,
            seed=code,
            function="total",
            origin="bench",
            source_path=file.path,
            source_line=1,
            commit="",
            licence="MIT",
        )
    ]


async def measure(row: Seed) -> Sequence[Measured]:
    """A stage that costs a split."""
    return [grow(row, Measured, words=len(row.seed.split()))]


async def sift(row: Measured) -> Sequence[Measured | Dropped]:
    """A filter that drops one row in sixteen."""
    if row.id.endswith("0"):
        return [Dropped(parent=row.id, reason="sifted", detail="", row=row.fields())]
    return [row]


class Sleep:
    """Stands in for a request to a model server."""

    def __init__(self, context: Context) -> None:
        self._seconds = context.section("sleep").seconds

    async def __call__(self, row: Seed) -> Sequence[Slept]:
        began = time.time()
        await asyncio.sleep(self._seconds)
        return [grow(row, Slept, process=os.getpid(), began=began, ended=time.time())]


NUMBERED = Source(
    name="numbered",
    gives=Seed,
    settings=NumberedSettings,
    decided_by=lambda context: context.deciding("numbered"),
    read=read,
    parent="source_id",
    build=lambda context: make,
    rows_at_once=lambda context: 8,
)
MEASURE = Each(
    name="measure",
    takes=Seed,
    gives=Measured,
    decided_by=lambda context: {},
    build=lambda context: measure,
    rows_at_once=lambda context: 8,
)
SIFT = Each(
    name="sift",
    takes=Measured,
    gives=Measured,
    decided_by=lambda context: {},
    build=lambda context: sift,
    rows_at_once=lambda context: 8,
)
SLEEP = Each(
    name="sleep",
    takes=Seed,
    gives=Slept,
    settings=SleepSettings,
    decided_by=lambda context: {},
    build=Sleep,
    rows_at_once=lambda context: context.section("sleep").at_once,
)
