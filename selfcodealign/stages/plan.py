"""What becomes of the rows that an earlier run has left: one decision for each stage, taken before any work.

A run carries these decisions out, and a dry run prints them: both say the same sentences, from the same comparison.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from typing import Any

from selfcodealign.addresses import REMOVED, hide_in
from selfcodealign.errors import RunFolderError
from selfcodealign.run_folder.folder import Description, StageFolder, superseded_name
from selfcodealign.run_folder.marks import MARKS
from selfcodealign.run_folder.recall import find_superseded
from selfcodealign.settings import MOST_TOKENS, Recipe, Section
from selfcodealign.stages import Each, Last, Source, Whole
from selfcodealign.stages.context import Context
from selfcodealign.stages.journey import Step

#: Changes that a sentence spells out; further ones are counted.
TOLD_CHANGES = 3
#: Longest value that a sentence shows whole.
VALUE_CHARACTERS = 60


class Action(StrEnum):
    """What a run does in a stage."""

    BEGIN = "begin"  # nothing is there
    START_AGAIN = "start again"  # something that decides the rows has changed: the earlier rows move to superseded/
    RESUME = "resume"  # rows are missing
    UPDATE = "update"  # complete, but the rows that come in may differ
    REST = "rest"  # complete, and nothing differs: the stage is not touched


@dataclass(frozen=True)
class Decision:
    """What a run does in one stage, and the sentence that says so.

    `lost` says which finished work of a model would move to superseded/, and why; empty when none would.
    """

    step: Step
    action: Action
    decided_by: Mapping[str, Any]
    sentence: str
    lost: str = ""


def describe_rows(step: Step) -> Description:
    """How stage.json describes the rows of a stage."""
    kind = step.place.gives
    assert kind is not None
    return Description(
        kind.__name__, kind.id_field, step.parent, step.place.after, kind.field_names(), step.stage.columns
    )


def plan(context: Context, steps: Sequence[Step]) -> list[Decision]:
    """Decide about all stages, in order. Raises `RunFolderError` when the folder holds a run of another journey."""
    check_journey(context)
    made: dict[str, Decision] = {}
    settled = True  # the rows that come in are those of the earlier run
    for step in steps:
        decided_by = json.loads(json.dumps(step.stage.decided_by(context)))
        if isinstance(step.stage, Last):
            behind = [made[name].action is Action.REST for name in step.stage.follows if name in made]
            same = all(behind) and (settled or step.stage.takes is None)
            action, sentence = _decide_last(context, step, decided_by, same)
        else:
            action, sentence = _decide_rows(context, step, decided_by, settled)
            settled = action is Action.REST
        lost = _find_lost(context, step, action, decided_by, [made[name] for name in made])
        made[step.name] = Decision(step, action, decided_by, f"{step.name}: {sentence}", lost)
    return list(made.values())


def list_lost(decisions: Sequence[Decision]) -> str:
    """Say which finished work of a model a run would move to superseded/, and why; empty when none."""
    return "; ".join(one.lost for one in decisions if one.lost)


def _find_lost(
    context: Context, step: Step, action: Action, decided_by: Mapping[str, Any], earlier: Sequence[Decision]
) -> str:
    """What of a model's work in this stage would go. Rows of other seeds or of other answers go with these."""
    if isinstance(step.stage, Last):
        if action is not Action.START_AGAIN or not step.stage.is_complete(context):
            return ""
        before = stored_facts(context, step.name)
        changes = explain_changes(before.get("decided_by", {}), decided_by)
        changes = changes or explain_changes(before.get("made_from", {}), step.stage.made_from(context))
        return f"{step.stage.output}/ of {step.name} ({changes})"
    stored = context.folder.look_at(step.name)
    if stored is None or "model" not in step.stage.needs:
        return ""
    why = _explain_stage(context, stored, step, decided_by) if action is Action.START_AGAIN else ""
    for one in earlier:
        if not why and one.action is Action.START_AGAIN and (isinstance(one.step.stage, Source) or one.lost):
            above = context.folder.look_at(one.step.name)
            assert above is not None
            why = f"made from rows of {one.step.name}, where {_explain_stage(context, above, one.step, one.decided_by)}"
    if not why:
        return ""
    kept, dropped = stored.shards.counts()
    if not kept + sum(count for reason, count in dropped.items() if reason != "prompt_too_long"):
        return ""  # a prompt that is too long was never answered
    back = _find_returning(context, step, decided_by)
    return f"{kept + sum(dropped.values())} rows of {step.name} ({why}{'; ' if back else ''}{back})"


