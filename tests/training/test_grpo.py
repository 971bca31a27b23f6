"""Training on verdicts: a small model that knows a right and a wrong answer learns to give the right one."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from selfcodealign.errors import MissingExtra, ModelError, SandboxError, TrainingError
from selfcodealign.settings import ExecutionSettings, GrpoSettings
from selfcodealign.training import Note, Proof, Step, TrainResult, train, train_grpo
from selfcodealign.training.sampling import TaskOrder
from selfcodealign.training.tasks import WITHOUT_PROOF, load_tasks
from tests.support.tiny_model import FAST as FAST_SFT
from tests.support.tiny_model import weights, write_rows

FAST = GrpoSettings(
    learning_rate=2e-3, steps=6, prompts=2, samples=8, max_tokens=40, precision="float32", device="cpu", beta=0.01
)
EXECUTION = ExecutionSettings(warm=[], workers=1)
NUMBERS = {"one": 1, "two": 2}


def answer(name: str, value: int) -> str:
    return f"```python\ndef {name}(a):\n    return {value}\n```"


def make_tasks() -> list[dict[str, Any]]:
    return [
        {
            "prompt": f"Write a function {name}.",
            "tests": [f"assert {name}(0) == {value}", f"assert {name}(7) == {value}"],
            "reference": answer(name, value),
        }
        for name, value in NUMBERS.items()
    ]


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("tasks") / "tasks.jsonl", make_tasks())


@pytest.fixture(scope="module")
def taught(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that answers each task rightly about as often as wrongly, because it was tuned on both."""
    folder = tmp_path_factory.mktemp("taught")
    rows = [
        {"instruction": f"Write a function {name}.", "response": answer(name, given)}
        for name in NUMBERS
        for given in NUMBERS.values()
    ]
    settings = FAST_SFT.model_copy(update={"batch": 4, "epochs": 60})
    return train(write_rows(folder / "rows.jsonl", rows), str(tiny_base), folder / "out", settings).out


@pytest.fixture(scope="module")
def trained(taught: Path, tasks: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainResult, list[Any]]:
    """One plain training for several tests: result and events."""
    events: list[Any] = []
    out = tmp_path_factory.mktemp("grpo") / "out"
    result = train_grpo(tasks, str(taught), out, FAST, EXECUTION, events.append)
    return result, events


def test_the_reward_rises(trained: tuple[TrainResult, list[Any]]) -> None:
    """At first about half of the answers pass, in the end more do; what did not pass is counted by its verdict."""
    result, events = trained
    steps = [event for event in events if isinstance(event, Step)]
    assert [step.step for step in steps] == list(range(1, 7))
    assert 0.2 < steps[0].figures["reward"] < 0.8
    assert sum(step.figures["reward"] for step in steps[-2:]) / 2 > steps[0].figures["reward"]
    assert steps[-1].figures["kl"] > 0
    assert sum(result.reasons.values()) == 6 * 2 * 8
    assert result.reasons["failed"] > 0
    assert result.reasons["passed"] == round(sum(step.figures["reward"] for step in steps) * 16)
    assert (result.method, result.rows, result.dropped) == ("grpo", 2, {})


def test_own_answers_are_judged_and_prompts_shown_before_the_first_step(trained: tuple[TrainResult, list[Any]]) -> None:
    """The proof: the sandbox rewards what is right, and the prompt is that of a chat."""
    _, events = trained
    said = [event.text for event in events if isinstance(event, Note)]
    assert said[0] == "2 of 2 own answers of the tasks get the reward"
    assert said[1].startswith("2 tasks; 6 steps of 2 tasks × 8 answers of at most 40 tokens")
    (proof,) = [event for event in events if isinstance(event, Proof)]
    asked, own = proof.rows[0]
    assert asked.text == "### Instruction\nWrite a function one.\n\n### Response\n"
    assert (own.text, own.loss) == (answer("one", 1), True)


def test_the_report_has_reward_reasons_length_and_divergence(trained: tuple[TrainResult, list[Any]]) -> None:
    """train_report.json has the figures of every step and the verdicts, the page their curves."""
    result, events = trained
    told = json.loads((result.out / "train_report.json").read_text())
    steps = [event for event in events if isinstance(event, Step)]
    for name in ("reward", "kl", "length", "cut"):
        assert [step[name] for step in told["steps"]] == [step.figures[name] for step in steps]
    assert told["reasons"] == told["result"]["reasons"] == result.reasons
    page = result.report.read_text()
    for words in ("share of the sampled answers that passed", "KL", "Verdicts", f"{result.reasons['failed']} failed"):
        assert words in page
    assert "ran against their task" in (result.out / "README.md").read_text()


@pytest.mark.parametrize("updates", [1, 2])
def test_a_stop_changes_nothing(taught: Path, tasks: Path, tmp_path: Path, updates: int) -> None:
    """Ctrl-C, then the same call: answers, rewards and weights are those of the uninterrupted training. Where answers
    serve several steps, it stops when they are used up."""
    settings = FAST.model_copy(update={"steps": 4, "samples": 4, "updates": updates})
    whole = train_grpo(tasks, str(taught), tmp_path / "whole", settings, EXECUTION)

    def interrupt(event: object) -> None:
        if isinstance(event, Step) and event.step == 1:
            signal.raise_signal(signal.SIGINT)

    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        train_grpo(tasks, str(taught), out, settings, EXECUTION, interrupt)
    assert [path.name for path in (out / "checkpoints").iterdir()] == ["checkpoint-2"]
    result = train_grpo(tasks, str(taught), out, settings, EXECUTION)
    assert result.losses == whole.losses
    assert (result.reasons, result.figures) == (whole.reasons, whole.figures)
    before, after = weights(whole.out), weights(out)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_other_tasks_or_limits_in_the_same_folder_are_refused(
    trained: tuple[TrainResult, list[Any]], taught: Path, tasks: Path, tmp_path: Path
) -> None:
    """A folder belongs to one data set and one set of limits; the same again returns the result at once."""
    result, _ = trained
    assert train_grpo(tasks, str(taught), result.out, FAST, EXECUTION) == result
    other = write_rows(tmp_path / "other.jsonl", [row | {"prompt": row["prompt"] + " Please."} for row in make_tasks()])
    with pytest.raises(TrainingError, match="holds another training \\(dataset was"):
        train_grpo(other, str(taught), result.out, FAST, EXECUTION)
    slower = EXECUTION.model_copy(update={"seconds": 3.0})
    with pytest.raises(TrainingError, match=r"execution\.seconds was 10\.0, is 3\.0"):
        train_grpo(tasks, str(taught), result.out, FAST, slower)


