"""An experiment, top to bottom: arms → runs → data sets of one size → tuned models → scores → one table.

    FOLDER/
      experiment.json     what was varied, and the runs
      runs/NAME/          a whole run for each set of rows (see `sharing`)
      data/ROWS/          the rows that a model is tuned on, named by their digest
      tuned/, scores/     see `tuning`
      table.json, table.md, index.html    written again after each tuning seed

Everything is named by what decides it. So a stopped experiment resumes, more seeds or arms add to what is there, and
nothing of an earlier one is lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from selfcodealign.benchmarks.catalogue import find_benchmark
from selfcodealign.errors import EmptyDataset, ExperimentError, RunFolderError, UserError
from selfcodealign.evaluation.preparation import load_benchmark
from selfcodealign.experiments.ablation.arms import Arm
from selfcodealign.experiments.ablation.costs import count_tokens
from selfcodealign.experiments.ablation.matching import Chosen, Match, Rows, match, read_rows, write_pairs, write_rows
from selfcodealign.experiments.ablation.sharing import DataRun, begin_with_others, plan_runs
from selfcodealign.experiments.ablation.tuning import Scores, Tuning, discard_weights, is_scored, score, tune
from selfcodealign.experiments.comparison.table import ExperimentTable, Line, write_table
from selfcodealign.files import make_folder, read_json, write_json
from selfcodealign.pipeline import plan_recipe, run_recipe
from selfcodealign.progress import Progress
from selfcodealign.recipe import changed_settings
from selfcodealign.run_folder.lock import locked
from selfcodealign.settings import ModelSettings, Recipe
from selfcodealign.stages.evaluate import base_candidates, tuned_candidate

DEFINITION = "experiment.json"
#: Trainings that begin with the tuned model.
FURTHER = ("dpo", "grpo")
#: The task that counts the tuned and scored models.
MODELS = "models tuned and scored"


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """What is compared, and how: `seeds` models are tuned for each arm on rows matched by `match`, at most `rows`.

    With `discard`, the weights of a tuned model go once it is scored.
    """

    title: str
    arms: Sequence[Arm]
    seeds: int = 5
    match: Match = "rows"
    rows: int | None = None
    discard: bool = False


async def run_experiment(experiment: Experiment, out: str | Path, progress: Progress | None = None) -> ExperimentTable:
    """Carry an experiment out in the folder `out`, resuming what is there.

    Every arm is checked before any work. Raises a `UserError` for whatever a person has to fix.
    """
    progress, out = progress or Progress(), Path(out)
    with progress.waiting(f"checking {len(experiment.arms)} arms"):
        refuse_other_files(experiment, out)
        runs = plan_runs(experiment.arms, out / "runs")
        await check_arms(experiment.arms, runs)
    make_folder(out, error=RunFolderError)
    with locked(out, f"{out} is in use by another experiment; wait for it or choose another --out"):
        _describe(experiment, runs, out)
        work = _Work(experiment, runs, out, progress)
        await work.make_rows()
        return await work.tune_and_score()


def refuse_other_files(experiment: Experiment, out: Path) -> None:
    """Raise `ExperimentError` if the folder holds other files than this experiment's, or another experiment."""
    if out.exists() and not out.is_dir():
        raise ExperimentError(f"{out} is a file: give a folder to --out")
    found = {path.name for path in out.iterdir()} - {".lock"} if out.is_dir() else set()
    if found and DEFINITION not in found:
        raise ExperimentError(f"{out} holds files that are no experiment: choose an empty or new folder for --out")
    before = read_json(out / DEFINITION, error=ExperimentError, fix="choose another --out") if found else {}
    if found and before.get("title") != experiment.title:
        raise ExperimentError(f'{out} holds another experiment ("{before.get("title")}"): choose another --out')


async def check_arms(arms: Sequence[Arm], runs: Sequence[DataRun]) -> None:
    """Check every arm as its own run would be. Raises `ExperimentError` that lists what there is to fix, by arm."""
    problems: dict[str, list[str]] = {}
    paths = {arm.name: run.path for run in runs for arm in run.arms}
    for arm in arms:
        try:
            await plan_recipe(arm.recipe, paths[arm.name])
        except UserError as error:
            problems.setdefault(str(error), []).append(arm.name)
    if not problems:
        return
    if len(problems) == 1 and len(next(iter(problems.values()))) == len(arms):
        raise ExperimentError(next(iter(problems)))
    told = "\n".join(f"  - {', '.join(names)}: {text}" for text, names in problems.items())
    raise ExperimentError(f"to fix before this can run:\n{told}")


