"""Train a model on verified examples, and after that on pairs of answers or on verdicts.

`train`, `train_dpo` and `train_grpo` are the entry points; `run`, `dpo` and `grpo` are the trainings from top to
bottom, `job` is what they share. `masking` decides which tokens carry loss and proves the mask; `preferences` loads
pairs, `tasks` tasks, and `rewards` judges answers; `batching` plans the batches.
"""

from __future__ import annotations

import os
from pathlib import Path

from selfcodealign.errors import MissingExtra
from selfcodealign.models.chat import PLAIN_TEMPLATE, write_prompt
from selfcodealign.settings import DpoSettings, ExecutionSettings, GrpoSettings, TrainSettings
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
    "train_dpo",
    "train_grpo",
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
    settings = settings or TrainSettings()
    _prepare(on_progress)
    if settings.processes > 1 and "WORLD_SIZE" not in os.environ:
        from selfcodealign.training.launch import launch

        return launch(dataset, model, Path(out), settings, on_progress, fresh=fresh)
    from selfcodealign.training.run import train_here

    return train_here(dataset, model, Path(out), settings, on_progress, fresh=fresh)


def train_dpo(
    dataset: str | Path,
    model: str,
    out: str | Path,
    settings: DpoSettings | None = None,
    on_progress: OnProgress = lambda event: None,
    *,
    fresh: bool = False,
) -> TrainResult:
    """Train `model` to prefer the chosen answers of pairs over the rejected ones (DPO), on one device.

    `dataset`: a run folder, whose passing and failing answers to one instruction become pairs, or a .jsonl or .parquet
    file with the columns prompt, chosen and rejected. `model`: a model folder, best one that `train` made, or a hub
    name. The rest is as for `train`; `figures` of the result has first and last margin and accuracy.

    Rafailov et al., 2023, arXiv:2305.18290. Raises `TrainingError`, `ModelError`, `MissingExtra`.
    """
    _prepare(on_progress)
    from selfcodealign.training.dpo import train_pairs

    return train_pairs(dataset, model, Path(out), settings or DpoSettings(), on_progress, fresh=fresh)


def train_grpo(
    dataset: str | Path,
    model: str,
    out: str | Path,
    settings: GrpoSettings | None = None,
    execution: ExecutionSettings | None = None,
    on_progress: OnProgress = lambda event: None,
    *,
    fresh: bool = False,
) -> TrainResult:
    """Train `model` on verdicts (GRPO): sampled answers run in the sandbox against their task's tests; one device.

    `dataset`: a run folder or a data-set folder, whose verified examples become tasks, or a .jsonl or .parquet file
    with the columns prompt and tests. An answer that passes has the reward 1, any other 0. `execution` are the limits
    of the sandbox. The rest is as for `train`; `reasons` of the result counts the answers by verdict.

    Shao et al., 2024, arXiv:2402.03300. Raises `TrainingError`, `ModelError`, `SandboxError`, `MissingExtra`.
    """
    _prepare(on_progress)
    from selfcodealign.training.grpo import train_on_verdicts

    return train_on_verdicts(
        dataset,
        model,
        Path(out),
        settings or GrpoSettings(),
        execution or ExecutionSettings(),
        on_progress,
        fresh=fresh,
    )


def _prepare(on_progress: OnProgress) -> None:
    """Set the environment of torch and TRL, and import them. Raises `MissingExtra`."""
    # By default TRL reports the trained model to its authors.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    # Spinning threads take the core from other programs; this must be set before torch loads.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if os.environ.get("RANK", "0") == "0":
        on_progress(Loading("importing torch, transformers and trl"))
    try:
        import accelerate  # noqa: F401
        import trl  # noqa: F401
    except ImportError:
        raise MissingExtra("training", "train") from None
