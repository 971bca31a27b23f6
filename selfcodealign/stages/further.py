"""Tuned model → a model that learned further: from pairs of answers (RUN/dpo), or from verdicts (RUN/grpo).

Each begins with RUN/tuned, so that the evaluation compares what each adds to the same model. To go from one to the
other, name the first one's folder as the model of the second: `grpo.model = "RUN/dpo"`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, Literal

from selfcodealign.models.room import find_room
from selfcodealign.rows import Example, digest
from selfcodealign.settings import DpoSettings, GrpoSettings, Recipe
from selfcodealign.stages import Last
from selfcodealign.stages.context import Context
from selfcodealign.stages.train import check_training_packages, in_run

Name = Literal["dpo", "grpo"]


async def learn_from_pairs(context: Context) -> str:
    """Train on the pairs of RUN (DPO); return the result in one line. Raises as `training.train_dpo`."""
    from selfcodealign.training import train_dpo
    from selfcodealign.training.display import TrainDisplay

    run, out, tell = context.folder.path, context.folder.path / "dpo", TrainDisplay(context.progress)
    result = await in_run(context, partial(train_dpo, run, _base(context, "dpo"), out, context.recipe.dpo, tell), out)
    first, last = result.figures["first_margin"], result.figures["last_margin"]
    return f"{result.steps} steps on {result.rows} pairs, margin {first:.4f} → {last:.4f}"


async def learn_from_verdicts(context: Context) -> str:
    """Train on verdicts (GRPO); return the result in one line. Raises as `training.train_grpo`."""
    from selfcodealign.training import train_grpo
    from selfcodealign.training.display import TrainDisplay

    recipe, run, out = context.recipe, context.folder.path, context.folder.path / "grpo"
    tell, base = TrainDisplay(context.progress), _base(context, "grpo")
    work = partial(train_grpo, run, base, out, recipe.grpo, recipe.execution, tell)
    result = await in_run(context, work, out)
    first, last = result.figures["first_reward"], result.figures["last_reward"]
    return f"{result.steps} steps on {result.rows} tasks, reward {first:.1%} → {last:.1%}"


def _base(context: Context, name: Name) -> str:
    return getattr(context.recipe, name).model or str(context.folder.path / "tuned")


def _check_of(name: Name) -> Callable[[Context], Iterable[str]]:
    def check(context: Context) -> Iterable[str]:
        settings = getattr(context.recipe, name)
        yield from check_training_packages(settings)
        if settings.model is not None:
            from selfcodealign.models.revisions import find_source

            find_source(settings.model, None)
        elif "train" not in context.places:
            yield (
                f'the stage "{name}" begins with the model that the stage "train" makes: add it to the journey, or '
                f"name a tuned model with {name}.model"
            )
        if name == "grpo":
            yield from _check_grpo(context.recipe)

    return check


def _check_grpo(recipe: Recipe) -> Iterable[str]:
    settings = recipe.grpo
    if settings.proof == "split" and not recipe.execution.split:
        yield (
            "grpo.proof = split needs examples that passed in a process apart from their tests: set "
            "execution.split = true, or grpo.proof = any"
        )
    # A tuned model has the context of its base.
    base = settings.model or recipe.train.model or recipe.model.name
    room = find_room(recipe.model.model_copy(update={"name": base, "urls": [], "serve": None, "api": "completions"}))
    if room is not None and settings.max_tokens >= room.context:
        yield f"grpo.max_tokens = {settings.max_tokens} leaves no room for a prompt in {room.context} tokens: lower it"


def _decided_by(name: Name) -> Callable[[Context], dict[str, Any]]:
    def decided_by(context: Context) -> dict[str, Any]:
        limits = ("execution",) if name == "grpo" else ()
        return context.deciding(name, *limits)

    return decided_by


def _made_from(name: Name) -> Callable[[Context], dict[str, Any]]:
    """The examples, the model that it begins with, and for pairs the answers that failed beside them."""

    def made_from(context: Context) -> dict[str, Any]:
        after = context.places[name].after
        assert after is not None
        ids = sorted(context.folder.open(after, Example).shards.column(Example.id_field))
        facts: dict[str, Any] = {"the examples": f"{len(ids)} ({digest(*ids)})"}
        if getattr(context.recipe, name).model is None:
            tuned = context.folder.facts().get("last_stages", {}).get("train")
            facts["the tuned model"] = digest(json.dumps(tuned, sort_keys=True))
        if name == "dpo":
            from selfcodealign.training.preferences import load_pairs

            facts["the pairs"] = load_pairs(context.folder.path).digest
        return facts

    return made_from


def _is_complete(name: Name) -> Callable[[Context], bool]:
    def is_complete(context: Context) -> bool:
        report: Path = context.folder.path / name / "train_report.json"
        return report.is_file()

    return is_complete


DPO = Last(
    name="dpo",
    takes=Example,
    settings=DpoSettings,
    requires=("dataset",),
    follows=("train",),
    output="dpo",
    check=_check_of("dpo"),
    decided_by=_decided_by("dpo"),
    made_from=_made_from("dpo"),
    is_complete=_is_complete("dpo"),
    run=learn_from_pairs,
)

GRPO = Last(
    name="grpo",
    takes=Example,
    settings=GrpoSettings,
    needs=("sandbox",),
    requires=("dataset",),
    follows=("train",),
    output="grpo",
    check=_check_of("grpo"),
    decided_by=_decided_by("grpo"),
    made_from=_made_from("grpo"),
    is_complete=_is_complete("grpo"),
    run=learn_from_verdicts,
)
