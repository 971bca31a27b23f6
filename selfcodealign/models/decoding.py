"""The decode loop, with continuous batching: rows enter and leave the batch one by one.

    step:  admit waiting rows into free slots  →  prefill their prompts  →  one token for every row  →  retire

Rows with the same prompt share its keys and values; a prompt copies the keys and values of a prefix that it shares with
another prompt (the worked examples) instead of recomputing them. The loop runs in one thread.
"""

from __future__ import annotations

import inspect
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from selfcodealign.models import Completion, Sampling
from selfcodealign.models.sampler import draw_uniforms, sample_tokens
from selfcodealign.models.slots import SlotCache, count_shared
from selfcodealign.models.stop_strings import Detokenizer, cut_at_stop

#: Prompt tokens per forward pass, padding included.
_PREFILL_TOKENS = {"cpu": 4096, "cuda": 16384}

#: Waiting for another prompt to fill a shorter shared prefix costs more than it saves.
_SHORTEST_PREFIX = 8


@dataclass(eq=False)
class BatchRow:
    """One completion in progress. `limit` is the most tokens to write; `tag` belongs to the caller."""

    ids: list[int]
    sampling: Sampling
    limit: int
    seed: int
    tag: Any = None
    prompt_length: int = field(init=False)
    uniforms: list[float] = field(init=False)

    def __post_init__(self) -> None:
        self.prompt_length = len(self.ids)
        self.uniforms = draw_uniforms(self.seed, self.limit) if self.sampling.temperature > 0 else [0.0] * self.limit

    @property
    def written(self) -> int:
        return len(self.ids) - self.prompt_length


class Decoder:
    """Decodes rows with a transformers model loaded with the attention `slot_attention.ATTENTION`.

    `submit` rows, then call `step` until it has returned them all; each call returns the rows that ended in it.
    """

    def __init__(self, model: Any, detokenizer: Detokenizer, eos_ids: frozenset[int], slots: int) -> None:
        self.waiting: deque[BatchRow] = deque()
        self.active: list[BatchRow] = []
        self._model = model
        # transformers 5.24 renames the argument, warns of the earlier name, and will remove it.
        self._cache_name = "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"
        self._detokenizer = detokenizer
        self._eos_ids = eos_ids
        self._slots = slots
        self._device = torch.device(model.device)
        self._cache = SlotCache(slots, model.config.get_text_config().num_hidden_layers)
        self._prefill_tokens = _PREFILL_TOKENS.get(self._device.type, 4096)

    def submit(self, row: BatchRow) -> None:
        """Queue a row for the next free slot."""
        self.waiting.append(row)

    @torch.inference_mode()
    def step(self) -> list[tuple[BatchRow, Completion]]:
        """Write one token for every active row; return the rows that ended, with their completions."""
        self._admit()
        count = len(self.active)
        if not count:
            return []
        aim = self._cache.aim_at_tails(count, self._device)
        logits = self._forward([[row.ids[-1]] for row in self.active], aim.positions, aim.mask(None) == 0)
        self._cache.tail_length[:count] += 1
        chosen = sample_tokens(
            logits,
            [row.sampling.temperature for row in self.active],
            [row.sampling.top_p for row in self.active],
            [row.uniforms[row.written] for row in self.active],
        )
        ended: list[tuple[BatchRow, Completion]] = []
        for place in reversed(range(count)):  # from the end, because the last row moves into a freed place
            row, token = self.active[place], chosen[place]
            row.ids.append(token)
            completion = self._finish(row, token)
            if completion is not None:
                ended.append((row, completion))
                self._release(place)
        return ended

    def discard(self, unwanted: Any) -> None:
        """Drop the waiting and active rows for which `unwanted(row)` is true."""
        self.waiting = deque(row for row in self.waiting if not unwanted(row))
        for slot in reversed(range(len(self.active))):
            if unwanted(self.active[slot]):
                self._release(slot)

    def _finish(self, row: BatchRow, token: int) -> Completion | None:
        """Return the completion if `token` ended the row, else None."""
        stop, end = row.sampling.stop, len(row.ids)
        if token in self._eos_ids:
            reason, end = "stop", end - 1
        elif self._detokenizer.ends(row.ids, row.prompt_length, stop):
            reason = "stop"
        elif row.written >= row.limit:
            reason = "length"
        else:
            return None
        whole = self._detokenizer.read(row.ids[:end], row.prompt_length)
        text = cut_at_stop(whole, stop)
        return Completion(text, "stop" if len(text) < len(whole) else reason, row.prompt_length, row.written)

    def _release(self, place: int) -> None:
        last = len(self.active) - 1
        self._cache.leave(place, last)
        self.active[place] = self.active[last]
        self.active.pop()

    def _admit(self) -> None:
        """Move waiting rows into the batch and prefill their prompts, except the last token, which opens the tail."""
        entering: set[int] = set()
        while self.waiting and len(self.active) < self._slots:
            row = self.waiting.popleft()
            self._cache.reserve(row.prompt_length, row.limit + 1)
            entering.add(self._cache.enter(len(self.active), np.array(row.ids[:-1], dtype=np.int64)))
            self.active.append(row)
        unfilled = list(entering)
        while unfilled:
            unfilled = self._fill(unfilled)

    def _fill(self, slots: list[int]) -> list[int]:
        """Prefill part of the prompts in `slots`; return the slots that are not complete."""
        cache = self._cache
        missing = {slot: int(cache.length[slot] - cache.filled[slot]) for slot in slots}
        slots = sorted((slot for slot in slots if missing[slot] > 0), key=missing.__getitem__)
        group: list[int] = []
        for slot in slots:
            if group and (len(group) + 1) * missing[slot] > self._prefill_tokens:
                break
            if not self._waits_for(slot, group):
                group.append(slot)
        if not group:
            return slots
        queries = min(missing[group[-1]], self._prefill_tokens)
        starts = cache.filled[group]
        # Shorter prompts are padded at their end: padding writes beyond their tokens, where no query attends.
        positions = np.minimum(starts[:, None] + np.arange(queries), cache.tokens.shape[1] - 1)
        aim = cache.aim_at_prompts(group, positions, self._device)
        self._forward(cache.tokens[np.array(group)[:, None], positions], aim.positions, aim.mask)
        cache.filled[group] = np.minimum(starts + queries, cache.length[group])
        left = [slot for slot in slots if cache.filled[slot] < cache.length[slot]]
        for slot in left:
            source, shared = cache.find_prefix(cache.tokens[slot, : cache.length[slot]], cache.filled)
            cache.take_prefix(source, slot, shared)
        return left

    def _waits_for(self, slot: int, group: list[int]) -> bool:
        """Return whether a prompt of the group is about to compute a large part of the prompt in `slot`."""
        if not group:
            return False
        cache = self._cache
        end, filled = int(cache.length[slot]), int(cache.filled[slot])
        shared = np.minimum(count_shared(cache.tokens[group, :end], cache.tokens[slot, :end]), cache.length[group])
        return int(shared.max()) - filled >= max(_SHORTEST_PREFIX, (end - filled) // 4)

    def _forward(self, tokens: Any, positions: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Run the model on `tokens` [rows, queries]; return the logits [rows, vocabulary] of the last column."""
        output = self._model(
            input_ids=torch.as_tensor(tokens, device=self._device),
            position_ids=positions,
            attention_mask=mask,
            use_cache=True,
            logits_to_keep=1,
            **{self._cache_name: self._cache},
        )
        return output.logits[:, -1]
