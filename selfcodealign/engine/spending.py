"""A run under a budget: what it may begin with, what it leaves unfinished, and what it says and records of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from shlex import quote

from selfcodealign.engine.budget import Budget, name_limit
from selfcodealign.engine.gate import Gate
from selfcodealign.errors import RecipeError
from selfcodealign.stages import Last
from selfcodealign.stages.context import Context
from selfcodealign.stages.forecast import forecast
from selfcodealign.stages.journey import Step
from selfcodealign.stages.plan import Action, Decision

#: The name in run.json of the budget of the last run that had one, and of what it stopped.
BUDGET = "budget"


def check_budget(context: Context, budget: Budget | None, steps: Sequence[Step]) -> None:
    """Raise `RecipeError` for a budget that a run of these stages cannot keep to."""
    for problem in budget.problems(context.recipe, [step.name for step in steps]) if budget else ():
        raise RecipeError(problem)


def open_gate(context: Context, budget: Budget | None, decisions: Sequence[Decision]) -> Gate | None:
    """The gate that keeps a run to its budget; None without limits."""
    if budget is None or not budget.limits():
        return None
    tasks = context.recipe.instructions.per_seed if "instructions" in context.places else 1
    guesses = {}
    for one in forecast(context, decisions).stages:
        # The forecast is of one seed, whose instructions are as many rows of the stage that answers them.
        rows = tasks if one.stage == "responses" else 1
        cost = one.typical_requests / rows * (one.prompt_tokens + one.typical_tokens)
        guesses[one.stage] = cost, float(tasks if one.stage == "instructions" else 1)
    return Gate(context, budget, [one.step for one in decisions], guesses)


def note_outgrown(context: Context, decisions: Sequence[Decision], gate: Gate | None) -> list[Decision]:
    """The decisions, with the outputs that would be lost because a budget no longer holds rows back."""
    stages = [context.folder.look_at(one.step.name) for one in decisions if one.action is Action.RESUME]
    stopped = next((stage.stopped for stage in stages if stage is not None and stage.stopped), "")
    if not stopped or (gate is not None and gate.is_spent()):
        return list(decisions)
    return [replace(one, lost=one.lost or _outgrown(context, one, stopped)) for one in decisions]


def _outgrown(context: Context, decision: Decision, stopped: str) -> str:
    stage = decision.step.stage
    if not isinstance(stage, Last) or stage.rewritten or decision.action is not Action.UPDATE:
        return ""
    if not stage.is_complete(context):
        return ""
    return f"{stage.output}/ of {stage.name} (made of the rows up to {stopped}; more rows are to come)"


def conclude(context: Context, decisions: Sequence[Decision], gate: Gate | None) -> str:
    """Record the budget of this run in run.json, and return in one line what it stopped; "" for nothing."""
    stages = [context.folder.look_at(one.step.name) for one in decisions if one.step.place.gives is not None]
    names = [stage.name for stage in stages if stage is not None and stage.stopped]
    if gate is None:
        return ""
    why = next((stage.stopped for stage in stages if stage is not None and stage.stopped), "")
    limits = [name_limit(kind, limit) for kind, limit in gate.budget.limits()]
    context.folder.record({BUDGET: {"limits": limits, "spent": gate.told_spent(), "stopped": names, "by": why or None}})
    wanted = gate.budget.examples
    if not names:
        found = gate.examples()
        if wanted is not None and found < wanted:
            return f"all seeds are through: {found:,} of {wanted:,} examples; more sources or a higher limit give more"
        return ""
    verb = "is" if len(names) == 1 else "are"
    return (
        f"stopped by {why} ({', '.join(gate.told_spent())}): {', '.join(names)} {verb} not finished; to go on, give a "
        f"larger budget or none: selfcodealign run -o {quote(str(context.folder.path))}"
    )
