"""What the trainers of TRL share here: arguments, optimizer, events of the steps, a stop with a checkpoint, silence."""

from __future__ import annotations

import contextlib
import logging
import math
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import PrinterCallback, TrainerCallback
from transformers.integrations.integration_utils import TensorBoardCallback

from selfcodealign.training.adafactor import ShardedAdafactor
from selfcodealign.training.events import OnProgress, Step
from selfcodealign.training.weights import Settings


def shared_arguments(settings: Settings, checkpoints: Path, device: str, *, mixed: bool) -> dict[str, Any]:
    """Return the arguments that are the same for every trainer. `mixed` requests bfloat16 arithmetic."""
    checkpointing = device != "cpu" if settings.gradient_checkpointing is None else settings.gradient_checkpointing
    return {
        "output_dir": str(checkpoints),
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": settings.schedule,
        "warmup_steps": settings.warmup,
        "optim": "adamw_torch",
        "weight_decay": settings.weight_decay,
        "max_grad_norm": settings.max_grad_norm,
        "bf16": mixed,
        "use_cpu": device == "cpu",
        "gradient_checkpointing": checkpointing,
        "seed": settings.seed,
        "data_seed": settings.seed,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_strategy": "steps",
        "save_total_limit": 2,
        "report_to": list(settings.report_to) or "none",
        "run_name": checkpoints.parent.name,
        "disable_tqdm": True,
        "dataloader_pin_memory": device != "cpu",
    }


def choose_optimizer(settings: Settings) -> tuple[type[torch.optim.Optimizer], dict[str, Any]] | None:
    """Return Adafactor with the schedule's learning rate, as published, or None for the Trainer's default, AdamW."""
    if settings.optimizer == "adamw":
        return None
    return ShardedAdafactor, {"lr": settings.learning_rate, "scale_parameter": False, "relative_step": False}


def settle_callbacks(trainer: Any, checkpoints: Path) -> None:
    """Silence the Trainer's printer, and move TensorBoard's files out of the checkpoints' folder, which is removed."""
    trainer.remove_callback(PrinterCallback)
    for callback in trainer.callback_handler.callbacks:
        if isinstance(callback, TensorBoardCallback):
            callback.logging_dir = callback.logging_dir or str(checkpoints.parent / "tensorboard")


class StopAtSignal(TrainerCallback):
    """Ctrl-C, SIGTERM or a stop file: the current step ends, a checkpoint is written, training stops.

    With `every` > 1 it ends after the next step that `every` divides. A second Ctrl-C stops at once.
    """

    def __init__(self, stop_file: Path, every: int = 1) -> None:
        self.asked, self.stop_file, self.every = False, stop_file, every

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
        if self.asked and state.global_step % self.every == 0:
            control.should_save = control.should_training_stop = True


class TellSteps(TrainerCallback):
    """Turns the Trainer's logs into `Step` events.

    `count` gives the tokens of a step and those that teach the model, from its number and its log. `figures` names what
    else of the log is told: name in the event → key in the log.
    """

    def __init__(
        self,
        steps_per_epoch: float,
        count: Callable[[int, Mapping[str, float]], tuple[float, float]],
        tell: OnProgress,
        figures: Mapping[str, str] | None = None,
    ) -> None:
        self.steps_per_epoch, self.count, self.tell = steps_per_epoch, count, tell
        self.figures = dict(figures or {})
        self.last: Step | None = None
        self._seen = [0.0, 0.0]

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._start, self._first = time.monotonic(), state.global_step

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        if not logs or "loss" not in logs:
            return
        for i, tokens in enumerate(self.count(state.global_step, logs)):
            self._seen[i] += tokens
        seconds = time.monotonic() - self._start
        step = Step(
            step=state.global_step,
            steps=state.max_steps,
            epoch=state.global_step / self.steps_per_epoch,
            loss=float(logs["loss"]),
            learning_rate=float(logs["learning_rate"]),
            grad_norm=float(logs.get("grad_norm", math.nan)),
            tokens_per_second=self._seen[0] / seconds,
            useful_tokens_per_second=self._seen[1] / seconds,
            seconds_left=seconds / (state.global_step - self._first) * (state.max_steps - state.global_step),
            figures={name: float(logs[key]) for name, key in self.figures.items() if logs.get(key) is not None},
        )
        self.last = step
        kept = state.log_history[-1]  # kept by checkpoints, for the report
        kept["tokens_per_second"] = step.tokens_per_second
        kept |= step.figures
        self.tell(step)


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
