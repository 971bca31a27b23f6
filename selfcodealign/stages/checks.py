"""Everything that a person could have to fix, found before any work and told together."""

from __future__ import annotations

from collections.abc import Sequence

from selfcodealign.errors import ModelError, RecipeError, UserError
from selfcodealign.models.named import name_section, section_of, settings_of
from selfcodealign.models.opening import check_model
from selfcodealign.recipe import list_removed
from selfcodealign.stages.context import Context
from selfcodealign.stages.journey import Step
from selfcodealign.stages.plan import Action, Decision, plan
from selfcodealign.telemetry.otlp import check_packages

#: Sections of a recipe that are no stage's.
SHARED = ("own", "model", "models", "few_shot", "execution", "decontamination", "telemetry")


async def prepare(context: Context, steps: Sequence[Step]) -> list[Decision]:
    """Check the recipe and this machine, decide about every stage, and open what the first request could find missing.

    Servers are asked and the sandbox is started, unless every stage that needs them is finished; a model of this
    machine is looked for and opened later. Raises the one `UserError` that was found, or a `RecipeError` that lists
    all of them.
    """
    found: list[UserError | str] = list(context.folder.problems())
    found += (
        f"{name} is incomplete: the secrets in its address are not kept in recipe.toml; give the whole value again "
        f"with --set {name}=..."
        for name in list_removed(context.recipe)
        if name.partition(".")[0] in (*context.places, *SHARED)
    )
    if context.recipe.telemetry.otlp:
        try:
            check_packages()
        except UserError as error:
            found.append(error)
    decisions: list[Decision] = []
    try:
        decisions = plan(context, steps)
    except UserError as error:
        found.append(error)
    # A finished stage needs nothing: its sources may be gone, its packages missing.
    working = [one.step for one in decisions if one.action is not Action.REST] if decisions else steps
    executes = any("sandbox" in step.stage.needs and step.stage.executes(context) for step in working)
    # Asked first: servers tell the context that prompts are compared with.
    asking = [step.name for step in working if "model" in step.stage.needs]
    model_problems = [await _find_model_problem(context, name) for name in context.models_of(asking)]
    for step in working:
        try:
            found += step.stage.check(context)
        except UserError as error:
            found.append(error)
    for problem in [*model_problems, await _find_sandbox_problem(context) if executes else None]:
        if problem is not None:
            found.append(problem)
    _raise(found)
    return decisions


async def _find_model_problem(context: Context, name: str) -> UserError | None:
    settings, given = settings_of(context.recipe, name), name in context.models.given
    try:
        if not given:
            check_model(settings, context.progress, section_of(name))
        if given or settings.urls:
            await context.models[name].open()
    except ModelError as error:
        return ModelError(name_section(str(error), name)) if name else error
    except UserError as error:
        return error
    return None


async def _find_sandbox_problem(context: Context) -> UserError | None:
    try:
        await context.sandbox.open()
    except UserError as error:
        return error
    return None


def _raise(found: Sequence[UserError | str]) -> None:
    """Raise what was found, each problem once: a single error unchanged, several as a list."""
    distinct = list({str(one): one for one in found}.items())
    if not distinct:
        return
    if len(distinct) == 1:
        ((text, one),) = distinct
        raise one if isinstance(one, UserError) else RecipeError(text)
    lines = "\n".join(f"  - {text}" for text, _ in distinct)
    raise RecipeError(f"{len(distinct)} things to fix before this can run:\n{lines}")
