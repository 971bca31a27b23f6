"""A training from end to end on a model of random weights."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from selfcodealign.errors import ModelError, TrainingError
from selfcodealign.settings import TrainSettings
from selfcodealign.stages.train import stop_with_cancellation
from selfcodealign.training import Event, Note, Proof, Step, TrainResult, train
from tests.support.tiny_model import FAST, make_model, weights, write_rows


@pytest.fixture(scope="module")
def trained(tiny_base: Path, rows: list[dict[str, str]], tmp_path_factory: pytest.TempPathFactory):
    """One plain training for several tests: result and events."""
    folder = tmp_path_factory.mktemp("trained")
    events: list = []
    result = train(write_rows(folder / "rows.jsonl", rows), str(tiny_base), folder / "out", FAST, events.append)
    return result, events


def test_loss_falls_and_the_folder_is_a_model(trained: tuple[TrainResult, list]):
    """Six steps bring the loss down; the folder loads, in the precision the base was stored in."""
    result, _ = trained
    assert result.steps == 6
    assert len(result.losses) == 6
    assert result.last_loss < result.first_loss - 0.5
    model: Any = AutoModelForCausalLM.from_pretrained(result.out)
    tokenizer: Any = AutoTokenizer.from_pretrained(result.out)
    assert model.dtype == torch.bfloat16
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    messages = [{"role": "user", "content": "Add."}]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert text == "### Instruction\nAdd.\n\n### Response\n"
    inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    assert model.generate(**inputs, max_new_tokens=4).shape[1] > inputs["input_ids"].shape[1]


def test_events_tell_rows_proof_and_every_step(trained: tuple[TrainResult, list], tiny_base: Path):
    """What takes a while, the rows, the proof, then one event per step with a falling time left."""
    result, events = trained
    assert [event.text for event in events[:2]] == ["importing torch, transformers and trl", f"loading {tiny_base}"]
    events = events[2:]
    assert isinstance(events[0], Note)
    assert events[0].text.startswith(f"24 rows, {result.tokens:,} tokens")
    assert isinstance(events[1], Proof)
    assert events[1].rows[0][-1].text.endswith("```<|end|>")
    steps = [event for event in events if isinstance(event, Step)]
    assert [step.step for step in steps] == list(range(1, 7))
    assert [step.loss for step in steps] == result.losses
    assert steps[2].epoch == 1.0
    assert steps[-1].seconds_left == 0.0


def test_report_and_card_hold_what_happened(trained: tuple[TrainResult, list]):
    """train_report.json has the figures, the page has the curve and the proof; checkpoints are removed."""
    result, events = trained
    told = json.loads((result.out / "train_report.json").read_text())
    assert told["result"]["losses"] == result.losses
    assert [step["loss"] for step in told["steps"]] == result.losses
    assert told["settings"]["learning_rate"] == FAST.learning_rate
    assert told["split"]["micro_batch"] * told["split"]["accumulation"] == 8
    page = result.report.read_text()
    steps = [event for event in events if isinstance(event, Step)]
    for field in ("loss", "learning_rate", "grad_norm", "tokens_per_second"):
        assert [step[field] for step in told["steps"]] == [getattr(step, field) for step in steps]
        for step in steps:
            assert f"<title>step {step.step}: {getattr(step, field):.6g}</title>" in page
    assert "<svg" in page
    assert page.count("<mark>") == 1 + len(events[3].rows)
    assert (result.out / "loss.svg").read_text() in page
    assert "apply_chat_template" in (result.out / "README.md").read_text()
    assert not (result.out / "checkpoints").exists()


def test_the_same_command_again_returns_the_result(trained: tuple[TrainResult, list], tiny_base: Path):
    """Nothing is trained twice; the result comes from the report."""
    result, _ = trained
    events: list = []
    again = train(result.out.parent / "rows.jsonl", str(tiny_base), result.out, FAST, events.append)
    assert again == result
    assert [event.text for event in events[1:]] == [f"{result.out} is already trained; --fresh trains it again"]


@pytest.mark.parametrize(
    "speed", [{"micro_batch": 1}, {"micro_batch": 8}, {"packing": False, "micro_batch": 4}], ids=str
)
def test_speed_settings_do_not_change_what_is_learned(
    trained: tuple[TrainResult, list], tiny_base: Path, dataset: Path, tmp_path: Path, speed: dict
):
    """Alone, packed or padded: the same losses up to rounding."""
    result = train(dataset, str(tiny_base), tmp_path / "out", FAST.model_copy(update=speed))
    assert result.losses == pytest.approx(trained[0].losses, rel=2e-4)


def test_seed_decides(trained: tuple[TrainResult, list], tiny_base: Path, dataset: Path, tmp_path: Path):
    """The same seed gives the same weights, bit for bit; another one other losses."""
    same = train(dataset, str(tiny_base), tmp_path / "same", FAST)
    other = train(dataset, str(tiny_base), tmp_path / "other", FAST.model_copy(update={"seed": 1}))
    assert same.losses == trained[0].losses
    before, after = weights(trained[0].out), weights(same.out)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert other.losses != same.losses


def test_stopped_training_goes_on_where_it_stopped(
    trained: tuple[TrainResult, list], tiny_base: Path, dataset: Path, tmp_path: Path
):
    """Ctrl-C in step 3 leaves a checkpoint; the same call ends with the weights of an uninterrupted training."""
    out = tmp_path / "out"
    notes: list[str] = []

    def interrupt(event: object) -> None:
        if isinstance(event, Note):
            notes.append(event.text)
        if isinstance(event, Step) and event.step == 3:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(dataset, str(tiny_base), out, FAST, interrupt)
    assert notes[-1].startswith("stopped at step ")
    assert not (out / "model.safetensors").exists()
    torn = out / "checkpoints" / "checkpoint-5"
    torn.mkdir()  # a checkpoint that a kill cut short has no trainer_state.json yet
    events: list = []
    result = train(dataset, str(tiny_base), out, FAST, events.append)
    assert any(isinstance(event, Note) and event.text.startswith("resuming from step") for event in events)
    assert min(event.step for event in events if isinstance(event, Step)) > 3
    assert result.losses == trained[0].losses
    before, after = weights(trained[0].out), weights(out)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_another_training_in_the_same_folder_is_refused(
    trained: tuple[TrainResult, list], tiny_base: Path, dataset: Path, tmp_path: Path
):
    """Other settings or other data in a folder that holds a training: refused by name, unless `fresh`."""
    out = trained[0].out
    changed = FAST.model_copy(update={"learning_rate": 1e-3})
    with pytest.raises(TrainingError, match=r"another training \(learning_rate was 0.01, is 0.001\)"):
        train(dataset, str(tiny_base), out, changed)
    fewer = write_rows(tmp_path / "fewer.jsonl", [{"instruction": "A", "response": "b"}])
    with pytest.raises(TrainingError, match="dataset was"):
        train(fewer, str(tiny_base), out, FAST)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("")
    with pytest.raises(TrainingError, match="holds files that are no training"):
        train(dataset, str(tiny_base), tmp_path / "mine", FAST)


def test_a_training_that_an_earlier_version_began_is_resumed(tiny_base: Path, dataset: Path, tmp_path: Path):
    """Its identity calls the trained weights "method" and the base model's digest "weights"."""
    out = tmp_path / "out"
    result = train(dataset, str(tiny_base), out, FAST)
    known = json.loads((out / "training.json").read_text())
    known |= {"method": known.pop("weights"), "weights": known.pop("base weights")}
    known.pop("trained by")
    (out / "training.json").write_text(json.dumps(known))
    assert train(dataset, str(tiny_base), out, FAST) == result
    known["method"] = "lora"
    (out / "training.json").write_text(json.dumps(known))
    with pytest.raises(TrainingError, match="weights was 'lora', is 'full'"):
        train(dataset, str(tiny_base), out, FAST)