def test_a_sandbox_that_does_not_start_ends_the_training(
    taught: Path, tasks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is an error before the model is loaded, no reward of 0."""

    async def refuse(self: Any) -> None:
        raise SandboxError("a wall is missing")

    monkeypatch.setattr("selfcodealign.sandbox.on_demand.OnDemandSandbox.open", refuse)
    events: list[Any] = []
    with pytest.raises(SandboxError, match="a wall is missing"):
        train_grpo(tasks, str(taught), tmp_path / "out", FAST, EXECUTION, events.append)
    assert not [event for event in events if isinstance(event, Step)]


def test_only_tasks_with_split_proof_are_taken_unless_all_are_asked_for(tmp_path: Path) -> None:
    """As `export --to rl` does; a file that says nothing of proofs is taken whole."""
    rows = [row | {"proof": proof} for row, proof in zip(make_tasks(), ("split", "shared"), strict=True)]
    file = write_rows(tmp_path / "tasks.jsonl", rows)
    chosen = load_tasks(file, "split")
    assert ([one.number for one in chosen.rows], chosen.dropped) == ([0], {WITHOUT_PROOF: 1})
    assert len(load_tasks(file, "any").rows) == len(load_tasks(write_rows(file, make_tasks()), "split").rows) == 2
    with pytest.raises(TrainingError, match=r"none of the 1 tasks of .* has split proof .*: set grpo\.proof = any"):
        load_tasks(write_rows(file, rows[1:]), "split")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tests": None}, "row 0 has no tests: leave it out"),
        ({"tests": {"inputs": [1]}}, "row 0: tests are no code"),
        ({"test": ("tests", None)}, r'no column tests \(it has .*\); did you mean "test"\?'),
        ({"prompt": []}, "row 0: prompt has to be a text or a list of messages"),
        ({"reference": answer("one", 2)}, r"none of 1 own answers of the tasks gets a reward \(1 failed\)"),
    ],
    ids=str,
)
def test_wrong_rows_are_refused_in_one_line(taught: Path, tmp_path: Path, change: dict, words: str) -> None:
    """No tests, other shapes, tests that their own answer does not pass; each error names its row."""
    row = make_tasks()[0]
    for name, value in change.items():
        row |= {name: row.pop(value[0])} if isinstance(value, tuple) else {name: value}
    settings = FAST.model_copy(update={"prompts": 1})
    with pytest.raises(TrainingError, match=words) as refused:
        train_grpo(write_rows(tmp_path / "rows.jsonl", [row]), str(taught), tmp_path / "out", settings, EXECUTION)
    assert "\n" not in str(refused.value)


def test_what_cannot_be_had_is_refused(
    taught: Path, tasks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A data set or model that is not there, too few tasks, no room for an answer, TRL that is not installed."""
    out = tmp_path / "out"
    with pytest.raises(TrainingError, match=r"there is no .*absent\.jsonl: give a run folder"):
        train_grpo(tmp_path / "absent.jsonl", str(taught), out, FAST, EXECUTION)
    with pytest.raises(TrainingError, match="the data set is not written yet"):
        train_grpo(tmp_path, str(taught), out, FAST, EXECUTION)
    with pytest.raises(ModelError, match="there is no folder"):
        train_grpo(tasks, str(tmp_path / "no" / "model"), out, FAST, EXECUTION)
    with pytest.raises(TrainingError, match=r"2 tasks are fewer than the 3 of a step: set grpo\.prompts = 2"):
        train_grpo(tasks, str(taught), out, FAST.model_copy(update={"prompts": 3}), EXECUTION)
    with pytest.raises(TrainingError, match=r"grpo\.max_tokens = 600 leaves no room for a prompt in .* 512 tokens"):
        train_grpo(tasks, str(taught), tmp_path / "long", FAST.model_copy(update={"max_tokens": 600}), EXECUTION)
    monkeypatch.setitem(sys.modules, "trl", None)
    with pytest.raises(MissingExtra, match=r"training needs .*\[train\]"):
        train_grpo(tasks, str(taught), out, FAST, EXECUTION)


@pytest.mark.parametrize(("steps", "updates", "passes"), [(3, 1, 2), (4, 2, 1), (5, 2, 3)])
def test_the_order_is_planned_for_all_steps(steps: int, updates: int, passes: int) -> None:
    """Each round's tasks are given once per forward pass that uses their answers, each as often as it is sampled."""
    settings = GrpoSettings(steps=steps, updates=updates, prompts=2, samples=3)
    order = TaskOrder(5, settings, passes)
    drawn = list(order)
    assert len(drawn) == len(order) == -(-steps // updates) * updates * passes * 6
    rounds = [drawn[start : start + 6] for start in range(0, len(drawn), 6)]
    for place, one in enumerate(rounds):
        assert one == [one[0]] * 3 + [one[3]] * 3
        assert one == rounds[place - place % (updates * passes)]
