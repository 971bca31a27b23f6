"""What every training does around its trainer, whatever it learns from: check, claim the folder, load, run, account."""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from selfcodealign.errors import ModelError, TrainingError
from selfcodealign.installation import install_packages
from selfcodealign.models.chat import Chat, open_chat
from selfcodealign.models.revisions import Source, ask_hub, digest_folder, find_source, is_elsewhere
from selfcodealign.training.events import Loading, Note, OnProgress, Proof, TrainResult
from selfcodealign.training.output import CHECKPOINTS, STOP, find_checkpoint, find_result, open_output
from selfcodealign.training.report import write_report
from selfcodealign.training.trainers import Settings, StopAtSignal, TellSteps
from selfcodealign.training.weights import load_model, load_tokenizer, save_model

_VERSIONS = ("selfcodealign", "torch", "transformers", "trl", "accelerate", "datasets")
#: What the report keeps of each step, besides the figures of the method.
_HISTORY = ("step", "loss", "learning_rate", "grad_norm", "tokens_per_second")


@dataclass(frozen=True)
class Job:
    """One training: what it begins with, where it goes, and whom it tells. `start` is a monotonic time in seconds."""

    model: str
    out: Path
    settings: Settings
    tell: OnProgress
    device: str
    source: Source
    start: float

    @property
    def mixed(self) -> bool:
        """Whether the arithmetic is bfloat16."""
        if self.settings.precision == "auto":
            # On a CPU without these instructions bfloat16 is emulated, and slower than float32.
            on_gpu = self.device == "cuda"
            return torch.cuda.is_bf16_supported() if on_gpu else torch.cpu._is_avx512_bf16_supported()
        return self.settings.precision == "mixed"

    @property
    def checkpoints(self) -> Path:
        return self.out / CHECKPOINTS


@dataclass(frozen=True)
class Opened:
    """A loaded model: `kept` is the precision it is stored in, `longest` the most tokens of a row."""

    chat: Chat
    network: Any
    kept: torch.dtype
    dropouts: dict[str, float]
    longest: int


def open_job(model: str, out: Path, settings: Settings, on_progress: OnProgress) -> Job:
    """Check device, trackers and weights. Raises `TrainingError`, `ModelError`."""
    start, rank = time.monotonic(), int(os.environ.get("RANK", "0"))
    device = _choose_device(settings)
    _check_reporters(settings)
    tell: OnProgress = on_progress if rank == 0 else lambda event: None
    return Job(model, out, settings, tell, device, _find_weights(model), start)


def claim(job: Job, dataset: str, facts: Mapping[str, Any], *, fresh: bool) -> TrainResult | None:
    """Claim the folder for this training, and return the result if it is complete. `facts` decide it besides the
    settings; `dataset` is the digest of the rows. Raises `TrainingError` for a folder of another training."""
    settings, folder = job.settings, job.source.folder
    deciding = settings.deciding()
    deciding.pop("model")
    identity = {
        "trained by": settings.section,
        "dataset": dataset,
        "model": job.model,
        "base weights": digest_folder(folder) if folder else job.model,
        **deciding,
        **facts,
    }
    rank = int(os.environ.get("RANK", "0"))
    if rank == 0:
        open_output(job.out, identity, fresh=fresh)
    done = find_result(job.out)
    if done is None or fresh:
        return None
    job.tell(Note(f"{job.out} is already trained; --fresh trains it again"))
    return done


def open_model(job: Job, *, packing: bool, longest: int) -> Opened:
    """Load tokenizer and weights, and note a base model where a tuned one is expected.

    `longest` is the setting; a shorter window of the model wins. Raises `ModelError`.
    """
    location = job.source.location
    if int(os.environ.get("RANK", "0")) == 0 and is_elsewhere(job.source, None):
        job.tell(Loading(f"asking the hub for {job.model}"))
        ask_hub(location, None)
    tokenizer, template = load_tokenizer(location), job.settings.chat_template
    if template == "auto":
        template = "model" if tokenizer.chat_template else "plain"
    if job.settings.section != "train" and not tokenizer.chat_template:
        job.tell(Note(f"{job.model} has no chat template, so it was not tuned to answer: train comes first"))
    chat = open_chat(tokenizer, template)
    job.tell(Loading(f"loading {job.model}"))
    network, kept, dropouts = load_model(location, job.settings, job.device, packing=packing)
    window = getattr(network.config, "max_position_embeddings", None)
    return Opened(chat, network, kept, dropouts, min(window or longest, longest))


