"""The KV cache of the decode loop: shared prompts, and one tail of written tokens per row.

Rows with the same prompt (ten samples of one instruction, say) share its keys and values; each row has its own tail.
Decoding on a CPU is bound by reading keys and values, so sharing makes many samples per prompt cheap.

Two hooks of transformers are used: a cache whose layers write where `SlotCache` directs them (`SlotLayer.update`), and
a registered attention function (`attend`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from transformers.cache_utils import Cache, CacheLayerMixin

#: Capacities grow in steps of this many tokens.
_GRAIN = 64


@dataclass
class Filling:
    """A prefill pass: `slots` [n] of the prompt store at `positions` [n, queries]."""

    slots: torch.Tensor
    positions: torch.Tensor
    mask: torch.Tensor  # bool [n, 1, queries, width]

    @property
    def width(self) -> int:
        return self.mask.shape[-1]


@dataclass
class Decoding:
    """A decoding pass, which writes one token for each of `count` rows.

    `members` [prompts, most rows per prompt] are the rows of each prompt (padded with row 0), `places` [count] each
    row's index in flattened `members`. Columns are the prompts' (`prompt_width`), then the tails' (`tail_width`).
    """

    count: int
    members: torch.Tensor
    places: torch.Tensor
    tail_index: torch.Tensor  # [count], index of the new token in the row's tail
    positions: torch.Tensor  # [count, 1]
    columns: (
        torch.Tensor
    )  # int [count, columns], position of each column; empty columns lie beyond the row's own position
    prompt_width: int
    tail_width: int
    _masks: dict[int | None, torch.Tensor] = field(default_factory=dict)

    def mask(self, window: int | None) -> torch.Tensor:
        """Return the additive attention mask: 0 where a row attends, else -inf; float32 [count, 1, 1, columns]."""
        if window not in self._masks:
            seen = self.columns <= self.positions
            if window is not None:
                seen &= self.columns > self.positions - window
            blocked = torch.zeros(seen.shape, device=seen.device).masked_fill(~seen, float("-inf"))
            self._masks[window] = blocked[:, None, None]
        return self._masks[window]


class SlotCache(Cache):
    """Prompt store and tails of at most `slots` rows.

    Prompts in use are slots 0 .. `prompts` - 1 of the store; later slots hold prompts of ended rows, readable until
    overwritten (`find_prefix`). Active rows are 0 .. n - 1 of the tails; `prompt_of[row]` is a row's prompt.
    """

    def __init__(self, slots: int, layers: int) -> None:
        self.tokens = np.zeros((slots, 0), dtype=np.int64)
        self.length = np.zeros(slots, dtype=np.int64)  # tokens of each prompt
        self.filled = np.zeros(slots, dtype=np.int64)  # tokens of each prompt whose keys and values are in the store
        self.users = np.zeros(slots, dtype=np.int64)
        self.prompts = 0
        self.prompt_of = np.zeros(slots, dtype=np.int64)
        self.tail_length = np.zeros(slots, dtype=np.int64)
        self.tail_capacity = 0
        self.aim: Filling | Decoding | None = None
        self.layer_list = [SlotLayer(self) for _ in range(layers)]
        super().__init__(layers=[*self.layer_list])

    def reserve(self, prompt: int, tail: int) -> None:
        """Make room for prompts of `prompt` tokens and tails of `tail` tokens."""
        slots, capacity = self.tokens.shape
        if prompt > capacity:
            tokens = np.zeros((slots, -(-prompt // _GRAIN) * _GRAIN), dtype=np.int64)
            tokens[:, :capacity] = self.tokens
            self.tokens = tokens
        self.tail_capacity = max(self.tail_capacity, -(-tail // _GRAIN) * _GRAIN)
        for layer in self.layer_list:
            layer.grow()

    def enter(self, row: int, prompt: np.ndarray) -> int:
        """Assign a row its prompt, shared if the prompt is in use, and an empty tail. Return the prompt's slot."""
        self.tail_length[row] = 0
        source, shared = self.find_prefix(prompt, self.length)
        if shared == len(prompt) == self.length[source] and source < self.prompts:
            slot = source
        else:
            source, shared = self.find_prefix(prompt, self.filled)
            slot, self.prompts = self.prompts, self.prompts + 1
            self.tokens[slot, : len(prompt)] = prompt
            self.length[slot], self.filled[slot], self.users[slot] = len(prompt), 0, 0
            self.take_prefix(source, slot, shared)
        self.prompt_of[row] = slot
        self.users[slot] += 1
        return slot

    def leave(self, row: int, last: int) -> None:
        """Remove a row; the last active row takes its place, and the last prompt that of an unused one."""
        slot = int(self.prompt_of[row])
        if row != last:
            self.prompt_of[row], self.tail_length[row] = self.prompt_of[last], self.tail_length[last]
            for layer in self.layer_list:
                layer.move_tail(last, row, int(self.tail_length[row]))
        self.users[slot] -= 1
        if self.users[slot] == 0:
            self.prompts -= 1
            self._swap_prompts(slot, self.prompts, last)

    def _swap_prompts(self, one: int, other: int, rows: int) -> None:
        if one == other:
            return
        for state in (self.tokens, self.length, self.filled, self.users):
            state[[one, other]] = state[[other, one]]
        self.prompt_of[:rows][self.prompt_of[:rows] == other] = one
        for layer in self.layer_list:
            layer.swap_prompts(one, other, int(max(self.filled[one], self.filled[other])))

    def find_prefix(self, ids: np.ndarray, known: np.ndarray) -> tuple[int, int]:
        """Find the slot with the longest common prefix with `ids` within its `known` tokens; also return the length."""
        width = min(len(ids), self.tokens.shape[1])
        shared = np.minimum(count_shared(self.tokens[:, :width], ids[:width]), known)
        slot = int(shared.argmax())
        return slot, int(shared[slot])

    def take_prefix(self, source: int, slot: int, count: int) -> None:
        """Copy the first `count` tokens of a prompt from another slot unless the prompt has them."""
        if count > self.filled[slot]:
            for layer in self.layer_list:
                layer.copy_prompt(source, slot, count)
            self.filled[slot] = count

    def aim_at_prompts(self, slots: list[int], positions: np.ndarray, device: torch.device) -> Filling:
        """Direct the next forward pass at prompts; `positions` [rows, queries]."""
        where = torch.from_numpy(positions).to(device)
        columns = torch.arange(int(positions.max()) + 1, device=device)
        mask = columns <= where[:, None, :, None]
        self.aim = Filling(torch.tensor(slots, device=device), where, mask)
        return self.aim

    def aim_at_tails(self, count: int, device: torch.device) -> Decoding:
        """Direct the next forward pass at the next token of the first `count` rows."""
        prompt_of, tails = self.prompt_of[:count], self.tail_length[:count]
        lengths = self.length[prompt_of]
        order = np.argsort(prompt_of, kind="stable")
        sizes = np.bincount(prompt_of, minlength=self.prompts)
        rank = np.arange(count) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        most = int(sizes.max())
        members = np.zeros((self.prompts, most), dtype=np.int64)
        places = np.zeros(count, dtype=np.int64)
        members[prompt_of[order], rank] = order
        places[order] = prompt_of[order] * most + rank
        prompt_width, tail_width = int(lengths.max()), int(tails.max()) + 1
        nowhere = np.iinfo(np.int64).max
        heads = np.arange(prompt_width)[None]
        columns = np.concatenate(
            [np.where(heads < lengths[:, None], heads, nowhere), lengths[:, None] + np.arange(tail_width)], axis=1
        )
        put = [
            torch.from_numpy(array).to(device) for array in (members, places, tails.copy(), lengths + tails, columns)
        ]
        self.aim = Decoding(count, put[0], put[1], put[2], put[3][:, None], put[4], prompt_width, tail_width)
        return self.aim


