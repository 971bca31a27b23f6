"""The journey of a row, top to bottom. Start reading here.

    source code → seed → concepts → instruction → responses with tests → execution → example
                                                                  → tuned model → scores

`Journey.run` is the table of contents: one paragraph per stage, in the order in which a row meets them. What a stage
does with a row is in `stages/`, how rows get on disk and are found again after a kill is in `verbs` and `run_folder`.
"""

from __future__ import annotations

import asyncio
import errno
import os
import platform
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cached_property
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from selfcodealign import __version__
from selfcodealign.curation.contamination import Decontaminator
from selfcodealign.dataset.write import CardFacts, write_dataset
from selfcodealign.engine.local import Outcome, Progress, each, whole
from selfcodealign.errors import RecipeError, RunFolderError, did_you_mean
from selfcodealign.generation.few_shot_file import FewShotFile, load_few_shot
from selfcodealign.models import Model
from selfcodealign.models.on_demand import OnDemandModel
from selfcodealign.recipe import recipe_toml
from selfcodealign.rows import Dropped, Seed, SourceFile, digest
from selfcodealign.run_folder.folder import KINDS, RunFolder, Stage, write_text
from selfcodealign.sandbox import Limits, Sandbox
from selfcodealign.sandbox.on_demand import OnDemandSandbox
from selfcodealign.settings import Recipe, Section
from selfcodealign.sources import iterate_source_files
from selfcodealign.stages.concepts import ConceptWriter
from selfcodealign.stages.distinct import drop_copies
from selfcodealign.stages.evaluate import compare_models
from selfcodealign.stages.instructions import InstructionWriter
from selfcodealign.stages.judge import Judge
from selfcodealign.stages.near_dedup import drop_near_copies
from selfcodealign.stages.responses import Answerer
from selfcodealign.stages.seeds import extract_seeds
from selfcodealign.stages.selection import select_examples
from selfcodealign.stages.train import tune_model

#: Errors of a disk that takes no more.
NO_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
#: In the order of the journey; `until` takes one of them.
STAGES = (*KINDS, "dataset", "train", "evaluate")


async def run_recipe(
    recipe: Recipe,
    out: Path,
    *,
    until: str = STAGES[-1],
    progress: Progress | None = None,
    model: Model | None = None,
) -> None:
    """Run a recipe into the folder `out`, going on from whatever is there.

    `model` replaces the one the recipe names. Cancelling (Ctrl-C under `asyncio.run`) leaves everything finished on
    disk; the same call resumes. Raises a `UserError` for whatever a person has to fix.
    """
    check_stage(until)
    with RunFolder(out) as folder:
        journey = Journey(recipe, folder, progress or Progress(), model)
        try:
            async with journey.model, journey.sandbox:
                await journey.run(until)
        except OSError as error:
            if error.errno not in NO_DISK:
                raise
            raise RunFolderError(f"{out}: {error.strerror}; make room, then run the same command to resume") from error


def check_stage(name: str) -> None:
    """Raise `RecipeError` unless there is such a stage."""
    if name not in STAGES:
        raise RecipeError(f'no stage "{name}"; the stages are {", ".join(STAGES)}{did_you_mean(name, STAGES)}')


