"""Supervised training from data set to model folder, top to bottom."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from selfcodealign.errors import TrainingError
from selfcodealign.models.chat import Chat
from selfcodealign.settings import TrainSettings
from selfcodealign.training.batching import BatchPlan, plan_batches
from selfcodealign.training.conversations import Conversations, load_mixed
from selfcodealign.training.events import Note, OnProgress, Proof, TrainResult
from selfcodealign.training.figures import describe_dropouts
from selfcodealign.training.job import Job, Opened, claim, describe_split, finish, open_job, open_model, run_to_end
from selfcodealign.training.masking import NO_LOSS, TokenRows, choose_proof, mask_rows, show_loss
from selfcodealign.training.trainers import TellSteps, quiet
from selfcodealign.training.weights import choose_adapters


def train_here(
    dataset: str | Path, model: str, out: Path, settings: TrainSettings, on_progress: OnProgress, *, fresh: bool
) -> TrainResult:
    """Train in this process, alone or as one of a launcher's processes. Raises the same errors as `training.train`."""
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if settings.processes not in (1, processes):
        raise TrainingError(f"train.processes = {settings.processes}, but the launcher started {processes}")
    with quiet():
        job = open_job(model, out, settings, on_progress)
        conversations = load_mixed(dataset, settings.mix, settings.seed)
        split = {"processes": processes, "parallel": settings.parallel if processes > 1 else "none"}
        done = claim(job, conversations.digest, split, fresh=fresh)
        if done is not None:
            return done
        opened = open_model(job, packing=settings.packing, longest=settings.max_tokens)
        rows = mask_rows(conversations.rows, opened.chat, opened.longest, settings.bad_rows)
        proof = _prove(rows, opened.chat, settings)
        _tell_rows(rows, opened.longest, job.tell)
        job.tell(proof)
        if opened.dropouts:
            job.tell(Note(f"dropout is off: {describe_dropouts(opened.dropouts)}"))
        plan = plan_batches(
            [len(row) for row in rows.rows],
            batch=settings.batch,
            micro_batch=settings.micro_batch,
            processes=processes,
            seed=settings.seed,
            device=job.device,
        )
        trainer = _assemble(job, opened, rows, plan, settings)
        _check_sharing(trainer, settings)
        totals = _count_tokens(rows, plan, settings.epochs)
        steps = TellSteps(plan.steps_per_epoch, lambda step, logs: totals[step - 1], job.tell)
        trainer.add_callback(steps)
        run_to_end(job, trainer)
        result = {
            "rows": len(rows.rows),
            "dropped": rows.dropped,
            "tokens": rows.tokens,
            "loss_tokens": rows.loss_tokens,
        }
        about = _describe(conversations) | {
            "split": describe_split(job, trainer, plan.micro_batch, plan.accumulation, plan.processes)
        }
        return finish(job, trainer, opened, steps, proof, result, about)


def _prove(rows: TokenRows, chat: Chat, settings: TrainSettings) -> Proof:
    chosen = choose_proof(rows.rows, settings.proof_rows)
    return Proof([row.number for row in chosen], [show_loss(row, chat) for row in chosen])


def _tell_rows(rows: TokenRows, longest: int, tell: OnProgress) -> None:
    text = f"{len(rows.rows)} rows, {rows.tokens:,} tokens, {rows.loss_tokens:,} with loss"
    if rows.dropped:
        counts = ", ".join(f"{count} {reason}" for reason, count in rows.dropped.items())
        text += f"; left out: {counts} (a row may have {longest} tokens)"
    tell(Note(text))


def _count_tokens(rows: TokenRows, plan: BatchPlan, epochs: int) -> list[tuple[int, int]]:
    """Count the tokens of each step, and those with loss."""
    counts = [(len(row), sum(label != NO_LOSS for label in row.labels)) for row in rows.rows] + [(0, 0)]
    steps = (step for epoch in range(epochs) for step in plan.steps(epoch))
    return [(sum(counts[row][0] for row in step), sum(counts[row][1] for row in step)) for step in steps]


def _assemble(job: Job, opened: Opened, rows: TokenRows, plan: BatchPlan, settings: TrainSettings) -> Any:
    from selfcodealign.training.isolation import ProveIsolation
    from selfcodealign.training.loop import build_trainer

    tokenizer = opened.chat.tokenizer
    trainer = build_trainer(
        opened.network,
        tokenizer,
        rows.rows,
        plan,
        settings,
        checkpoints=job.checkpoints,
        device=job.device,
        mixed=job.mixed,
        adapters=choose_adapters(settings),
    )
    if settings.packing:
        shortest = sorted(rows.rows, key=lambda row: (len(row), row.number))[:2]
        trainer.add_callback(ProveIsolation(trainer, [row.input_ids for row in shortest], len(tokenizer)))
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


def _describe(conversations: Conversations) -> dict[str, Any]:
    return {
        "dataset": conversations.source,
        "dataset_digest": conversations.digest,
        "written_by": conversations.written_by,
        "datasets": [asdict(part) | {"told": part.describe()} for part in conversations.parts],
    }
