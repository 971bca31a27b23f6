"""One layer's keys and values: it writes them where the cache aims, and keeps those of slots and tails.

The cache (`slots.SlotCache`) decides which row has which slot and tail, and how many of them there are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from transformers.cache_utils import CacheLayerMixin

from selfcodealign.models.aims import Decoding, Filling, Piece


class Aiming(Protocol):
    """What a layer asks of its cache: what the next pass is for, the sizes of the stores, whether to stop."""

    aim: Filling | Decoding | None
    capacity: tuple[int, int]
    tail_capacity: tuple[int, int]
    stopping: Callable[[], bool]


class Stopped(Exception):
    """A forward pass was ended because the model is being closed."""


class SlotLayer(CacheLayerMixin):
    """One layer: slots [slots, heads, capacity, size] and tails [rows, heads, tail capacity, size], keys and values."""

    is_compileable = False
    is_sliding = False

    def __init__(self, cache: Aiming, number: int) -> None:
        super().__init__()
        self.cache = cache
        self.number = number
        self.slots: tuple[torch.Tensor, torch.Tensor] = (torch.empty(0), torch.empty(0))
        self.tails: tuple[torch.Tensor, torch.Tensor] = (torch.empty(0), torch.empty(0))

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        def make(states: torch.Tensor) -> torch.Tensor:
            return states.new_zeros((0, states.shape[1], 0, states.shape[3]))

        self.slots = make(key_states), make(value_states)
        self.tails = make(key_states), make(value_states)
        self.is_initialized = True
        self.resize()

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write [rows, heads, queries, size] where the cache aims; return them. `attend` finds this layer, and through
        it all keys and values, by the attribute `slot_layer` of the keys."""
        if self.cache.stopping():
            raise Stopped
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        aim = self.cache.aim
        if isinstance(aim, Filling):
            done = 0
            for piece in aim.pieces:
                end = piece.start + piece.count
                for store, states in zip(self.of_piece(piece, key_states), (key_states, value_states), strict=True):
                    store[:, piece.start : end] = states[0, :, done : done + piece.count]
                done += piece.count
        else:
            assert aim is not None
            rows = torch.arange(aim.count, device=key_states.device)
            for store, states in zip(self.tails, (key_states, value_states), strict=True):
                store[rows, :, aim.tail_index] = states[:, :, 0]
        key_states.slot_layer = self  # type: ignore[attr-defined]
        return key_states, value_states

    def of_piece(self, piece: Piece, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the keys and values [heads, tokens, size] of a piece's prefix or slot."""
        if piece.prefix is not None:
            return piece.prefix.state(self.number, like)
        return self.slots[0][piece.slot], self.slots[1][piece.slot]

    def resize(self) -> None:
        """Give the stores the cache's capacities."""
        if self.is_initialized:
            self.slots = _resize(self.slots[0], self.cache.capacity), _resize(self.slots[1], self.cache.capacity)
            tail = self.cache.tail_capacity
            self.tails = _resize(self.tails[0], tail), _resize(self.tails[1], tail)

    def move_prompt(self, source: int, target: int, count: int) -> None:
        """Copy the first `count` tokens from slot to slot."""
        for store in self.slots if self.is_initialized else ():
            store[target, :, :count] = store[source, :, :count]

    def move_tail(self, source: int, target: int, count: int) -> None:
        """Copy a tail of `count` tokens from row to row."""
        for store in self.tails if self.is_initialized else ():
            store[target, :, :count] = store[source, :, :count]

    def copy_tail(self, row: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return copies [heads, count, size] of the beginning of a tail."""
        return self.tails[0][row, :, :count].clone(), self.tails[1][row, :, :count].clone()

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.get_seq_length(), 0

    def get_seq_length(self) -> int:
        aim = self.cache.aim
        return int(aim.positions.max()) + 1 if aim else 0

    def get_max_length(self) -> int:
        return -1


def _resize(store: torch.Tensor, capacity: tuple[int, int]) -> torch.Tensor:
    """Return a store of `capacity` (rows, tokens) with the content that fits; what is new is zero, because a masked
    column still takes part in products."""
    rows, tokens = capacity
    if (rows, tokens) == (store.shape[0], store.shape[2]):
        return store
    other = store.new_zeros((rows, store.shape[1], tokens, store.shape[3]))
    rows, tokens = min(rows, store.shape[0]), min(tokens, store.shape[2])
    other[:rows, :, :tokens] = store[:rows, :, :tokens]
    return other