def _describe(experiment: Experiment, runs: Sequence[DataRun], out: Path) -> None:
    base = experiment.arms[0].recipe
    where = {arm.name: run.path.name for run in runs for arm in run.arms}
    arms = [
        {"name": arm.name, "varied": dict(arm.varied), "run": where[arm.name], "student": arm.student}
        | {"differs": changed_settings(base, arm.recipe)}
        for arm in experiment.arms
    ]
    told = {"title": experiment.title, "seeds": experiment.seeds, "match": experiment.match, "rows": experiment.rows}
    write_json(out / DEFINITION, {**told, "arms": arms}, error=RunFolderError)


class _Work:
    """The steps of one experiment."""

    def __init__(self, experiment: Experiment, runs: Sequence[DataRun], out: Path, progress: Progress) -> None:
        self.experiment, self.runs, self.out, self.progress = experiment, runs, out, progress
        self._run_of = {arm.name: run for run in runs for arm in run.arms}
        self._rows: dict[str, Rows] = {}
        self._chosen: dict[str, Chosen] = {}
        self._scores: dict[str, list[Scores]] = {arm.name: [] for arm in experiment.arms}
        self._bases: dict[str, Scores] = {}
        self._told_loss = False

    async def make_rows(self) -> None:
        """Take every run to its data set."""
        for number, run in enumerate(self.runs):
            finished = [one for one in self.runs if one is not run and (one.path / "dataset").is_dir()]
            linked = begin_with_others(run, finished)
            shared = f", which begins with {', '.join(linked)} of an earlier one" if linked else ""
            self.progress.say(f"run {number + 1} of {len(self.runs)}: {run.path.name}{shared}")
            try:
                await run_recipe(run.recipe, run.path, until="dataset", progress=self.progress)
            except EmptyDataset as error:
                raise ExperimentError(f"{' and '.join(arm.name for arm in run.arms)}: {error}") from None
        for arm in self.experiment.arms:
            run = self._run_of[arm.name]
            cost = count_tokens(run.folder, arm.recipe.selection.first_samples)
            self._rows[arm.name] = read_rows(run.path, cost)

    async def tune_and_score(self) -> ExperimentTable:
        """Tune and score seed after seed, so that a table of all arms is there early."""
        arms, seeds = self.experiment.arms, range(self.experiment.seeds)
        self.progress.start(MODELS, len(arms) * len(seeds), "models")
        await self._score_bases()
        for seed in seeds:
            self._chosen = match(self._rows, self.experiment.match, seed, self.experiment.rows)
            for arm in arms:
                self._scores[arm.name].append(await self._tune_and_score(arm, seed))
                self.progress.advance(MODELS)
            write_table(self._tabulate(), self.out)
        self.progress.finish(MODELS, str(self.out / "index.html"))
        return self._tabulate()

    async def _score_bases(self) -> None:
        """Ask each model that is tuned, as it is before."""
        for student in dict.fromkeys(arm.student for arm in self.experiment.arms):
            recipe = next(arm.recipe for arm in self.experiment.arms if arm.student == student)
            for one in base_candidates(recipe.model_copy(update={"model": _here(recipe, student)})):
                name = one.label if len(self._students()) == 1 else f"{student}: {one.label}"
                candidate = replace(one, label=name)
                self._bases[name] = await score(candidate, {"model": student}, self._home, recipe, self.progress)

    async def _tune_and_score(self, arm: Arm, seed: int) -> Scores:
        count = len(self._chosen[arm.name].rows)
        self.progress.say(f"tuning and scoring: {arm.name}, seed {seed}, {count} rows")
        tunings = self._tunings(arm, seed)
        folder = tunings[-1].place(self.out / "tuned")
        candidate = tuned_candidate(folder.name, arm.recipe, folder)
        decided = {"tuning": tunings[-1].key}
        if not is_scored(candidate, decided, self._home, arm.recipe):
            for tuning in tunings:
                # The loss is masked alike in all arms: it is shown once.
                await tune(tuning, self.out / "tuned", self.progress, show_loss=not self._told_loss)
                self._told_loss = True
        scores = await score(candidate, decided, self._home, arm.recipe, self.progress)
        if self.experiment.discard:
            self._discard(tunings)
        return scores

    def _tunings(self, arm: Arm, seed: int) -> list[Tuning]:
        """What makes the model of an arm: SFT, then what its journey trains after that, from the model before."""
        recipe, rows, chosen = arm.recipe, self._rows[arm.name], self._chosen[arm.name]
        dataset, label = write_rows(rows, chosen, self.out / "data"), f"{arm.folder}-seed-{seed}"
        settings = recipe.train.model_copy(update={"seed": seed, "model": None})
        found = [Tuning(label, arm.student, dataset, settings, recipe.execution)]
        for name in recipe.journey[recipe.journey.index("train") + 1 :]:
            if name not in FURTHER:
                continue
            if name == "dpo":
                write_pairs(self._run_of[arm.name].path, rows, chosen, dataset)
            base = str(found[-1].place(self.out / "tuned"))
            further = getattr(recipe, name).model_copy(update={"seed": seed, "model": None})
            found.append(Tuning(label, base, dataset, further, recipe.execution, found[-1].key))
        return found

    def _discard(self, tunings: Sequence[Tuning]) -> None:
        """Remove the weights of models that no later arm begins with: another arm may train further from the first."""
        again = any(name in arm.recipe.journey for arm in self.experiment.arms for name in FURTHER)
        for tuning in tunings[1:] if again else tunings:
            discard_weights(tuning.place(self.out / "tuned"))

    @property
    def _home(self) -> Path:
        return self.out / "scores"

    def _students(self) -> set[str]:
        return {arm.student for arm in self.experiment.arms}

    def _tabulate(self) -> ExperimentTable:
        lines = [Line(name=name, varied={}, scores=_by_benchmark([scores])) for name, scores in self._bases.items()]
        for arm in self.experiment.arms:
            rows, chosen = self._rows[arm.name], self._chosen[arm.name]
            passed = sum(rows.passed[place] for place in chosen.rows) / len(chosen.rows)
            lines.append(
                Line(
                    name=arm.name,
                    varied=arm.varied,
                    rows=len(chosen.rows),
                    of=len(rows.instructions),
                    tokens=round(chosen.tokens),
                    facts={"rows that passed": f"{passed:.0%}", **arm.facts},
                    scores=_by_benchmark(self._scores[arm.name]),
                )
            )
        return ExperimentTable(title=self.experiment.title, lines=lines, notes=self._notes(), groups=self._families)

    def _notes(self) -> list[str]:
        done = len(next(iter(self._scores.values())))
        return [_MATCHED[self.experiment.match], _SEEDS.format(seeds=done)]

    @cached_property
    def _families(self) -> dict[str, str]:
        """The family of each task that has one; the benchmarks are read once for all seeds."""
        settings = self.experiment.arms[0].recipe.evaluate
        files = {name: Path(path) for name, path in settings.problems.items()}
        sets = [load_benchmark(find_benchmark(name), files, settings.limit) for name in settings.benchmarks]
        return {one.task_id: one.family for loaded in sets for one in loaded.problems if one.family}


_MATCHED: Mapping[Match, str] = {
    "rows": "Every arm has as many rows as the smallest; rows are drawn by the ids of their instructions.",
    "instructions": "Every arm has the instructions that all arms have rows for.",
    "tokens": "Every arm has the rows of as many instructions as the arm that wrote least wrote tokens for.",
    "none": "Arms differ in their number of rows.",
}
_SEEDS = (
    "Models tuned for each arm: {seeds}; a seed decides the draw of the rows and the order of the training. The rows "
    "were generated once."
)


def _by_benchmark(seeds: Sequence[Scores]) -> dict[str, list[Mapping[str, float]]]:
    names = dict.fromkeys(name for scores in seeds for name in scores)
    return {name: [scores[name] for scores in seeds if name in scores] for name in names}


def _here(recipe: Recipe, model: str) -> ModelSettings:
    """The settings of a student on this machine: the recipe's generator may be a server."""
    own: dict[str, Any] = {"name": model, "urls": [], "serve": None, "api": "completions"}
    if model != recipe.model.name:
        own["revision"] = None
    return recipe.model.model_copy(update=own)
