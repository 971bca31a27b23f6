"""Which texts are close to an earlier one in the order of their words: ROUGE-L, exact, against all kept texts.

ROUGE-L F of texts with a and b words is 2·LCS / (a + b), where LCS is the length of their longest common subsequence.
No subsequence is longer than what the texts have in common as multisets of words, which an inverted index tells for all
kept texts at once; the LCS is computed for those texts alone that this bound does not rule out.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

#: The share of a text's words whose entries in the index are not counted, those with the longest ones: each is taken as
#: shared by every kept text, so that the bound stays one.
_NOT_COUNTED = 0.25


class Nearest(NamedTuple):
    """The nearest kept text above a limit."""

    name: str
    similarity: float


def split_words(text: str) -> list[str]:
    """Runs of ASCII letters and digits in lower case, as ROUGE counts them.

    >>> split_words("Sort `my_list` twice!")
    ['sort', 'my', 'list', 'twice']
    """
    return re.findall(r"[a-z0-9]+", text.lower())


def common_length(one: Sequence[str], other: Sequence[str]) -> int:
    """The length of the longest common subsequence, for one text bit-parallel in a whole number.

    >>> common_length("sort a list of names".split(), "sort names of a list".split())
    3
    """
    places: dict[str, int] = {}
    for place, word in enumerate(one):
        places[word] = places.get(word, 0) | 1 << place
    whole = (1 << len(one)) - 1
    left = whole  # a cleared bit is a word of the subsequence
    for word in other:
        hit = left & places.get(word, 0)
        left = ((left + hit) | (left - hit)) & whole
    return len(one) - left.bit_count()


def rouge_l(one: Sequence[str], other: Sequence[str]) -> float:
    """ROUGE-L F of two texts' words; 0 where one has none."""
    return 2 * common_length(one, other) / (len(one) + len(other)) if one and other else 0.0


class KeptTexts:
    """Texts of which none is nearer to an earlier one than `limit`."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._names: list[str] = []
        self._words: list[list[str]] = []
        self._lengths = array("i")
        # The n-th occurrence of a word in a text is one key, so that counts of keys are those of multisets.
        self._index: dict[tuple[str, int], array[int]] = {}

    def find_near(self, text: str) -> Nearest | None:
        """The nearest kept text, if it is nearer than the limit."""
        words = split_words(text)
        best = Nearest("", self._limit)
        for place in self._find_candidates(words):
            similarity = rouge_l(words, self._words[place])
            if similarity > best.similarity:
                best = Nearest(self._names[place], similarity)
        return best if best.name else None

    def add(self, name: str, text: str) -> None:
        """Keep a text, whatever it is near to."""
        words, place = split_words(text), len(self._names)
        for key in _number(words):
            self._index.setdefault(key, array("i")).append(place)
        self._names.append(name)
        self._words.append(words)
        self._lengths.append(len(words))

    def _find_candidates(self, words: Sequence[str]) -> list[int]:
        """The kept texts that may be nearer than the limit."""
        if not words or not self._names:
            return []
        entries = sorted((self._index.get(key, ()) for key in _number(words)), key=len)
        skipped = int(len(words) * _NOT_COUNTED)
        counted = [np.frombuffer(one, np.int32) for one in entries[: len(entries) - skipped] if isinstance(one, array)]
        shared = np.bincount(np.concatenate(counted), minlength=len(self._names)) if counted else 0
        lengths = np.frombuffer(self._lengths, np.int32)
        most = np.minimum(shared + skipped, np.minimum(lengths, len(words)))
        return np.flatnonzero(2 * most / (lengths + len(words)) > self._limit).tolist()


def _number(words: Sequence[str]) -> list[tuple[str, int]]:
    seen: Counter[str] = Counter()
    keys = []
    for word in words:
        keys.append((word, seen[word]))
        seen[word] += 1
    return keys
