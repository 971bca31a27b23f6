"""A run's stored answers are judged again; on request the new verdicts become the run's. No model is asked.

`rejudge_run` judges into a table beside the rows (`engine.rejudge`), says what has changed (`report.flips`), and with
`apply` replaces the verdicts (`engine.replace`) and takes the rows through the stages that follow.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfcodealign.engine.rejudge import FACTS, TABLES, describe_judge, find_table, judge_again, open_table
from selfcodealign.engine.replace import check_replaceable, replace_verdicts
from selfcodealign.errors import RecipeError, RunFolderError
from selfcodealign.files import write_text
from selfcodealign.judging.stored import Judged
from selfcodealign.pipeline import make_journey, report_on, take_rows_through
from selfcodealign.progress import Progress
from selfcodealign.recipe import load_recipe, recipe_toml
from selfcodealign.report.flips import Changes, read_changes
from selfcodealign.rows import Response
from selfcodealign.run_folder.folder import COUNTED, REJUDGED, StageFolder, open_existing, read_json, write_json
from selfcodealign.run_folder.lock import locked
from selfcodealign.settings import Recipe
from selfcodealign.stages import Last, Stage
from selfcodealign.stages.answering import SPLIT_PROOF
from selfcodealign.stages.context import Context
from selfcodealign.stages.journey import Journey
from selfcodealign.stages.plan import Decision, explain_changes, plan

#: The name under which `show` counts answers whose verdict is not the one of the run that sampled them.
JUDGED_AGAIN = "judged again"


@dataclass(frozen=True)
class Rejudged:
    """What has changed, and the table that holds all verdicts."""

    changes: Changes
    table: StageFolder[Judged]


async def rejudge_run(
    path: Path,
    settings: Sequence[str] = (),
    *,
    workers: int | None = None,
    apply: bool = False,
    fresh: bool = False,
    progress: Progress | None = None,
    stages: Sequence[Stage] = (),
) -> Rejudged:
    """Judge the stored answers of the run in `path` again, by its own settings and those given (`execution.key=value`).

    What an earlier call has judged under the same is not judged again, unless `fresh`. With `apply`, the verdicts
    become the run's: the rows move between kept and dropped, recipe.toml gets the settings, and the stages that follow
    are made again up to the data set. `stages` are the run's stages from outside the package. Raises a `UserError` for
    whatever a person has to fix, before any work.
    """
    folder = open_existing(path)
    folder.journey()  # a run in the form of an earlier version is refused as that
    recipe = _load(path, settings)
    execution = recipe.execution.model_copy(update={"workers": workers or recipe.execution.workers})
    here = recipe.model_copy(update={"execution": execution})
    journey = make_journey(here, stages) if apply else None
    shown = progress or Progress()
    async with Context(here, journey.places if journey else {}, folder, shown) as context:
        if journey is None:
            return await _judge(context, fresh=fresh)
        taken = f"{path} is in use by a run, and --apply replaces its rows: wait for it, or leave --apply out"
        with locked(path, taken):
            folder.complete_renames()
            return await _judge_and_apply(context, journey, recipe, fresh=fresh)


def _load(path: Path, settings: Sequence[str]) -> Recipe:
    for setting in settings:
        if not setting.strip().startswith("execution."):
            raise RecipeError(
                f"--set {setting}: judging again is decided by execution.* alone; change other settings with "
                f"selfcodealign run -o {path} --set {setting}"
            )
    if not (path / "recipe.toml").is_file():
        raise RunFolderError(f"{path} has no recipe.toml, which says how its answers were judged: run its recipe again")
    return load_recipe(path / "recipe.toml", settings)


def _find_answers(context: Context) -> StageFolder[Any]:
    answers = context.folder.making(Response)
    if answers is None:
        raise RunFolderError(f"{context.folder.path} holds no answers yet: run it to its stage responses first")
    return answers


async def _judge(context: Context, *, fresh: bool) -> Rejudged:
    """Judge the answers into their table, and write what has changed beside it."""
    answers = _find_answers(context)
    if not answers.finished:
        context.progress.say(f"{answers.name} is not finished: the answers it holds so far are judged")
    path = context.folder.path
    with locked(path / TABLES, f"the answers of {path} are being judged again by another process: wait for it"):
        table = find_table(context, answers, fresh=fresh)
        await judge_again(context, answers, table)
        changes = _read(context, answers, table)
        write_json(table.path / FACTS, read_json(table.path / FACTS) | {"changes": changes.as_json()})
    return Rejudged(changes, table)


def _read(context: Context, answers: StageFolder[Any], table: StageFolder[Judged]) -> Changes:
    sampling = context.recipe.responses
    return read_changes(
        context.folder, answers, table, samples=sampling.samples, stop_after_passes=sampling.stop_after_passes
    )


async def _judge_and_apply(context: Context, journey: Journey, recipe: Recipe, *, fresh: bool) -> Rejudged:
    answers = _find_answers(context)
    decisions = plan(context, journey.steps)
    place = [one.step.name for one in decisions].index(answers.name)
    check_replaceable(context.folder.path, answers, journey.steps[place], decisions)
    mark = answers.state().get(REJUDGED, {})
    if not fresh and mark.get("judge") == describe_judge(context):
        context.progress.say(f"{answers.name} has the verdicts of this version under these settings already")
        table = open_table(context.folder.path / mark["table"])
        done = Rejudged(_read(context, answers, table), table)
    else:
        done = await _judge(context, fresh=fresh)
        if _differs(answers, decisions[place], done.changes):
            await replace_verdicts(context, answers, decisions[place:], done.table, _mark(context, answers, done))
            context.progress.say(f"{answers.name} has the new verdicts; its earlier rows are in superseded/")
    _record(context, recipe, answers.name, done.table)
    await _redo(context, journey, answers.name)
    await report_on(context)
    return done


def _differs(answers: StageFolder[Any], decision: Decision, changes: Changes) -> bool:
    """Whether the stage would hold anything else with the new verdicts than other measured times."""
    settings = explain_changes(answers.decided_by, decision.decided_by)
    kind = decision.step.place.gives
    return bool(not changes.none or settings or (kind and list(answers.description.fields) != list(kind.field_names())))


def _mark(context: Context, answers: StageFolder[Any], done: Rejudged) -> dict[str, Any]:
    before = {name: value for name, value in answers.decided_by.items() if name.startswith("execution.")}
    return {
        "judge": describe_judge(context),
        "table": str(done.table.path.relative_to(context.folder.path)),
        "settings_before": before,
        "flipped": done.changes.flipped,
        "when": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def _record(context: Context, recipe: Recipe, name: str, table: StageFolder[Judged]) -> None:
    """Say in the run folder under which settings its answers are judged now, and what that counted."""
    write_text(context.folder.path / "recipe.toml", recipe_toml(recipe), error=RunFolderError)
    judged, split = 0, 0
    for _, row in table.shards.outcomes(("proof",)):
        judged, split = judged + 1, split + (row["proof"] == "split")
    known = context.folder.facts().get(COUNTED, {})
    counts = known.get(name, {}) | {SPLIT_PROOF: split, JUDGED_AGAIN: judged}
    context.folder.record({COUNTED: known | {name: {what: count for what, count in counts.items() if count}}})


async def _redo(context: Context, journey: Journey, name: str) -> None:
    """Make the stages after `name` again, without those whose outputs are costly: training and evaluation."""
    steps = [one for one in journey.steps if not isinstance(one.stage, Last) or one.stage.rewritten]
    decisions = plan(context, steps)
    following = decisions[[one.step.name for one in decisions].index(name) + 1 :]
    if following:
        await take_rows_through(context, following)
    if older := [one for one in context.folder.earlier() if (context.folder.path / _output(journey, one)).exists()]:
        context.progress.say(
            f"{' and '.join(older)}: made of the earlier verdicts; selfcodealign run -o {context.folder.path} makes "
            "them again where the examples changed"
        )


def _output(journey: Journey, name: str) -> str:
    return next(step.stage.output for step in journey.steps if step.name == name and isinstance(step.stage, Last))
