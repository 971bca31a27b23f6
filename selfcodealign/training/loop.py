"""TRL's SFTTrainer on rows that are already tokenized, masked and planned.

This module adds the order of the rows (`batching`) and the loss on a CPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch.nn import functional
from torch.utils.data import Sampler
from trl import SFTConfig, SFTTrainer

from selfcodealign.settings import TrainSettings
from selfcodealign.training.batching import BatchPlan
from selfcodealign.training.masking import NO_LOSS, TokenRow
from selfcodealign.training.trainers import choose_optimizer, settle_callbacks, shared_arguments


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
        args=SFTConfig(
            num_train_epochs=1,
            max_steps=settings.max_steps or -1,
            per_device_train_batch_size=plan.micro_batch,
            gradient_accumulation_steps=plan.accumulation,
            max_length=None,
            padding_free=settings.packing,
            dataset_kwargs={"skip_prepare_dataset": True},
            save_steps=settings.checkpoint_steps or plan.steps_per_epoch,
            **shared_arguments(settings, checkpoints, device, mixed=mixed),
        ),
        train_dataset=dataset,
        processing_class=tokenizer,
        peft_config=adapters,
        optimizer_cls_and_kwargs=choose_optimizer(settings),
        plan=plan,
        epochs=settings.epochs,
    )
    settle_callbacks(trainer, checkpoints)
    return trainer