def _find_returning(context: Context, step: Step, decided_by: Mapping[str, Any]) -> str:
    """Which rows of earlier settings come back, because these are the settings again; empty for none."""
    if "model" not in step.stage.needs:
        return ""
    found = find_superseded(context.folder, step.name, describe_rows(step), decided_by)
    return f"its {sum(found[-1].shards.sizes())} rows in superseded/{found[-1].path.name} come back" if found else ""


def _explain_stage(context: Context, stored: StageFolder[Any], step: Step, decided_by: Mapping[str, Any]) -> str:
    if changed := _explain_rows(stored.description, describe_rows(step)):
        return changed
    changed = explain_changes(_with_derived(stored.decided_by, decided_by), decided_by)
    # The digests of marks and texts tell a person nothing.
    changed = re.sub(rf"\b{MARKS} changed from \S+ to \S+?(?=,|$)", "people's marks changed", changed)
    recipe = context.folder.path / "recipe.toml"
    if "few-shot texts" not in changed or not recipe.is_file():
        return changed
    # The file may be another one, or have been edited.
    was = tomllib.loads(recipe.read_text("utf-8")).get("few_shot", {}).get("file")
    now = hide_in(context.recipe.few_shot.file, REMOVED)
    why = f'few_shot.file changed from "{was}" to "{now}"' if was != now else "the texts in few_shot.file changed"
    return re.sub(r"few-shot texts of [\w-]+ changed from \S+ to \S+?(?=,|$)", lambda _: why, changed)


