"""The prompts that a row met, laid out again from the row and the recipe: both are in the run folder, and the layout
depends on nothing else but the few-shot file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from selfcodealign.curation.carried import hide_carried
from selfcodealign.rows import Concepts, Row, Seed
from selfcodealign.stages.baselines.edits import ask_for_edits
from selfcodealign.stages.baselines.edits import show as show_commit
from selfcodealign.stages.baselines.evolve import ask_to_evolve
from selfcodealign.stages.baselines.pairs import PairPrompts
from selfcodealign.stages.baselines.self_instruct import has_other_tasks, lay_out_list
from selfcodealign.stages.concepts import ask_for_concepts, cut_snippet
from selfcodealign.stages.context import Context
from selfcodealign.stages.instructions import InstructionPrompts
from selfcodealign.stages.judge import ask_the_judge
from selfcodealign.stages.responses import ask_for_responses

R = TypeVar("R", bound=Row)


@dataclass(frozen=True)
class Asked:
    """A prompt, and what came back: the model's text where a row keeps it, else what was read of it.

    `changed` says that the few-shot texts are no longer those of the run, so that the prompt was another one.
    """

    stage: str
    prompt: str
    answer: str
    changed: bool


def prompts_of(context: Context, row: Mapping[str, Any]) -> Iterator[Asked]:
    """Yield the prompts that the row and its ancestors met, in the order of the journey.

    `row` has the fields of a stored row, `stage`, and `kept` or `reason` and `detail`. Raises `FewShotError` where the
    worked examples are no longer to be had.
    """
    names = list(context.places)
    last = names.index(row["stage"]) if row["stage"] in names else len(names)
    for stage in names[: last + 1]:
        dropped_here = stage == row["stage"] and not row["kept"]
        detail = row.get("detail") or ""
        match stage:
            case "judge" if row.get("seed"):
                question = ask_the_judge(context)
                prompt = question.lay_out(row["seed_id"], {"snippet": hide_carried(row)}, row["seed_id"])
                answer = detail if dropped_here else "yes"
            case "concepts" if row.get("seed"):
                question = ask_for_concepts(context)
                snippet = cut_snippet(row, context.recipe.concepts)
                prompt = question.lay_out(row["seed_id"], {"snippet": snippet}, row["seed_id"])
                answer = detail if dropped_here else ", ".join(row["concepts"] or [])
            case "instructions" if row.get("instruction_id"):
                prompts = InstructionPrompts(context)
                question = prompts.question
                concepts, own = _restore(row, Concepts), row.get("start_instruction_id") or row["instruction_id"]
                prompt = prompts.lay_out(concepts, own, prompts.find_number(concepts, own))
                answer = _first_text(row) or detail
            case "self_instruct" if row.get("shown_tasks") is not None:
                answer = row["instruction"] or detail
                yield Asked(stage, lay_out_list(context, row), answer, has_other_tasks(context))
                continue
            case "evolve" if row.get("heuristic"):
                question, shown = ask_to_evolve(context, stage, row)
                own, number = row["instruction_id"], row["round"]
                prompt = question.lay_out(own, shown, row["seed_id"], number)
                answer = row["instruction"] or detail
            case "evolve_verified" if row.get("heuristic") and not row.get("response_id"):
                question, shown = ask_to_evolve(context, stage, row)
                prompt = question.lay_out(row["instruction_id"], shown, row["seed_id"], row["round"])
                answer = row["instruction"] or detail
            case "responses" | "evolve_verified" if row.get("response_id"):
                question = ask_for_responses(context, stage)
                shown = {"instruction": row["instruction"]}
                prompt = question.lay_out(row["instruction_id"], shown, row["seed_id"])
                answer = row["completion"] or detail
            case "edits" if row.get("response_id"):
                question = ask_for_edits(context)
                prompt = question.lay_out(row["seed_id"], show_commit(_restore(row, Seed)), row["seed_id"])
                answer = row["completion"] or detail
            case "pairs" if row.get("instruction_id"):
                pairs = PairPrompts(context)
                question, own = pairs.question, row["instruction_id"]
                prompt = pairs.lay_out(dict(row), own, pairs.find_number(_parent_of(context, "pairs", row), own))
                answer = row["completion"] or detail
            case _:
                continue
        yield Asked(stage, prompt, answer, _has_changed(context, stage, question.stage))


def _first_text(row: Mapping[str, Any]) -> str:
    """The task as `instructions` wrote it; of a row that later rounds evolved, what the row still has of it."""
    if row.get("heuristic"):
        return row["parent_instruction"] if row["parent_instruction_id"] == row["start_instruction_id"] else ""
    return row["instruction"] or ""


def _parent_of(context: Context, stage: str, row: Mapping[str, Any]) -> str:
    """The id of the row that a stage was given for this one."""
    given = context.places[stage].given
    assert given is not None
    return row[given.id_field]


def _has_changed(context: Context, stage: str, kind: str) -> bool:
    stored = context.folder.look_at(stage)
    known = stored.decided_by.get(f"few-shot texts of {kind}") if stored is not None else None
    return known is not None and known != context.few_shot.prompt_digest(kind)


def _restore(row: Mapping[str, Any], kind: type[R]) -> R:
    return kind(**{name: row[name] for name in kind.field_names()})
