"""Tuned model → scores: base and tuned model meet the same benchmark tasks, in RUN/evaluation."""

from __future__ import annotations

from selfcodealign.progress import Progress
from selfcodealign.rows import digest
from selfcodealign.run_folder.folder import RunFolder
from selfcodealign.settings import Recipe


async def compare_models(folder: RunFolder, recipe: Recipe, progress: Progress) -> None:
    """Evaluate the base model in each of `evaluate.base_modes` and, where there is one, the tuned model in chat.

    Scores that were made of the same models and settings are kept; others move to superseded/. Raises
    `BenchmarkError`, `ModelError`, `SandboxError`.
    """
    from selfcodealign.evaluation import Candidate, evaluate

    settings = recipe.evaluate
    tuned = folder.path / "tuned"
    facts = folder.facts()
    made_of = digest(facts.get("tuned"), facts.get("model"), settings.result_digest(), recipe.execution.result_digest())
    scores = folder.path / "evaluation"
    if scores.exists() and facts.get("evaluation") != made_of:
        where = folder.keep_old(scores)
        progress.say(f"evaluate: a model or a setting has changed; the earlier scores are in {where}")
    if (scores / "scores.json").exists():
        progress.say("evaluate: scored by an earlier run")
        return
    folder.record({"evaluation": made_of})
    candidates = [
        Candidate(label=f"base ({'one example' if mode == 'few-shot' else mode})", mode=mode, settings=recipe.model)
        for mode in settings.base_modes
    ]
    if recipe.train.enabled:
        here = recipe.model.model_copy(update={"name": str(tuned), "revision": None, "urls": []})
        candidates.append(Candidate(label="tuned", mode="chat", settings=here))
    await evaluate(candidates, settings.benchmarks, scores, settings, recipe.execution, progress=progress)
