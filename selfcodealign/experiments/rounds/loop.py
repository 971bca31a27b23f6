"""Rounds: model k writes the data that model k+1 is tuned on, until a sign of collapse.

    base ─ writes ─▶ data 1 ─ tune ─▶ model 1 ─ writes ─▶ data 2 ─ tune ─▶ model 2 ─ …
                                         └─ scores            └─ monitors: distinct, entropy, copied, passed

Each round is a whole run, a training for each seed, and an evaluation, with the recipe's settings. What is tuned is
the base model each time, as in ReST (arXiv 2308.08998) and STaR (arXiv 2203.14465), or the model of the round before.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from selfcodealign.errors import EmptyDataset, ModelError, RecipeError
from selfcodealign.evaluation import Candidate, evaluate
from selfcodealign.evaluation.run import write_evaluation
from selfcodealign.evaluation.scoring import Score
from selfcodealign.experiments.rounds.collapse import Rule, find_reasons
from selfcodealign.experiments.rounds.figures import measure
from selfcodealign.experiments.rounds.folder import Design, Round, Rounds, RoundsFolder
from selfcodealign.experiments.rounds.monitors import windows
from selfcodealign.experiments.rounds.report import one_line, write_report
from selfcodealign.experiments.rounds.texts import Written, count_rows, few_shot_texts, read_written
from selfcodealign.generation.few_shot_file import load_few_shot
from selfcodealign.models import Model
from selfcodealign.models.named import BASE
from selfcodealign.models.revisions import find_source
from selfcodealign.pipeline import CATALOGUE, make_journey, plan_recipe, run_recipe
from selfcodealign.progress import Progress
from selfcodealign.progress.tally import clock
from selfcodealign.run_folder.folder import RunFolder
from selfcodealign.run_folder.lock import locked
from selfcodealign.settings import Recipe
from selfcodealign.stages.context import Context
from selfcodealign.stages.evaluate import base_candidates, tuned_candidate
from selfcodealign.stages.journey import edit_journey
from selfcodealign.stages.train import train_stoppable

#: The last stage of each round's run.
LAST = "dataset"
#: A model that writes the data of a round in the place of the one on disk; None: that one.
Writers = Callable[[int], Model | None]
_DESIGN, _RULE = Design(), Rule()


async def run_rounds(
    recipe: Recipe,
    out: Path,
    count: int,
    design: Design = _DESIGN,
    rule: Rule = _RULE,
    *,
    stop: bool = True,
    progress: Progress | None = None,
    writers: Writers = lambda number: None,
) -> Rounds:
    """Run up to `count` rounds into the folder `out`, resuming what is there; more rounds than before extend it.

    Without `stop`, the rule's reasons are recorded and the rounds go on; an empty data set always ends them. `writers`
    gives models that write in the place of those on disk. Raises a `UserError` for whatever a person has to fix, before
    any work, and `EmptyDataset` where the first round gives no row.
    """
    progress = progress or Progress()
    wanted = [name for name in ("train", "evaluate") if name not in recipe.journey]
    recipe = recipe.model_copy(update={"journey": edit_journey(recipe.journey, wanted, [], CATALOGUE)})
    # Later runs record the place of the model that wrote: it must not depend on where a command is given.
    folder = RoundsFolder(out.resolve(), recipe, design)
    _check_recipe(recipe, design)
    folder.open()
    await plan_recipe(recipe, folder.run(1), model=writers(1))
    with locked(folder.path, f"{out} is in use by other rounds; wait for them or choose another --out"):
        folder.begin()
        work = _Work(recipe, folder, design, count, progress, writers)
        return await work.take(folder.open(), rule, stop=stop)


def _check_recipe(recipe: Recipe, design: Design) -> None:
    """What speaks against rounds with this recipe, in one line."""
    if LAST not in recipe.journey:
        raise RecipeError(f"a round trains on a data set, and this journey makes none: add it with --with {LAST}")
    if recipe.model.urls and design.writer == "previous":
        raise RecipeError(
            "the model that a round tunes writes the next data, and the servers of model.urls do not hold it: set "
            'model.serve = "vllm" or a local model in the place of model.urls, or give --writer base'
        )
    journey = make_journey(recipe)
    context = Context(recipe, journey.places, RunFolder(Path()))
    asking = [step.name for step in journey.until(LAST) if step.place.asks]
    if BASE not in context.models_of(asking):
        raise RecipeError(
            "no stage of this journey asks [model], so that all rounds would have the same data: name a recipe whose "
            "[model] writes"
        )
    base = recipe.train.model or recipe.model.name
    if not base or (recipe.model.urls and not recipe.train.model):
        return
    if what := find_source(base, recipe.model.revision if recipe.train.model is None else None).untunable:
        raise ModelError(f"{base} is {what}, which cannot be tuned: set train.model to its checkpoint's folder")


@dataclass
class _Work:
    recipe: Recipe
    folder: RoundsFolder
    design: Design
    count: int
    progress: Progress
    writers: Writers

    async def take(self, done: list[Round], rule: Rule, *, stop: bool) -> Rounds:
        """Go through all rounds, the finished ones as well: they may have a reason to stop under this rule."""
        known = windows(few_shot_texts(load_few_shot(self.recipe.few_shot.file)))
        await self._score(0, base_candidates(self.recipe))
        rounds: list[Round] = []
        written: list[Written] = []
        ended: Sequence[str] = ()
        for number in range(1, max(self.count, len(done)) + 1):
            one = done[number - 1] if number <= len(done) else await self._work(number)
            written.append(read_written(RunFolder(self.folder.run(number))))
            # Shares are of as many items as the smallest round has, so that a new round may change all of them.
            figures = measure(written, known)
            rounds = [replace(one, figures=own) for one, own in zip([*rounds, one], figures, strict=True)]
            outcomes = [one.outcome(own) for one, own in zip(rounds, figures, strict=True)]
            reasons = find_reasons(outcomes, rule)
            rounds[-1] = replace(rounds[-1], reasons=reasons)
            if number > len(done):
                self._tell(rounds[-1])
            ended = reasons if stop or not one.rows else ()
            self.folder.write([*rounds, *done[number:]], ended)
            write_report(Rounds(rounds, ended, self.folder))
            if ended and number >= len(done):
                break
        write_evaluation(self.folder.scores, self.folder.all_scores(len(rounds)))
        return Rounds(rounds, ended, self.folder)

    async def _work(self, number: int) -> Round:
        """One round: write data, tune on them, score; each step resumes by itself."""
        start = time.monotonic()
        recipe, run = self._writing(number), self.folder.run(number)
        self._say(number, f"{self._name_writer(number)} writes the data")
        try:
            await run_recipe(recipe, run, until=LAST, progress=self.progress, model=self.writers(number))
        except EmptyDataset as empty:
            if number == 1:
                raise
            self._say(number, str(empty))
        scores: list[Score] = []
        if rows := count_rows(RunFolder(run)):
            for seed in range(self.design.seeds):
                await self._tune(number, seed)
            candidates = [
                tuned_candidate(f"round {number} seed {seed}", self.recipe, self.folder.tuned(number, seed))
                for seed in range(self.design.seeds)
            ]
            scores = await self._score(number, candidates)
        return Round(number, recipe.model.name, rows, time.monotonic() - start, scores)

    def _writing(self, number: int) -> Recipe:
        """The recipe of a round's run: its model writes; the base model writes other texts in each round."""
        if self.design.writer == "base":
            return self.recipe.model_copy(update={"random_seed": self.recipe.random_seed + number - 1})
        if number == 1:
            return self.recipe
        tuned = {"name": str(self.folder.tuned(number - 1)), "revision": None}
        return self.recipe.model_copy(update={"model": self.recipe.model.model_copy(update=tuned)})

    def _name_writer(self, number: int) -> str:
        base = number == 1 or self.design.writer == "base"
        return "the base model" if base else f"the model of round {number - 1}"

    async def _tune(self, number: int, seed: int) -> None:
        from selfcodealign.training import train
        from selfcodealign.training.display import TrainDisplay

        earlier = [str(self.folder.run(one)) for one in range(1, number)] if self.design.data == "all" else []
        own = self.recipe.train
        settings = own.model_copy(update={"seed": own.seed + seed, "mix": [*own.mix, *earlier]})
        base = own.model or self.recipe.model.name
        if self.design.tune == "previous" and number > 1:
            base = str(self.folder.tuned(number - 1, seed))
        out = self.folder.tuned(number, seed)
        of = f", training seed {seed + 1} of {self.design.seeds}" if self.design.seeds > 1 else ""
        self._say(number, f"tuning {base}{of}")
        show = TrainDisplay(self.progress)
        await train_stoppable(partial(train, self.folder.run(number), base, out, settings, show), out)

    async def _score(self, number: int, candidates: list[Candidate]) -> list[Score]:
        """The scores of a round's models; 0: of the base model."""
        found, _ = self.folder.read_scores(number)
        if found:
            return found
        self._say(number, "the benchmarks") if number else self.progress.say("the base model meets the benchmarks")
        settings = self.recipe.evaluate
        scored = await evaluate(
            candidates,
            settings.benchmarks,
            self.folder.scores,
            settings,
            self.recipe.execution,
            progress=self.progress,
        )
        self.folder.write_scores(number, scored)
        return scored.scores

    def _say(self, number: int, text: str) -> None:
        self.progress.say(f"round {number} of {self.count}: {text}")

    def _tell(self, one: Round) -> None:
        left = self.count - one.number
        rest = f"; about {clock(left * one.seconds)} left for {left} more" if left and not one.reasons else ""
        told = [f"{one.rows:,} rows", *filter(None, [one_line(one)]), clock(one.seconds)]
        self._say(one.number, ", ".join(told) + rest)
        for reason in one.reasons:
            self._say(one.number, reason)
