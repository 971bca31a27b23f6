"""Keys and values of prompt prefixes: a radix tree over blocks of tokens, shared by all prompts that begin alike.

A few-shot prompt of thousands of tokens is the same for every row of a draw. Its keys and values are computed once,
kept once, and read once per step for all rows together. A node is a run of whole blocks; where a new prompt leaves a
node in the middle, the node is split there, each part with memory that can be freed alone. Nodes without users stay
until memory is needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

#: Tokens per block: prompts share whole blocks only, so that accidental agreement of a few tokens makes no node.
BLOCK = 32


class Prefix:
    """A run of tokens at positions `start` .. `end` - 1 of every prompt below it, with keys and values per layer.

    `states[layer]` are keys and values, each [heads, tokens, size]; the first `filled` tokens are computed.
    """

    def __init__(self, parent: Prefix | None, start: int, tokens: np.ndarray) -> None:
        self.parent = parent
        self.start = start
        self.tokens = tokens
        self.filled = 0
        self.users = 0
        self.used_at = 0
        self.states: list[tuple[torch.Tensor, torch.Tensor]] = []
        self.children: dict[bytes, Prefix] = {}

    @property
    def end(self) -> int:
        return self.start + len(self.tokens)

    def state(self, layer: int, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return keys and values of a layer, allocated at the layer's first pass; `like` is [rows, heads, n, size]."""
        if len(self.states) == layer:
            shape = (like.shape[1], len(self.tokens), like.shape[3])
            self.states.append((like.new_empty(shape), like.new_empty(shape)))
        return self.states[layer]


class PrefixTree:
    """All prefixes; `tokens` is their number of tokens, which decides their memory."""

    def __init__(self) -> None:
        self._root = Prefix(None, 0, np.zeros(0, dtype=np.int64))
        self._clock = 0
        self.tokens = 0

    def match(self, ids: np.ndarray) -> tuple[list[Prefix], int]:
        """Return the chain of prefixes that `ids` begins with, and how many tokens they cover; splits a prefix that
        `ids` leaves in its middle."""
        chain: list[Prefix] = []
        node, covered = self._root, 0
        while (child := node.children.get(ids[covered : covered + BLOCK].tobytes())) is not None:
            shared = _count_shared(child.tokens, ids[covered:]) // BLOCK * BLOCK
            if shared < len(child.tokens):
                child = self._split(child, shared)
            chain.append(child)
            node, covered = child, child.end
        return chain, covered

    def measure(self, ids: np.ndarray) -> int:
        """Return how many tokens of `ids` the tree covers, without changing it."""
        node, covered = self._root, 0
        while (child := node.children.get(ids[covered : covered + BLOCK].tobytes())) is not None:
            covered += (shared := _count_shared(child.tokens, ids[covered:]) // BLOCK * BLOCK)
            if shared < len(child.tokens):
                break
            node = child
        return covered

    def add(self, chain: Sequence[Prefix], tokens: np.ndarray) -> Prefix:
        """Add a prefix of whole blocks below the last of `chain`; its keys and values are to be computed."""
        parent = chain[-1] if chain else self._root
        node = Prefix(parent, parent.end, tokens)
        parent.children[tokens[:BLOCK].tobytes()] = node
        self.tokens += len(tokens)
        return node

    def hold(self, chain: Sequence[Prefix]) -> None:
        """A prompt uses these prefixes from now on."""
        self._clock += 1
        for node in chain:
            node.users += 1
            node.used_at = self._clock

    def release(self, prefix: Prefix | None) -> None:
        """A prompt that ended with `prefix` no longer uses it and those above it."""
        self._clock += 1
        while prefix is not None and prefix is not self._root:
            prefix.users -= 1
            prefix.used_at = self._clock
            prefix = prefix.parent

    def evict(self, tokens: int) -> int:
        """Forget unused prefixes of at least `tokens` tokens if there are so many, the longest unused first; return
        the number forgotten."""
        freed = 0
        while freed < tokens:
            unused = [node for node in self._walk(self._root) if not node.users and not node.children]
            if not unused:
                break
            oldest = min(unused, key=lambda node: node.used_at)
            assert oldest.parent is not None
            del oldest.parent.children[oldest.tokens[:BLOCK].tobytes()]
            freed += len(oldest.tokens)
        self.tokens -= freed
        return freed

    def _split(self, node: Prefix, count: int) -> Prefix:
        """Make the first `count` tokens of a prefix one of their own, above the rest; return it."""
        assert node.parent is not None
        upper = Prefix(node.parent, node.start, node.tokens[:count])
        upper.users, upper.used_at = node.users, node.used_at
        upper.filled = min(node.filled, count)
        node.parent.children[upper.tokens[:BLOCK].tobytes()] = upper
        upper.children[node.tokens[count : count + BLOCK].tobytes()] = node
        node.parent, node.start, node.tokens = upper, node.start + count, node.tokens[count:]
        node.filled -= upper.filled
        for layer, (keys, values) in enumerate(node.states):  # copies: a view would keep the memory of the whole
            upper.states.append((keys[:, :count].clone(), values[:, :count].clone()))
            node.states[layer] = keys[:, count:].clone(), values[:, count:].clone()
        return upper

    def _walk(self, node: Prefix) -> Iterator[Prefix]:
        for child in node.children.values():
            yield child
            yield from self._walk(child)


def chain_of(prefix: Prefix | None) -> list[Prefix]:
    """Return the prefixes from the top of the tree down to `prefix`."""
    chain: list[Prefix] = []
    while prefix is not None and prefix.parent is not None:
        chain.append(prefix)
        prefix = prefix.parent
    return chain[::-1]


def _count_shared(tokens: np.ndarray, ids: np.ndarray) -> int:
    width = min(len(tokens), len(ids))
    different = tokens[:width] != ids[:width]
    return int(different.argmax()) if different.any() else width
