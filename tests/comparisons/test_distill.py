"""The recipes of distillation: a teacher answers what the base model asks, verified or not."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfcodealign import Sampling, ScriptedModel, UserError, run
from selfcodealign.errors import RecipeError
from selfcodealign.recipe import load_recipe
from selfcodealign.sandbox.on_demand import OnDemandSandbox
from tests.support.chat_server import chat_server, reply
from tests.support.comparisons import small
from tests.support.faulty_server import FaultyServer, Handler, refuse, refused_port, show_page
from tests.support.journey import answer, judge_by_text, scripted_model
from tests.support.runs import books, rows_of


def explain(prompt: str, sampling: Sampling, seed: int) -> str:
    """A chat model's answer in its own words; the message is an instruction and nothing else."""
    assert sampling.message
    assert "<" not in prompt
    name = re.findall(r"`(task_\d+)\(n\)`", prompt)[-1]
    return f"Here is `{name}`:\n\n```python\ndef {name}(n):\n    return n\n```\n\nIt takes {seed % 1} steps.\n"


def answer_with_tests(prompt: str, sampling: Sampling, seed: int) -> str:
    """A chat model's answer in two sections, which it opens itself; about half of them are right."""
    assert "<tests>" in prompt
    return f"Sure, here it is:\n\n<response>\n{answer(prompt, sampling, seed)}"


@pytest.fixture
def no_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine has no sandbox: opening it is an error, and so is running anything."""

    async def refuse_to_open(self: OnDemandSandbox, *_: Any) -> None:
        raise UserError("there is no sandbox on this machine")

    monkeypatch.setattr(OnDemandSandbox, "open", refuse_to_open)
    monkeypatch.setattr(OnDemandSandbox, "run", refuse_to_open)


@pytest.mark.usefixtures("no_sandbox")
def test_a_teacher_answers_each_instruction_once_and_nothing_is_run(tmp_path: Path) -> None:
    """As published: the instruction is the whole message, the whole answer the response, greedy; no sandbox is opened,
    and every row says that it was not run. run.json has the identities of both models."""
    teacher, base = ScriptedModel(explain, name="oracle"), scripted_model()
    run(small("distill", tmp_path), tmp_path / "run", model=base, models={"teacher": teacher}, progress=False)
    rows = rows_of(tmp_path / "run", "selection")
    assert len(rows) == 6
    assert {(row["status"], row["tests"], row["proof"]) for row in rows} == {("not_run", "", "")}
    assert all(row["response"].startswith("Here is") and row["response"].endswith("0 steps.") for row in rows)
    assert teacher.calls == 6
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (facts["model"]["name"], facts["models"]["teacher"]["identity"]["name"]) == ("scripted", "oracle")
    assert facts["asked"]["responses"]["requests"] == 6
    card = (tmp_path / "run" / "dataset" / "README.md").read_text()
    assert "Every response passed" not in card


def test_the_teacher_of_the_verified_twin_writes_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its answers have both sections, and only those that pass become rows."""
    judge_by_text(monkeypatch)
    teacher = ScriptedModel(answer_with_tests)
    recipe = small("distill-verified", tmp_path, "selection.jaccard=1.0", "selection.near_dedup=[]")
    run(recipe, tmp_path / "run", model=scripted_model(), models={"teacher": teacher}, progress=False)
    rows = rows_of(tmp_path / "run", "responses")
    assert rows
    assert {row["status"] for row in rows} == {"passed"}
    assert all("assert task_" in row["tests"] for row in rows)
    assert set(books(tmp_path / "run")["responses"][2]) <= {"failed", "unparsed"}


@pytest.mark.usefixtures("no_sandbox")
def test_a_base_model_is_given_its_own_unverified_samples(tmp_path: Path) -> None:
    """Few-shot without tests in the prompt: one sample of each instruction, at the recipe's temperature."""
    seen: list[tuple[str, Sampling]] = []

    def base(prompt: str, sampling: Sampling, seed: int) -> str:
        if prompt.endswith("<response>\n"):
            seen.append((prompt, sampling))
            return f"```python\ndef f{seed}(n):\n    return n\n```\n</response>\n"
        return answer(prompt, sampling, seed)

    recipe = small("self-distill-unverified", tmp_path, "responses.temperature=0.4")
    run(recipe, tmp_path / "run", model=ScriptedModel(base), progress=False)
    assert len(seen) == 6
    assert all("<tests>" not in prompt and sampling.temperature == 0.4 for prompt, sampling in seen)
    assert {row["status"] for row in rows_of(tmp_path / "run", "selection")} == {"not_run"}


def test_a_chat_server_gets_the_instruction_unchanged(tmp_path: Path) -> None:
    """One message of the user, without a request to go on with a text, also where the engine could continue one."""
    with chat_server(reply("```python\ndef f(n):\n    return n\n```"), engine="vllm") as server:
        urls = f'models.teacher.urls=["{server.url}"]'
        recipe = small("distill", tmp_path, urls, "models.teacher.name=demo")
        run(recipe, tmp_path / "run", model=scripted_model(), progress=False)
        asked = [body["messages"] for body in server.bodies]
    tasks = {row["instruction"] for row in rows_of(tmp_path / "run", "instructions")}
    assert [len(messages) for messages in asked] == [1] * 6
    assert {messages[0]["content"] for messages in asked} == tasks
    assert all("continue_final_message" not in body for body in server.bodies)


