"""Fine-tuning: a base model and verified examples in, an instruction-tuned model out.

`train` is the whole of it. The order of things is in `run`; `masking` decides which tokens carry loss and proves it,
`batching` which rows go together, `loop` holds the trainer.
"""

from __future__ import annotations

import os
from pathlib import Path

from selfcodealign.errors import MissingExtra
from selfcodealign.models.chat import PLAIN_TEMPLATE, write_prompt
from selfcodealign.settings import TrainSettings
from selfcodealign.training.events import Event, Note, OnProgress, Proof, Step, TrainResult

__all__ = [
    "PLAIN_TEMPLATE",
    "Event",
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
    """Fine-tune `model` on `dataset` and leave a model folder, its report and its card in `out`.

    `dataset`: a run folder, a data-set folder, a .parquet or .jsonl file, or a hub name. `model`: a folder, a hub
    name or "embedded". Called again with the same arguments it goes on from the last checkpoint, and returns the
    result at once when training is complete; `fresh` starts anew. Ctrl-C writes a checkpoint and raises
    KeyboardInterrupt. With `settings.processes` > 1 as many processes are started with accelerate.

    Raises `TrainingError` (data, masking, settings, folder), `ModelError`, `MissingExtra`.
    """
    # TRL reports which model is trained to its authors unless it is told not to.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    # Threads that spin while they wait take the core away from whoever shares it; has to be set before torch loads.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    settings = settings or TrainSettings()
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
