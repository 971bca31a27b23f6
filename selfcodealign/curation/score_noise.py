"""How wrong the labels of rows are, from the labels of their nearest neighbours, and which to replace.

The assumption: a row and its two nearest neighbours have one true label. How often the three agree and how they differ
then tells the transition matrix, `matrix[true, seen]`, without a single true label (higher-order consensus). Labels
that few neighbours share are replaced, as many of each kind as the matrix says are wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Neighbours that vote, and votes over random parts of the rows.
NEIGHBOURS, EPOCHS, PART = 10, 51, 0.9
_STEPS, _RATE = 1501, 0.1
#: A share of wrong labels is believed within these bounds only.
_LEAST, _MOST = 0.05, 0.95
_SURE = 0.5


@dataclass(frozen=True)
class Noise:
    """`matrix[true, seen]` is the chance that a row of one label is seen with another; `prior` that of true labels."""

    matrix: np.ndarray
    prior: np.ndarray


def estimate_noise(labels: np.ndarray, neighbours: np.ndarray, kinds: int) -> Noise:
    """Fit the noise to how the labels of rows and of their two nearest neighbours agree."""
    first = np.bincount(labels, minlength=kinds) / len(labels)
    second, third = np.zeros((kinds,) * 2), np.zeros((kinds,) * 3)
    one, two = labels[neighbours[:, 0]], labels[neighbours[:, 1]]
    np.add.at(second, (labels, one), 1 / len(labels))
    np.add.at(third, (labels, one, two), 1 / len(labels))
    return _fit(first, second, third)


def _fit(first: np.ndarray, second: np.ndarray, third: np.ndarray) -> Noise:
    """Adam on the sum of the distances to the three tables; the best parameters of all steps."""
    kinds = len(first)
    values = [5.0 * np.eye(kinds) - 1.0, np.full(kinds, 1.0 / kinds)]
    means, squares = [[np.zeros_like(one) for one in values] for _ in range(2)]
    best, least = Noise(_softmax(values[0]), _softmax(values[1])), np.inf
    for step in range(1, _STEPS + 1):
        matrix, prior = _softmax(values[0]), _softmax(values[1])
        pair = np.einsum("i,ij,ik->jk", prior, matrix, matrix)
        triple = np.einsum("i,ij,ik,il->jkl", prior, matrix, matrix, matrix)
        gaps = [prior @ matrix - first, pair - second, triple - third]
        sizes = [float(np.linalg.norm(gap)) for gap in gaps]
        if sum(sizes) < least:
            best, least = Noise(matrix, prior), sum(sizes)
        one, two, three = (gap / (size or 1.0) for gap, size in zip(gaps, sizes, strict=True))
        by_pair = matrix @ two.T, matrix @ two
        by_triple = [
            np.einsum("jkl,ik,il->ij", three, matrix, matrix),
            np.einsum("jkl,ij,il->ik", three, matrix, matrix),
            np.einsum("jkl,ij,ik->il", three, matrix, matrix),
        ]
        to_matrix = prior[:, None] * (one[None] + sum(by_pair) + sum(by_triple))
        to_prior = matrix @ one + np.sum(matrix * by_pair[0], axis=1) + np.sum(matrix * by_triple[0], axis=1)
        slopes = [
            matrix * (to_matrix - np.sum(matrix * to_matrix, axis=1, keepdims=True)),
            prior * (to_prior - prior @ to_prior),
        ]
        for place, slope in enumerate(slopes):
            means[place] = 0.9 * means[place] + 0.1 * slope
            squares[place] = 0.999 * squares[place] + 0.001 * slope**2
            mean, square = means[place] / (1 - 0.9**step), squares[place] / (1 - 0.999**step)
            values[place] = values[place] - _RATE * mean / (np.sqrt(square) + 1e-8)
    return best


def _softmax(values: np.ndarray) -> np.ndarray:
    powers = np.exp(values - values.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def curate(labels: np.ndarray, neighbours: np.ndarray, distances: np.ndarray, noise: Noise, seed: int) -> np.ndarray:
    """Return the labels, those replaced that their neighbours contradict in most of `EPOCHS` votes.

    In each vote a random part of the rows takes part, and a row hears its nearest `NEIGHBOURS` there, never itself.
    """
    size, kinds, random = len(labels), len(noise.prior), np.random.default_rng(seed)
    seen_share = np.maximum(noise.prior @ noise.matrix, 1e-9)
    right = np.clip(np.diag(noise.matrix) * noise.prior / seen_share, _LEAST, _MOST)
    marked, seen, wished = np.zeros(size), np.zeros(size), np.zeros((size, kinds))
    for _ in range(EPOCHS):
        present = np.zeros(size, bool)
        present[random.permutation(size)[: max(1, round(PART * size))]] = True
        heard = present[neighbours]
        heard &= np.cumsum(heard, axis=1) <= NEIGHBOURS
        votes = np.zeros((size, kinds))
        for kind in range(kinds):
            votes[:, kind] = np.sum((1 - distances) * (heard & (labels[neighbours] == kind)), axis=1)
        votes /= np.maximum(np.linalg.norm(votes, axis=1, keepdims=True), 1e-9)
        doubt = -np.log(np.maximum(votes[np.arange(size), labels], 1e-9))
        seen += present
        for kind in range(kinds):
            mine = present & (labels == kind)
            if mine.any():
                marked += mine & (doubt > np.quantile(doubt[mine], right[kind]))
        rows = np.flatnonzero(present)
        wished[rows, np.argmax(votes[rows], axis=1)] += 1
    wished[np.arange(size), labels] = 0
    wrong = (marked + 1) / (seen + 2)
    chance = (wished + 1) / (wished.sum(axis=1, keepdims=True) + kinds)
    chance[np.arange(size), labels] = 0
    other = np.argmax(chance, axis=1)
    sure = (wrong >= _SURE) & (chance.max(axis=1) * wrong >= _SURE)
    return np.where(sure, other, labels)


def long_tail(distances: np.ndarray) -> np.ndarray:
    """How far rows are from their nearest neighbours, 0 to 1: rows of the long tail are far from all."""
    if not distances.shape[1]:
        return np.zeros(len(distances))
    return 2 / (1 + np.exp(-distances[:, :NEIGHBOURS].mean(axis=1, dtype=np.float64))) - 1
