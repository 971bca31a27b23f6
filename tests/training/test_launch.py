"""Several processes: the same training; events and result reach the launching process."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml

from selfcodealign.errors import ModelError
from selfcodealign.training import Loading, Note, Proof, Step, train
from selfcodealign.training.launch import read_event, write_event
from selfcodealign.training.masking import Piece
from tests.support.tiny_model import FAST


def test_two_processes_learn_what_one_learns(tiny_base: Path, dataset: Path, tmp_path: Path):
    """Stopped in step 2 and resumed, two gloo processes end with the losses of one process, up to rounding."""
    settings = FAST.model_copy(update={"micro_batch": 2})
    alone = train(dataset, str(tiny_base), tmp_path / "alone", settings)
    events: list = []

    def interrupt(event: object) -> None:
        if isinstance(event, Step) and event.step == 2:
            raise KeyboardInterrupt

    both = settings.model_copy(update={"processes": 2})
    with pytest.raises(KeyboardInterrupt):
        train(dataset, str(tiny_base), tmp_path / "both", both, interrupt)
    assert list((tmp_path / "both" / "checkpoints").iterdir())
    result = train(dataset, str(tiny_base), tmp_path / "both", both, events.append)
    assert result.losses == pytest.approx(alone.losses, rel=1e-4)
    events = [event for event in events if not isinstance(event, Loading)]
    notes = [event.text for event in events if isinstance(event, Note)]
    assert any(isinstance(event, Proof) for event in events)
    assert any(text.startswith("resuming from step") for text in notes)
    split = json.loads((tmp_path / "both" / "train_report.json").read_text())["split"]
    assert (split["processes"], split["accumulation"], split["sharing"]) == (2, 2, "MULTI_CPU")


@pytest.mark.parametrize(
    "event",
    [
        Note("a"),
        Loading("b"),
        Step(1, 2, 0.5, 3.0, 1e-5, 1.0, 100.0, 50.0, 9.0),
        Proof([3], [[Piece("x\n", False, 2), Piece("y", True, 1)]]),
    ],
    ids=lambda event: type(event).__name__,
)
def test_events_come_through_the_pipe_as_they_were(event: object):
    """An event passes from worker to caller as one line, unchanged."""
    line = write_event(event)  # type: ignore[arg-type]
    assert "\n" not in line
    assert read_event(line) == event


def test_errors_of_workers_arrive_as_what_they_are():
    """A ModelError of a worker is a ModelError of the call, with its message."""
    error = read_event(write_event(ModelError("no such model")))
    assert type(error) is ModelError
    assert str(error) == "no such model"


@pytest.mark.parametrize("name", ["cpu", "ddp", "fsdp2", "zero3"])
def test_shipped_launch_files_are_understood_by_accelerate(name: str):
    """accelerate's own reader takes each file; precision is left to the settings."""
    from accelerate.commands.config.config_args import load_config_from_file

    file = resources.files("selfcodealign") / "accelerate" / f"{name}.yaml"
    config: Any = load_config_from_file(str(file))
    assert config.mixed_precision == "no"
    assert config.distributed_type.value == {"fsdp2": "FSDP", "zero3": "DEEPSPEED"}.get(name, "MULTI_GPU")
    assert yaml.safe_load(file.read_text())["num_processes"] == config.num_processes
