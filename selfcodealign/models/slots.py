"""The KV cache of the decode loop: shared prefixes, prompts, and one tail of written tokens per row.

    positions   0 ……………………… base │ base ……… prompt │ prompt ………
    kept in     prefixes (shared)  │ a slot (shared   │ the row's tail; every `LONGEST_TAIL` tokens become
                                   │ by equal prompts)│ a prefix that is this row's alone

Rows whose prompts begin alike share the prefixes (`prefixes.PrefixTree`), rows of one prompt (ten samples of one
instruction, say) share its slot. Decoding on a CPU is bound by reading keys and values, so what is shared is read once
for all rows. Slots and tails are padded to their longest, therefore short; what is long is kept in prefixes, which have
their own length. Memory is taken for the rows there are.

Two hooks of transformers are used: a cache whose layers write where `SlotCache` directs them (`SlotLayer`), and a
registered attention function (`slot_attention.attend`).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from transformers.cache_utils import Cache

from selfcodealign.models.aims import Decoding, Filling, Piece
from selfcodealign.models.prefixes import BLOCK, Prefix, PrefixTree, chain_of
from selfcodealign.models.slot_layer import SlotLayer

#: Capacities grow in steps of this many tokens.
_GRAIN = 64
#: A prompt whose part beyond the known prefixes is longer becomes a prefix, except about the last half as many tokens.
LONGEST_SLOT = 128
#: A tail of this many tokens becomes a prefix.
LONGEST_TAIL = 256


class SlotCache(Cache):
    """Keys and values of at most `rows` rows.

    Prompts in use are slots 0 .. `prompts` - 1; active rows are 0 .. n - 1 of the tails, `prompt_of[row]` is a row's
    slot. `token_bytes` is the memory of one token in all layers. `stopping` is asked in every layer of a pass.
    """

    def __init__(self, rows: int, layers: int, token_bytes: int, stopping: Callable[[], bool] = lambda: False) -> None:
        self.tree = PrefixTree()
        self.stopping = stopping
        self.prompts = 0
        self.aim: Filling | Decoding | None = None
        self._token_bytes = token_bytes
        self._ids = np.zeros((rows, max(LONGEST_SLOT, LONGEST_SLOT // 2 + BLOCK)), dtype=np.int64)  # tokens of slots
        self._base = np.zeros(rows, dtype=np.int64)  # tokens in prefixes above the slot
        self._length = np.zeros(rows, dtype=np.int64)  # tokens in the slot
        self._filled = np.zeros(rows, dtype=np.int64)  # those whose keys and values are computed
        self._users = np.zeros(rows, dtype=np.int64)
        self._above: list[Prefix | None] = [None] * rows
        self._prompt: list[bytes] = [b""] * rows
        self._slot_of: dict[bytes, int] = {}
        self.prompt_of = np.zeros(rows, dtype=np.int64)
        self.tail_length = np.zeros(rows, dtype=np.int64)
        self._written: list[list[Prefix]] = [[] for _ in range(rows)]  # former tails of each row
        self.capacity = (0, 0)  # slots, and tokens in each
        self.tail_capacity = (0, 0)
        self.layer_list = [SlotLayer(self, layer) for layer in range(layers)]
        super().__init__(layers=[*self.layer_list])

    # ------------------------------------------------------------------------------------------------ memory

    def bytes(self) -> int:
        """Return the memory of all keys and values."""
        return self._token_bytes * self._tokens(self.capacity, self.tail_capacity)

    def bytes_with(self, prompt: np.ndarray, rows: int) -> int:
        """Return the memory that would be in use with one more row, the `rows`-th, after `prompt`."""
        if prompt.tobytes() in self._slot_of:
            slots, whole, rest = self.prompts, 0, 0
        else:
            slots, new = self.prompts + 1, len(prompt) - self.tree.measure(prompt)
            whole = _whole_blocks(new)
            rest = new - whole
        return self._token_bytes * (self._tokens(*self._capacities(slots, rest, rows, 1)) + whole)

    def evict(self, size: int) -> None:
        """Forget unused prefixes of at least `size` bytes, as far as there are any."""
        if size > 0:
            self.tree.evict(-(-size // self._token_bytes))

    def _tokens(self, slots: tuple[int, int], tails: tuple[int, int]) -> int:
        written = sum(len(node.tokens) for nodes in self._written for node in nodes)
        return self.tree.tokens + written + slots[0] * slots[1] + tails[0] * tails[1]

    def _reserve(self, slots: int, width: int, rows: int, tail: int) -> None:
        """Make room for `slots` slots of `width` tokens and `rows` tails of `tail` tokens."""
        self._resize(*self._capacities(slots, width, rows, tail))

    def shrink(self, rows: int) -> None:
        """Give back what the first `rows` rows and their prompts do not need of slots and tails."""
        width = int(self._length[: self.prompts].max(initial=0))
        tail = int(self.tail_length[:rows].max(initial=0)) + 1 if rows else 0
        self._resize(*_round_capacities(self.prompts, width, rows, tail))

    def _capacities(self, slots: int, width: int, rows: int, tail: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return the capacities of slots and tails that also hold all that the present ones do."""
        slot, tails = _round_capacities(slots, width, rows, tail)
        return (
            (max(self.capacity[0], slot[0]), max(self.capacity[1], slot[1])),
            (max(self.tail_capacity[0], tails[0]), max(self.tail_capacity[1], tails[1])),
        )

    def _resize(self, slots: tuple[int, int], tails: tuple[int, int]) -> None:
        if (slots, tails) != (self.capacity, self.tail_capacity):
            self.capacity, self.tail_capacity = slots, tails
            for layer in self.layer_list:
                layer.resize()

    # ------------------------------------------------------------------------------------------ rows come and go

    def enter(self, row: int, prompt: np.ndarray) -> int:
        """Give a row its prompt, shared if the prompt is in use, and an empty tail. Return how many of the prompt's
        tokens other rows have brought in: their keys and values are not computed for this one."""
        key = prompt.tobytes()
        slot = self._slot_of.get(key)
        known = len(prompt)
        if slot is None:
            slot, self.prompts = self.prompts, self.prompts + 1
            known = self._place(slot, prompt)
            self._slot_of[key], self._prompt[slot] = slot, key
        self.prompt_of[row], self.tail_length[row], self._written[row] = slot, 0, []
        self._users[slot] += 1
        self._reserve(self.prompts, int(self._length[slot]), row + 1, 1)
        return known

    def _place(self, slot: int, prompt: np.ndarray) -> int:
        """Put a prompt into a slot and its prefixes; return how many of its tokens were there."""
        chain, known = self.tree.match(prompt)
        covered = known
        rest = len(prompt) - covered
        if whole := _whole_blocks(rest):
            chain = [*chain, self.tree.add(chain, prompt[covered : covered + whole].copy())]
            covered, rest = covered + whole, rest - whole
        self.tree.hold(chain)
        self._above[slot] = chain[-1] if chain else None
        self._ids[slot, :rest] = prompt[covered:]
        self._base[slot], self._length[slot], self._filled[slot], self._users[slot] = covered, rest, 0, 0
        return known

    def leave(self, row: int, last: int) -> None:
        """Remove a row; the last active row takes its place, and the last prompt that of an unused one."""
        slot = int(self.prompt_of[row])
        self._written[row] = []
        if row != last:
            self.prompt_of[row], self.tail_length[row] = self.prompt_of[last], self.tail_length[last]
            self._written[row], self._written[last] = self._written[last], []
            for layer in self.layer_list:
                layer.move_tail(last, row, int(self.tail_length[row]))
        self._users[slot] -= 1
        if self._users[slot] == 0:
            self.tree.release(self._above[slot])
            del self._slot_of[self._prompt[slot]]
            self.prompts -= 1
            self._move_prompt(self.prompts, slot, last)

    def _move_prompt(self, source: int, target: int, rows: int) -> None:
        if source == target:
            return
        for state in (self._ids, self._base, self._length, self._filled, self._users):
            state[target] = state[source]
        self._above[target], self._prompt[target] = self._above[source], self._prompt[source]
        self._slot_of[self._prompt[target]] = target
        self.prompt_of[:rows][self.prompt_of[:rows] == source] = target
        for layer in self.layer_list:
            layer.move_prompt(source, target, int(self._filled[target]))

    def advance(self, count: int) -> None:
        """The first `count` rows have each written a token; tails that are full become prefixes."""
        self.tail_length[:count] += 1
        for row in np.flatnonzero(self.tail_length[:count] == LONGEST_TAIL):
            start = self._start_of(int(row))
            node = Prefix(None, start, np.zeros(LONGEST_TAIL, dtype=np.int64))
            node.states = [layer.copy_tail(int(row), LONGEST_TAIL) for layer in self.layer_list]
            self._written[row].append(node)
            self.tail_length[row] = 0

    def _start_of(self, row: int) -> int:
        """Return the position of the first token of a row's tail."""
        slot = self.prompt_of[row]
        return int(self._base[slot] + self._length[slot]) + LONGEST_TAIL * len(self._written[row])

    # -------------------------------------------------------------------------------------------------- prefill

    def missing(self) -> int:
        """Return how many tokens of the prompts in use have no keys and values yet."""
        nodes = {id(node): node for slot in range(self.prompts) for node in chain_of(self._above[slot])}
        slots = int((self._length[: self.prompts] - self._filled[: self.prompts]).sum())
        return slots + sum(len(node.tokens) - node.filled for node in nodes.values())

    def aim_at_prompts(self, most: int, device: torch.device) -> Filling | None:
        """Direct the next forward pass at the next `most` tokens of prompts; None if all prompts are complete."""
        pieces: list[Piece] = []
        planned: dict[int, int] = {}  # tokens of a prefix that are computed when this pass ends
        room = most
        for slot in range(self.prompts):
            chain = chain_of(self._above[slot])
            complete = True
            for place, node in enumerate(chain):
                filled = planned.get(id(node), node.filled)
                count = min(len(node.tokens) - filled, room)
                if count > 0:
                    # One piece per prefix and pass, so that what is planned of it is contiguous.
                    pieces.append(Piece(node, slot, filled, count, node.start + filled, tuple(chain[:place])))
                    planned[id(node)] = filled + count
                    room -= count
                if filled + max(count, 0) < len(node.tokens):
                    complete = False
                    break
            filled = int(self._filled[slot])
            count = min(int(self._length[slot]) - filled, room)
            if complete and count > 0:
                pieces.append(Piece(None, slot, filled, count, int(self._base[slot]) + filled, tuple(chain)))
                room -= count
            if room == 0:
                break
        if not pieces:
            return None
        tokens = np.concatenate([self._tokens_of(piece) for piece in pieces])
        positions = np.concatenate([np.arange(piece.first, piece.first + piece.count) for piece in pieces])
        self.aim = Filling(pieces, tokens, torch.from_numpy(positions)[None].to(device))
        return self.aim

    def note_filled(self, filling: Filling) -> None:
        """The pass is through."""
        for piece in filling.pieces:
            if piece.prefix is None:
                self._filled[piece.slot] = piece.start + piece.count
            else:
                piece.prefix.filled = piece.start + piece.count

    def _tokens_of(self, piece: Piece) -> np.ndarray:
        tokens = self._ids[piece.slot] if piece.prefix is None else piece.prefix.tokens
        return tokens[piece.start : piece.start + piece.count]

    # --------------------------------------------------------------------------------------------------- decode

    def aim_at_tails(self, count: int, device: torch.device) -> Decoding:
        """Direct the next forward pass at the next token of the first `count` rows."""
        prompt_of, tails = self.prompt_of[:count], self.tail_length[:count]
        self._reserve(self.prompts, 0, count, int(tails.max()) + 1)
        starts = np.array([self._start_of(row) for row in range(count)])
        lengths, base = self._length[prompt_of], self._base[prompt_of]
        order = np.argsort(prompt_of, kind="stable")
        sizes = np.bincount(prompt_of, minlength=self.prompts)
        rank = np.arange(count) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        most = int(sizes.max())
        members = np.zeros((self.prompts, most), dtype=np.int64)
        places = np.zeros(count, dtype=np.int64)
        members[prompt_of[order], rank] = order
        places[order] = prompt_of[order] * most + rank
        shared, width = self._find_shared(count, device)
        nowhere = np.iinfo(np.int64).max
        heads, slots = np.arange(width)[None], np.arange(int(lengths.max()))[None]
        written = (heads >= (base + lengths)[:, None]) & (heads < starts[:, None])
        columns = np.concatenate(
            [
                np.where((heads < base[:, None]) | written, heads, nowhere),
                np.where(slots < lengths[:, None], base[:, None] + slots, nowhere),
                starts[:, None] + np.arange(int(tails.max()) + 1),
            ],
            axis=1,
        )
        put = [torch.from_numpy(one).to(device) for one in (members, places, tails.copy(), starts + tails, columns)]
        self.aim = Decoding(
            count, shared, put[0], put[1], put[2], put[3][:, None], put[4], width, slots.shape[1], int(tails.max()) + 1
        )
        return self.aim

    def _find_shared(self, count: int, device: torch.device) -> tuple[list[tuple[Prefix, torch.Tensor | slice]], int]:
        """Return the prefixes of the first `count` rows, each with its rows, and the end of the furthest."""
        users: dict[int, tuple[Prefix, list[int]]] = {}
        chains = [chain_of(self._above[slot]) for slot in range(self.prompts)]
        for row in range(count):
            for node in (*chains[self.prompt_of[row]], *self._written[row]):
                users.setdefault(id(node), (node, []))[1].append(row)
        # Rows that follow each other are a slice, a view instead of a copy.
        shared = [
            (
                node,
                slice(rows[0], rows[-1] + 1)
                if rows[-1] - rows[0] == len(rows) - 1
                else torch.tensor(rows, device=device),
            )
            for node, rows in users.values()
        ]
        return shared, max((node.end for node, _ in shared), default=0)


def _whole_blocks(tokens: int) -> int:
    """Return how many of a prompt's tokens beyond the known prefixes become a prefix.

    The end of a prompt is its own row's: left in the slot, it needs no prefix that nobody shares.
    """
    return (tokens - LONGEST_SLOT // 2) // BLOCK * BLOCK if tokens > LONGEST_SLOT else 0


def _round_capacities(slots: int, width: int, rows: int, tail: int) -> tuple[tuple[int, int], tuple[int, int]]:
    return (_round_up(slots, 4), _round_up(width, _GRAIN)), (_round_up(rows, 4), _round_up(tail, _GRAIN))


def _round_up(number: int, step: int) -> int:
    return -(-number // step) * step