def _with_derived(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """What decided the earlier rows; a limit that was the default and is now derived has not changed.

    Ids are the same, and the earlier rows are those that end before the derived limit, and longer ones.
    """
    defaults = {f"{stage}.max_tokens": most for stage, most in MOST_TOKENS.items()}
    unset = {name for name, most in defaults.items() if before.get(name) == most and now.get(name) is None}
    return {**before, **dict.fromkeys(unset)}


def check_journey(context: Context) -> None:
    """Raise `RunFolderError` when the folder holds rows that this journey has no place for."""
    folder = context.folder
    names = list(context.places)
    place = -1
    for stage in folder.stages():
        if stage.name not in names or names.index(stage.name) < place:
            why = "leaves out" if stage.name not in names else "has at another place"
            raise RunFolderError(
                f"{folder.path} holds a run of another journey ({', '.join(folder.journey())}): it has rows of the "
                f'stage "{stage.name}", which this journey {why}; choose another --out'
            )
        place = names.index(stage.name)


def _decide_rows(context: Context, step: Step, decided_by: Mapping[str, Any], settled: bool) -> tuple[Action, str]:
    stored = context.folder.look_at(step.name)
    if stored is None:
        return Action.BEGIN, "from the beginning"
    if changes := _explain_stage(context, stored, step, decided_by):
        where = superseded_name(stored.path).relative_to(context.folder.path)
        back = _find_returning(context, step, decided_by)
        known = f"; {back}" if back else ""
        return Action.START_AGAIN, f"starts again because {changes}; its earlier rows move to {where}{known}"
    if not stored.finished:
        why = f" (stopped by {stored.stopped})" if stored.stopped else ""
        return Action.RESUME, f"resumes{why}; so far {stored.summary()}"
    if not stored.intact:
        return Action.RESUME, "resumes, because files of it are missing"
    return _decide_finished(step, stored, settled and not stored.earlier)


def _decide_finished(step: Step, stored: StageFolder[Any], settled: bool) -> tuple[Action, str]:
    books = stored.summary()
    if isinstance(step.stage, Source):
        return Action.REST, f"finished ({books}); its sources are not read again"
    if settled:
        return Action.REST, f"finished ({books})"
    if isinstance(step.stage, Whole):
        return Action.UPDATE, "compares all rows again, because the rows that come in may differ"
    return Action.UPDATE, (
        f"keeps its rows ({books}) and works on inputs that are new; rows of inputs that are gone move to superseded/"
    )


def _decide_last(context: Context, step: Step, decided_by: Mapping[str, Any], same: bool) -> tuple[Action, str]:
    stage = step.stage
    assert isinstance(stage, Last)
    output = context.folder.path / stage.output
    if not output.exists():
        return Action.BEGIN, "from the beginning"
    if stage.rewritten:
        return Action.UPDATE, f"{stage.output}/ is written again"
    stored, complete = stored_facts(context, step.name), stage.is_complete(context)
    changes = explain_changes(stored.get("decided_by", {}), decided_by)
    if not changes and complete and same:
        # What comes in is on disk as it will be in the end; an earlier run may have ended before it used it.
        changes = explain_changes(stored.get("made_from", {}), stage.made_from(context))
    if changes:
        where = superseded_name(output).relative_to(context.folder.path)
        return Action.START_AGAIN, f"starts again because {changes}; the earlier {stage.output}/ moves to {where}"
    if not complete:
        return Action.RESUME, f"resumes what {stage.output}/ holds"
    if same:
        return Action.REST, f"finished; {stage.output}/ stays"
    return Action.UPDATE, f"{stage.output}/ stays if what it is made from is the same in the end, else it starts again"


def stored_facts(context: Context, name: str) -> dict[str, Any]:
    """What run.json says of a last stage: `decided_by` and `made_from`."""
    facts = context.folder.facts().get("last_stages", {}).get(name, {})
    return {**facts, "decided_by": _with_current_names(facts["decided_by"])} if "decided_by" in facts else facts


def _with_current_names(decided_by: Mapping[str, Any]) -> dict[str, Any]:
    """Name settings as they are called now: a renamed setting has not changed."""
    names = {
        f"{section}.{earlier}": f"{section}.{name}"
        for section, field in Recipe.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
        for earlier, name in field.annotation.earlier_names().items()
    }
    return {names.get(name, name): value for name, value in decided_by.items()}


def explain_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What differs, in words, with both values; empty when nothing does.

    >>> explain_changes({"random_seed": 0, "a.b": 1}, {"random_seed": 1, "a.b": 1})
    'random_seed changed from 0 to 1'
    """
    now = hide_in(now, REMOVED)  # as it is stored
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    told = [f"{name} changed from {_show(before.get(name))} to {_show(now.get(name))}" for name in names[:TOLD_CHANGES]]
    if len(names) > TOLD_CHANGES:
        told.append(f"{len(names) - TOLD_CHANGES} more changed")
    return ", ".join(told)


def explain_other_changes(stored: StageFolder[Any], decided_by: Mapping[str, Any], section: str) -> str:
    """What decides a stage's rows otherwise now, apart from the settings of a section; empty when nothing does."""
    settings = {name: value for name, value in decided_by.items() if name.startswith(f"{section}.")}
    before = {name: value for name, value in stored.decided_by.items() if not name.startswith(f"{section}.")}
    return explain_changes(_with_derived(before | settings, decided_by), decided_by)


def _explain_rows(before: Description, now: Description) -> str:
    """How the rows themselves differ, in words; empty when they do not."""
    if (before.kind, before.parent) != (now.kind, now.parent):
        was, is_now = (f"{one.kind} rows made from {one.parent}" for one in (before, now))
        return f"its rows changed from {was} to {is_now}"
    gained = [name for name in now.fields if name not in before.fields]
    lost = [name for name in before.fields if name not in now.fields]
    if gained or lost:
        return "the fields of its rows changed: " + ", ".join(
            [f"+{name}" for name in gained] + [f"-{name}" for name in lost]
        )
    return ""


def _show(value: Any) -> str:
    if value is None:
        return "unset"
    text = json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else f'"{value}"'
    return text if len(text) <= VALUE_CHARACTERS else f"{text[: VALUE_CHARACTERS - 1]}…"


def parts(decisions: Sequence[Decision]) -> Iterator[list[Decision]]:
    """The decisions in groups that are carried out together: neighbours that look at one row at a time are one flow."""
    for row_wise, group in groupby(decisions, key=lambda one: isinstance(one.step.stage, Each)):
        if row_wise:
            yield list(group)
        else:
            yield from ([one] for one in group)
