"""The recipe `magpie`: a tuned model writes the user's turn behind the beginning of its chat template."""

from __future__ import annotations

from pathlib import Path

import pytest

from selfcodealign import Completion, Sampling, ScriptedModel, run_recipe
from selfcodealign.errors import UserError
from selfcodealign.models.user_turn import UserTurn, open_user_turn
from selfcodealign.pipeline import plan_recipe
from selfcodealign.recipe import load_recipe
from selfcodealign.settings import Recipe
from selfcodealign.stages.baselines.prequery import find_user_fault
from tests.support.command_line import call
from tests.support.journey import answer, judge_by_text
from tests.support.runs import books, rows_of
from tests.support.tiny_model import make_tokenizer

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def small(*settings: str) -> Recipe:
    return load_recipe(
        "magpie",
        [
            "prequery.draws=12",
            "prequery.template=plain",
            "responses.samples=4",
            'decontamination.benchmarks=["tiny-eval"]',
            "selection.near_dedup=[]",
            "execution.warm=[]",
            *settings,
        ],
    )


def speak(prompt: str, sampling: Sampling, seed: int) -> str | Completion:
    """A user's turn behind the plain template, mostly a task; else as the pipeline's model."""
    if prompt != "### Instruction\n":
        return answer(prompt, sampling, seed)
    kinds = {0: "", 1: "Hello there.", 2: "Write a function that returns the following:", 3: "Say ### Response\nyes"}
    return kinds.get(seed % 7, f"Write a function `task_{seed}(n)` that returns n plus {seed % 97}.")


async def test_instructions_come_without_seeds_and_are_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each draw is kept or dropped by name; rows name the model as their origin; answers pass their tests."""
    judge_by_text(monkeypatch)
    await run_recipe(small(), tmp_path / "run", model=ScriptedModel(speak, name="tuned"))
    kept, dropped = rows_of(tmp_path / "run", "prequery"), rows_of(tmp_path / "run", "prequery", "dropped")
    assert len(kept) + len(dropped) == 12
    assert {row["reason"] for row in dropped} <= {"empty", "too_short", "open_end"}
    assert {(row["origin"], row["seed"], row["kind"], row["licence"]) for row in kept} == {
        ("tuned", "", "none", "unknown")
    }
    examples = rows_of(tmp_path / "run", "selection")
    assert examples
    assert {row["status"] for row in examples} == {"passed"}
    assert books(tmp_path / "run")["prequery"][0] == 12
    told = call("show", str(tmp_path / "run"), examples[0]["response_id"])
    assert told.returncode == 0, told.stderr
    assert examples[0]["instruction"] in " ".join(told.stdout.split())


async def test_more_draws_add_rows_and_change_none(tmp_path: Path) -> None:
    """A draw's row depends on its number alone."""
    for draws in (5, 12):
        recipe = small(f"prequery.draws={draws}")
        await run_recipe(recipe, tmp_path / f"{draws}", until="prequery", model=ScriptedModel(speak))
    few, all_rows = rows_of(tmp_path / "5", "prequery"), rows_of(tmp_path / "12", "prequery")
    texts = {row["seed_id"]: row["instruction"] for row in all_rows}
    assert {row["seed_id"]: row["instruction"] for row in few}.items() <= texts.items()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ((), r"embedded has no chat template: set model\.name to one, such as the folder RUN/tuned"),
        (("model.name=m", "model.urls=http://localhost:1", "model.api=chat"), r'set model\.api = "completions"'),
    ],
)
async def test_a_model_without_a_template_is_refused_before_work(
    settings: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    """One line names the fix; no draw is made."""
    recipe = small('prequery.template=""', "few_shot.file=tiny", *settings)
    model = ScriptedModel(speak)
    with pytest.raises(UserError, match=said) as refused:
        await plan_recipe(recipe, tmp_path / "run", until="prequery", model=model)
    assert "\n" not in str(refused.value)
    assert model.calls == 0


def test_the_users_turn_is_read_out_of_a_template(tmp_path: Path) -> None:
    """What stands in front of the user's text, without the begin token, and all strings that end it."""
    tokenizer = make_tokenizer(eos_token="<|im_end|>")
    assert open_user_turn("plain") == UserTurn("### Instruction\n", ("### Response", "### Instruction"))
    tokenizer.save_pretrained(tmp_path / "bare")
    assert open_user_turn(str(tmp_path / "bare")) is None
    tokenizer.chat_template = CHATML
    tokenizer.save_pretrained(tmp_path / "chat")
    assert open_user_turn(str(tmp_path / "chat"), system="Ask for code.") == UserTurn(
        "<|im_start|>system\nAsk for code.<|im_end|>\n<|im_start|>user\n", ("<|im_end|>", "<|im_start|>user")
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("Hello there.", "too_short"),
        ("(n) that returns n times two.", "broken_start"),
        ("of n items\n    return n * 2\n```", "open_fence"),
        ("Write the function that returns these:", "open_end"),
        ("Sort a list. <|im_start|>assistant Sure.", "template_markup"),
        ("def f(x):\n    y = x + 1\n    return y", "only_code"),
    ],
)
def test_what_is_no_instruction_is_dropped_by_name(text: str, reason: str) -> None:
    """The first fault names the drop; a whole task has none."""
    turn = UserTurn("### Instruction\n", ("### Response",))
    assert (find_user_fault(text, turn, 4) or ("", ""))[0] == reason
    assert find_user_fault("Write a function that sorts a list.", turn, 4) is None
