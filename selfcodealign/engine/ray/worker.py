"""A worker on one node: builds a context from the recipe and takes partitions of a flow through it, one at a time."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selfcodealign.engine import divided, local
from selfcodealign.engine.ray.tallies import Report, Tallies
from selfcodealign.errors import UserError
from selfcodealign.models import Model
from selfcodealign.run_folder.partition import Partition
from selfcodealign.run_folder.writers import ENDED, WriterFolder
from selfcodealign.settings import Recipe
from selfcodealign.stages import Stage
from selfcodealign.stages.context import Context
from selfcodealign.stages.journey import Journey
from selfcodealign.stages.plan import Decision, plan


@dataclass(frozen=True)
class Job:
    """All that a worker builds a run's context from; it is sent to the nodes."""

    recipe: Recipe
    folder: Path
    make_journey: Callable[[Recipe, Sequence[Stage]], Journey]
    until: str | None = None
    stages: Sequence[Stage] = ()
    model: Model | None = None
    models: Mapping[str, Model] = field(default_factory=dict)
    #: Where relative paths of the recipe begin.
    directory: Path = field(default_factory=Path.cwd)


class Worker:
    """Becomes a Ray actor; errors that a person can act on are returned as text, since Ray wraps raised ones."""

    def __init__(self, job: Job, writer: str) -> None:
        self._job = job
        self._tallies = Tallies()
        self._folder = WriterFolder(job.folder, writer)
        self._context: Context | None = None
        self._flow: list[Decision] = []
        self._ended: list[list[int]] = []
        self._task: asyncio.Task[Any] | None = None

    async def open(self) -> tuple[str, dict[str, Any]]:
        """Open the models and the sandbox that the next flow needs; return what is wrong, and the models' facts."""
        try:
            return "", await self._open()
        except UserError as error:
            return str(error), {}

    async def work(self, part: Partition) -> str:
        """Take the rows of a partition through the flow; return what is wrong."""
        assert self._context is not None
        self._task = asyncio.current_task()
        try:
            await local.each(self._context, self._flow, part=part)
        except UserError as error:
            return str(error)
        except asyncio.CancelledError:
            return "stopped"  # with all finished rows on disk
        finally:
            self._task = None
        self._ended.append([part.number, part.of])
        self._folder.record({ENDED: self._ended})
        return ""

    async def report(self) -> Report:
        """What this worker has done so far."""
        tokens = self._context.count_tokens() if self._context is not None else (0, 0)
        return self._tallies.report(tokens)

    async def close(self) -> None:
        """Stop the work under way, its finished rows written, and close the models and the sandbox."""
        if self._task is not None:
            self._task.cancel()
        while self._task is not None:
            await asyncio.sleep(0.05)
        if self._context is not None:
            await self._context.__aexit__(None, None, None)

    async def _open(self) -> dict[str, Any]:
        job = self._job
        with suppress(OSError):
            os.chdir(job.directory)
        journey = job.make_journey(job.recipe, job.stages)
        self._context = Context(job.recipe, journey.places, self._folder, self._tallies, job.model, job.models)
        self._flow = divided.next_part(plan(self._context, journey.until(job.until)))
        steps = [one.step for one in self._flow]
        asking = [step.name for step in steps if "model" in step.stage.needs]
        for name in self._context.models_of(asking):
            await self._context.models[name].open()
        if any("sandbox" in step.stage.needs and step.stage.executes(self._context) for step in steps):
            await self._context.sandbox.open()
        return self._context.models.facts(self._context.models_of(asking)) if asking else {}
