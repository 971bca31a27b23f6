"""The decode loop, with continuous batching: rows enter and leave the batch one by one.

    step:  admit waiting rows while there is memory  →  some tokens of unread prompts, or one token for every row

A step does a bounded amount of work, so that the caller can look at new and cancelled calls between two steps. Rows
share the keys and values of what their prompts have in common (`slots`). The loop runs in one thread.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from selfcodealign.models import Completion, Sampling, UnderWay
from selfcodealign.models.first_token import bare, sum_up
from selfcodealign.models.loops import EVERY_TOKENS, repeats
from selfcodealign.models.sampler import draw_uniforms, sample_tokens
from selfcodealign.models.slots import SlotCache
from selfcodealign.models.stop_strings import Detokenizer, cut_at_stop

#: Prompt tokens per forward pass: enough for matrix products to be efficient, few enough for a step to be short.
_PREFILL_TOKENS = {"cpu": 512, "cuda": 8192}


@dataclass(eq=False)
class BatchRow:
    """One completion in progress. `limit` is the most tokens to write; `tag` belongs to the caller.

    `first_token` is what the completion tells, `begun` whether the row has written more than white space, `cached` how
    many tokens of the prompt were known when the row came into the batch (None: it has not).
    """

    ids: list[int]
    sampling: Sampling
    limit: int
    seed: int
    tag: Any = None
    first_token: dict[str, float] = field(default_factory=dict)
    begun: bool = False
    cached: int | None = None
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

    `submit` rows, then call `step` until it has returned them all; each call returns the rows that ended in it. At most
    `rows` rows are decoded at once, fewer while their keys and values would take more than `memory` bytes. `stopping`
    is asked often; when it returns True, `step` raises `slot_layer.Stopped`.
    """

    def __init__(
        self,
        model: Any,
        detokenizer: Detokenizer,
        eos_ids: frozenset[int],
        rows: int,
        memory: int,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self.waiting: deque[BatchRow] = deque()
        self.active: list[BatchRow] = []
        self._model = model
        # transformers 5.24 renames the argument, warns of the earlier name, and will remove it.
        self._cache_name = "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"
        self._detokenizer = detokenizer
        self._eos_ids = eos_ids
        self._rows = rows
        self._memory = memory
        #: Memory is full until a row ends: nothing else makes room, so it need not be measured at every step.
        self._full = False
        self._device = torch.device(model.device)
        text = model.config.get_text_config()
        self._cache = SlotCache(rows, text.num_hidden_layers, measure_token(text, model.dtype), stopping)
        self._prefill_tokens = _PREFILL_TOKENS.get(self._device.type, 512)
        # transformers takes a mask of four dimensions as it is and makes none; `attend` makes the masks.
        self._no_mask = torch.ones((1, 1, 1, 1), dtype=torch.bool, device=self._device)

    def submit(self, row: BatchRow) -> None:
        """Queue a row for the batch."""
        self.waiting.append(row)

    @torch.inference_mode()
    def step(self) -> list[tuple[BatchRow, Completion]]:
        """Read some prompt tokens, or write one token for every active row; return the rows that ended, with their
        completions."""
        self._make_room()
        self._admit()
        count = len(self.active)
        if not count:
            return []
        filling = self._cache.aim_at_prompts(self._prefill_tokens, self._device)
        if filling is not None:
            self._forward(filling.tokens[None], filling.positions)
            self._cache.note_filled(filling)
            return []
        aim = self._cache.aim_at_tails(count, self._device)
        logits = self._forward([[row.ids[-1]] for row in self.active], aim.positions)
        self._cache.advance(count)
        chosen = sample_tokens(
            logits,
            [row.sampling.temperature for row in self.active],
            [row.sampling.top_p for row in self.active],
            [row.uniforms[row.written] for row in self.active],
        )
        ended: list[tuple[BatchRow, Completion]] = []
        for place in reversed(range(count)):  # from the end, because the last row moves into a freed place
            row, token = self.active[place], chosen[place]
            self._note_first(row, token, logits[place])
            row.ids.append(token)
            completion = self._finish(row, token)
            if completion is not None:
                ended.append((row, completion))
                self._end(place)
        return ended

    def under_way(self) -> UnderWay:
        """Return the rows in the batch and waiting, their prompt tokens, and how many tokens they have written."""
        rows = [*self.active, *self.waiting]
        prompts = sum(row.prompt_length for row in self.active)
        read = max(0, prompts - self._cache.missing())
        waiting = sum(row.prompt_length for row in self.waiting)
        return UnderWay(len(rows), prompts + waiting, read, sum(row.written for row in rows))

    @torch.inference_mode()  # rows that stay move to other places of the cache
    def discard(self, unwanted: Callable[[BatchRow], bool]) -> None:
        """Drop the waiting and active rows for which `unwanted(row)` is true."""
        self.waiting = deque(row for row in self.waiting if not unwanted(row))
        for place in reversed(range(len(self.active))):
            if unwanted(self.active[place]):
                self._end(place)

    def _finish(self, row: BatchRow, token: int) -> Completion | None:
        """Return the completion if `token` ended the row, else None."""
        stop, end = row.sampling.stop, len(row.ids)
        if token in self._eos_ids:
            reason, end = "stop", end - 1
        elif self._detokenizer.ends(row.ids, row.prompt_length, stop):
            reason = "stop"
        elif row.written >= row.limit:
            reason = "length"
        elif self._loops(row):
            reason = "loop"
        else:
            return None
        whole = self._detokenizer.read(row.ids[:end], row.prompt_length)
        text = cut_at_stop(whole, stop)
        reason = "stop" if len(text) < len(whole) else reason
        return Completion(text, reason, row.prompt_length, row.written, row.first_token, row.cached)

    def _note_first(self, row: BatchRow, token: int, logits: torch.Tensor) -> None:
        """Note the likeliest tokens in place of the first that is more than white space, if the row asks for them."""
        count = min(row.sampling.top_logprobs, len(logits))
        if row.begun or not count:
            return
        values, tokens = torch.log_softmax(logits.float(), -1).topk(count)
        read = [self._detokenizer.read([one], 0) for one in tokens.tolist()]
        row.first_token = sum_up(zip(read, values.tolist(), strict=True))
        row.begun = bool(bare(self._detokenizer.read([token], 0)))

    def _loops(self, row: BatchRow) -> bool:
        if not row.sampling.stop_loops or row.written % EVERY_TOKENS:
            return False
        return repeats(self._detokenizer.read(row.ids, row.prompt_length))

    def _end(self, place: int) -> None:
        self._release(place)
        self._full = False

    def _release(self, place: int) -> None:
        last = len(self.active) - 1
        self._cache.leave(place, last)
        self.active[place] = self.active[last]
        self.active.pop()

    def _admit(self) -> None:
        """Move waiting rows into the batch while their prompts fit into memory; one row is always admitted."""
        while self.waiting and len(self.active) < self._rows and not (self._full and self.active):
            row = self.waiting[0]
            prompt = np.array(row.ids[:-1], dtype=np.int64)  # the last token opens the tail
            if not self._fits(prompt) and self.active:
                self._full = True
                return
            self.waiting.popleft()
            known = self._cache.enter(len(self.active), prompt)
            if row.cached is None:  # a row that was sent back is read again, and has told what it found
                row.cached = known
            self.active.append(row)

    def _fits(self, prompt: np.ndarray) -> bool:
        """Whether there is memory for one more row after `prompt`; gives back what is not in use if there is not."""
        rows = len(self.active) + 1
        if self._cache.bytes_with(prompt, rows) > self._memory:
            self._cache.shrink(len(self.active))
            self._cache.evict(self._cache.bytes_with(prompt, rows) - self._memory)
        return self._cache.bytes_with(prompt, rows) <= self._memory

    def _make_room(self) -> None:
        """Bring memory below its limit: give back what is not in use, then send back the row that has written least.
        It is read again, with what it has written, when there is room."""
        while self._cache.bytes() > self._memory:
            self._cache.shrink(len(self.active))
            self._cache.evict(self._cache.bytes() - self._memory)
            if self._cache.bytes() <= self._memory or len(self.active) < 2:
                return
            place = min(range(len(self.active)), key=lambda one: self.active[one].written)
            self.waiting.appendleft(self.active[place])
            self._release(place)
            self._full = True

    def _forward(self, tokens: Any, positions: torch.Tensor) -> torch.Tensor:
        """Run the model on `tokens` [rows, queries]; return the logits [rows, vocabulary] of the last column."""
        output = self._model(
            input_ids=torch.as_tensor(tokens, device=self._device),
            position_ids=positions,
            attention_mask=self._no_mask,
            use_cache=True,
            logits_to_keep=1,
            **{self._cache_name: self._cache},
        )
        return output.logits[:, -1]


def measure_token(text: Any, dtype: torch.dtype) -> int:
    """Return the bytes of one token's keys and values in all layers, from a model's configuration."""
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    return 2 * text.num_hidden_layers * heads * size * dtype.itemsize
