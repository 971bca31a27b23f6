"""Prove on the given model that packed rows do not attend to each other.

This depends on the architecture and on the attention implementation: transformers builds a block-diagonal mask from
position ids that restart at 0, variable-length kernels get the boundaries as lengths, and a model that supports neither
would train on contexts that never occur. So isolation is tested, not assumed.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import TrainerCallback

from selfcodealign.errors import TrainingError

#: Largest shift of a logit by rounding in another kernel, relative to the spread of all logits.
_ROUNDING = 1e-3
#: The same for different shapes (a row alone and a row in a pack), possibly in bfloat16.
_RESHAPED = 0.1

_PROBE_TOKENS = 64


class ProveIsolation(TrainerCallback):
    """Tests packing before the first step, on the model as wrapped for training."""

    def __init__(self, trainer: Any, rows: list[list[int]], vocabulary: int) -> None:
        self.trainer, self.rows, self.vocabulary = trainer, rows, vocabulary

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        # In training mode (dropout is 0): in evaluation mode bitsandbytes repacks 4-bit weights on a CPU, and gradients
        # through repacked weights are wrong.
        model = self.trainer.model_wrapped.train()
        with torch.no_grad(), self.trainer.compute_loss_context_manager():
            check_isolation(model, self.trainer.data_collator, self.rows, self.vocabulary, args.device)


def check_isolation(model: Any, collate: Any, rows: list[list[int]], vocabulary: int, device: Any) -> None:
    """Pack two rows and check that the second row's logits ignore the first row and equal those of the row alone.

    `rows`: token ids of at least one row; `collate` makes a batch of examples. Raises `TrainingError` if packed rows
    attend to each other or do not start at position 0.
    """
    first, second = rows[0][:_PROBE_TOKENS], rows[-1][:_PROBE_TOKENS]
    changed = [(token + 1) % vocabulary for token in first]
    packed = _logits(model, collate, [first, second], device)[len(first) :]
    other = _logits(model, collate, [changed, second], device)[len(first) :]
    alone = _logits(model, collate, [second], device)
    spread = packed.std().clamp(min=1e-12)
    if (packed - other).abs().max() > _ROUNDING * spread:
        raise TrainingError(
            "packed rows see each other in this model with this attention: set train.packing = false, "
            "or another train.attention"
        )
    if (packed - alone).abs().max() > _RESHAPED * spread:
        raise TrainingError("a packed row gets other positions than the row alone: set train.packing = false")


def _logits(model: Any, collate: Any, rows: list[list[int]], device: Any) -> torch.Tensor:
    batch = collate([{"input_ids": row, "labels": row} for row in rows])
    batch.pop("labels")
    batch = {key: value.to(device) if torch.is_tensor(value) else value for key, value in batch.items()}
    return model(**batch, use_cache=False).logits[0].float()
