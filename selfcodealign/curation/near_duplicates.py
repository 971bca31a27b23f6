"""Near-duplicates by MinHash: texts that share most of their runs of words.

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
_SEED = 20241031  # of the hash functions: the same texts have the same signatures in every run
_BATCH = 512  # texts whose n-grams are held in memory together
_RECALL = 0.95  # of pairs that are exactly at the threshold; more similar ones are found more surely


def near_duplicates(
    texts: Iterable[tuple[str, str]], *, jaccard: float, permutations: int, ngram: int
) -> dict[str, tuple[str, float]]:
    """Of (id, text) pairs, those to drop: id → (id of the kept text it resembles most, estimated Jaccard).

    The first of similar texts is kept: every text is compared with the kept ones before it, and dropped where the
    estimate is at least `jaccard` (0 to 1). So each dropped text has a kept one that is that similar, and the result
    depends on the texts and their order alone. A text shorter than `ngram` words counts as one n-gram; a text without
    a word is never dropped. Memory: about 4 bytes per permutation and kept text, twice.
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
    """The runs of `ngram` words of a text, repeated ones included; all its words as one run when there are fewer."""
    words = _WORD.findall(text)
    if len(words) <= ngram:
        return iter([" ".join(words)] if words else [])
    return map(" ".join, zip(*(words[start:] for start in range(ngram)), strict=False))


def choose_bands(jaccard: float, permutations: int) -> tuple[int, int]:
    """(bands, rows per band) of the index: the longest bands that still find 95 % of pairs at the threshold.

    A pair of similarity J meets in some band with probability 1 - (1 - J^rows)^bands. Bands times rows is
    `permutations` or the next number that can be divided so.
    """
    for rows in range(permutations, 1, -1):
        bands = -(-permutations // rows)
        if 1 - (1 - jaccard**rows) ** bands >= _RECALL:
            return bands, rows
    return permutations, 1
