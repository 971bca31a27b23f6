"""A text as the set of its word n-grams, each n-gram a 64-bit hash.

Words are `\\w+`, so identifiers stay whole, and layout and punctuation do not count. Two n-grams of a billion share
their hash with a probability of 3 %, so sets of hashes intersect as the sets of n-grams do.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence

import numpy as np

_WORD = re.compile(r"\w+")
_MOST_WORDS = 1_000_000  # whose hashes are remembered, about 150 bytes each
_LONG = 1 << 20  # characters of a text whose words are not all in memory at once
_STEP = np.uint64(0x9E3779B97F4A7C15)  # odd, so that the order of the words counts


def iterate_ngrams(text: str, ngram: int) -> Iterator[str]:
    """Yield the word n-grams of a text, with repetitions; all words as one n-gram if there are fewer than `ngram`."""
    words = _WORD.findall(text)
    if len(words) <= ngram:
        return iter([" ".join(words)] if words else [])
    return map(" ".join, zip(*(words[start:] for start in range(ngram)), strict=False))


class NgramSets:
    """Makes the sets of n-grams of many texts at once."""

    def __init__(self, ngram: int) -> None:
        self.ngram = ngram
        self._hashes = _WordHashes()

    def make(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return all sets in one array, each sorted, and the size of each; a text without words has an empty set."""
        words = [self._hash_words(text) for text in texts]
        counts = np.fromiter(map(len, words), np.int64, len(words))
        hashes = np.concatenate([np.empty(0, np.uint64), *words])
        if not len(hashes):
            return hashes, counts
        grams = np.zeros(len(hashes) - self.ngram + 1, np.uint64)
        for start in range(self.ngram):
            grams = grams * _STEP + hashes[start : start + len(grams)]
        owners = np.repeat(np.arange(len(texts)), counts)
        ends = np.cumsum(counts)[owners]
        whole = np.flatnonzero(np.arange(len(hashes)) + self.ngram <= ends)  # those that end in the text they begin in
        grams, owners = grams[whole], owners[whole]
        order = np.lexsort((grams, owners))
        grams, owners = grams[order], owners[order]
        new = np.ones(len(grams), bool)
        new[1:] = (grams[1:] != grams[:-1]) | (owners[1:] != owners[:-1])
        return grams[new], np.bincount(owners[new], minlength=len(texts))

    def _hash_words(self, text: str) -> np.ndarray:
        """The hashes of a text's words; if there are fewer than an n-gram has, followed by zeros."""
        lookup = self._hashes.__getitem__
        if len(text) > _LONG:
            hashes = np.fromiter((lookup(found.group()) for found in _WORD.finditer(text)), np.uint64)
        else:
            words = _WORD.findall(text)
            hashes = np.fromiter(map(lookup, words), np.uint64, len(words))
        if 0 < len(hashes) < self.ngram:
            hashes = np.pad(hashes, (0, self.ngram - len(hashes)))
        return hashes


class _WordHashes(dict[str, int]):
    """The hash of each word, the same in every process; those of the first words are remembered."""

    def __missing__(self, word: str) -> int:
        number = int.from_bytes(
            hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little"
        )
        if len(self) < _MOST_WORDS:
            self[word] = number
        return number
