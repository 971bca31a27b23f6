"""The recipes of Evol-Instruct: tasks evolve round by round, unverified, or from solved tasks alone."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from selfcodealign import Sampling, ScriptedModel, UserError, run
from selfcodealign.errors import RecipeError
from selfcodealign.generation.few_shot_file import load_few_shot
from selfcodealign.recipe import load_recipe
from selfcodealign.rows import digest
from selfcodealign.settings import Recipe
from tests.support.journey import answer, judge_by_text, scripted_model, write_sources
from tests.support.runs import books, rows_of

BEGIN = ["seeds", "near_dedup", "concepts", "instructions"]
#: What the teacher does with a task, by the round that it belongs to; the rounds of a lineage are told by its text.
FAULTS = {
    "refused_answer": "I'm sorry, I cannot do that.",
    "too_short": "Sort it.",
    "same_as_parent": None,
    "prompt_words": "The rewritten task: write a function `task_7(n)` that returns n plus 7, or None for None.",
    "too_long": " ".join(f"Add {number}." for number in range(60)),
    "only_code": "```python\ndef task_1(n):\n    return n + 1\n\n\ntask_1(2)\n```",
}


def small(name: str, places: Path, *settings: str, journey: list[str]) -> Recipe:
    """A shipped recipe on a few small sources, as data alone."""
    sources = write_sources(places / "sources", 4)
    given = [f'seeds.sources=["{sources}"]', 'seeds.licences=["any"]', "near_dedup.jaccard=0.95"]
    given += ['decontamination.benchmarks=["tiny-eval"]', "execution.warm=[]", "execution.workers=2"]
    given += ["flush_seconds=0.2", "concepts.examples=1", "instructions.examples=1"]
    given += [f"journey={json.dumps(journey)}"]
    return load_recipe(name, [*given, *settings])


def task_in(prompt: str) -> str:
    return re.findall(r"Write a function `task.*", prompt)[0]


def evolve(prompt: str, seed: int) -> str:
    """A further requirement, another one in each round."""
    number = seed % 97
    return (
        f"Write a function `task_{seed}(n)` that expects a whole number from {seed} on, and returns it plus {number}."
    )


def teach(prompt: str, sampling: Sampling, seed: int) -> str:
    """A chat model that evolves tasks and answers them; with tests where it is asked for them."""
    assert sampling.message
    if "harder version" in prompt:
        return evolve(prompt, seed)
    if "<tests>" in prompt:
        added = re.findall(r"plus (\d+)\.", prompt)[-1]
        name = re.findall(r"`(task_\d+)\(n\)`", prompt)[-1]
        code = f"```python\ndef {name}(n):\n    return n + {added}\n```"
        return f"<response>\n{code}\n</response>\n<tests>\n```python\nassert {name}(0) == {added}\n```\n</tests>\n"
    return f"```python\ndef answer_{seed}(n):\n    return n\n```\n"


def test_three_rounds_and_the_start_are_merged_and_answered_unverified(tmp_path: Path) -> None:
    """Each start gives four tasks, each made from the one before by a heuristic, and each is answered once."""
    recipe = small("evol-instruct", tmp_path, journey=[*BEGIN, "evolve", "responses", "selection", "dataset"])
    run(recipe, tmp_path / "run", model=scripted_model(), models={"teacher": ScriptedModel(teach)}, progress=False)
    rows = rows_of(tmp_path / "run", "evolve")
    assert sorted(row["round"] for row in rows) == sorted([0, 1, 2, 3] * 4)
    by_id = {row["instruction_id"]: row for row in rows}
    assert len(by_id) == 16
    for row in rows:
        if row["round"]:
            parent = by_id[row["parent_instruction_id"]]
            assert (parent["round"], parent["instruction"]) == (row["round"] - 1, row["parent_instruction"])
            assert row["start_instruction_id"] == parent["start_instruction_id"]
            assert row["heuristic"] in recipe.evolve.heuristics
    assert {row["start_instruction_id"] for row in rows} == {row["instruction_id"] for row in rows if not row["round"]}
    answers = rows_of(tmp_path / "run", "responses")
    assert {row["status"] for row in answers} == {"not_run"}
    assert {row["round"] for row in answers} == {0, 1, 2, 3}
    assert books(tmp_path / "run")["evolve"] == (4, 16, {})


@pytest.mark.parametrize("reason", list(FAULTS))
def test_a_failed_rewriting_is_dropped_by_name_and_its_parent_begins_the_next_round(
    tmp_path: Path, reason: str
) -> None:
    """Round 2 fails for this reason; round 3 is made from the task of round 1."""

    def fail_once(prompt: str, sampling: Sampling, seed: int) -> str:
        if (task := task_in(prompt)).startswith("Write a function `task_") and "expects" not in task:
            return evolve(prompt, seed)
        seen.append(task)
        if seen.count(task) == 1:
            return FAULTS[reason] or task
        return evolve(prompt, seed)

    seen: list[str] = []
    recipe = small("evol-instruct", tmp_path, "seeds.limit=1", "evolve.max_words=50", journey=[*BEGIN, "evolve"])
    run(recipe, tmp_path / "run", model=scripted_model(), models={"teacher": ScriptedModel(fail_once)}, progress=False)
    kept = {row["round"]: row for row in rows_of(tmp_path / "run", "evolve")}
    (dropped,) = rows_of(tmp_path / "run", "evolve", "dropped")
    assert (dropped["reason"], dropped["round"]) == (reason, 2)
    assert sorted(kept) == [0, 1, 3]
    assert kept[3]["parent_instruction_id"] == kept[1]["instruction_id"]
    assert dropped["parent"] == kept[0]["start_instruction_id"]


def test_only_the_last_task_of_a_lineage_may_be_kept(tmp_path: Path) -> None:
    """The others are dropped as earlier rounds."""
    recipe = small("evol-instruct", tmp_path, "evolve.keep=last", journey=[*BEGIN, "evolve"])
    run(recipe, tmp_path / "run", model=scripted_model(), models={"teacher": ScriptedModel(teach)}, progress=False)
    assert [row["round"] for row in rows_of(tmp_path / "run", "evolve")] == [3] * 4
    assert books(tmp_path / "run")["evolve"] == (4, 4, {"earlier_round": 12})


def test_a_base_model_evolves_with_worked_examples(tmp_path: Path) -> None:
    """Few-shot: the prompt shows tasks, what changes, and evolved tasks; the file has two for each heuristic."""
    prompts: list[str] = []

    def base(prompt: str, sampling: Sampling, seed: int) -> str:
        if not prompt.endswith("<evolved>\n"):
            return answer(prompt, sampling, seed)
        prompts.append(prompt)
        return f"{evolve(prompt, seed)}\n</evolved>\n"

    settings = ['evolve.model=""', 'evolve.prompt="few-shot"', "evolve.examples=2", "evolve.rounds=1"]
    recipe = small("evol-instruct", tmp_path, *settings, journey=[*BEGIN, "evolve"])
    run(recipe, tmp_path / "run", model=ScriptedModel(base), progress=False)
    assert [row["round"] for row in rows_of(tmp_path / "run", "evolve")].count(1) == 4
    assert all(prompt.count("<change>") == 3 for prompt in prompts)
    changes = [part["change"] for part in load_few_shot("python").pool("evolve")]
    assert all(changes.count(words) >= 2 for _, words in recipe.evolve.changes())


def test_a_lineage_goes_on_from_solved_tasks_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task without a passing answer begins no round: round 2 fails, so round 3 is made from round 1. run.json counts
    by round; every row is verified, and its answers were drawn once."""
    judge_by_text(monkeypatch)
    unsolvable: list[str] = []

    def half(prompt: str, sampling: Sampling, seed: int) -> str:
        text = teach(prompt, sampling, seed)
        if "harder version" in prompt:
            if "expects" in prompt and not unsolvable:
                unsolvable.append(re.findall(r"task_\d+", text)[0])
            return text
        return text.replace("(0) == ", "(0) == 9") if any(name in prompt for name in unsolvable) else text

    recipe = small(
        "evol-instruct-verified", tmp_path, "seeds.limit=1", journey=[*BEGIN, "evolve_verified", "selection", "dataset"]
    )
    run(recipe, tmp_path / "run", model=scripted_model(), models={"teacher": ScriptedModel(half)}, progress=False)
    kept = {row["round"]: row for row in rows_of(tmp_path / "run", "evolve_verified")}
    assert sorted(kept) == [0, 1, 3]
    assert kept[3]["parent_instruction_id"] == kept[1]["instruction_id"]
    assert {row["status"] for row in kept.values()} == {"passed"}
    dropped = rows_of(tmp_path / "run", "evolve_verified", "dropped")
    assert {(row["reason"], row["round"]) for row in dropped} == {("failed", 2)}
    counted = json.loads((tmp_path / "run" / "run.json").read_text())["counted"]["evolve_verified"]
    assert [counted[f"round {number}: tasks answered"] for number in range(4)] == [1, 1, 1, 1]
    assert [counted.get(f"round {number}: tasks with a verified answer", 0) for number in range(4)] == [1, 1, 0, 1]


