"""Texts and code of benchmarks in rows: word for word, and nearly so.

A needle is a task's text as words, or its code as tokens. It is found where all of it stands in a row in one piece
("text", "code"), or where the row holds `SHARE` of its n-grams ("near text", "near code"): other comments, another
layout, a few changed words. Needles are indexed by their rarest word and by a sample of their n-grams, so that most
rows are looked at once and compared with nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from zlib import crc32

import numpy as np

from selfcodealign.curation.contamination.words import bits

#: A needle is also looked for in parts if it tells this much.
PART_BITS = 110
#: Words per n-gram, of text and of code, and the share of a needle's n-grams that a row must hold.
TEXT_NGRAM, CODE_NGRAM = 4, 8
SHARE = 0.6
#: One of so many n-grams is indexed, and this share of those must be in a row that is compared.
SAMPLED, SAMPLED_SHARE = 4, 0.3
#: An n-gram that more tasks of a benchmark share is wording around the tasks.
MOST_SHARED = 2


_FACTOR = 0x9E3779B97F4A7C15


@dataclass(frozen=True, slots=True)
class Needle:
    """A text of a task, `joined` with a blank at both ends; `grams` is empty where parts of it are no evidence, and
    `sampled` counts those that are indexed."""

    place: int
    joined: str
    grams: np.ndarray
    sampled: int


class Phrases:
    """An index of needles of one kind, texts or code; `places` are numbers of the caller.

    `least` is how many bits a needle tells at least that is evidence when a row holds it in one piece.
    """

    def __init__(self, ngram: int, least: int) -> None:
        self._ngram = ngram
        self._least = least
        self._needles: list[Needle] = []
        self._by_word: dict[str, list[int]] = defaultdict(list)
        self._by_gram: dict[int, list[int]] = defaultdict(list)
        self._seen: set[str] = set()

    def add(self, place: int, words: Sequence[str], common: np.ndarray) -> bool:
        """Add a needle; False where it tells too little to be evidence. `common`: n-grams of wording around tasks."""
        told = [bits(word) for word in words]
        if sum(told) < self._least:
            return False
        joined = f" {' '.join(words)} "
        if joined in self._seen:
            return True
        self._seen.add(joined)
        number = len(self._needles)
        grams = np.empty(0, np.uint64)
        if sum(told) >= PART_BITS:
            every = self.grams(words)
            grams = every[~_held(every, common)]
        sampled = grams[grams % SAMPLED == 0].tolist()
        if len(grams) < 2 * self._ngram or not sampled:
            grams, sampled = grams[:0], []
        self._needles.append(Needle(place, joined, grams, len(sampled)))
        rarest = max(zip(told, map(len, words), words, strict=True))[2]
        self._by_word[rarest].append(number)
        for gram in sampled:
            self._by_gram[gram].append(number)
        return True

    def grams(self, words: Sequence[str]) -> np.ndarray:
        """The distinct n-grams of words as hashes, those of mere numbers left out."""
        size = self._ngram
        count = len(words) - size + 1
        if count <= 0:
            return np.empty(0, np.uint64)
        each = np.fromiter(map(_hash, words), np.uint64, len(words))
        digits = np.fromiter(map(str.isdigit, words), np.int64, len(words))
        hashes, numbers = np.zeros(count, np.uint64), np.zeros(count, np.int64)
        for start in range(size):
            hashes = hashes * np.uint64(_FACTOR) + each[start : start + count]
            numbers += digits[start : start + count]
        return _distinct(hashes[numbers < size])

    def find_whole(self, words: Sequence[str]) -> Needle | None:
        """The first needle that stands in the words in one piece."""
        joined = ""
        for word in self._by_word.keys() & words:
            joined = joined or f" {' '.join(words)} "
            for number in self._by_word[word]:
                if self._needles[number].joined in joined:
                    return self._needles[number]
        return None

    def find_near(self, words: Sequence[str]) -> tuple[Needle, float] | None:
        """The needle of whose n-grams the words hold most, if that is enough, and the share."""
        mine = self.grams(words)
        sampled = mine[mine % SAMPLED == 0].tolist()
        held = Counter(number for gram in sampled if gram in self._by_gram for number in self._by_gram[gram])
        best, most = None, SHARE
        for number, count in held.items():
            needle = self._needles[number]
            if count >= SAMPLED_SHARE * needle.sampled:
                share = float(_held(needle.grams, mine).mean())
                if share >= most:
                    best, most = needle, share
        return (best, most) if best else None

    def find_common(self, tasks: Iterable[Iterable[Sequence[str]]]) -> np.ndarray:
        """The n-grams that more than `MOST_SHARED` tasks of a benchmark share."""
        none = [np.empty(0, np.uint64)]
        each = [_distinct(np.concatenate([*none, *(self.grams(words) for words in texts)])) for texts in tasks]
        grams = np.sort(np.concatenate([*none, *each]))
        return _distinct(grams[MOST_SHARED:][grams[MOST_SHARED:] == grams[: len(grams) - MOST_SHARED]])


def _distinct(hashes: np.ndarray) -> np.ndarray:
    """The distinct hashes, sorted: an order of magnitude faster than `np.unique` for as few as a row has."""
    hashes = np.sort(hashes)
    first = np.ones(len(hashes), bool)
    first[1:] = hashes[1:] != hashes[:-1]
    return hashes[first]


def _held(some: np.ndarray, every: np.ndarray) -> np.ndarray:
    """Which of some hashes are among all of them, which are sorted."""
    if not len(every):
        return np.zeros(len(some), bool)
    return every[np.minimum(np.searchsorted(every, some), len(every) - 1)] == some


@lru_cache(1 << 17)
def _hash(word: str) -> int:
    """A hash that is the same in every process."""
    low = crc32(word.encode("utf-8", "surrogatepass"))
    return (low << 32 | crc32(low.to_bytes(4))) * _FACTOR & 0xFFFFFFFFFFFFFFFF
