"""Several data sets in one training: their rows together, a drawn number of them, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from selfcodealign.errors import TrainingError
from selfcodealign.settings import TrainSettings
from selfcodealign.training import Note, Step, train
from selfcodealign.training.conversations import load_mix, load_mixed
from tests.support.tiny_model import FAST, make_rows, write_rows

SHORT = FAST.model_copy(update={"max_steps": 2, "epochs": 1})


@pytest.fixture
def other(tmp_path: Path) -> Path:
    rows = [{"instruction": f"Name tree {n}.", "response": f"alder {n}"} for n in range(12)]
    return write_rows(tmp_path / "other.jsonl", rows)


def test_rows_of_all_data_sets_are_trained_on_and_named(tiny_base: Path, dataset: Path, other: Path, tmp_path: Path):
    """24 rows and 5 of 12: the training, its report and its card count them; the same call again rests."""
    settings = SHORT.model_copy(update={"mix": [f"{other}@5"]})
    result = train(dataset, str(tiny_base), tmp_path / "out", settings)
    assert result.rows == 29
    told = json.loads((result.out / "train_report.json").read_text())
    assert [(part["source"], part["rows"], part["of"]) for part in told["datasets"]] == [
        (str(dataset), 24, 24),
        (str(other), 5, 12),
    ]
    named = f"{dataset} (24 rows), {other} (5 of 12 rows)"
    assert named in (result.out / "README.md").read_text()
    assert named in result.report.read_text()
    assert train(dataset, str(tiny_base), tmp_path / "out", settings) == result


def test_a_stopped_mixed_training_resumes_with_the_same_rows(
    tiny_base: Path, dataset: Path, other: Path, tmp_path: Path
):
    """A stop after step 2 and the same call: the losses of an unbroken training; other rows are refused."""
    settings = FAST.model_copy(update={"max_steps": 4, "epochs": 2, "mix": [str(other)], "checkpoint_steps": 1})
    whole = train(dataset, str(tiny_base), tmp_path / "whole", settings)
    out = tmp_path / "out"

    def stop(event: object) -> None:
        if isinstance(event, Step) and event.step == 2:
            (out / "stop").touch()

    with pytest.raises(KeyboardInterrupt):
        train(dataset, str(tiny_base), out, settings, stop)
    with pytest.raises(TrainingError, match="holds another training"):
        train(dataset, str(tiny_base), out, settings.model_copy(update={"mix": [f"{other}@3"]}))
    notes: list[str] = []
    resumed = train(
        dataset, str(tiny_base), out, settings, lambda one: notes.append(one.text) if isinstance(one, Note) else None
    )
    assert any(note.startswith("resuming from step") for note in notes)
    assert resumed.losses == whole.losses


def test_rows_are_drawn_by_seed_and_text(other: Path):
    """The same rows each time, other ones for another seed, and the same ones of a file in another order."""
    first, second = (load_mix([f"{other}@4"], seed)[0] for seed in (0, 1))
    assert load_mix([f"{other}@4"], 0)[0].rows == first.rows
    assert first.rows != second.rows
    lines = other.read_text().splitlines()
    other.write_text("\n".join(reversed(lines)) + "\n")
    again = load_mix([f"{other}@4"], 0)[0].rows
    assert sorted(map(json.dumps, again)) == sorted(map(json.dumps, first.rows))


def test_what_cannot_be_mixed_is_refused_by_name(dataset: Path, other: Path, tmp_path: Path):
    """No such path, no such column, more rows than there are, one data set twice."""
    wrong = tmp_path / "wrong.jsonl"
    wrong.write_text(json.dumps({"question": "A", "answer": "b"}) + "\n")
    cases = {
        str(tmp_path / "nowhere.jsonl"): "train.mix: no data set at .*nowhere.jsonl: give a run folder",
        str(wrong): "train.mix: .*wrong.jsonl has no column for messages, or instruction and response",
        f"{other}@13": "train.mix: .*other.jsonl has 12 rows, and 13 are asked for: ask for fewer",
        str(dataset): "train.mix: .*rows.jsonl is trained on twice: name it once",
    }
    for entry, words in cases.items():
        with pytest.raises(TrainingError, match=words):
            load_mixed(dataset, [entry], 0)


def test_without_clipping_no_gradient_is_changed(tiny_base: Path, dataset: Path, tmp_path: Path):
    """0 gives the weights of a limit that no gradient reaches, bit for bit; a tiny limit gives others. The norm is told
    in each case."""
    from safetensors.torch import load_file

    found = {}
    for limit in (0.0, 1e9, 1e-9):
        settings = TrainSettings.model_validate(SHORT.model_dump() | {"max_grad_norm": limit, "optimizer": "adamw"})
        result = train(dataset, str(tiny_base), tmp_path / f"out-{limit}", settings)
        found[limit] = load_file(result.out / "model.safetensors")
        told = json.loads((result.out / "train_report.json").read_text())
        assert all(step["grad_norm"] > 1e-3 for step in told["steps"])
    assert all((found[0.0][name] == found[1e9][name]).all() for name in found[0.0])
    assert any((found[0.0][name] != found[1e-9][name]).any() for name in found[0.0])


def test_every_dropout_is_told_and_off(tiny_base: Path, tmp_path: Path):
    """The base model's configuration asks for dropout in attention: notes and report say that it is off."""
    notes: list[str] = []
    result = train(
        write_rows(tmp_path / "rows.jsonl", make_rows(8)),
        str(tiny_base),
        tmp_path / "out",
        SHORT.model_copy(update={"max_steps": 1}),
        lambda one: notes.append(one.text) if isinstance(one, Note) else None,
    )
    assert "dropout is off: attention_dropout (was 0.1)" in notes
    assert json.loads((result.out / "train_report.json").read_text())["dropouts"] == {"attention_dropout": 0.1}
    assert "off: attention_dropout (was 0.1)" in (result.out / "README.md").read_text()
