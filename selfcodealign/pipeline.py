"""The journey of a row, top to bottom. Start reading here.

    source code → seed → concepts → instruction → responses with tests → execution → example
                                                                  → tuned model → scores

`CATALOGUE` has the stages of this package in the order in which a row meets them; a recipe's `journey` chooses among
them. What a stage does with a row is in its file in `stages/`, what a stage is in `stages/__init__.py`, how rows get on
disk and are found again after a kill in `engine/` and `run_folder/`.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import platform
import shlex
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from selfcodealign.addresses import mask
from selfcodealign.engine import local, sharded
from selfcodealign.engine.blocking import run_blocking
from selfcodealign.engine.budget import Budget
from selfcodealign.engine.clock import clock_work
from selfcodealign.engine.gate import Gate
from selfcodealign.engine.gather import gather
from selfcodealign.engine.ray.driver import RayEngine
from selfcodealign.engine.ray.worker import Job
from selfcodealign.engine.spending import check_budget, conclude, note_outgrown, open_gate
from selfcodealign.engine.telemetry import Telemetry
from selfcodealign.errors import EmptyDataset, RecipeError, RunFolderError, UserError, did_you_mean
from selfcodealign.files import write_text
from selfcodealign.models import Model
from selfcodealign.progress import Progress
from selfcodealign.progress.terminal import open_progress
from selfcodealign.recipe import find_secrets, load_recipe, read_section, recipe_toml
from selfcodealign.report.result import RunResult, read_result
from selfcodealign.run_folder.folder import EARLIER, FORM, RunFolder
from selfcodealign.run_folder.partition import Partition
from selfcodealign.run_folder.writers import WriterFolder
from selfcodealign.settings import Recipe
from selfcodealign.stages import Each, Last, Stage, Whole
from selfcodealign.stages.baselines.commit_pairs import COMMIT_PAIRS
from selfcodealign.stages.baselines.edits import EDITS
from selfcodealign.stages.baselines.evolve import EVOLVE
from selfcodealign.stages.baselines.evolve_verified import EVOLVE_VERIFIED
from selfcodealign.stages.baselines.monologues import MONOLOGUES
from selfcodealign.stages.baselines.novel import NOVEL
from selfcodealign.stages.baselines.pairs import PAIRS
from selfcodealign.stages.baselines.prequery import PREQUERY
from selfcodealign.stages.baselines.score_curation import SCORE_CURATION
from selfcodealign.stages.baselines.self_instruct import SELF_INSTRUCT
from selfcodealign.stages.behaviour import BEHAVIOUR
from selfcodealign.stages.checks import prepare
from selfcodealign.stages.concepts import CONCEPTS
from selfcodealign.stages.context import Context
from selfcodealign.stages.dataset import DATASET
from selfcodealign.stages.decontamination import DECONTAMINATION
from selfcodealign.stages.distinct import DISTINCT
from selfcodealign.stages.evaluate import EVALUATE
from selfcodealign.stages.forecast import Forecast, forecast
from selfcodealign.stages.further import DPO, GRPO
from selfcodealign.stages.imported import IMPORTED
from selfcodealign.stages.instructions import INSTRUCTIONS
from selfcodealign.stages.journey import Journey, Step, find_stages
from selfcodealign.stages.judge import JUDGE
from selfcodealign.stages.near_dedup import NEAR_DEDUP
from selfcodealign.stages.plan import Action, Decision, list_lost, parts, plan
from selfcodealign.stages.quality import QUALITY
from selfcodealign.stages.responses import RESPONSES
from selfcodealign.stages.seeds import SEEDS
from selfcodealign.stages.selection import SELECTION
from selfcodealign.stages.train import TRAIN
from selfcodealign.stages.types import TYPES
from selfcodealign.stages.verify import VERIFY

_IN_ORDER = (
    # source code → seed
    SEEDS,  # documented functions that stand alone, out of files, packages, repositories, data sets
    IMPORTED,  # or: instructions of others, with their responses and tests, out of data sets and runs
    QUALITY,  # secrets, personal data, placeholders, and what shows nothing go
    TYPES,  # undefined names and type errors go
    DECONTAMINATION,  # what holds a task of a benchmark goes
    NEAR_DEDUP,  # copies and near copies go; then as many stay as the recipe wants
    BEHAVIOUR,  # what does a benchmark's task goes, in whatever words (--with behaviour)
    JUDGE,  # the base model says whether the docstring is any good
    # seed → concepts → instruction
    CONCEPTS,  # the base model names the programming concepts it sees
    INSTRUCTIONS,  # and writes new tasks about them
    PREQUERY,  # without seeds: a tuned model writes the user's turn (Magpie)
    SELF_INSTRUCT,  # or: a base model continues lists of tasks (Self-Instruct)
    NOVEL,  # tasks that are close to a seed task or to another one go
    DISTINCT,  # each distinct task once, before anything is paid for its answers
    EVOLVE,  # a model rewrites tasks round by round (evol-instruct)
    # instruction → verified responses
    EVOLVE_VERIFIED,  # the same, each round from a task with a verified answer; gives the answers, too
    RESPONSES,  # answers with tests, several times, each run in the sandbox as it arrives
    VERIFY,  # or: the response of an imported row runs against the tests of that row
    COMMIT_PAIRS,  # or, in their place: commits as they are, subject and old code → new code
    EDITS,  # or edits of commits: tests by the model pass on the new code and fail on the old
    PAIRS,  # from a seed, task and answer in one (OSS-Instruct)
    # verified responses → data set
    SELECTION,  # which verified answers become examples
    SCORE_CURATION,  # a budget of rows, by curated scores and by diversity (recipe ds2)
    MONOLOGUES,  # reasoning about calls of verified answers, accepted by running them
    DATASET,  # Parquet files and a card
    # data set → tuned model → scores
    TRAIN,  # the base model, fine-tuned on the examples
    DPO,  # then, on pairs of a passing and a failing answer (--with dpo)
    GRPO,  # or on verdicts: its answers run against the tests of their task (--with grpo)
    EVALUATE,  # base, tuned and further trained models meet the same benchmarks
)
CATALOGUE: dict[str, Stage] = {stage.name: stage for stage in _IN_ORDER}

_log = logging.getLogger(__name__)
#: Takes all rows through stages that look at one row at a time.
TakeFlow = Callable[[Context, Sequence[Decision], Gate | None], Awaitable[None]]
#: Errors of a disk that takes no more.
NO_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)


async def run_recipe(
    recipe: Recipe | str | Path,
    out: str | Path,
    *,
    until: str | None = None,
    progress: Progress | None = None,
    model: Model | None = None,
    models: Mapping[str, Model] | None = None,
    stages: Sequence[Stage] = (),
    replace_finished: bool = False,
    budget: Budget | None = None,
    engine: RayEngine | None = None,
) -> RunResult:
    """Run a recipe (or the one of this name or path) into the folder `out`, resuming what is there.

    `until` is the last stage to run. `model` replaces the one the recipe names, `models` those of its
    [models.NAME], by name. `stages` are stages of your own, which the recipe's journey may name. When settings have
    changed, finished answers of a model or a tuned model move to superseded/ only with `replace_finished`;
    otherwise a `RunFolderError` says what would go and why, before anything is moved. A `budget` keeps rows out of
    the stages that ask the model once it is spent, by all runs of this folder; the finished rows become the data
    set, and a later run with a larger budget resumes. An `engine` takes rows through the row-wise stages on other
    machines. Cancelling (Ctrl-C under `asyncio.run`) leaves everything
    finished on disk; the same call resumes. Raises a `UserError` for whatever a person has to fix, before any work,
    and `EmptyDataset` for a run that leaves no row.
    """
    recipe, out = _load(recipe), Path(out)
    journey = make_journey(recipe, stages)
    steps = journey.until(until)
    if engine is not None and budget is not None:
        raise RecipeError("a budget is kept by one process: leave out --engine or --budget")
    _check_models(recipe, models)
    async with Context(recipe, journey.places, RunFolder(out), progress or Progress(), model, models or {}) as context:
        check_budget(context, budget, steps)
        with context.progress.waiting("checking the recipe and this machine"):
            decisions = await prepare(context, steps)
        if not replace_finished:
            gate = open_gate(context, budget, decisions)
            _refuse_replacement(context, note_outgrown(context, decisions, gate))
        with context.folder:
            gather(context.folder)
            context.read_asked_again()
            # Decided again under the lock, and before anything is written: another run may just have ended here.
            decisions = plan(context, steps)
            gate = open_gate(context, budget, decisions)
            if not replace_finished:
                _refuse_replacement(context, note_outgrown(context, decisions, gate))
            with _disk_has_room(out):
                async with _joined(engine, context, decisions):
                    _record(context)
                    each: TakeFlow = sharded.each_here
                    if engine is not None:
                        each = engine.taking(
                            Job(recipe, out.resolve(), make_journey, until, stages, model, models or {})
                        )
                    try:
                        stopped = await take_rows_through(context, decisions, gate, each)
                    except EmptyDataset:
                        await report_on(context)
                        raise
            report = await report_on(context)
            return replace(read_result(out, [step.name for step in steps]), stopped=stopped, report=report)


async def run_shard(
    recipe: Recipe | str | Path,
    out: str | Path,
    shard: Partition,
    *,
    until: str | None = None,
    progress: Progress | None = None,
    model: Model | None = None,
    models: Mapping[str, Model] | None = None,
    stages: Sequence[Stage] = (),
    replace_finished: bool = False,
) -> str:
    """Take the rows of one of several processes through the next row-wise stages; return what came of it, in a line.

    The processes may be on any machines that see the folder `out`. When all shards have ended, `merge_shards` or
    `run_recipe` goes on. Raises what `run_recipe` raises, and `RunFolderError` for a shard that does not fit those at
    work.
    """
    recipe, folder = _load(recipe), WriterFolder(Path(out), sharded.writer_of(shard))
    journey = make_journey(recipe, stages)
    _check_models(recipe, models)
    async with Context(recipe, journey.places, folder, progress or Progress(), model, models or {}) as context:
        _show(context)

        def record(decisions: Sequence[Decision]) -> None:
            _record(context)
            _note_earlier(context, decisions)

        with _disk_has_room(folder.path):
            return await sharded.take_shard(context, journey.until(until), shard, replace_finished, record)


async def merge_shards(
    recipe: Recipe | str | Path,
    out: str | Path,
    *,
    until: str | None = None,
    progress: Progress | None = None,
    model: Model | None = None,
    models: Mapping[str, Model] | None = None,
    stages: Sequence[Stage] = (),
) -> str:
    """Complete what shards have worked on, and go on to the next row-wise stages; return what comes then.

    Raises `RunFolderError` while rows of shards are missing, and naming the shards.
    """
    recipe = _load(recipe)
    journey = make_journey(recipe, stages)
    async with Context(
        recipe, journey.places, RunFolder(Path(out)), progress or Progress(), model, models or {}
    ) as context:
        with context.folder, _disk_has_room(context.folder.path):
            decisions, coming = await sharded.merge(context, journey.until(until))
            if decisions:
                _record(context)
                await take_rows_through(context, decisions)
                await report_on(context)
            return coming


def _joined(
    engine: RayEngine | None, context: Context, decisions: Sequence[Decision]
) -> AbstractAsyncContextManager[None]:
    """A context in which an engine is ready; without work for it, it is left alone."""
    work = [one.step.stage for one in decisions if one.action is not Action.REST]
    flows = [stage for stage in work if isinstance(stage, Each)]
    executes = any("sandbox" in stage.needs and stage.executes(context) for stage in flows)
    return engine.joined(context, executes) if engine is not None and flows else nullcontext()


@contextmanager
def _disk_has_room(folder: str | Path) -> Iterator[None]:
    """Within this context, a full disk is an error that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in NO_DISK:
            raise
        raise RunFolderError(f"{folder}: {error.strerror}; make room, then run the same command to resume") from error


