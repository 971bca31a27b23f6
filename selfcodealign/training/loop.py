"""TRL's SFTTrainer on rows that are already tokenized, masked and planned.

This module adds the order of the rows (`batching`), the loss on a CPU, stopping with a checkpoint, and silence.
"""

from __future__ import annotations

import contextlib
import logging
import math
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import transformers
from torch.nn import functional
from torch.utils.data import Sampler
from transformers import PrinterCallback, TrainerCallback
from transformers.integrations.integration_utils import TensorBoardCallback
from trl import SFTConfig, SFTTrainer

from selfcodealign.settings import TrainSettings
from selfcodealign.training.adafactor import ShardedAdafactor
from selfcodealign.training.batching import BatchPlan
from selfcodealign.training.events import OnProgress, Step
from selfcodealign.training.masking import NO_LOSS, TokenRow


class PlannedOrder(Sampler[int]):
    """The rows of all epochs in sequence, so that a resumed run skips trained rows by counting."""

    def __init__(self, plan: BatchPlan, epochs: int) -> None:
        self.plan, self.epochs = plan, epochs

    def __len__(self) -> int:
        return self.epochs * self.plan.steps_per_epoch * self.plan.batch

    def __iter__(self) -> Iterator[int]:
        for epoch in range(self.epochs):
            for rows in self.plan.steps(epoch):
                yield from rows


class PlannedTrainer(SFTTrainer):
    """SFTTrainer that reads its rows in planned order."""

    def __init__(self, *args: Any, plan: BatchPlan, epochs: int, **kwargs: Any) -> None:
        self._order = PlannedOrder(plan, epochs)
        super().__init__(*args, **kwargs)
        # On a GPU TRL's fused head scores only positions with loss. On a CPU it scores all positions, entropy included,
        # which takes a quarter of a small model's step.
        self._compact = self.padding_free and self.args.device.type == "cpu"

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        return self._order

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Write no card: `report` writes it once, with the result."""

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        # For the Trainer all epochs are one; trackers must get the real epoch.
        real = self.state.epoch
        self.state.epoch = self.state.global_step / self._order.plan.steps_per_epoch
        super().log(logs, start_time)
        self.state.epoch = real

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Mean negative log-likelihood over the loss tokens of the whole step (all passes and processes)."""
        if not self._compact or return_outputs or num_items_in_batch is None:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        targets = inputs.pop("labels")[0, 1:]
        scored = (targets != NO_LOSS).nonzero().flatten()
        logits = model(**inputs, use_cache=False, logits_to_keep=scored).logits[0]
        loss = functional.cross_entropy(logits.float(), targets[scored], reduction="sum") / num_items_in_batch
        return loss * self.accelerator.num_processes  # gradients are averaged over processes


class StopAtSignal(TrainerCallback):
    """Ctrl-C, SIGTERM or a stop file: the current step ends, a checkpoint is written, training stops.

    A second Ctrl-C stops at once.
    """

    def __init__(self, stop_file: Path) -> None:
        self.asked, self.stop_file = False, stop_file

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._hear) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _hear(self, number: int, frame: object) -> None:
        if self.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked = True

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.asked = self.asked or self.stop_file.exists()
        # Processes receive the signal at different times, and a process that stops alone leaves the others waiting.
        if args.world_size > 1:
            heard = torch.tensor(int(self.asked), device=args.device)
            torch.distributed.all_reduce(heard, op=torch.distributed.ReduceOp.MAX)
            self.asked = bool(heard.item())
        if self.asked:
            control.should_save = control.should_training_stop = True


class TellSteps(TrainerCallback):
    """Turns the Trainer's logs into `Step` events."""

    def __init__(self, plan: BatchPlan, rows: list[TokenRow], epochs: int, tell: OnProgress) -> None:
        self.plan, self.tell = plan, tell
        self.last: Step | None = None
        self._tokens = [(len(row), sum(label != NO_LOSS for label in row.labels)) for row in rows] + [(0, 0)]
        self._order = (step for epoch in range(epochs) for step in plan.steps(epoch))
        self._seen = [0, 0]

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        for _ in range(state.global_step):
            next(self._order)
        self._start, self._first = time.monotonic(), state.global_step

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        if not logs or "loss" not in logs:
            return
        for row in next(self._order):
            for i in (0, 1):
                self._seen[i] += self._tokens[row][i]
        seconds = time.monotonic() - self._start
        step = Step(
            step=state.global_step,
            steps=state.max_steps,
            epoch=state.global_step / self.plan.steps_per_epoch,
            loss=float(logs["loss"]),
            learning_rate=float(logs["learning_rate"]),
            grad_norm=float(logs.get("grad_norm", math.nan)),
            tokens_per_second=self._seen[0] / seconds,
            useful_tokens_per_second=self._seen[1] / seconds,
            seconds_left=seconds / (state.global_step - self._first) * (state.max_steps - state.global_step),
        )
        self.last = step
        state.log_history[-1]["tokens_per_second"] = step.tokens_per_second  # kept by checkpoints, for the report
        self.tell(step)


