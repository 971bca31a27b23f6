"""Adafactor for sharded weights.

transformers' Adafactor creates its row and column averages as plain tensors, which torch refuses to mix with sharded
tensors: under FSDP2 the first step fails. Only the creation of the state differs here; the arithmetic is
transformers'.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.distributed.tensor import DTensor, Replicate
from transformers import Adafactor


class ShardedAdafactor(Adafactor):
    """transformers' Adafactor, with its state sharded like the weights."""

    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            for weight in group["params"]:
                if isinstance(weight.grad, DTensor) and not self.state[weight]:
                    self.state[weight].update(self._first_state(group, weight.grad.float()))
        return super().step(closure)

    def _first_state(self, group: dict[str, Any], gradient: Any) -> dict[str, Any]:
        factored, first_moment = self._get_options(group, gradient.shape)
        nothing = torch.zeros_like(gradient)
        state: dict[str, Any] = {"step": 0, "RMS": 0}
        if first_moment:
            state["exp_avg"] = nothing.clone()
        if factored:
            state["exp_avg_sq_row"] = _settle(nothing.mean(dim=-1))
            state["exp_avg_sq_col"] = _settle(nothing.mean(dim=-2))
        else:
            state["exp_avg_sq"] = nothing
        return state


def _settle(average: Any) -> DTensor:
    """Reduce an average over a sharded dimension, which is a pending sum, so that every device holds its value."""
    due = [Replicate() if placement.is_partial() else placement for placement in average.placements]
    return average.redistribute(placements=due)