def run(
    recipe: Recipe | str | Path,
    out: str | Path,
    *,
    until: str | None = None,
    progress: Progress | Literal[False] | None = None,
    model: Model | None = None,
    models: Mapping[str, Model] | None = None,
    stages: Sequence[Stage] = (),
    replace_finished: bool = False,
    budget: Budget | None = None,
) -> RunResult:
    """Run a recipe into the folder `out`, resuming what is there: `run_recipe` for code that is not asynchronous.

    It works in a notebook, too, and needs no main guard.

    - `recipe`: the name of a recipe in the package, the path of a TOML file, or what `load_recipe` returns.
    - `until`: the name of the last stage to run, such as "dataset"; None: the whole journey.
    - `progress`: None shows the run on stderr, as bars on a terminal and as lines elsewhere; False keeps silent; an
      object of a class derived from `Progress` shows it elsewhere.
    - `model`: a `Model` that answers instead of the one the recipe names.
    - `models`: models that answer instead of those in the recipe's [models.NAME], by their names.
    - `stages`: stages of your own, which the recipe's journey may name.
    - `replace_finished`: where settings have changed, let a model's finished answers and a tuned model move to
      superseded/; otherwise a `UserError` says what would go and why, before anything is moved.
    - `budget`: what all runs of this folder may spend, as in `Budget(tokens=5e6)`, or the examples to reach. When it is
      spent, no further rows are asked about, the finished rows become the data set, and `stopped` says so.

    Returns a `RunResult`: the folder, the rows that entered, were kept and were dropped by stage, the folders of data
    set and tuned model, and the scores. Ctrl-C (in a notebook: interrupt) stops the run with everything finished on
    disk; the same call resumes. Raises a `UserError` for whatever a person has to fix, before any work, `EmptyDataset`
    (one of them) for a run that leaves no row, and `TypeError` for a `progress` that is none.
    """
    if progress is not None and progress is not False and not isinstance(progress, Progress):
        raise TypeError(f"progress is None, False or a selfcodealign.Progress, not {progress!r}")

    def work(shown: Progress) -> RunResult:
        return run_blocking(
            lambda: run_recipe(
                recipe,
                out,
                until=until,
                progress=shown,
                model=model,
                models=models,
                stages=stages,
                replace_finished=replace_finished,
                budget=budget,
            )
        )

    if progress is not None:
        return work(progress or Progress())
    with open_progress() as opened:
        return work(opened)