def test_without_a_server_the_teacher_is_asked_for_in_one_line(tmp_path: Path) -> None:
    """Before any work, naming the section of the teacher."""
    with pytest.raises(UserError, match=r'^models\.teacher\.api = "chat" is for servers: set models\.teacher\.urls'):
        run(small("distill", tmp_path), tmp_path / "run", model=scripted_model(), progress=False)
    assert not (tmp_path / "run").exists()


def test_a_message_to_a_model_that_has_no_chat_is_refused(tmp_path: Path) -> None:
    """The line names the setting of the teacher that makes it one."""
    recipe = small("distill", tmp_path, "models.teacher.api=completions", "models.teacher.urls=[]")
    with pytest.raises(UserError, match=r'set models\.teacher\.api = "chat" and models\.teacher\.urls') as caught:
        run(recipe, tmp_path / "run", model=scripted_model(), models={"teacher": ScriptedModel("")}, progress=False)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "fix"),
    [
        (["responses.tests=false", "responses.execute=true"], r"set responses\.execute = false, too"),
        (["responses.model=nobody"], r"add \[models\.nobody\]"),
    ],
)
def test_settings_that_contradict_each_other_are_refused_when_they_are_read(settings: list[str], fix: str) -> None:
    """In one line with the fix."""
    with pytest.raises(RecipeError, match=fix) as caught:
        load_recipe("distill", settings)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("no_sandbox")
@pytest.mark.parametrize(
    ("setting", "fix"),
    [("execution.cross=true", "execution.cross = false"), ("selection.proof=split", 'selection.proof = "any"')],
)
def test_what_needs_verdicts_is_refused_where_nothing_is_run(tmp_path: Path, setting: str, fix: str) -> None:
    """Before any work."""
    recipe = small("distill", tmp_path, setting)
    with pytest.raises(UserError, match=fix):
        run(recipe, tmp_path / "run", model=scripted_model(), models={"teacher": ScriptedModel("")}, progress=False)


def page(handler: Handler, body: dict[str, Any]) -> None:
    show_page(200)(handler, body)


@pytest.mark.parametrize(
    ("plan", "told"),
    [(page, "web page|HTML|no completion|not JSON|no JSON"), (refuse(401, "wrong key"), "401|key")],
    ids=["html", "401"],
)
def test_a_teacher_that_answers_nonsense_ends_the_run_and_loses_nothing(
    tmp_path: Path, plan: Callable[[Handler, dict[str, Any]], None], told: str
) -> None:
    """The error is one line; the base model's instructions are kept, and the same command goes on with a teacher that
    answers."""
    base = scripted_model()
    settings = ["models.teacher.name=demo", "models.teacher.retry_seconds=1"]
    with FaultyServer(always=plan) as server:
        recipe = small("distill", tmp_path, f'models.teacher.urls=["{server.url}"]', *settings)
        with pytest.raises(UserError, match=told) as caught:
            run(recipe, tmp_path / "run", model=base, progress=False)
    assert "\n" not in str(caught.value)
    asked = base.calls
    with chat_server(reply("```python\ndef f(n):\n    return n\n```")) as server:
        urls = f'models.teacher.urls=["{server.url}"]'
        run(small("distill", tmp_path, urls, *settings), tmp_path / "run", model=base, progress=False)
    assert len(rows_of(tmp_path / "run", "responses")) == 6
    assert base.calls <= max(12, asked)


def test_a_teacher_that_is_not_there_is_told_before_any_work(tmp_path: Path) -> None:
    """One line with its address, and no row is made."""
    with refused_port() as port:
        settings = [f'models.teacher.urls=["http://127.0.0.1:{port}/v1"]', "models.teacher.retry_seconds=0"]
        with pytest.raises(UserError, match=str(port)) as caught:
            run(small("distill", tmp_path, *settings), tmp_path / "run", model=scripted_model(), progress=False)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run" / "seeds").exists()


class Killed(Exception):
    """The process ends here."""


def test_a_run_of_two_models_that_was_killed_ends_with_the_same_rows(tmp_path: Path) -> None:
    """No answer that a finished row holds is asked for again, of neither model; another teacher under the same name is
    refused."""
    recipe = small("distill", tmp_path)
    whole = {"teacher": ScriptedModel(explain)}
    run(recipe, tmp_path / "whole", model=scripted_model(), models=whole, progress=False)
    left = [3]

    def die(prompt: str, sampling: Sampling, seed: int) -> str:
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        return explain(prompt, sampling, seed)

    first, again, base = ScriptedModel(die), ScriptedModel(explain), scripted_model()
    with pytest.raises(Killed):
        run(recipe, tmp_path / "run", model=base, models={"teacher": first}, progress=False)
    run(recipe, tmp_path / "run", model=base, models={"teacher": again}, progress=False)
    expected, found = (
        sorted(json.dumps(row, sort_keys=True, default=str) for row in rows_of(tmp_path / name, "responses"))
        for name in ("whole", "run")
    )
    assert found == expected
    assert base.calls == 12
    assert again.calls == 3
    asked = [json.loads((tmp_path / name / "run.json").read_text())["asked"] for name in ("whole", "run")]
    assert asked[0]["responses"]["requests"] == asked[1]["responses"]["requests"] == 6
    other = {"teacher": ScriptedModel(explain, name="another")}
    changed = recipe.model_copy(update={"random_seed": 1})
    with pytest.raises(UserError, match="another at 1, but this run folder was begun with scripted at 1"):
        run(changed, tmp_path / "run", model=base, models=other, progress=False, replace_finished=True)