def run_to_end(job: Job, trainer: Any, *, every: int = 1) -> None:
    """Train from the last checkpoint on. Raises KeyboardInterrupt after a stop, `TrainingError` for a loss that is not
    finite. `every`: checkpoints are written only after steps that it divides."""
    stop = StopAtSignal(job.out / STOP, every)
    trainer.add_callback(stop)
    checkpoint = find_checkpoint(job.out)
    if checkpoint is not None:
        job.tell(Note(f"resuming from step {checkpoint.name.rpartition('-')[2]}"))
    with stop.listening():
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if stop.asked and trainer.state.global_step < trainer.state.max_steps:
        job.tell(
            Note(
                f"stopped at step {trainer.state.global_step} of {trainer.state.max_steps} with a checkpoint; "
                "the same command resumes there"
            )
        )
        raise KeyboardInterrupt
    if not math.isfinite(trainer.state.log_history[-1].get("train_loss", 0.0)):
        raise TrainingError(
            f"the loss is not finite: lower {job.settings.section}.learning_rate, or set "
            f'{job.settings.section}.precision = "float32"'
        )


def history(trainer: Any, figures: Iterable[str] = ()) -> list[dict[str, float]]:
    """Return all steps, also those before a resume."""
    return [
        {key: float(entry[key]) for key in (*_HISTORY, *figures) if entry.get(key) is not None}
        for entry in trainer.state.log_history
        if "loss" in entry
    ]


def finish(
    job: Job,
    trainer: Any,
    opened: Opened,
    steps: TellSteps,
    proof: Proof,
    result: Mapping[str, Any],
    about: Mapping[str, Any],
) -> TrainResult:
    """Save the model, write the report and remove the checkpoints.

    `result` has the counts of the rows; `about` the data set, the split of the work, and the method's own facts.
    """
    save_model(trainer, opened.chat, job.source.location, job.out, opened.kept)
    told = history(trainer, steps.figures)
    losses, last = [step["loss"] for step in told], steps.last
    done = TrainResult(
        out=job.out,
        steps=trainer.state.global_step,
        first_loss=losses[0],
        last_loss=losses[-1],
        seconds=time.monotonic() - job.start,
        tokens_per_second=last.tokens_per_second if last else 0.0,
        useful_tokens_per_second=last.useful_tokens_per_second if last else 0.0,
        report=job.out / "train_report.html",
        losses=losses,
        method=trainer_method(job),
        **result,
    )
    if int(os.environ.get("RANK", "0")) == 0:
        common = {
            "method": done.method,
            "model": job.model,
            "settings": job.settings.model_dump(mode="json"),
            "versions": {name: version(name) for name in _VERSIONS},
            "dropouts": opened.dropouts,
        }
        write_report(job.out, done, told, proof, common | dict(about))
        shutil.rmtree(job.checkpoints, ignore_errors=True)
    return done


def trainer_method(job: Job) -> str:
    """The name of the way of training: sft, dpo or grpo."""
    return "sft" if job.settings.section == "train" else job.settings.section


def describe_split(job: Job, trainer: Any, micro_batch: int, accumulation: int, processes: int) -> dict[str, Any]:
    """Say how the rows of a step are split."""
    return {
        "micro_batch": micro_batch,
        "accumulation": accumulation,
        "processes": processes,
        "device": job.device,
        "sharing": str(trainer.accelerator.distributed_type.value),
        "mixed_precision": bool(trainer.args.bf16),
    }


def refuse_several_devices(job: Job) -> None:
    """Raise `TrainingError` unless there is one process with one device, which is what this method trains on."""
    method = job.settings.section
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise TrainingError(f"{method} trains in one process: start it without accelerate launch")
    if job.device == "cuda" and torch.cuda.device_count() > 1:
        raise TrainingError(f"{method} trains on one GPU, and several are visible: set CUDA_VISIBLE_DEVICES to one")


def _choose_device(settings: Settings) -> str:
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise TrainingError(f"{settings.section}.device = cuda, but torch sees no GPU")
    return settings.device if settings.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"


def _check_reporters(settings: Settings) -> None:
    section = settings.section
    for name in settings.report_to:
        if find_spec(name) is None:
            raise TrainingError(f"{section}.report_to names {name}, which is not installed: {install_packages(name)}")
    if "wandb" in settings.report_to:
        import wandb  # type: ignore[import-not-found]

        try:
            wandb.login()
        except wandb.errors.UsageError:
            raise TrainingError(
                f"{section}.report_to names wandb, which has no key: wandb login, or WANDB_MODE=offline"
            ) from None


def _find_weights(model: str) -> Source:
    """Return where the weights are. Raises `ModelError` for what cannot be tuned."""
    source = find_source(model, None)
    if source.untunable:
        raise ModelError(f"{model} is {source.untunable}; tune a checkpoint's folder (save_pretrained) or a hub name")
    return source
