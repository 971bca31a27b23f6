"""Attention over packed rows, one row at a time.

transformers separates packed rows by a block-diagonal mask. Torch's CPU kernel computes also the masked scores: a pass
of n tokens costs n², whatever the lengths of its rows, so that packing loses in attention what it saves elsewhere. Cut
at the rows' boundaries, attention costs as much as for the rows alone, and all other layers still process the whole
pass without padding. Variable-length kernels (flash attention) do the same on a GPU.

Under mixed precision, attention runs in float32: rotary embeddings leave queries and keys in float32 anyway, the
gradient's error is half as large, and at 230 tokens the CPU kernel takes two thirds of its time in bfloat16 (the same
at 500, 1.25 times at 1000).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch.utils.weak import WeakTensorKeyDictionary
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

#: Name of this attention in transformers.
ROW_BY_ROW = "row_by_row"

#: The cut masks of a pass, shared by all layers and freed with the pass's mask.
_CUT = WeakTensorKeyDictionary()


def attend_row_by_row(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    cu_seq_lens_q: torch.Tensor | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Return the same as transformers' `sdpa` for a packed pass: (1, tokens, heads, head size), no attention weights.

    `query`, `key`, `value`: (1, heads, tokens, head size). `cu_seq_lens_q`: the start of each row, and the end, from
    TRL's collator. The model's mask inside a row (a sliding window, say) is kept. Without boundaries, or if they do not
    fit the tensors, `sdpa` runs with the mask. Under autocast the computation is in float32.
    """
    if torch.is_autocast_enabled(query.device.type):
        with torch.autocast(query.device.type, enabled=False):
            q, k, v = query.float(), key.float(), value.float()
            return attend_row_by_row(module, q, k, v, attention_mask, cu_seq_lens_q, **kwargs)
    bounds = [] if cu_seq_lens_q is None else cu_seq_lens_q.tolist()
    packed = query.shape[0] == 1 and bounds[-1:] == [query.shape[2]] == [key.shape[2]]
    if not packed or kwargs.get("position_bias") is not None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
    masks = _cut_mask(attention_mask, bounds)
    attended = []
    for mask, (start, end) in zip(masks, pairwise(bounds), strict=True):
        q, k, v = (tensor[:, :, start:end] for tensor in (query, key, value))
        attended.append(sdpa_attention_forward(module, q, k, v, mask, **kwargs)[0])
    return torch.cat(attended, 1), None


def _cut_mask(mask: torch.Tensor | None, bounds: list[int]) -> list[torch.Tensor | None]:
    """Cut the mask of each row; None for a causal mask, for which the kernel has a faster path."""
    if mask is None:
        return [None] * (len(bounds) - 1)
    if mask not in _CUT:
        inside = (mask[..., start:end, start:end] for start, end in pairwise(bounds))
        _CUT[mask] = [None if _is_causal(one) else one.clone() for one in inside]
    return _CUT[mask]


def _is_causal(mask: torch.Tensor) -> bool:
    whole = torch.ones(mask.shape[-2:], dtype=torch.bool, device=mask.device)
    return torch.equal(mask, whole.tril().expand_as(mask))


def attend_rows_apart(model: Any) -> None:
    """Replace torch's attention (`sdpa`) of `model` by this one, for CPUs; other attention is unchanged."""
    if model.config._attn_implementation == "sdpa":
        AttentionInterface.register(ROW_BY_ROW, attend_row_by_row)
        AttentionMaskInterface.register(ROW_BY_ROW, sdpa_mask)
        model.set_attn_implementation(ROW_BY_ROW)