def test_without_an_answer_to_the_start_nothing_evolves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lineage ends with the drops of its answers."""
    judge_by_text(monkeypatch)
    model = ScriptedModel(lambda prompt, sampling, seed: teach(prompt, sampling, seed).replace("(0) == ", "(0) == 9"))
    recipe = small("evol-instruct-verified", tmp_path, journey=[*BEGIN, "evolve_verified"])
    run(recipe, tmp_path / "run", model=scripted_model(), models={"teacher": model}, progress=False)
    assert books(tmp_path / "run")["evolve_verified"] == (4, 0, {"failed": 16})


def test_a_killed_run_ends_with_the_same_tasks(tmp_path: Path) -> None:
    """Rounds of a lineage that were under way are made of the answers in the journal."""
    recipe = small("evol-instruct", tmp_path, journey=[*BEGIN, "evolve"])
    run(recipe, tmp_path / "whole", model=scripted_model(), models={"teacher": ScriptedModel(teach)}, progress=False)
    left = [6]

    def die(prompt: str, sampling: Sampling, seed: int) -> str:
        left[0] -= 1
        if left[0] < 0:
            raise RuntimeError("killed")
        return teach(prompt, sampling, seed)

    again = ScriptedModel(teach)
    with pytest.raises(RuntimeError, match="killed"):
        run(recipe, tmp_path / "run", model=scripted_model(), models={"teacher": ScriptedModel(die)}, progress=False)
    run(recipe, tmp_path / "run", model=scripted_model(), models={"teacher": again}, progress=False)
    expected, found = (
        sorted(digest(*row.values()) for row in rows_of(tmp_path / name, "evolve")) for name in ("whole", "run")
    )
    assert found == expected
    assert again.calls == 6


def test_a_heuristic_of_your_own_has_a_name_and_words(tmp_path: Path) -> None:
    """It is put into the request; a name alone is refused with the known ones."""
    recipe = load_recipe("evol-instruct", ['evolve.heuristics=["rarer", "typed: Ask for type hints."]'])
    assert recipe.evolve.changes()[1] == ("typed", "Ask for type hints.")
    with pytest.raises(RecipeError, match='no heuristic "rarr"; did you mean "rarer"') as caught:
        load_recipe("evol-instruct", ['evolve.heuristics=["rarr"]'])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "fix"),
    [
        ([], r"set models\.teacher\.urls"),
        (['evolve_verified.model=""'], r'model\.api = "chat" and model\.urls'),
        (["responses.execute=false"], r"set responses\.execute = true"),
    ],
    ids=["no server", "no chat", "nothing is run"],
)
def test_unmet_needs_are_told_before_any_work(
    tmp_path: Path, settings: list[str], fix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one line that names the fix."""
    judge_by_text(monkeypatch)
    recipe = small("evol-instruct-verified", tmp_path, *settings, journey=[*BEGIN, "evolve_verified"])
    given = {} if not settings else {"teacher": ScriptedModel(teach)}
    with pytest.raises(UserError, match=fix):
        run(recipe, tmp_path / "run", model=scripted_model(), models=given, progress=False)
    assert not (tmp_path / "run").exists()
