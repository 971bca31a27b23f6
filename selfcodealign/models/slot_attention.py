"""Attention over the KV cache `slots.SlotCache`, registered with transformers as `ATTENTION`."""

from __future__ import annotations

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from selfcodealign.models.aims import Decoding, Filling
from selfcodealign.models.slot_layer import SlotLayer

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
        return _attend_to_tails(query, layer, aim, scale, sliding_window), None
    assert isinstance(aim, Filling)
    return _attend_to_prompts(query, layer, aim, scale, sliding_window), None


def _attend_to_prompts(
    query: torch.Tensor, layer: SlotLayer, aim: Filling, scale: float, window: int | None
) -> torch.Tensor:
    """Causal attention, piece by piece: each to the prefixes above it and to its own tokens up to the query.

    Heads that share keys become further queries, so keys are not repeated.
    """
    _, heads, _, size = query.shape
    mixed, done = [], 0
    for piece in aim.pieces:
        own = [store[:, : piece.start + piece.count] for store in layer.of_piece(piece, query)]
        before = [node.states[layer.number] for node in piece.above]
        keys, values = (
            torch.cat([*(states[one] for states in before), own[one]], dim=1)[None] for one in range(len(own))
        )
        count, width = piece.count, piece.first + piece.count
        columns = torch.arange(width, device=query.device)
        places = torch.arange(piece.first, width, device=query.device)[:, None]
        mask = columns <= places
        if window is not None:
            mask &= columns > places - window
        shared_heads = keys.shape[1]
        groups = heads // shared_heads
        asked = query[:, :, done : done + count].reshape(1, shared_heads, groups * count, size)
        found = scaled_dot_product_attention(asked, keys, values, attn_mask=mask.repeat(groups, 1), scale=scale)
        mixed.append(found.reshape(1, heads, count, values.shape[3]))
        done += count
    return torch.cat(mixed, dim=2).transpose(1, 2).contiguous()


def _attend_to_tails(
    query: torch.Tensor, layer: SlotLayer, aim: Decoding, scale: float, window: int | None
) -> torch.Tensor:
    """Each row attends to its prefixes, its slot and its tail: one softmax over all.

    The queries of all rows of a prefix or a slot form one matrix, so that its keys are read once.
    """
    rows, heads, _, size = query.shape
    tail_keys, tail_values = (store[:rows, :, : aim.tail_width].transpose(0, 1) for store in layer.tails)
    shared_heads = tail_keys.shape[0]
    groups = heads // shared_heads
    first, second = aim.prefix_width, aim.prefix_width + aim.slot_width
    # [shared heads, rows, groups, ·] throughout.
    query = (query.reshape(rows, shared_heads, groups, size) * scale).transpose(0, 1).contiguous()
    scores = query.new_empty((shared_heads, rows, groups, second + aim.tail_width))
    if first:
        scores[..., :first] = 0.0  # columns of other rows' prefixes: masked, and must be numbers
    for node, members in aim.shared:
        keys = node.states[layer.number][0]
        found = torch.bmm(query[:, members].flatten(1, 2), keys.transpose(1, 2))
        scores[:, members, :, node.start : node.end] = found.unflatten(1, (-1, groups))
    slots = _Slots(aim, shared_heads, groups)
    slot_keys, slot_values = (store[: slots.count, :, : aim.slot_width].flatten(0, 1) for store in layer.slots)
    if aim.slot_width:
        scores[..., first:second] = slots.spread(torch.bmm(slots.gather(query), slot_keys.transpose(1, 2)))
    scores[..., second:] = torch.matmul(query, tail_keys.transpose(2, 3))
    weights = torch.softmax(scores.float() + aim.mask(window), dim=-1).to(query.dtype)
    mixed = torch.matmul(weights[..., second:], tail_values)
    if aim.slot_width:
        mixed += slots.spread(torch.bmm(slots.gather(weights[..., first:second]), slot_values))
    for node, members in aim.shared:
        values = node.states[layer.number][1]
        share = weights[:, members, :, node.start : node.end]
        mixed[:, members] += torch.bmm(share.flatten(1, 2), values).unflatten(1, (-1, groups))
    return mixed.transpose(0, 1).reshape(rows, 1, heads, mixed.shape[-1])


class _Slots:
    """Takes [shared heads, rows, groups, x] to [slots * shared heads, most * groups, x] and back."""

    def __init__(self, aim: Decoding, shared_heads: int, groups: int) -> None:
        self._aim = aim
        self._heads, self._groups = shared_heads, groups
        self.count, self._most = aim.members.shape

    def gather(self, states: torch.Tensor) -> torch.Tensor:
        gathered = states[:, self._aim.members]  # [shared heads, slots, most, groups, x]
        return gathered.transpose(0, 1).reshape(self.count * self._heads, self._most * self._groups, states.shape[-1])

    def spread(self, states: torch.Tensor) -> torch.Tensor:
        parted = states.view(self.count, self._heads, self._most, self._groups, states.shape[-1]).transpose(0, 1)
        flat = parted.reshape(self._heads, self.count * self._most, self._groups, states.shape[-1])
        return flat[:, self._aim.places]


AttentionInterface.register(ATTENTION, attend)