def _refuse_replacement(context: Context, decisions: Sequence[Decision]) -> None:
    if lost := list_lost(decisions):
        raise RunFolderError(
            f"{context.folder.path} holds finished work of a model that would move to superseded/: {lost}. Give the "
            "settings of that run again, --yes (replace_finished=True) to go on without that work, or another --out to "
            "keep both"
        )


async def plan_recipe(
    recipe: Recipe | str | Path,
    out: str | Path,
    *,
    until: str | None = None,
    model: Model | None = None,
    models: Mapping[str, Model] | None = None,
    stages: Sequence[Stage] = (),
    budget: Budget | None = None,
) -> list[Decision]:
    """What `run_recipe` would do in each stage, after the same checks; nothing is written. Raises what it raises."""
    recipe = _load(recipe)
    journey = make_journey(recipe, stages)
    async with Context(
        recipe, journey.places, RunFolder(Path(out)), given_model=model, given_models=models or {}
    ) as context:
        check_budget(context, budget, journey.until(until))
        decisions = await prepare(context, journey.until(until))
        return note_outgrown(context, decisions, open_gate(context, budget, decisions))


def forecast_recipe(recipe: Recipe, out: Path, decisions: Sequence[Decision]) -> Forecast:
    """What a run with these decisions will ask of its model, estimated from the worked examples; opens nothing."""
    places = {one.step.name: one.step.place for one in decisions}
    return forecast(Context(recipe, places, RunFolder(out)), decisions)


