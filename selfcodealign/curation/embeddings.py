"""Texts as vectors without a model: TF-IDF over words, reduced by a randomised singular value decomposition, and exact
nearest neighbours by cosine."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable

import numpy as np

_WORD = re.compile(r"\w+")
#: Words in fewer texts say nothing of likeness; the rarest go first when there are too many.
_LEAST_TEXTS, _MOST_WORDS = 2, 50_000
#: Numbers in memory at once for a block of rows.
_BLOCK = 2**25
_POWER_ITERATIONS = 2

#: Told of a part of the work, what is done and of how much; may raise to end it.
Pulse = Callable[[str, int, int | None], None]


class _Matrix:
    """A sparse matrix of texts by words, with products by blocks."""

    def __init__(self, rows: np.ndarray, columns: np.ndarray, values: np.ndarray, shape: tuple[int, int]) -> None:
        self.shape = shape
        self._rows, self._columns, self._values = rows, columns, values  # ordered by rows
        self._turn = np.argsort(columns, kind="stable")

    def times(self, dense: np.ndarray) -> np.ndarray:
        return _sum_groups(self._rows, self._columns, self._values, dense, self.shape[0])

    def turned_times(self, dense: np.ndarray) -> np.ndarray:
        turn = self._turn
        return _sum_groups(self._columns[turn], self._rows[turn], self._values[turn], dense, self.shape[1])


def _sum_groups(groups: np.ndarray, picks: np.ndarray, values: np.ndarray, dense: np.ndarray, size: int) -> np.ndarray:
    """Row g of the result is the sum of `values · dense[picks]` over the entries of group g; groups are in order."""
    found = np.zeros((size, dense.shape[1]), np.float64)
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    step = max(1, _BLOCK // max(1, dense.shape[1] * 8))
    for first in range(0, len(groups), step):
        part = slice(first, first + step)
        inside = starts[(starts > first) & (starts < first + step)] - first
        cuts = np.concatenate([[0], inside])
        sums = np.add.reduceat(dense[picks[part]] * values[part, None], cuts, axis=0)
        found[groups[part][cuts]] += sums
    return found


def embed(
    texts: Iterable[str], dimensions: int, seed: int, pulse: Pulse = lambda part, done, total: None
) -> np.ndarray:
    """Return a unit vector for each text, as float32; a text without words that others have has the vector zero."""
    counts = []
    for number, text in enumerate(texts):
        pulse("reading texts", number, None)
        counts.append(Counter(_WORD.findall(text.lower())))
    in_texts = Counter(word for one in counts for word in one)
    shared = [(-number, word) for word, number in in_texts.items() if number >= _LEAST_TEXTS]
    words = {word: place for place, (_, word) in enumerate(sorted(shared)[:_MOST_WORDS])}
    matrix = _weigh(counts, words, in_texts)
    rank = min(dimensions, *matrix.shape)
    if rank == 0:
        return np.zeros((len(counts), 1), np.float32)
    basis = np.random.default_rng(seed).standard_normal((matrix.shape[1], min(rank + 8, *matrix.shape)))
    span = np.linalg.qr(matrix.times(basis)).Q
    for done in range(_POWER_ITERATIONS):
        pulse("decomposing", done, _POWER_ITERATIONS)
        span = np.linalg.qr(matrix.times(matrix.turned_times(span))).Q
    basis = matrix.turned_times(span)
    left, strength, _ = np.linalg.svd(basis.T, full_matrices=False)
    vectors = (span @ left[:, :rank]) * strength[:rank]
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths > 1e-9, lengths, np.inf)).astype(np.float32)


def _weigh(counts: list[Counter[str]], words: dict[str, int], in_texts: Counter[str]) -> _Matrix:
    """TF-IDF with a logarithm of the count, each text of length 1."""
    idf = {word: np.log((1 + len(counts)) / (1 + in_texts[word])) + 1 for word in words}
    rows, columns, values = [], [], []
    for number, one in enumerate(counts):
        weights = {words[word]: (1 + np.log(count)) * idf[word] for word, count in one.items() if word in words}
        length = np.sqrt(sum(weight * weight for weight in weights.values())) or 1.0
        rows += [number] * len(weights)
        columns += sorted(weights)
        values += [weights[place] / length for place in sorted(weights)]
    arrays = np.array(rows, np.int64), np.array(columns, np.int64), np.array(values)
    return _Matrix(*arrays, (len(counts), len(words)))


def nearest(
    vectors: np.ndarray, count: int, pulse: Pulse = lambda part, done, total: None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of the `count` nearest other rows of each row, nearest first, and the distances, 1 − cosine.

    Exact, in blocks; of rows at one distance the one with the lower number comes first.
    """
    size = len(vectors)
    count = min(count, size - 1)
    numbers, distances = np.empty((size, count), np.int64), np.empty((size, count), np.float32)
    step = max(1, _BLOCK // max(1, size))
    for first in range(0, size, step):
        pulse("nearest neighbours", first, size)
        last = min(size, first + step)
        # Rounded, so that equal texts are equally far whatever the order of a sum.
        away = np.round(1 - vectors[first:last] @ vectors.T, 5)
        away[np.arange(last - first), np.arange(first, last)] = np.inf
        bound = np.partition(away, count - 1, axis=1)[:, count - 1] if count else np.zeros(last - first)
        for row in range(last - first):
            near = np.flatnonzero(away[row] <= bound[row])
            near = near[np.argsort(away[row, near], kind="stable")][:count]
            numbers[first + row], distances[first + row] = near, away[row, near]
    return numbers, np.maximum(distances, 0)