def build_trainer(
    model: Any,
    tokenizer: Any,
    rows: list[TokenRow],
    plan: BatchPlan,
    settings: TrainSettings,
    *,
    checkpoints: Path,
    device: str,
    mixed: bool,
    adapters: Any = None,
) -> PlannedTrainer:
    """Set up the trainer. `adapters` is a peft configuration; `mixed` requests bfloat16 arithmetic."""
    from datasets import Dataset

    blank = {"input_ids": [tokenizer.eos_token_id], "labels": [NO_LOSS]}
    dataset = Dataset.from_list([{"input_ids": row.input_ids, "labels": row.labels} for row in rows] + [blank])
    trainer = PlannedTrainer(
        model=model,
        args=_trainer_arguments(plan, settings, checkpoints, device, mixed),
        train_dataset=dataset,
        processing_class=tokenizer,
        peft_config=adapters,
        optimizer_cls_and_kwargs=_choose_optimizer(settings),
        plan=plan,
        epochs=settings.epochs,
    )
    trainer.remove_callback(PrinterCallback)
    _keep_tensorboard_files(trainer, checkpoints.parent / "tensorboard")
    return trainer


def _trainer_arguments(
    plan: BatchPlan, settings: TrainSettings, checkpoints: Path, device: str, mixed: bool
) -> SFTConfig:
    checkpointing = device != "cpu" if settings.gradient_checkpointing is None else settings.gradient_checkpointing
    return SFTConfig(
        output_dir=str(checkpoints),
        num_train_epochs=1,
        max_steps=settings.max_steps or -1,
        per_device_train_batch_size=plan.micro_batch,
        gradient_accumulation_steps=plan.accumulation,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=settings.schedule,
        warmup_steps=settings.warmup,
        optim="adamw_torch",
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        bf16=mixed,
        use_cpu=device == "cpu",
        gradient_checkpointing=checkpointing,
        max_length=None,
        padding_free=settings.packing,
        dataset_kwargs={"skip_prepare_dataset": True},
        seed=settings.seed,
        data_seed=settings.seed,
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_strategy="steps",
        save_steps=settings.checkpoint_steps or plan.steps_per_epoch,
        save_total_limit=2,
        report_to=list(settings.report_to) or "none",
        run_name=checkpoints.parent.name,
        disable_tqdm=True,
        dataloader_pin_memory=device != "cpu",
    )


def _keep_tensorboard_files(trainer: PlannedTrainer, folder: Path) -> None:
    """Move TensorBoard's files out of the checkpoints' folder, which is removed in the end."""
    for callback in trainer.callback_handler.callbacks:
        if isinstance(callback, TensorBoardCallback):
            callback.logging_dir = callback.logging_dir or str(folder)


def _choose_optimizer(settings: TrainSettings) -> tuple[type[torch.optim.Optimizer], dict[str, Any]] | None:
    """Return Adafactor with the schedule's learning rate, as published, or None for the Trainer's default, AdamW."""
    if settings.optimizer == "adamw":
        return None
    return ShardedAdafactor, {"lr": settings.learning_rate, "scale_parameter": False, "relative_step": False}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence the bars and warnings of libraries; exceptions still propagate."""
    import datasets

    level = transformers.logging.get_verbosity()
    bars = transformers.logging.is_progress_bar_enabled(), datasets.is_progress_bar_enabled()
    loggers = [logging.getLogger(name) for name in ("accelerate", "torch.distributed", "trl", "huggingface_hub")]
    before = [logger.level for logger in loggers]
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    datasets.disable_progress_bars()
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        transformers.logging.set_verbosity(level)
        if bars[0]:
            transformers.logging.enable_progress_bar()
        if bars[1]:
            datasets.enable_progress_bars()
        for logger, was in zip(loggers, before, strict=True):
            logger.setLevel(was)
