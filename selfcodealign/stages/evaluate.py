"""Trained models → scores: they and their base meet the same benchmark tasks, in RUN/evaluation."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfcodealign.errors import UserError
from selfcodealign.rows import digest
from selfcodealign.settings import EvaluateSettings, Recipe
from selfcodealign.stages import Last
from selfcodealign.stages.context import Context

#: The stages that train a model, and its folder in the run, which is its name in the scores.
TRAINED = {"train": "tuned", "dpo": "dpo", "grpo": "grpo"}

if TYPE_CHECKING:
    from selfcodealign.evaluation import Candidate


async def compare_models(context: Context) -> str:
    """Evaluate the base model in each of `evaluate.base_modes`, and in chat the tuned model and those that learned
    further, as far as the journey has them.

    Return the first benchmark's scores in one line.

    Raises `BenchmarkError`, `ModelError`, `SandboxError`.
    """
    from selfcodealign.evaluation import evaluate

    await context.close_models()  # the evaluated models need its device
    recipe, settings = context.recipe, context.recipe.evaluate
    candidates = base_candidates(recipe)
    for output in (output for stage, output in TRAINED.items() if stage in context.places):
        candidates.append(tuned_candidate(output, recipe, context.folder.path / output))
    scores = context.folder.path / "evaluation"
    # Another tuned model changes nothing of what the base model answered before.
    earlier = [
        context.folder.path / "superseded" / name for name in reversed(context.folder.facts().get("superseded", {}))
    ]
    found = await evaluate(
        candidates,
        settings.benchmarks,
        scores,
        settings,
        recipe.execution,
        progress=context.progress,
        earlier=[one for one in earlier if one.name.startswith(f"{scores.name}-")],
    )
    name, k = found.scores[0].benchmark, found.scores[0].k
    first = [f"{one.label} {one.percent:.1f}" for one in found.scores if (one.benchmark, one.k) == (name, k)]
    return f"{name} pass@{k}: {', '.join(first)}"


def base_candidates(recipe: Recipe) -> list[Candidate]:
    """The base model, asked in each of `evaluate.base_modes`."""
    from selfcodealign.evaluation import Candidate

    return [
        Candidate(label=f"base ({'one example' if mode == 'few-shot' else mode})", mode=mode, settings=recipe.model)
        for mode in recipe.evaluate.base_modes
    ]


def tuned_candidate(label: str, recipe: Recipe, folder: Path) -> Candidate:
    """A model that was tuned here, asked in chat, loaded with the settings of the recipe's model."""
    from selfcodealign.evaluation import Candidate

    here = {"name": str(folder), "revision": None, "urls": [], "serve": None, "api": "completions"}
    return Candidate(label=label, mode="chat", settings=recipe.model.model_copy(update=here))


def _check(context: Context) -> Iterable[str]:
    from selfcodealign.benchmarks.catalogue import find_benchmark
    from selfcodealign.benchmarks.problem_files import load_rows
    from selfcodealign.generation.few_shot_file import load_few_shot

    settings = context.recipe.evaluate
    if max(settings.k) > settings.samples:
        yield (
            f"evaluate.k = {settings.k} needs {max(settings.k)} answers per problem, and evaluate.samples is "
            f"{settings.samples}: raise it, or lower k"
        )
    for name in settings.benchmarks:
        path = settings.problems.get(name) or settings.problems.get(name.removesuffix("+"))
        try:
            benchmark = find_benchmark(name)
            benchmark.problems(load_rows(name, benchmark.source, Path(path) if path else None).rows)
        except UserError as error:
            # Without a network a run can still do everything else.
            fix = str(error).replace("--problems ", "--set evaluate.problems.")
            yield f"{fix}, or leave the scores out with --without evaluate"
    for name in settings.problems:
        if name not in {*settings.benchmarks, *(one.removesuffix("+") for one in settings.benchmarks)}:
            yield f'evaluate.problems names "{name}", which is none of evaluate.benchmarks'
    if "few-shot" in settings.base_modes:
        load_few_shot(settings.few_shot)


def _decided_by(context: Context) -> dict[str, Any]:
    return context.deciding("model", "evaluate", "execution")


def _made_from(context: Context) -> dict[str, Any]:
    facts = context.folder.facts()
    made: dict[str, Any] = {"the base model's weights": facts.get("model", {}).get("revision")}
    for stage, output in TRAINED.items():
        known = facts.get("last_stages", {}).get(stage) if stage in context.places else None
        made[f"the {output} model"] = digest(json.dumps(known, sort_keys=True)) if known else None
    return made


EVALUATE = Last(
    name="evaluate",
    settings=EvaluateSettings,
    follows=tuple(TRAINED),
    output="evaluation",
    check=_check,
    decided_by=_decided_by,
    made_from=_made_from,
    is_complete=lambda context: (context.folder.path / "evaluation" / "scores.json").is_file(),
    run=compare_models,
)
