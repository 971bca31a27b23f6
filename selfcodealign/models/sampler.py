"""The sampler: one uniform number per row and step, so that other rows of the batch change nothing."""

from __future__ import annotations

import torch


def draw_uniforms(seed: int, count: int) -> list[float]:
    """Draw all of a row's random numbers on the CPU: `count` numbers in [0, 1) that depend on the seed alone."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, generator=generator, dtype=torch.float64).tolist()


def sample_tokens(
    logits: torch.Tensor, temperatures: list[float], top_ps: list[float], uniforms: list[float]
) -> list[int]:
    """Sample the next token of every row of `logits` [rows, vocabulary].

    Temperature 0 takes the likeliest token. Otherwise inverse transform sampling is used: the row's uniform number
    selects a token from the cumulative probabilities of the nucleus (the likeliest tokens whose sum reaches `top_p`,
    the token that crosses it included). One number suffices per row; the Gumbel trick needs one per token.
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
    """Mask the tokens outside the nucleus, in vocabulary order, which rows without `top_p` use too."""
    ordered, order = probabilities.sort(dim=-1, descending=True, stable=True)
    before = ordered.double().cumsum(-1) - ordered
    limits = torch.tensor(top_ps, device=probabilities.device, dtype=torch.float64)[:, None]
    # top_p 1 keeps all tokens despite rounding in the sum; the likeliest token is always kept.
    outside = (before >= limits) & (limits < 1.0)
    outside[:, 0] = False
    return torch.zeros_like(outside).scatter(1, order, outside)


def _point(weights: torch.Tensor, pointers: torch.Tensor) -> torch.Tensor:
    """Return the index [rows, 1] of the weight on which each pointer (a share of the weights' sum) falls."""
    ends = weights.double().cumsum(-1)
    # right=True skips zero weights, which end where their predecessor ends.
    found = torch.searchsorted(ends, pointers * ends[:, -1:], right=True)
    return found.clamp_max(weights.shape[-1] - 1)
