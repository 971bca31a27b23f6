"""Choosing the next token: one uniform number per row and step, so that company in the batch changes nothing."""

from __future__ import annotations

import torch


def draw_uniforms(seed: int, count: int) -> list[float]:
    """`count` numbers in [0, 1) that depend on the seed alone: the dice of a whole row, thrown on the CPU."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, generator=generator, dtype=torch.float64).tolist()


def sample_tokens(
    logits: torch.Tensor, temperatures: list[float], top_ps: list[float], uniforms: list[float]
) -> list[int]:
    """The next token of every row of `logits` [rows, vocabulary].

    Temperature 0 takes the likeliest token. Otherwise the tokens' probabilities (those of the likeliest tokens that
    reach `top_p` together, the one that crosses it included) are laid end to end, and the row's uniform number points
    at one: inverse transform sampling, which needs one number where the Gumbel trick needs one per token.
    """
    logits = logits.float()
    if not any(temperatures):
        return logits.argmax(-1).tolist()
    device = logits.device
    heat = torch.tensor(temperatures, device=device, dtype=torch.float32)[:, None]
    probabilities = torch.softmax(logits / heat.clamp_min(1e-6), dim=-1)
    pointers = torch.tensor(uniforms, device=device, dtype=torch.float64)[:, None]
    if any(top_p < 1.0 for top_p in top_ps):
        probabilities = probabilities.masked_fill(_outside_nucleus(probabilities, top_ps), 0.0)
    chosen = _point(probabilities, pointers)
    if not all(temperatures):
        chosen = torch.where(heat == 0.0, logits.argmax(-1, keepdim=True), chosen)
    return chosen[:, 0].tolist()


def _outside_nucleus(probabilities: torch.Tensor, top_ps: list[float]) -> torch.Tensor:
    """Which tokens `top_p` leaves out, in the vocabulary's order: the one that rows without `top_p` use."""
    ordered, order = probabilities.sort(dim=-1, descending=True, stable=True)
    before = ordered.double().cumsum(-1) - ordered
    limits = torch.tensor(top_ps, device=probabilities.device, dtype=torch.float64)[:, None]
    # top_p 1 keeps all, rounding in the sum notwithstanding; the likeliest token stays whatever top_p is.
    outside = (before >= limits) & (limits < 1.0)
    outside[:, 0] = False
    return torch.zeros_like(outside).scatter(1, order, outside)


def _point(weights: torch.Tensor, pointers: torch.Tensor) -> torch.Tensor:
    """Index [rows, 1] of the weight that each pointer (a share of the weights' sum) falls on."""
    ends = weights.double().cumsum(-1)
    # right=True steps over weights of zero, which end where their predecessor ends.
    found = torch.searchsorted(ends, pointers * ends[:, -1:], right=True)
    return found.clamp_max(weights.shape[-1] - 1)
