"""What a forward pass is for: the tokens of prompts that it reads, or the rows that it writes a token of.

`slots.SlotCache` makes them; the layers of the cache and the attention read them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

from selfcodealign.models.prefixes import Prefix


@dataclass(frozen=True)
class Piece:
    """A part of a prefill pass: tokens `start` .. `start + count` - 1 of a prefix, or of a slot if `prefix` is None.

    `above` are the prefixes before it, `first` is the position of its first token.
    """

    prefix: Prefix | None
    slot: int
    start: int
    count: int
    first: int
    above: tuple[Prefix, ...]


@dataclass(frozen=True)
class Filling:
    """A prefill pass: pieces of several prompts one after the other, without padding, in one row of tokens."""

    pieces: list[Piece]
    tokens: np.ndarray  # [tokens]
    positions: torch.Tensor  # [1, tokens]


@dataclass
class Decoding:
    """A decoding pass, which writes one token for each of `count` rows.

    Its columns are the prefixes' positions (`prefix_width`), then the slots' (`slot_width`), then the tails'
    (`tail_width`). `shared` holds each prefix with its rows. `members` [slots, most rows per slot] are the
    rows of each slot (padded with row 0), `places` [count] each row's index in flattened `members`.
    """

    count: int
    shared: list[tuple[Prefix, torch.Tensor | slice]]
    members: torch.Tensor
    places: torch.Tensor
    tail_index: torch.Tensor  # [count], index of the new token in the row's tail
    positions: torch.Tensor  # [count, 1]
    columns: torch.Tensor  # int [count, columns], position of each column; beyond the row's own where it is empty
    prefix_width: int
    slot_width: int
    tail_width: int
    _masks: dict[int | None, torch.Tensor] = field(default_factory=dict)

    def mask(self, window: int | None) -> torch.Tensor:
        """Return the additive attention mask: 0 where a row attends, else -inf; float32 [1, count, 1, columns]."""
        if window not in self._masks:
            seen = self.columns <= self.positions
            if window is not None:
                seen &= self.columns > self.positions - window
            blocked = torch.zeros(seen.shape, device=seen.device).masked_fill(~seen, float("-inf"))
            self._masks[window] = blocked[None, :, None]
        return self._masks[window]
