"""Fine-tune a base model on verified examples.

`train` is the entry point. `run` is the training from top to bottom; `masking` decides which tokens carry loss and
proves the mask; `batching` plans the batches; `loop` holds the trainer.
"""

from __future__ import annotations

import os
from pathlib import Path

from selfcodealign.errors import MissingExtra
from selfcodealign.models.chat import PLAIN_TEMPLATE, write_prompt
from selfcodealign.settings import TrainSettings
from selfcodealign.training.events import Event, Loading, Note, OnProgress, Proof, Step, TrainResult

__all__ = [
    "PLAIN_TEMPLATE",
    "Event",
    "Loading",
    "Note",
    "OnProgress",
    "Proof",
    "Step",
    "TrainResult",
    "train",
    "write_prompt",
]


def train(
    dataset: str | Path,
    model: str,
    out: str | Path,
    settings: TrainSettings | None = None,
    on_progress: OnProgress = lambda event: None,
    *,
    fresh: bool = False,
) -> TrainResult:
    """Fine-tune `model` on `dataset` and write the model, its report and its card to `out`.

    `dataset`: a run folder, a data-set folder, a .parquet or .jsonl file, or a hub name. `model`: a folder, a hub
    name or "embedded". A second call with the same arguments resumes from the last checkpoint, or returns the result at
    once if training is complete; `fresh` starts over. Ctrl-C writes a checkpoint and raises KeyboardInterrupt. With
    `settings.processes` > 1, accelerate starts that many processes.

    Raises `TrainingError` (data, masking, settings, folder), `ModelError`, `MissingExtra`.
    """
    # By default TRL reports the trained model to its authors.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    # Spinning threads take the core from other programs; this must be set before torch loads.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    settings = settings or TrainSettings()
    if os.environ.get("RANK", "0") == "0":
        on_progress(Loading("importing torch, transformers and trl"))
    try:
        import accelerate  # noqa: F401
        import trl  # noqa: F401
    except ImportError:
        raise MissingExtra("training", "train") from None
    if settings.processes > 1 and "WORLD_SIZE" not in os.environ:
        from selfcodealign.training.launch import launch

        return launch(dataset, model, Path(out), settings, on_progress, fresh=fresh)
    from selfcodealign.training.run import train_here

    return train_here(dataset, model, Path(out), settings, on_progress, fresh=fresh)