class SlotLayer(CacheLayerMixin):
    """One layer: prompts [slots, heads, prompt capacity, size] and tails [slots, heads, tail capacity, size]."""

    is_compileable = False
    is_sliding = False

    def __init__(self, cache: SlotCache) -> None:
        super().__init__()
        self.cache = cache
        self.prompts: tuple[torch.Tensor, torch.Tensor] = (torch.empty(0), torch.empty(0))
        self.tails: tuple[torch.Tensor, torch.Tensor] = (torch.empty(0), torch.empty(0))

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        slots, capacity = self.cache.tokens.shape

        def make(states: torch.Tensor, tokens: int) -> torch.Tensor:
            return states.new_zeros((slots, states.shape[1], tokens, states.shape[3]))

        self.prompts = make(key_states, capacity), make(value_states, capacity)
        self.tails = make(key_states, self.cache.tail_capacity), make(value_states, self.cache.tail_capacity)
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write [rows, heads, queries, size] where the cache aims; return the keys and values for `attend`.

        A prefill pass returns those of whole prompts; a decoding pass returns those of the tails, and `attend` finds
        the prompts through the attribute `slot_layer` of the keys.
        """
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        aim = self.cache.aim
        if isinstance(aim, Filling):
            # Tensors around a full slice put the indexed axes first: [rows, queries, heads, size].
            for store, states in zip(self.prompts, (key_states, value_states), strict=True):
                store[aim.slots[:, None], :, aim.positions] = states.transpose(1, 2)
            keys, values = (store[aim.slots, :, : aim.width] for store in self.prompts)
        else:
            assert aim is not None
            rows = torch.arange(aim.count, device=key_states.device)
            for store, states in zip(self.tails, (key_states, value_states), strict=True):
                store[rows, :, aim.tail_index] = states[:, :, 0]
            keys, values = (store[: aim.count, :, : aim.tail_width] for store in self.tails)
        keys.slot_layer = self  # type: ignore[attr-defined]
        return keys, values

    def grow(self) -> None:
        """Grow the stores to the cache's capacities."""
        if self.is_initialized:
            capacity = self.cache.tokens.shape[1]
            self.prompts = _lengthen(self.prompts[0], capacity), _lengthen(self.prompts[1], capacity)
            tail = self.cache.tail_capacity
            self.tails = _lengthen(self.tails[0], tail), _lengthen(self.tails[1], tail)

    def copy_prompt(self, source: int, target: int, count: int) -> None:
        """Copy the first `count` tokens between prompt slots."""
        if self.is_initialized and source != target:
            for store in self.prompts:
                store[target, :, :count] = store[source, :, :count]

    def swap_prompts(self, one: int, other: int, count: int) -> None:
        """Exchange the first `count` tokens of two prompt slots."""
        for store in self.prompts if self.is_initialized else ():
            kept = store[one, :, :count].clone()
            store[one, :, :count] = store[other, :, :count]
            store[other, :, :count] = kept

    def move_tail(self, source: int, target: int, count: int) -> None:
        """Copy a tail of `count` tokens from row to row."""
        for store in self.tails if self.is_initialized else ():
            store[target, :, :count] = store[source, :, :count]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.get_seq_length(), 0

    def get_seq_length(self) -> int:
        aim = self.cache.aim
        return aim.width if isinstance(aim, Filling) else aim.prompt_width + aim.tail_width if aim else 0

    def get_max_length(self) -> int:
        return -1


def count_shared(rows: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Count the leading tokens that each of `rows` [n, width] shares with `ids` [width]; int [n]."""
    if len(ids) == 0:
        return np.zeros(len(rows), dtype=np.int64)
    different = rows != ids
    return np.where(different.any(axis=1), different.argmax(axis=1), len(ids))


def _lengthen(store: torch.Tensor, capacity: int) -> torch.Tensor:
    if store.shape[2] >= capacity:
        return store
    longer = store.new_zeros((*store.shape[:2], capacity, store.shape[3]))
    longer[:, :, : store.shape[2]] = store
    return longer