class Journey:
    """One run: what its stages share, and the stages in order."""

    def __init__(self, recipe: Recipe, folder: RunFolder, progress: Progress, model: Model | None = None) -> None:
        self.recipe = recipe
        self.folder = folder
        self.progress = progress
        self.few_shot: FewShotFile = load_few_shot(recipe.few_shot.file)
        self.model = OnDemandModel(model or _open_model(recipe), self._known_identity())
        self.sandbox = OnDemandSandbox(_sandbox(recipe))
        progress.tokens = lambda: (self.model.prompt_tokens, self.model.completion_tokens)
        self.stages: dict[str, Stage[Any]] = {}

    async def run(self, until: str) -> None:
        """Take all rows through all stages up to `until`."""
        self._record()
        for name in STAGES[: STAGES.index(until) + 1]:
            await getattr(self, name)()

    # ---------------------------------------------------------------------------------- source code → seed

    async def seeds(self) -> None:
        """Take documented functions that stand alone from the sources; read once, not again when it is complete."""
        settings = self.recipe.seeds.model_copy(update={"limit": None})
        stage = self._stage("seeds", settings.result_digest())
        if stage.finished:
            self.progress.say("seeds: taken from the sources by an earlier run, which are not read again")
            return
        workers = os.cpu_count() or 1
        with ProcessPoolExecutor(workers, get_context("forkserver"), initializer=_ignore_interrupts) as pool:

            async def take_seeds(file: SourceFile | Dropped) -> Outcome[Seed]:
                if isinstance(file, Dropped):
                    return [file]
                return await asyncio.get_running_loop().run_in_executor(pool, extract_seeds, file, settings)

            await self._each(stage, iterate_source_files(settings), None, take_seeds, 4 * workers, settings)

    async def near_dedup(self) -> None:
        """Drop copies, near copies and texts of benchmarks, then what is over the limit."""
        settings, limit = self.recipe.near_dedup, self.recipe.seeds.limit
        against = self.decontaminator
        stage = self._stage("near_dedup", digest(settings.result_digest(), limit, self.recipe.selection.decontaminate))
        await self._whole(
            stage, self.stages["seeds"], lambda rows: drop_near_copies(rows, settings, limit, against), settings
        )

    async def judge(self) -> None:
        """Let the base model judge the docstrings, when the recipe asks for it."""
        recipe = self.recipe
        if recipe.judge.enabled:
            await self._be_ready()
            judge = Judge(self.model, self.few_shot, recipe.judge, recipe.few_shot, recipe.random_seed)
            stage = self._stage("judge", judge.digest)
            await self._each_after(stage, "near_dedup", judge, self.model.concurrency, recipe.judge)

    # --------------------------------------------------------------------------- seed → concepts → instruction

    async def concepts(self) -> None:
        """Ask the base model which concepts it sees in each seed."""
        await self._be_ready()
        recipe = self.recipe
        write = ConceptWriter(self.model, self.few_shot, recipe.concepts, recipe.few_shot, recipe.random_seed)
        stage = self._stage("concepts", write.digest)
        before = "judge" if recipe.judge.enabled else "near_dedup"
        await self._each_after(stage, before, write, self.model.concurrency, recipe.concepts)

    async def instructions(self) -> None:
        """Ask it for new tasks about those concepts."""
        recipe = self.recipe
        write = InstructionWriter(
            self.model, self.few_shot, recipe.instructions, recipe.concepts, recipe.few_shot, recipe.random_seed
        )
        stage = self._stage("instructions", write.digest)
        await self._each_after(stage, "concepts", write, self.model.concurrency, recipe.instructions)

    async def distinct(self) -> None:
        """Answer each distinct task once, when the recipe asks for it."""
        settings = self.recipe.instructions
        if settings.distinct:
            stage = self._stage("distinct", digest("distinct"))
            await self._whole(stage, self.stages["instructions"], lambda rows: drop_copies(rows()), settings)

    # ----------------------------------------------------------------------- instruction → verified responses

    async def responses(self) -> None:
        """Answer every task with tests, several times, and run each answer as it arrives."""
        recipe = self.recipe
        answer = Answerer(
            self.model,
            self.sandbox,
            self.few_shot,
            recipe.responses,
            recipe.execution,
            recipe.few_shot,
            recipe.random_seed,
        )
        # More instructions under way than the model takes at once: some of them are in the sandbox.
        at_once = self.model.concurrency + 2 * (recipe.execution.workers or os.cpu_count() or 1)
        if recipe.responses.stop_after_passes == 0:
            at_once = -(-at_once // recipe.responses.samples)
        stage = self._stage("responses", answer.digest)
        before = "distinct" if recipe.instructions.distinct else "instructions"
        await self._each_after(stage, before, answer, at_once, recipe.responses)

    # --------------------------------------------------------------------------- verified responses → data set

    async def selection(self) -> None:
        """Choose the examples."""
        settings = self.recipe.selection
        stage = self._stage("selection", settings.result_digest())
        against = self.decontaminator
        responses = self.stages["responses"]
        with self.folder.connect() as connection:
            tally = responses.shards.tally(connection)
        await self._whole(stage, responses, lambda rows: select_examples(rows, tally, settings, against), settings)

    async def dataset(self) -> None:
        """Write the data set and its card."""
        selection = self.stages["selection"]
        facts = CardFacts(
            recipe_toml=recipe_toml(self.recipe),
            run=self.folder.facts(),
            funnel=[(name, stage.books()) for name, stage in self.stages.items()],
            benchmarks=self.decontaminator.describe() if self.decontaminator else [],
        )
        with self.folder.connect() as connection:
            examples = selection.shards.sorted_rows(connection, "response_id")
            write_dataset(self.folder.path / "dataset", examples, selection.books().kept, facts)

    # -------------------------------------------------------------------------- data set → tuned model → scores

    async def train(self) -> None:
        """Fine-tune the model on the examples, when the recipe asks for it."""
        if self.recipe.train.enabled:
            await self.model.close()  # training and evaluation need its device
            examples = sorted(row.id for row in self.stages["selection"].rows())
            tune_model(self.folder, self.recipe, examples, self.progress)

    async def evaluate(self) -> None:
        """Compare the base model and the tuned one, when the recipe asks for it."""
        if self.recipe.evaluate.enabled:
            await self.model.close()
            await compare_models(self.folder, self.recipe, self.progress)

    # ------------------------------------------------------------------------------------- what stages share

    @cached_property
    def decontaminator(self) -> Decontaminator | None:
        """Knows the benchmarks' texts; None when the recipe names none."""
        sources = self.recipe.selection.decontaminate
        return Decontaminator.load(sources) if sources else None

    def _stage(self, name: str, settings_digest: str) -> Stage[Any]:
        stage = self.folder.stage(name, settings_digest, self.progress.say)
        self.stages[name] = stage
        return stage

    async def _each(
        self,
        stage: Stage[Any],
        inputs: Iterator[Any],
        total: int | None,
        work: Callable[[Any], Awaitable[Outcome[Any]]],
        concurrency: int,
        settings: Section,
    ) -> None:
        await each(
            stage,
            inputs,
            total,
            work,
            settings=settings.model_dump(mode="json"),
            concurrency=concurrency,
            flush_seconds=self.recipe.flush_seconds,
            progress=self.progress,
        )

    async def _each_after(
        self,
        stage: Stage[Any],
        before: str,
        work: Callable[[Any], Awaitable[Outcome[Any]]],
        concurrency: int,
        settings: Section,
    ) -> None:
        source = self.stages[before]
        await self._each(stage, source.rows(), source.books().kept, work, concurrency, settings)

    async def _whole(
        self,
        stage: Stage[Any],
        before: Stage[Any],
        decide: Callable[[Callable[[], Iterator[Any]]], Iterator[Any]],
        settings: Section,
    ) -> None:
        """Compare all rows that `before` has kept; they come in the order of their ids, as often as asked for."""
        with self.folder.connect() as connection:

            def rows() -> Iterator[Any]:
                order = (before.shards.row.id_field, before.shards.parent_field)
                # A cursor of its own, because a second pass may begin before the first has ended.
                return before.shards.sorted_rows(connection.cursor(), *order)

            await whole(
                stage,
                lambda: decide(rows),
                before.books().kept,
                settings=settings.model_dump(mode="json"),
                progress=self.progress,
            )

    async def _be_ready(self) -> None:
        """Open what the stages with a model need, unless an earlier run has finished them: a missing server or a
        sandbox that cannot start has to show before hours of work, not after."""
        responses = self.folder.look_at("responses")
        if responses is None or not responses.finished or self._known_identity() is None:
            await self.model.open()
            self.folder.record({"model": self.model.identity(), "model_settings": self._model_digest()})
            await self.sandbox.open()

    def _known_identity(self) -> dict[str, str] | None:
        facts = self.folder.facts()
        return facts.get("model") if facts.get("model_settings") == self._model_digest() else None

    def _model_digest(self) -> str:
        return self.recipe.model.result_digest()

    def _record(self) -> None:
        write_text(self.folder.path / "recipe.toml", recipe_toml(self.recipe))
        facts = self.folder.facts()
        self.folder.record(
            {
                "selfcodealign": __version__,
                "python": platform.python_version(),
                "platform": platform.platform(),
                "command": " ".join(sys.argv),
                "sandbox": self.recipe.execution.sandbox,
                "started": facts.get("started") or time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            }
        )


def _open_model(recipe: Recipe) -> Model:
    from selfcodealign.models.opening import open_model

    return open_model(recipe.model)


def _sandbox(recipe: Recipe) -> Sandbox:
    settings = recipe.execution
    return Sandbox(
        workers=settings.workers,
        limits=Limits(seconds=settings.seconds, memory_mib=settings.memory_mib),
        mode=settings.sandbox,
        # A library that is not here cannot be loaded beforehand; programs that import it fail by themselves.
        warm=tuple(name for name in settings.warm if find_spec(name)),
        mutation_testing=settings.mutation_testing,
        flake_reruns=settings.flake_reruns,
    )


def _ignore_interrupts() -> None:
    """Ctrl-C reaches every process of a terminal; the pool's are told by the main one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
