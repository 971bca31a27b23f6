"""Attention over the KV cache `slots.SlotCache`, registered with transformers as `ATTENTION`."""

from __future__ import annotations

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from selfcodealign.models.slots import Decoding, SlotLayer

#: Name of the attention implementation that a model needs for `SlotCache`.
ATTENTION = "selfcodealign_slots"


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **kwargs: object,
) -> tuple[torch.Tensor, None]:
    """Attention for transformers' interface; [rows, heads, queries, size] in, [rows, queries, heads, size] out.

    Raises `NotImplementedError` for attention features that this function lacks.
    """
    for name in ("softcap", "s_aux", "position_bias"):
        if kwargs.get(name) is not None:
            raise NotImplementedError(name)
    layer = getattr(key, "slot_layer", None)
    if not isinstance(layer, SlotLayer):
        raise NotImplementedError("keys changed after they were cached")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    aim = layer.cache.aim
    if isinstance(aim, Decoding):
        mixed = _attend_to_prompts_and_tails(query, key, value, layer, aim, scale, sliding_window)
    else:
        assert attention_mask is not None
        mixed = _attend_to_prompts(query, key, value, attention_mask, scale, sliding_window)
    return mixed.transpose(1, 2).contiguous(), None


def _attend_to_prompts(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor, scale: float, window: int | None
) -> torch.Tensor:
    """Causal attention within prompts. Heads that share keys become further queries, so keys are not repeated."""
    rows, heads, queries, size = query.shape
    groups = heads // key.shape[1]
    if window is not None and mask.shape[-1] > window:
        last = mask.sum(-1, keepdim=True) - 1  # the mask is True up to the query's own position
        mask = mask & (torch.arange(mask.shape[-1], device=query.device) > last - window)
    if groups > 1:
        query = query.reshape(rows, key.shape[1], groups * queries, size)
        mask = mask.repeat(1, 1, groups, 1)
    mixed = scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scale)
    return mixed.reshape(rows, heads, queries, value.shape[3])


def _attend_to_prompts_and_tails(
    query: torch.Tensor,
    tail_keys: torch.Tensor,
    tail_values: torch.Tensor,
    layer: SlotLayer,
    aim: Decoding,
    scale: float,
    window: int | None,
) -> torch.Tensor:
    """Each row attends to its prompt and its tail: one softmax over both.

    The queries of all rows of a prompt form one matrix, so that the prompt's keys are read once.
    """
    rows, heads, _, size = query.shape
    shared_heads = tail_keys.shape[1]
    prompts, most = aim.members.shape
    groups, width = heads // shared_heads, aim.prompt_width
    query = query.reshape(rows, shared_heads, groups, size) * scale
    prompt_keys, prompt_values = (store[:prompts, :, :width].flatten(0, 1) for store in layer.prompts)

    def gather(states: torch.Tensor) -> torch.Tensor:
        """[rows, shared heads, groups, x] → [prompts * shared heads, most * groups, x]."""
        gathered = states[aim.members]  # [prompts, most, shared heads, groups, x]
        return gathered.transpose(1, 2).reshape(prompts * shared_heads, most * groups, states.shape[-1])

    def spread(states: torch.Tensor) -> torch.Tensor:
        """The inverse of `gather`."""
        parted = states.view(prompts, shared_heads, most, groups, states.shape[-1]).transpose(1, 2)
        return parted.reshape(prompts * most, shared_heads, groups, states.shape[-1])[aim.places]

    to_prompt = spread(torch.bmm(gather(query), prompt_keys.transpose(1, 2)))
    to_tail = torch.matmul(query, tail_keys.transpose(2, 3))
    scores = torch.cat([to_prompt, to_tail], dim=-1).float() + aim.mask(window)
    weights = torch.softmax(scores, dim=-1).to(query.dtype)
    from_prompt = spread(torch.bmm(gather(weights[..., :width]), prompt_values))
    mixed = from_prompt + torch.matmul(weights[..., width:], tail_values)
    return mixed.reshape(rows, heads, 1, tail_values.shape[3])


AttentionInterface.register(ATTENTION, attend)