def tell_spent(recipe: Recipe, out: Path, decisions: Sequence[Decision], budget: Budget) -> list[str]:
    """How much of each limit of a budget all runs of a folder have spent, in words; opens nothing."""
    places = {one.step.name: one.step.place for one in decisions}
    gate = open_gate(Context(recipe, places, RunFolder(out)), budget, decisions)
    return gate.told_spent() if gate is not None else []


def _check_models(recipe: Recipe, models: Mapping[str, Model] | None) -> None:
    for name in models or {}:
        if name not in recipe.models:
            raise RecipeError(
                f"models has {name!r}, and the recipe has no [models.{name}]: its stages ask no such model"
            )


def _load(recipe: Recipe | str | Path) -> Recipe:
    return recipe if isinstance(recipe, Recipe) else load_recipe(recipe)


async def take_rows_through(
    context: Context, decisions: Sequence[Decision], gate: Gate | None = None, each: TakeFlow = sharded.each_here
) -> str:
    """Take all rows through all stages; return what a budget stopped, in one line.

    Neighbours that look at one row at a time work together, as one flow. Under a budget, the stages up to the last that
    gives rows are gone through again while it lasts.
    """
    if gate is not None:
        context.progress.budget = gate.describe
    _show(context)
    for decision in decisions:
        _log.debug("%s: %s, decided by %s", decision.step.name, decision.action, ", ".join(decision.decided_by))
        if decision.action is not Action.BEGIN:
            context.progress.say(decision.sentence)
    _note_earlier(context, decisions)
    context.progress.journey([one.step.name for one in decisions])
    try:
        return await _take_stages(context, decisions, gate, each)
    finally:
        context.progress.journey([])


async def _take_stages(context: Context, decisions: Sequence[Decision], gate: Gate | None, each: TakeFlow) -> str:
    for decision in decisions:
        if decision.action is Action.REST:
            _show_finished(context, decision.step)
    rows = max((number + 1 for number, one in enumerate(decisions) if one.step.place.gives is not None), default=0)
    async with Telemetry(context, [one.step.name for one in decisions]) as telemetry:
        await _carry_out(context, decisions[:rows], gate, telemetry, each)
        while gate is not None and gate.wants_another_round():
            await _carry_out(context, plan(context, [one.step for one in decisions[:rows]]), gate, telemetry, each)
        stopped = conclude(context, decisions, gate)
        await _carry_out(context, decisions[rows:], gate, telemetry, each)
    return stopped


