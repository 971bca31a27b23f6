"""Keys and values of the rows being decoded: one slot per row, so that rows come and go without moving the others.

Two hooks of transformers are used: a cache whose layers write at each row's own position (`SlotLayer.update`), and a
registered attention function (`attend`) that reads grouped keys and values without repeating them per head.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.cache_utils import Cache, CacheLayerMixin

#: The name under which `attend` is registered; a model loaded with it understands `SlotCache`.
ATTENTION = "selfcodealign_slots"

#: Capacity grows in steps of this many tokens.
_GRAIN = 64


class SlotCache(Cache):
    """Keys, values and tokens of `slots` rows; `capacity` tokens each, grown on demand.

    `tokens[slot, :length[slot]]` are the tokens a row has, `filled[slot]` how many of them have their keys and values
    here. What a row leaves in its slot stays readable until another row takes the slot: see `find_prefix`.
    """

    def __init__(self, slots: int, layers: int) -> None:
        self.tokens = np.zeros((slots, 0), dtype=np.int64)
        self.length = np.zeros(slots, dtype=np.int64)
        self.filled = np.zeros(slots, dtype=np.int64)
        self.layer_list = [SlotLayer(self) for _ in range(layers)]
        # What the current forward pass is about: slots, positions [rows, queries], columns attended to.
        self.rows: slice | torch.Tensor = slice(0, 0)
        self.row_index = torch.zeros(0, dtype=torch.long)
        self.positions = torch.zeros((0, 0), dtype=torch.long)
        self.width = 0
        super().__init__(layers=[*self.layer_list])

    @property
    def capacity(self) -> int:
        return self.tokens.shape[1]

    def reserve(self, capacity: int) -> None:
        """Make room for `capacity` tokens per slot, at least."""
        if capacity <= self.capacity:
            return
        capacity = -(-capacity // _GRAIN) * _GRAIN
        tokens = np.zeros((len(self.length), capacity), dtype=np.int64)
        tokens[:, : self.capacity] = self.tokens
        self.tokens = tokens
        for layer in self.layer_list:
            layer.grow(capacity)

    def begin(self, slot: int, ids: np.ndarray) -> None:
        """Give a slot to a row with tokens `ids`; nothing of it is filled yet."""
        self.tokens[slot, : len(ids)] = ids
        self.length[slot], self.filled[slot] = len(ids), 0

    def find_prefix(self, ids: np.ndarray) -> tuple[int, int]:
        """The slot whose filled tokens share the longest prefix with `ids`, and the length of that prefix."""
        width = min(len(ids), self.capacity)
        if width == 0:
            return 0, 0
        shared = count_shared(self.tokens[:, :width], ids[:width])
        shared = np.minimum(shared, self.filled)
        slot = int(shared.argmax())
        return slot, int(shared[slot])

    def copy(self, source: int, target: int, count: int) -> None:
        """Copy the keys and values of the first `count` tokens from slot to slot."""
        for layer in self.layer_list:
            layer.copy(source, target, count)

    def move(self, source: int, target: int) -> None:
        """Copy a whole row from slot to slot."""
        self.tokens[target] = self.tokens[source]
        self.length[target], self.filled[target] = self.length[source], self.filled[source]
        self.copy(source, target, int(self.filled[source]))

    def aim(self, slots: list[int], positions: np.ndarray, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """Direct the next forward pass at `slots`, `positions` [rows, queries]; return position ids and a bool mask.

        The mask [rows, 1, queries, width] is True where a query may look: at its own position and before it.
        """
        contiguous = slots == list(range(len(slots)))
        self.row_index = torch.tensor(slots, device=device)
        self.rows = slice(0, len(slots)) if contiguous else self.row_index
        self.positions = torch.from_numpy(positions).to(device)
        self.width = int(positions.max()) + 1
        columns = torch.arange(self.width, device=device)
        return self.positions, columns <= self.positions[:, None, :, None]


class SlotLayer(CacheLayerMixin):
    """One layer's keys and values, [slots, heads, capacity, head size] each."""

    is_compileable = False
    is_sliding = False

    def __init__(self, cache: SlotCache) -> None:
        super().__init__()
        self.cache = cache

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        slots, capacity = self.cache.tokens.shape
        self.keys, self.values = (
            states.new_zeros((slots, states.shape[1], capacity, states.shape[3]))
            for states in (key_states, value_states)
        )
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write [rows, heads, queries, head size] at the rows' positions; return what the rows attend to."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        cache, keys, values = self.cache, self.keys, self.values
        assert keys is not None
        assert values is not None
        # Indexing with tensors around a full slice puts the indexed axes first: [rows, queries, heads, head size].
        keys[cache.row_index[:, None], :, cache.positions] = key_states.transpose(1, 2)
        values[cache.row_index[:, None], :, cache.positions] = value_states.transpose(1, 2)
        return keys[cache.rows, :, : cache.width], values[cache.rows, :, : cache.width]

    def grow(self, capacity: int) -> None:
        """Lengthen every slot to `capacity` tokens."""
        for name in ("keys", "values"):
            old: torch.Tensor | None = getattr(self, name)
            if old is not None:
                new = old.new_zeros((*old.shape[:2], capacity, old.shape[3]))
                new[:, :, : old.shape[2]] = old
                setattr(self, name, new)

    def copy(self, source: int, target: int, count: int) -> None:
        """Copy the first `count` tokens from slot to slot."""
        if self.is_initialized and source != target:
            for states in (self.keys, self.values):
                assert states is not None
                states[target, :, :count] = states[source, :, :count]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.cache.width, 0

    def get_seq_length(self) -> int:
        return self.cache.width

    def get_max_length(self) -> int:
        return -1


def count_shared(rows: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """How many leading tokens each of `rows` [n, width] shares with `ids` [width]; int [n]."""
    different = rows != ids
    return np.where(different.any(axis=1), different.argmax(axis=1), len(ids))


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

    Heads that share keys and values become further queries, so nothing is repeated in memory: decoding on a CPU is
    bound by reading keys and values. Raises `NotImplementedError` for what only some architectures have.
    """
    for name in ("softcap", "s_aux", "position_bias"):
        if kwargs.get(name) is not None:
            raise NotImplementedError(name)
    assert attention_mask is not None
    rows, heads, queries, size = query.shape
    groups = heads // key.shape[1]
    if sliding_window is not None and attention_mask.shape[-1] > sliding_window:
        columns = torch.arange(attention_mask.shape[-1], device=query.device)
        last = attention_mask.sum(-1, keepdim=True) - 1  # the mask is True up to the query's own position
        attention_mask = attention_mask & (columns > last - sliding_window)
    if groups > 1:
        query = query.reshape(rows, key.shape[1], groups * queries, size)
        attention_mask = attention_mask.repeat(1, 1, groups, 1) if queries > 1 else attention_mask
    mixed = scaled_dot_product_attention(query, key, value, attn_mask=attention_mask, scale=scaling)
    return mixed.reshape(rows, heads, queries, value.shape[3]).transpose(1, 2).contiguous(), None


AttentionInterface.register(ATTENTION, attend)
