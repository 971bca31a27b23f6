"""Figures of a set of texts that fall or rise when a model learns from its own texts: diversity, copying.

All functions take texts and give a number; nothing here knows runs. Words are those of `curation.ngrams`. A figure of
diversity depends on how much is counted, so sets that are compared are cut to the same number of items before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from itertools import islice
from math import log2, nan

from selfcodealign.curation.ngrams import iterate_ngrams

#: Words of a window that counts as copied: shorter ones are written twice by chance.
COPIED_WORDS = 8


def first_ngrams(texts: Iterable[str], ngram: int, most: int | None = None) -> list[str]:
    """The first `most` word n-grams of texts, none across two texts; a shorter text is one n-gram.

    >>> first_ngrams(["return the sum", "add"], 2, 3)
    ['return the', 'the sum', 'add']
    """
    return list(islice((gram for text in texts for gram in iterate_ngrams(text, ngram)), most))


def distinct_share(items: Sequence[Hashable]) -> float:
    """Distinct items as a share of all; NaN of none. Of n-grams: distinct-n (Li et al., arXiv 1510.03055).

    >>> distinct_share(["loops", "sorting", "loops", "loops"])
    0.5
    """
    return len(set(items)) / len(items) if items else nan


def entropy(items: Sequence[Hashable]) -> float:
    """Shannon entropy of the items' frequencies as a share of its maximum, log2 of their number.

    1: all differ; 0: all are equal; NaN of fewer than two.

    >>> entropy(["a", "b", "c", "d"]), entropy(["a", "a", "b", "b"]), entropy(["a", "a", "a", "a"])
    (1.0, 0.5, 0.0)
    """
    total = len(items)
    if total < 2:
        return nan
    # Terms of n·log2(n) add no rounding where all items differ.
    return 1.0 - sum(count * log2(count) for count in Counter(items).values()) / (total * log2(total))


def copied_share(texts: Iterable[str], known: frozenset[str], words: int = COPIED_WORDS) -> float:
    """The share of the windows of so many words, of all texts, that are `known` (`windows`); NaN of none.

    >>> copied_share(["add a to b now"], windows(["please add a to b"], 3), 3)
    0.6666666666666666
    """
    found = [gram in known for text in texts for gram in iterate_ngrams(text.casefold(), words)]
    return sum(found) / len(found) if found else nan


def windows(texts: Iterable[str], words: int = COPIED_WORDS) -> frozenset[str]:
    """All windows of so many words of texts, in lower case.

    >>> sorted(windows(["Add A to B"], 3))
    ['a to b', 'add a to']
    """
    return frozenset(gram for text in texts for gram in iterate_ngrams(text.casefold(), words))


def mean(values: Iterable[float]) -> float:
    """The mean of the values that are numbers; NaN of none.

    >>> mean([1.0, nan, 2.0])
    1.5
    """
    found = [value for value in values if value == value]
    return sum(found) / len(found) if found else nan