def test_fresh_trains_anew(tiny_base: Path, dataset: Path, tmp_path: Path):
    """`fresh` replaces a complete training by another."""
    short = FAST.model_copy(update={"max_steps": 1})
    train(dataset, str(tiny_base), tmp_path / "out", short)
    result = train(dataset, str(tiny_base), tmp_path / "out", short.model_copy(update={"seed": 3}), fresh=True)
    told = json.loads((tmp_path / "out" / "train_report.json").read_text())
    assert told["settings"]["seed"] == 3
    assert result.steps == 1


def test_lora_leaves_an_adapter_and_merged_weights(tiny_base: Path, dataset: Path, tmp_path: Path):
    """The folder is a whole model with the adapter merged into the base; the adapter is kept beside it."""
    result = train(dataset, str(tiny_base), tmp_path / "out", FAST.model_copy(update={"weights": "lora"}))
    assert result.last_loss < result.first_loss
    before, after = weights(tiny_base), weights(result.out)
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {name for name in before if "_proj" in name}
    assert (result.out / "adapter" / "adapter_model.safetensors").is_file()


def test_window_of_the_model_limits_the_rows(dataset: Path, tmp_path: Path):
    """Rows longer than the model's window are left out, with a note and a count."""
    base = make_model(tmp_path / "base", window=64)
    notes: list = []
    result = train(dataset, str(base), tmp_path / "out", FAST.model_copy(update={"max_steps": 1}), notes.append)
    assert result.dropped["too_long"] + result.rows == 24
    assert result.dropped["too_long"] > 0
    (said,) = [note.text for note in notes if "left out" in getattr(note, "text", "")]
    assert said.endswith(f"left out: {result.dropped['too_long']} too_long (a row may have 64 tokens)")


def test_qlora_learns_on_a_quantized_base_and_leaves_whole_weights(tmp_path: Path, dataset: Path):
    """On 4-bit weights of a CPU it learns as LoRA does, packed or padded, and the merged folder is not quantized."""
    pytest.importorskip("bitsandbytes")
    losses = []
    for name, update in [
        ("lora", {"weights": "lora"}),
        ("packed", {"weights": "qlora"}),
        ("padded", {"method": "qlora", "packing": False}),
    ]:
        settings = FAST.model_copy(update={"max_steps": 4, **update})
        losses.append(train(dataset, "embedded", tmp_path / name, settings).losses)
    lora, packed, padded = losses
    assert packed == pytest.approx(padded, rel=0.03)
    assert packed == pytest.approx(lora, rel=0.15)
    assert packed[-1] < packed[0] - 0.5
    config = json.loads((tmp_path / "packed" / "config.json").read_text())
    assert "quantization_config" not in config
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "packed").dtype == torch.bfloat16


