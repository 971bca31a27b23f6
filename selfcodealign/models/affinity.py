"""Which server has read the beginning of a prompt: hashes of its blocks, each over all that comes before.

Engines keep the keys and values of prompts that they have read, and read only what is new in the next one. A request
whose beginning one server has read is therefore cheaper there than anywhere else.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

#: Characters in a block. A beginning that is shared up to the middle of a block counts up to the block's start.
BLOCK = 400
#: Blocks that are remembered, of all servers: some 26 million characters, 6 MB of memory.
CAPACITY = 1 << 16
#: Share of a prompt that has to be known: a head that all prompts have says nothing about where one belongs.
KNOWN_SHARE = 0.25


class Affinity:
    """The server that has read each block last. Of many blocks those are forgotten that were asked for longest ago."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._read: OrderedDict[int, int] = OrderedDict()

    def home(self, blocks: Sequence[int]) -> int | None:
        """The number of the server that has read the longest beginning; None if that is short."""
        read = self._read
        # A block is remembered no longer than the blocks before it, so the known ones are found by halving.
        low, high = int(len(blocks) * KNOWN_SHARE), len(blocks)
        if low >= high or blocks[low] not in read:
            return None
        while high - low > 1:
            middle = (low + high) // 2
            if blocks[middle] in read:
                low = middle
            else:
                high = middle
        return read[blocks[low]]

    def note(self, blocks: list[int], server: int) -> None:
        """A server gets the prompt with these blocks."""
        read = self._read
        for block in reversed(blocks):  # the first one is the last to be forgotten
            read[block] = server
            read.move_to_end(block)
        while len(read) > self._capacity:
            read.popitem(last=False)


def split(prompt: str) -> list[int]:
    """Return the hashes of the whole blocks of a prompt, the first one first.

    >>> ours, other = split("a" * 1000), split("a" * 900 + "b" * 100)
    >>> len(ours), ours == other, split("b" * 1000)[1] == ours[1]
    (2, True, False)
    """
    blocks: list[int] = []
    before = 0
    for start in range(0, len(prompt) - BLOCK + 1, BLOCK):
        before = hash((before, prompt[start : start + BLOCK]))
        blocks.append(before)
    return blocks
