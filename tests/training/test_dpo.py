"""Training on pairs: what is compared, that the margin rises, that a stop costs nothing, and what is refused."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from selfcodealign.errors import MissingExtra, ModelError, TrainingError
from selfcodealign.models.chat import open_chat
from selfcodealign.settings import DpoSettings
from selfcodealign.training import Note, Proof, Step, TrainResult, train_dpo
from selfcodealign.training.batching import draw_rows
from selfcodealign.training.preferences import load_pairs, tokenize_pairs
from tests.support.tiny_model import make_rows, make_tokenizer, weights, write_rows

FAST = DpoSettings(learning_rate=1e-3, epochs=2, batch=8, warmup=0.0, precision="float32", device="cpu")


def make_pairs(count: int) -> list[dict[str, Any]]:
    """Pairs whose rejected answers return nothing."""
    return [
        {
            "prompt": row["instruction"],
            "chosen": row["response"],
            "rejected": row["response"].replace("return a", "return None"),
        }
        for row in make_rows(count)
    ]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("pairs") / "pairs.jsonl", make_pairs(20))


@pytest.fixture(scope="module")
def trained(tiny_base: Path, pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainResult, list[Any]]:
    """One plain training for several tests: result and events."""
    events: list[Any] = []
    result = train_dpo(pairs, str(tiny_base), tmp_path_factory.mktemp("dpo") / "out", FAST, events.append)
    return result, events


def test_the_margin_rises_from_zero(trained: tuple[TrainResult, list[Any]]) -> None:
    """Before the first step the model is its own reference: loss ln 2, margin 0; then chosen answers win."""
    result, events = trained
    steps = [event for event in events if isinstance(event, Step)]
    assert len(steps) == result.steps == 5  # 2 × 20 pairs, 8 a step
    assert result.losses[0] == pytest.approx(0.693147, abs=1e-5)
    assert steps[0].figures["margin"] == pytest.approx(0.0, abs=1e-5)
    assert steps[-1].figures["margin"] > 0.5
    assert result.figures["last_accuracy"] > 0.9
    assert (result.method, result.rows, result.dropped) == ("dpo", 20, {})


def test_what_is_compared_is_shown_before_the_first_step(trained: tuple[TrainResult, list[Any]]) -> None:
    """Both answers to one prompt, decoded: the prompt as in a chat, each answer marked with its end token."""
    _, events = trained
    (proof,) = [event for event in events if isinstance(event, Proof)]
    assert proof.names[:2] == [f"pair {proof.numbers[0]}, chosen", f"pair {proof.numbers[0]}, rejected"]
    assert proof.says == "the log-probability is summed over"
    asked, answered = proof.rows[0]
    assert asked.text.startswith("### Instruction\nWrite a function")
    assert asked.text.endswith("\n\n### Response\n")
    assert not asked.loss
    assert answered.loss
    assert answered.text.endswith("return a\n```<|end|>")
    assert proof.rows[1][1].text.endswith("return None\n```<|end|>")
    assert events.index(proof) < next(i for i, event in enumerate(events) if isinstance(event, Step))


def test_the_report_has_margin_and_accuracy(trained: tuple[TrainResult, list[Any]]) -> None:
    """train_report.json has the figures of every step, the page their curves and the pairs; the card says DPO."""
    result, events = trained
    told = json.loads((result.out / "train_report.json").read_text())
    steps = [event for event in events if isinstance(event, Step)]
    assert [step["margin"] for step in told["steps"]] == [step.figures["margin"] for step in steps]
    assert told["result"]["figures"] == result.figures
    assert told["method"] == "dpo"
    page = result.report.read_text()
    for words in ("reward margin", "accuracy", "What is compared", "Pair 0, rejected", f"5 of {FAST.batch} pairs"):
        assert words in page
    assert "pairs of a preferred and a rejected answer (DPO)" in (result.out / "README.md").read_text()
    assert not (result.out / "checkpoints").exists()


def test_a_stop_at_any_step_changes_nothing(
    trained: tuple[TrainResult, list[Any]], tiny_base: Path, pairs: Path, tmp_path: Path
) -> None:
    """Ctrl-C after step 1 and again after step 3: the weights are those of the uninterrupted training, bit for bit."""
    out = tmp_path / "out"
    for stop_at in (1, 3):

        def interrupt(event: object, stop_at: int = stop_at) -> None:
            if isinstance(event, Step) and event.step == stop_at:
                signal.raise_signal(signal.SIGINT)

        with pytest.raises(KeyboardInterrupt):
            train_dpo(pairs, str(tiny_base), out, FAST, interrupt)
    result = train_dpo(pairs, str(tiny_base), out, FAST)
    assert result.losses == trained[0].losses
    assert result.figures == trained[0].figures
    before, after = weights(trained[0].out), weights(out)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_the_rows_of_a_pass_change_only_the_speed(
    trained: tuple[TrainResult, list[Any]], tiny_base: Path, pairs: Path, tmp_path: Path
) -> None:
    """One pair per pass gives the losses of several, up to rounding."""
    result = train_dpo(pairs, str(tiny_base), tmp_path / "out", FAST.model_copy(update={"micro_batch": 1}))
    assert result.losses == pytest.approx(trained[0].losses, rel=2e-4)


def test_other_pairs_in_the_same_folder_are_refused(
    trained: tuple[TrainResult, list[Any]], tiny_base: Path, pairs: Path, tmp_path: Path
) -> None:
    """A folder belongs to one data set; the same pairs again return the result at once."""
    result, _ = trained
    notes: list[Any] = []
    assert train_dpo(pairs, str(tiny_base), result.out, FAST, notes.append) == result
    assert isinstance(notes[-1], Note)
    other = write_rows(tmp_path / "other.jsonl", make_pairs(9))
    with pytest.raises(TrainingError, match="holds another training \\(dataset was"):
        train_dpo(other, str(tiny_base), result.out, FAST)


def test_lora_trains_adapters_and_saves_a_whole_model(tiny_base: Path, pairs: Path, tmp_path: Path) -> None:
    """The reference is the model without its adapter; base weights outside the adapted layers stay."""
    settings = FAST.model_copy(update={"weights": "lora", "learning_rate": 1e-2})
    result = train_dpo(pairs, str(tiny_base), tmp_path / "out", settings)
    assert result.figures["last_margin"] > 0.1
    before, after = weights(tiny_base), weights(result.out)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {name for name in before if "_proj" in name}
    assert (result.out / "adapter" / "adapter_model.safetensors").is_file()


def test_texts_and_messages_mean_the_same(pairs: Path, tmp_path: Path) -> None:
    """Columns of texts, of messages, of messages that repeat the prompt, as JSON Lines and as Parquet."""
    plain = load_pairs(pairs)
    rows: list[Any] = [
        {
            "prompt": [{"role": "user", "content": row["prompt"]}],
            "chosen": [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row["chosen"]}],
            "rejected": [{"role": "assistant", "content": row["rejected"]}],
        }
        for row in make_pairs(20)
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "pairs.parquet")
    assert load_pairs(tmp_path / "pairs.parquet").rows == plain.rows
    assert load_pairs(write_rows(tmp_path / "m.jsonl", rows)).digest == plain.digest


def test_earlier_answers_of_a_conversation_belong_to_the_prompt() -> None:
    """Only the last answer is compared; its end token closes it, and both prompts are the same tokens."""
    chat = open_chat(make_tokenizer(eos_token="<|end|>"), "plain")
    (pair,) = load_pairs_of([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}])
    (row,), dropped = tokenize_pairs([pair], chat, 100, "refuse")
    columns = row.as_columns()
    assert dropped == {}
    assert chat.tokenizer.decode(columns["prompt_ids"]).endswith("b<|end|>\n\n### Instruction\nc\n\n### Response\n")
    assert chat.tokenizer.decode(columns["chosen_ids"]) == "yes<|end|>"
    assert chat.tokenizer.decode(columns["rejected_ids"]) == "no<|end|>"
    assert row.answer_tokens == len(columns["chosen_ids"]) + len(columns["rejected_ids"])


def load_pairs_of(before: list[dict[str, str]]) -> list[Any]:
    from selfcodealign.training.preferences import Pair

    return [Pair([*before, {"role": "user", "content": "c"}], "yes", "no")]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"chosn": ("chosen", None)}, r'no column chosen \(it has prompt, rejected, chosn\); did you mean "chosn"\?'),
        ({"prompt": 3}, "row 0: prompt has to be a text or a list of messages"),
        ({"prompt": [{"role": "assistant", "content": "x"}]}, "prompt has to end with what the user says"),
        ({"rejected": [{"role": "asistant", "content": "x"}]}, 'row 0: rejected has the role "asistant"; did you mean'),
        ({"rejected": make_pairs(1)[0]["chosen"]}, "row 0: chosen and rejected are the same"),
        ({"chosen": ""}, "row 0 has no token that carries loss"),
    ],
    ids=str,
)
def test_wrong_rows_are_refused_in_one_line(tiny_base: Path, tmp_path: Path, change: dict, words: str) -> None:
    """A missing column, other shapes and roles, and pairs that say nothing; each error names its row."""
    (row,) = make_pairs(1)
    for name, value in change.items():
        row |= {name: row.pop(value[0])} if isinstance(value, tuple) else {name: value}
    with pytest.raises(TrainingError, match=words) as refused:
        train_dpo(write_rows(tmp_path / "rows.jsonl", [row]), str(tiny_base), tmp_path / "out", FAST)
    assert "\n" not in str(refused.value)


def test_what_cannot_be_had_is_refused(
    pairs: Path, tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A data set or a model that is not there, other files, uneven passes, TRL that is not installed."""
    out = tmp_path / "out"
    with pytest.raises(TrainingError, match=r"there is no .*absent\.jsonl: give a run folder"):
        train_dpo(tmp_path / "absent.jsonl", str(tiny_base), out, FAST)
    with pytest.raises(TrainingError, match="is no run folder"):
        train_dpo(tmp_path, str(tiny_base), out, FAST)
    with pytest.raises(TrainingError, match=r"pairs are read from \.jsonl and \.parquet files"):
        train_dpo(write_rows(tmp_path / "rows.csv", []), str(tiny_base), out, FAST)
    with pytest.raises(ModelError, match="there is no folder"):
        train_dpo(pairs, str(tmp_path / "no" / "model"), out, FAST)
    with pytest.raises(TrainingError, match=r"dpo\.micro_batch = 3 does not divide the 8 rows of a step"):
        train_dpo(pairs, str(tiny_base), out, FAST.model_copy(update={"micro_batch": 3}))
    with pytest.raises(TrainingError, match="no pair is left to train on \\(20 too_long;"):
        train_dpo(pairs, str(tiny_base), tmp_path / "other", FAST.model_copy(update={"max_tokens": 9}))
    monkeypatch.setitem(sys.modules, "trl", None)
    with pytest.raises(MissingExtra, match=r"training needs .*\[train\]"):
        train_dpo(pairs, str(tiny_base), out, FAST)


def test_a_base_model_is_noted(tiny_base: Path, trained: tuple[TrainResult, list[Any]], pairs: Path) -> None:
    """A model without a chat template was not tuned; a model that was trained here has one."""
    said = [event.text for event in trained[1] if isinstance(event, Note)]
    assert f"{tiny_base} has no chat template, so it was not tuned to answer: train comes first" in said
    notes: list[Any] = []
    settings = FAST.model_copy(update={"max_steps": 1})
    train_dpo(pairs, str(trained[0].out), trained[0].out.parent / "again", settings, notes.append)
    assert not [event for event in notes if isinstance(event, Note) and "no chat template" in event.text]


def test_every_row_comes_once_before_any_comes_again() -> None:
    """The order is drawn by the seed alone, pass after pass."""
    drawn = draw_rows(7, 3)
    passes = [[next(drawn) for _ in range(7)] for _ in range(4)]
    assert all(sorted(one) == list(range(7)) for one in passes)
    assert len({tuple(one) for one in passes}) == 4
    again = draw_rows(7, 3)
    assert [next(again) for _ in range(28)] == [row for one in passes for row in one]