def test_tensorboard_keeps_the_curve_when_training_is_complete(tiny_base: Path, dataset: Path, tmp_path: Path):
    """Its files stay in the model folder and hold the loss of every step."""
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-not-found]
        EventAccumulator,
    )

    settings = FAST.model_copy(update={"report_to": ["tensorboard"], "max_steps": 3})
    result = train(dataset, str(tiny_base), tmp_path / "out", settings)
    seen = EventAccumulator(str(tmp_path / "out" / "tensorboard")).Reload()
    assert [event.value for event in seen.Scalars("train/loss")] == pytest.approx(result.losses)


def test_wandb_without_a_key_is_refused_and_offline_is_not(tiny_base: Path, dataset: Path, tmp_path: Path):
    """One line that names both fixes; offline, the run is in WANDB_DIR."""
    pytest.importorskip("wandb")
    hidden = {"NETRC": str(tmp_path / "netrc"), "WANDB_API_KEY": "", "WANDB_DIR": str(tmp_path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "selfcodealign", "train", str(dataset), "--model", str(tiny_base)]
    command += ["--out", str(tmp_path / "out"), "--set", 'report_to=["wandb"]', "--set", "max_steps=1"]
    done = {
        mode: subprocess.run(command, capture_output=True, text=True, env=os.environ | hidden | {"WANDB_MODE": mode})
        for mode in ("online", "offline")
    }
    assert done["online"].returncode == 2
    assert done["online"].stderr.splitlines()[-1].endswith("wandb login, or WANDB_MODE=offline")
    assert done["offline"].returncode == 0, done["offline"].stderr
    assert list(tmp_path.rglob("offline-run-*"))


def test_zero_is_refused_with_an_optimizer_that_it_would_change():
    """ZeRO flattens the weights it shards: with Adafactor, which needs their rows and columns, training is refused."""
    from selfcodealign.training.run import _check_sharing

    sharing = SimpleNamespace(is_fsdp_enabled=False, is_deepspeed_enabled=True)
    settings = TrainSettings(processes=2, parallel="zero3")
    with pytest.raises(TrainingError, match=r"ZeRO flattens them: use fsdp2, or train\.optimizer=adamw"):
        _check_sharing(sharing, settings)
    _check_sharing(sharing, settings.model_copy(update={"optimizer": "adamw"}))


def test_what_cannot_be_had_is_refused(tiny_base: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Packages that are not installed, a GPU that is not there, uneven splits, a model that does not exist."""
    for name in ("bitsandbytes", "trackio", "deepspeed"):
        monkeypatch.setitem(sys.modules, name, None)
    out = tmp_path / "out"
    for update, words in [
        ({"weights": "qlora"}, "pip install bitsandbytes"),
        ({"report_to": ["trackio"]}, "pip install trackio"),
        ({"parallel": "zero3", "processes": 2}, "pip install deepspeed"),
        ({"parallel": "fsdp2", "processes": 2}, "fsdp2 needs GPUs"),
        ({"processes": 3}, "8 rows cannot be split evenly over 3 processes"),
    ]:
        with pytest.raises(TrainingError, match=words):
            train(dataset, str(tiny_base), out, FAST.model_copy(update=update))
    if not torch.cuda.is_available():
        with pytest.raises(TrainingError, match="torch sees no GPU"):
            train(dataset, str(tiny_base), out, FAST.model_copy(update={"device": "cuda"}))
    with pytest.raises(ModelError, match="there is no folder"):
        train(dataset, str(tmp_path / "absent"), out, FAST)
    with pytest.raises(ModelError, match=r"has no config\.json"):
        train(dataset, str(tmp_path), out, FAST)


async def test_a_cancelled_training_in_a_thread_leaves_a_checkpoint(tiny_base: Path, dataset: Path, tmp_path: Path):
    """As in a notebook: the step ends, a checkpoint is written, and a second call resumes there."""
    out, begun = tmp_path / "out", threading.Event()
    settings = FAST.model_copy(update={"epochs": 30})

    def tell(event: Event) -> None:
        if isinstance(event, Step):
            begun.set()

    work = partial(train, dataset, str(tiny_base), out, settings, tell)
    training = asyncio.create_task(stop_with_cancellation(work, out))
    await asyncio.to_thread(begun.wait, 100)
    training.cancel()
    with pytest.raises(asyncio.CancelledError):
        await training
    assert list((out / "checkpoints").glob("checkpoint-*/trainer_state.json"))
    assert not (out / "train_report.json").exists()
    notes: list[Event] = []
    result = train(dataset, str(tiny_base), out, settings, notes.append)
    assert result.steps == 90
    assert any(isinstance(note, Note) and note.text.startswith("resuming from step") for note in notes)
