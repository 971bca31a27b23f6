"""A training from data set to model folder, top to bottom."""

from __future__ import annotations

import math
import os
import shutil
import time
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from selfcodealign.errors import ModelError, TrainingError
from selfcodealign.installation import install_packages
from selfcodealign.models.chat import Chat, open_chat
from selfcodealign.models.revisions import Source, ask_hub, digest_folder, find_source, is_elsewhere
from selfcodealign.settings import TrainSettings
from selfcodealign.training.batching import BatchPlan, plan_batches
from selfcodealign.training.conversations import Conversations, load_mixed
from selfcodealign.training.events import Loading, Note, OnProgress, Proof, TrainResult
from selfcodealign.training.masking import TokenRows, choose_proof, mask_rows, show_loss
from selfcodealign.training.output import CHECKPOINTS, STOP, find_checkpoint, find_result, open_output
from selfcodealign.training.report import write_report
from selfcodealign.training.weights import (
    choose_adapters,
    describe_dropouts,
    load_model,
    load_tokenizer,
    save_model,
)


def train_here(
    dataset: str | Path, model: str, out: Path, settings: TrainSettings, on_progress: OnProgress, *, fresh: bool
) -> TrainResult:
    """Train in this process, alone or as one of a launcher's processes. Raises the same errors as `training.train`."""
    from selfcodealign.training.loop import TellSteps, quiet

    start = time.monotonic()
    rank, processes = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if settings.processes not in (1, processes):
        raise TrainingError(f"train.processes = {settings.processes}, but the launcher started {processes}")
    tell: OnProgress = on_progress if rank == 0 else lambda event: None
    device = _choose_device(settings)
    _check_reporters(settings)
    with quiet():
        source = _find_weights(model)
        location, folder = source.location, source.folder
        conversations = load_mixed(dataset, settings.mix, settings.seed)
        identity = _identify(conversations, model, folder, settings, processes)
        if rank == 0:
            open_output(out, identity, fresh=fresh)
        done = find_result(out)
        if done is not None and not fresh:
            tell(Note(f"{out} is already trained; --fresh trains it again"))
            return done
        if rank == 0 and is_elsewhere(source, None):
            tell(Loading(f"asking the hub for {model}"))
            ask_hub(location, None)
        chat = open_chat(load_tokenizer(location), settings.chat_template)
        tell(Loading(f"loading {model}"))
        network, kept, dropouts = load_model(location, settings, device)
        longest = _longest(network, settings)
        rows = mask_rows(conversations.rows, chat, longest, settings.bad_rows)
        proof = _prove(rows, chat, settings)
        _tell_rows(rows, longest, tell)
        tell(proof)
        if dropouts:
            tell(Note(f"dropout is off: {describe_dropouts(dropouts)}"))
        plan = _plan(rows, settings, processes, device)
        trainer = _assemble(network, chat, rows, plan, settings, out, device)
        _check_sharing(trainer, settings)
        steps = TellSteps(plan, rows.rows, settings.epochs, tell)
        trainer.add_callback(steps)
        _run(trainer, out, tell)
        save_model(trainer, chat, location, out, kept)
        result = _sum_up(out, trainer, rows, steps, time.monotonic() - start)
        if rank == 0:
            about = _about(conversations, model, settings, plan, trainer, device) | {"dropouts": dropouts}
            write_report(out, result, _history(trainer), proof, about)
            shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)
    return result


def _choose_device(settings: TrainSettings) -> str:
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise TrainingError("train.device = cuda, but torch sees no GPU")
    return settings.device if settings.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"


def _check_reporters(settings: TrainSettings) -> None:
    from importlib.util import find_spec

    for name in settings.report_to:
        if find_spec(name) is None:
            raise TrainingError(f"train.report_to names {name}, which is not installed: {install_packages(name)}")
    if "wandb" in settings.report_to:
        import wandb  # type: ignore[import-not-found]

        try:
            wandb.login()
        except wandb.errors.UsageError:
            raise TrainingError(
                "train.report_to names wandb, which has no key: wandb login, or WANDB_MODE=offline"
            ) from None


def _find_weights(model: str) -> Source:
    """Return where the weights are. Raises `ModelError` for what cannot be tuned."""
    source = find_source(model, None)
    if source.untunable:
        raise ModelError(f"{model} is {source.untunable}; tune a checkpoint's folder (save_pretrained) or a hub name")
    return source


def _identify(
    conversations: Conversations, model: str, folder: Path | None, settings: TrainSettings, processes: int
) -> dict[str, Any]:
    """Return the identity of a training, without settings that only change the speed."""
    deciding = {
        name: value
        for name, value in settings.model_dump(mode="json").items()
        if not (type(settings).model_fields[name].json_schema_extra or {}).get("free")  # type: ignore[union-attr]
    }
    split = {"processes": processes, "parallel": settings.parallel if processes > 1 else "none"}
    deciding.pop("model")
    return {
        "dataset": conversations.digest,
        "model": model,
        "weights": digest_folder(folder) if folder else model,
        **deciding,
        **split,
    }


def _longest(network: Any, settings: TrainSettings) -> int:
    """Return the most tokens of a row: the setting, or the model's window if that is shorter."""
    window = getattr(network.config, "max_position_embeddings", None)
    return min(window or settings.max_tokens, settings.max_tokens)


def _prove(rows: TokenRows, chat: Chat, settings: TrainSettings) -> Proof:
    chosen = choose_proof(rows.rows, settings.proof_rows)
    return Proof([row.number for row in chosen], [show_loss(row, chat) for row in chosen])