async def report_on(context: Context) -> Path | None:
    """Write the run's report; None where it cannot be written, which costs no run: a warning names the command."""
    from selfcodealign.report.page import write_report

    path = context.folder.path
    try:
        with context.progress.waiting("writing the report"):
            return await asyncio.to_thread(write_report, path)
    except Exception as error:
        _log.debug("the report", exc_info=True)
        reason = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        _log.warning("the report was not written (%s); try: selfcodealign report %s", reason, shlex.quote(str(path)))
        return None


def _show_finished(context: Context, step: Step) -> None:
    """Show a stage that an earlier run has finished."""
    if step.place.gives is not None and (stage := context.folder.look_at(step.name)) is not None:
        books = stage.books()
        context.progress.count_rows(step.name, books.entered, books.kept)
    context.progress.rest(step.name)


def _show(context: Context) -> None:
    context.progress.tokens, context.progress.activity = context.count_tokens, context.describe_activity
    asked = context.asked  # made here: the display asks for it in a thread
    context.progress.asked = lambda: asked
    context.progress.say(f"run folder: {context.folder.path}")


async def _carry_out(
    context: Context, decisions: Sequence[Decision], gate: Gate | None, telemetry: Telemetry, each: TakeFlow
) -> None:
    for part in parts([one for one in decisions if one.action is not Action.REST]):
        names = [one.step.name for one in part]
        context.progress.reach(names)
        telemetry.begin(names)
        match part[0].step.stage:
            case Each() if each is sharded.each_here:
                with clock_work(context.folder, part):
                    await each(context, part, gate)
            case Each():  # on other machines, whose seconds are not those of this one
                await each(context, part, gate)
            case Whole():
                with clock_work(context.folder, part):
                    await local.whole(context, part[0])
            case Last():
                await local.last(context, part[0])
                context.folder.record({EARLIER: [one for one in context.folder.earlier() if one not in names]})
        telemetry.end()


def _note_earlier(context: Context, decisions: Sequence[Decision]) -> None:
    """Record which rows and outputs are older than what this run is about to change; it may end before it is there."""
    names, folder = list(context.places), context.folder
    working = [one.step.name for one in decisions if one.action is not Action.REST]
    settled = names[: names.index(working[0] if working else decisions[-1].step.name) + (not working)]
    behind = [name for name in names if name not in settled] if working else []
    for name in (*settled, *behind):
        if (stage := folder.look_at(name)) is not None:
            stage.note_earlier(name in behind)
    outputs = {name for name, place in context.places.items() if place.gives is None}
    folder.record({EARLIER: sorted(outputs & {*behind, *folder.earlier()} - {*settled})})


def make_journey(recipe: Recipe, stages: Sequence[Stage] = ()) -> Journey:
    """The journey that a recipe describes. Raises `RecipeError` when it does not fit together."""
    for stage in stages:
        if stage.name in CATALOGUE:
            raise RecipeError(f'a stage of your own is called "{stage.name}", as one of this package is: rename it')
    catalogue = CATALOGUE | {stage.name: stage for stage in stages}
    found = find_stages(recipe.journey, catalogue)
    sections = {stage.name: stage.settings for stage in found if stage.name not in CATALOGUE and stage.settings}
    for name in recipe.own:
        if name not in sections:
            raise RecipeError(f"[own.{name}] belongs to no stage of this journey{did_you_mean(name, sections)}")
    for name, settings in sections.items():
        read_section(settings, f"own.{name}", recipe.own.get(name, {}))
    return Journey(found, catalogue)


def _record(context: Context) -> None:
    """Say in the run folder what this run is."""
    folder = context.folder
    write_text(folder.path / "recipe.toml", recipe_toml(context.recipe), error=RunFolderError)
    folder.record(
        {
            "form": FORM,
            "journey": list(context.places),
            "selfcodealign": version("selfcodealign"),
            "python": platform.python_version(),
            "platform": platform.platform(),
            "command": _command(context.recipe),
            "sandbox": context.recipe.execution.sandbox,
            "started": folder.facts().get("started") or time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        }
    )


def _command(recipe: Recipe) -> str:
    """The command of this run, without its secrets."""
    return mask(" ".join(sys.argv), find_secrets(recipe))
