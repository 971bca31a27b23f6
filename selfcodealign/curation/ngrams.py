"""A text as the set of its word n-grams, each n-gram a 64-bit hash.

Words are `\\w+`, so identifiers stay whole, and layout and punctuation do not count. Two n-grams of a billion share
their hash with a probability of 3 %, so sets of hashes intersect as the sets of n-grams do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np

_WORD = re.compile(r"\w+")
_LONG = 1 << 20  # characters of a text whose words are not all in memory at once
_STEP = np.uint64(0x9E3779B97F4A7C15)  # odd, so that the order of the words counts


def iterate_ngrams(text: str, ngram: int) -> Iterator[str]:
    """Yield the word n-grams of a text, with repetitions; all words as one n-gram if there are fewer than `ngram`."""
    words = _WORD.findall(text)
    if len(words) <= ngram:
        return iter([" ".join(words)] if words else [])
    return map(" ".join, zip(*(words[start:] for start in range(ngram)), strict=False))


def make_sets(texts: Sequence[str], ngram: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the n-gram sets of all texts in one array, each sorted, and the size of each.

    A text without words has an empty set.
    """
    words = _hash_words(texts, ngram)
    counts = np.fromiter(map(len, words), np.int64, len(words))
    hashes = np.concatenate([np.empty(0, np.uint64), *words])
    if not len(hashes):
        return hashes, counts
    grams = np.zeros(len(hashes) - ngram + 1, np.uint64)
    for start in range(ngram):
        grams = grams * _STEP + hashes[start : start + len(grams)]
    ends = np.cumsum(counts)
    spans = zip((ends - counts).tolist(), ends.tolist(), strict=True)
    sets = [np.unique(grams[start : max(start, end - ngram + 1)]) for start, end in spans]
    return np.concatenate(sets), np.fromiter(map(len, sets), np.int64, len(sets))


def _hash_words(texts: Sequence[str], ngram: int) -> list[np.ndarray]:
    """The hashes of each text's words, the same in every process; fewer than `ngram` are filled up with empty ones."""
    from rensa import RMinHash  # type: ignore[missing-module-attribute]  # it ships no types

    words = [_WORD.findall(text) if len(text) <= _LONG else [] for text in texts]
    short = [found + [""] * (ngram - len(found)) if 0 < len(found) < ngram else found for found in words]
    hashes = [np.array(found, np.uint64) for found in RMinHash.hash_token_sets(short)]
    for number, text in enumerate(texts):
        if len(text) > _LONG:
            found = (word.group() for word in _WORD.finditer(text))
            parts = iter(lambda: list(islice(found, _LONG)), [])  # noqa: B023  # used up in this turn
            pieces = [np.array(RMinHash.hash_token_sets([part])[0], np.uint64) for part in parts]
            filled = np.concatenate([np.empty(0, np.uint64), *pieces])
            hashes[number] = np.pad(filled, (0, max(0, ngram - len(filled)) if len(filled) else 0))
    return hashes