def _tell_rows(rows: TokenRows, longest: int, tell: OnProgress) -> None:
    text = f"{len(rows.rows)} rows, {rows.tokens:,} tokens, {rows.loss_tokens:,} with loss"
    if rows.dropped:
        counts = ", ".join(f"{count} {reason}" for reason, count in rows.dropped.items())
        text += f"; left out: {counts} (a row may have {longest} tokens)"
    tell(Note(text))


def _plan(rows: TokenRows, settings: TrainSettings, processes: int, device: str) -> BatchPlan:
    return plan_batches(
        [len(row) for row in rows.rows],
        batch=settings.batch,
        micro_batch=settings.micro_batch,
        processes=processes,
        seed=settings.seed,
        device=device,
    )


def _assemble(
    network: Any, chat: Chat, rows: TokenRows, plan: BatchPlan, settings: TrainSettings, out: Path, device: str
) -> Any:
    from selfcodealign.training.isolation import ProveIsolation
    from selfcodealign.training.loop import build_trainer

    trainer = build_trainer(
        network,
        chat.tokenizer,
        rows.rows,
        plan,
        settings,
        checkpoints=out / CHECKPOINTS,
        device=device,
        mixed=_is_mixed(settings, device),
        adapters=choose_adapters(settings),
    )
    if settings.packing:
        shortest = sorted(rows.rows, key=lambda row: (len(row), row.number))[:2]
        trainer.add_callback(ProveIsolation(trainer, [row.input_ids for row in shortest], len(chat.tokenizer)))
    return trainer


def _check_sharing(trainer: Any, settings: TrainSettings) -> None:
    """Check that the requested way of sharing is in force, because a launcher may silently use another."""
    found = "fsdp2" if trainer.is_fsdp_enabled else "zero3" if trainer.is_deepspeed_enabled else "ddp"
    if settings.processes > 1 and found != settings.parallel:
        raise TrainingError(f"train.parallel = {settings.parallel}, but accelerate set up {found}")
    if found == "zero3" and settings.optimizer == "adafactor":
        # ZeRO shards flattened weights, but Adafactor keeps averages of rows and columns: its steps would differ.
        raise TrainingError(
            "Adafactor needs weights in their shape, but ZeRO flattens them: use fsdp2, or train.optimizer=adamw"
        )


def _is_mixed(settings: TrainSettings, device: str) -> bool:
    if settings.precision == "auto":
        # On a CPU without these instructions bfloat16 is emulated, and slower than float32.
        return torch.cuda.is_bf16_supported() if device == "cuda" else torch.cpu._is_avx512_bf16_supported()
    return settings.precision == "mixed"


def _run(trainer: Any, out: Path, tell: OnProgress) -> None:
    from selfcodealign.training.loop import StopAtSignal

    stop = StopAtSignal(out / STOP)
    trainer.add_callback(stop)
    checkpoint = find_checkpoint(out)
    if checkpoint is not None:
        tell(Note(f"resuming from step {checkpoint.name.rpartition('-')[2]}"))
    with stop.listening():
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if stop.asked and trainer.state.global_step < trainer.state.max_steps:
        tell(
            Note(
                f"stopped at step {trainer.state.global_step} of {trainer.state.max_steps} with a checkpoint; "
                "the same command resumes there"
            )
        )
        raise KeyboardInterrupt
    if not math.isfinite(trainer.state.log_history[-1].get("train_loss", 0.0)):
        raise TrainingError('the loss is not finite: lower train.learning_rate, or set train.precision = "float32"')


def _history(trainer: Any) -> list[dict[str, float]]:
    """Return all steps, also those before a resume."""
    keys = ("step", "loss", "learning_rate", "grad_norm", "tokens_per_second")
    return [
        {key: float(entry[key]) for key in keys if key in entry}
        for entry in trainer.state.log_history
        if "loss" in entry
    ]


def _sum_up(out: Path, trainer: Any, rows: TokenRows, steps: Any, seconds: float) -> TrainResult:
    losses = [step["loss"] for step in _history(trainer)]
    last = steps.last
    return TrainResult(
        out=out,
        steps=trainer.state.global_step,
        rows=len(rows.rows),
        dropped=rows.dropped,
        tokens=rows.tokens,
        loss_tokens=rows.loss_tokens,
        first_loss=losses[0],
        last_loss=losses[-1],
        seconds=seconds,
        tokens_per_second=last.tokens_per_second if last else 0.0,
        useful_tokens_per_second=last.useful_tokens_per_second if last else 0.0,
        report=out / "train_report.html",
        losses=losses,
    )


def _about(
    conversations: Conversations, model: str, settings: TrainSettings, plan: BatchPlan, trainer: Any, device: str
) -> dict[str, Any]:
    return {
        "model": model,
        "dataset": conversations.source,
        "dataset_digest": conversations.digest,
        "written_by": conversations.written_by,
        "datasets": [asdict(part) | {"told": part.describe()} for part in conversations.parts],
        "settings": settings.model_dump(mode="json"),
        "split": {
            "micro_batch": plan.micro_batch,
            "accumulation": plan.accumulation,
            "processes": plan.processes,
            "device": device,
            "sharing": str(trainer.accelerator.distributed_type.value),
            "mixed_precision": bool(trainer.args.bf16),
        },
        "versions": {
            name: version(name) for name in ("selfcodealign", "torch", "transformers", "trl", "accelerate", "datasets")
        },
    }
