"""`push RUN/tuned REPO`: weights, tokenizer and a card that has the scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard

from tests.support.hub_server import HubServer
from tests.support.published import add_model, push


def test_the_card_that_arrives_has_the_scores(finished: Path, hub: HubServer, tmp_path: Path) -> None:
    """In the hub's own form with interval, number of tasks and version; as a table beside the base model's; the files
    equal the local ones, and reports with places of this machine stay."""
    tuned = finished / "tuned"
    before = (tuned / "README.md").read_bytes()
    done = push(hub, tmp_path, tuned, "ada/model", "--yes", "--license", "apache-2.0")
    assert done.returncode == 0, done.stderr
    files = hub.repositories["model", "ada/model"].files
    stays = {"train_report.html", "train_report.json"}
    names = {path.name for path in tuned.iterdir()} - stays
    assert set(files) == names
    assert all(files[name] == (tuned / name).read_bytes() for name in names - {"README.md"})
    assert (tuned / "README.md").read_bytes() == before, "the run itself is not changed"
    card = ModelCard(files["README.md"].decode())
    data: Any = card.data
    (result,) = data.eval_results
    assert (result.metric_type, result.metric_value) == ("pass@1", 90.0)
    assert (result.dataset_name, result.dataset_type) == ("humaneval+", "evalplus/humanevalplus")
    assert result.metric_name == "pass@1 in percent, 164 tasks, 95 % interval 86.0 to 94.0"
    assert data.base_model == "owner/base"
    assert data.license == "apache-2.0"
    assert "| tuned | chat | humaneval+ | 1 | 90.0 [86.0–94.0] | 164 |" in card.text
    assert "tuned is 77.5 points above base (chat)" in card.text
    assert 'from_pretrained("ada/model")' in card.text
    assert str(finished) not in card.text, "places of this machine say nothing to others"
    assert "the card lacks" not in done.stdout


def test_scores_of_earlier_weights_do_not_go(run: Path, hub: HubServer, tmp_path: Path) -> None:
    """A model that was tuned again after its evaluation has none: the dry run says so."""
    add_model(run, scored=False)
    done = push(hub, tmp_path, run / "tuned", "ada/model", "--dry-run")
    assert "note: no scores: those in " in done.stdout
    assert "the card lacks: license, model-index" in done.stdout


def test_a_model_that_learned_further_names_the_first_base(run: Path, hub: HubServer, tmp_path: Path) -> None:
    """`dpo` began with RUN/tuned: the card's base is that of the first training, and no path of this machine."""
    report = json.loads((run / "tuned" / "train_report.json").read_text())
    (run / "tuned").rename(run / "first")
    add_model(run, base=str(run / "first"))
    (run / "tuned").rename(run / "dpo")
    assert report["model"] == "owner/base"
    done = push(hub, tmp_path, run / "dpo", "ada/model", "--yes")
    assert done.returncode == 0, done.stderr
    card = ModelCard(hub.repositories["model", "ada/model"].files["README.md"].decode())
    assert card.data.get("base_model") == "owner/base"
    assert str(run) not in card.text


def test_what_a_training_leaves_behind_stays(run: Path, hub: HubServer, tmp_path: Path) -> None:
    """Checkpoints, optimizer states and settings do not go; a training that is not complete is refused."""
    tuned = run / "tuned"
    (tuned / "optimizer.pt").write_bytes(b"x")
    (tuned / "nested").mkdir()
    (tuned / "nested" / "model.safetensors").write_bytes(b"x")
    done = push(hub, tmp_path, tuned, "ada/model", "--dry-run", "--with-report")
    assert "optimizer.pt" in done.stdout.partition("stays here: ")[2]
    assert "nested/model.safetensors" in done.stdout.partition("stays here: ")[2]
    assert "train_report.html" in done.stdout.partition("stays here: ")[0]
    (tuned / "checkpoints").mkdir()
    (tuned / "train_report.json").unlink()
    stopped = push(hub, tmp_path, tuned, "ada/model", "--dry-run")
    assert "is not complete: the same command resumes it" in stopped.stderr
    (tuned / "checkpoints").rmdir()
    (tuned / "model.safetensors").unlink()
    assert "holds no weights" in push(hub, tmp_path, tuned, "ada/model", "--dry-run").stderr


def test_a_folder_of_another_trainer_gets_a_plain_card(run: Path, hub: HubServer, tmp_path: Path) -> None:
    """Weights and a configuration are enough; what the card lacks is told."""
    tuned = run / "tuned"
    for name in ("README.md", "train_report.json", "train_report.html", "loss.svg"):
        (tuned / name).unlink()
    moved = tuned.rename(tmp_path / "other")
    done = push(hub, tmp_path, moved, "ada/model", "--yes")
    assert done.returncode == 0, done.stderr
    assert "the card lacks: license, base_model, tags, model-index" in done.stdout
    assert "# model" in hub.repositories["model", "ada/model"].files["README.md"].decode()
