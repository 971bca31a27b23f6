"""Near-deduplication by MinHash.

A text is the set of its word n-grams (words are `\\w+`, so identifiers stay whole); two texts are near-duplicates when
the Jaccard similarity of these sets, estimated from MinHash signatures (Broder 1997), reaches a threshold. Signatures
and the banded index come from rensa; candidates that the index offers are verified by their signatures. The standard
error of an estimate is sqrt(J (1 - J) / permutations): 0.03 for 250 permutations at J = 0.5.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice

_WORD = re.compile(r"\w+")
_SEED = 20241031  # of the hash functions, so that signatures are the same in every run
_BATCH = 512  # texts whose n-grams are in memory at once
_RECALL = 0.95  # of pairs exactly at the threshold; recall rises with similarity


def near_duplicates(
    texts: Iterable[tuple[str, str]], *, jaccard: float, permutations: int, ngram: int
) -> dict[str, tuple[str, float]]:
    """Return the texts to drop from (id, text) pairs: id → (id of the most similar kept text, estimated Jaccard).

    The first of similar texts is kept: each text is compared with the kept texts before it and dropped if the estimate
    is at least `jaccard` (0 to 1). So every dropped text has a kept text that is at least so similar, and the result
    depends only on the texts and their order. A text shorter than `ngram` words counts as one n-gram; a text without
    words is never dropped. Memory: about 4 bytes per permutation and kept text, twice.
    """
    from rensa import RMinHash, RMinHashLSH  # type: ignore[missing-module-attribute]  # it ships no types

    bands, rows = choose_bands(jaccard, permutations)
    index = RMinHashLSH(jaccard, bands * rows, bands)
    kept: list[tuple[str, RMinHash]] = []
    dropped: dict[str, tuple[str, float]] = {}
    entries = iter(texts)
    while batch := list(islice(entries, _BATCH)):
        grams = [(row_id, found) for row_id, text in batch if (found := list(iterate_ngrams(text, ngram)))]
        signatures = RMinHash.from_token_sets([found for _, found in grams], bands * rows, _SEED)
        for (row_id, _), signature in zip(grams, signatures, strict=True):
            score, nearest = max(
                ((signature.jaccard(kept[key][1]), -key) for key in index.query(signature)), default=(0.0, 0)
            )
            if score >= jaccard:
                dropped[row_id] = (kept[-nearest][0], score)
            else:
                index.insert(len(kept), signature)
                kept.append((row_id, signature))
    return dropped


def iterate_ngrams(text: str, ngram: int) -> Iterator[str]:
    """Yield the word n-grams of a text, with repetitions; all words as one n-gram if there are fewer than `ngram`."""
    words = _WORD.findall(text)
    if len(words) <= ngram:
        return iter([" ".join(words)] if words else [])
    return map(" ".join, zip(*(words[start:] for start in range(ngram)), strict=False))


def choose_bands(jaccard: float, permutations: int) -> tuple[int, int]:
    """Return (bands, rows per band) of the index: the longest bands with 95 % recall at the threshold.

    A pair of similarity J collides in some band with probability 1 - (1 - J^rows)^bands. Bands times rows is
    `permutations` or the next multiple of rows.
    """
    for rows in range(permutations, 1, -1):
        bands = -(-permutations // rows)
        if 1 - (1 - jaccard**rows) ** bands >= _RECALL:
            return bands, rows
    return permutations, 1
