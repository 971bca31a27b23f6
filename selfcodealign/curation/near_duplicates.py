"""Near-deduplication: MinHash finds pairs that may be similar, exact Jaccard similarity decides.

A text is the set of its word n-grams. Its MinHash signature (Broder 1997, from rensa) is cut into bands; two texts that
agree in a band are candidates. A candidate is compared with what the signatures tell first, then by the sets
themselves, so every pair that is reported is similar, and what the signatures miss is the only error.

    read      texts → n-gram sets, signatures, bands                  on disk, in the order of the texts
    group     band by band: which texts agree in it                   8 bytes per text, three times, in memory
    compare   each text with the kept texts that share a band         in the order of the texts

Only kept texts are compared with, so a hundred thousand variants of one text cost a comparison each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from selfcodealign.curation.disk_arrays import DiskArray
from selfcodealign.curation.ngrams import make_sets

_SEED = 20241031  # of the hash functions, so that signatures are the same in every run
_RECALL = 0.95  # of pairs exactly at the threshold; recall rises with similarity
_BATCH = 2048  # texts that are read, grouped and compared at once ...
_BATCH_CHARACTERS = 1 << 23  # ... or as many as hold so many characters
_ERRORS = 3  # standard errors by which an estimate may be below the threshold: of 1,000 pairs at it, one is lost
_ALONE = np.uint32(0xFFFFFFFF)  # instead of a bucket: no other text agrees in this band
_MOST = 64  # candidates whose n-grams are compared, those with the highest estimates


@dataclass(frozen=True, slots=True)
class NearDuplicate:
    """A text to drop, the most similar of the kept texts that were found, and the Jaccard similarity of the two.

    `earlier`: whether the kept one is of the earlier texts.
    """

    row_id: str
    kept_id: str
    similarity: float
    earlier: bool = False


#: Called with the part of the work, how much of it is done, and the total where it is known.
Pulse = Callable[[str, int, int | None], None]


def no_pulse(part: str, done: int, total: int | None) -> None:
    """Nobody watches."""


def near_duplicates(
    texts: Iterable[tuple[str, str]],
    *,
    jaccard: float,
    permutations: int,
    ngram: int,
    earlier: Iterable[tuple[str, str]] = (),
    folder: Path | None = None,
    pulse: Pulse = no_pulse,
) -> Iterator[NearDuplicate]:
    """Yield the texts to drop from (id, text) pairs, in their order.

    The first of similar texts is kept: each text is compared with the kept texts before it and dropped if the
    similarity to one of them is at least `jaccard` (0 to 1). Texts of `earlier` count as kept, whatever they are like.
    So every dropped text has a kept text that is at least so similar, and the result depends only on the texts and
    their order. A text shorter than `ngram` words counts as one n-gram; a text without words is never dropped.

    `folder` holds about 8 bytes per n-gram and 900 per text meanwhile, for 250 permutations; memory holds about 50
    bytes per text. `pulse` is called several times a second, and may raise to stop.
    """
    bands, rows = choose_bands(jaccard, permutations)
    with ExitStack() as files:
        stored = _Stored(bands, rows, folder, files)
        for batch in _batches(earlier):
            stored.add(batch, ngram)
            pulse("reading earlier rows", len(stored), None)
        first = len(stored)
        for batch in _batches(texts):
            stored.add(batch, ngram)
            pulse("reading", len(stored) - first, None)
        buckets = _Buckets(_group(stored, pulse), folder, files)
        yield from _compare(stored, buckets, jaccard, first, pulse)


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


def _batches(texts: Iterable[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    batch: list[tuple[str, str]] = []
    characters = 0
    for row_id, text in texts:
        batch.append((row_id, text))
        characters += len(text)
        if len(batch) == _BATCH or characters >= _BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


class _Stored:
    """What texts are compared by, on disk: ids, n-gram sets, a byte of each minimum (the sketch), band keys.

    Texts without words are left out. Band keys lie together band by band within a batch, so that one band of all texts
    and all bands of one batch are both read in large pieces.
    """

    def __init__(self, bands: int, rows: int, folder: Path | None, files: ExitStack) -> None:
        self.bands, self.rows = bands, rows
        self.batches: list[tuple[int, int]] = []  # number of the first text, texts
        self._ids, self._id_ends, self._grams, self._ends, self._sketches, self._keys = (
            DiskArray(kind, folder) for kind in (np.uint8, np.int64, np.uint64, np.int64, np.uint8, np.uint32)
        )
        for array in (self._ids, self._id_ends, self._grams, self._ends, self._sketches, self._keys):
            files.callback(array.close)

    def __len__(self) -> int:
        return self._ends.length

    def add(self, batch: list[tuple[str, str]], ngram: int) -> None:
        from rensa import RMinHash  # type: ignore[missing-module-attribute]  # it ships no types

        grams, sizes = make_sets([text for _, text in batch], ngram)
        ids = [row_id.encode("utf-8", "surrogatepass") for (row_id, _), size in zip(batch, sizes, strict=True) if size]
        sizes = sizes[sizes > 0]
        if not ids:
            return
        ends = np.concatenate([[0], np.cumsum(sizes)])
        matrix = RMinHash.digest_matrix_from_flat_token_hashes(
            grams, ends.astype(np.uint64), self.bands * self.rows, _SEED
        )
        signatures = np.array(matrix.to_rows(), np.uint32)
        self.batches.append((len(self), len(ids)))
        self._id_ends.append(self._ids.length + np.cumsum([len(row_id) for row_id in ids]))
        self._ids.append(np.frombuffer(b"".join(ids), np.uint8))
        self._ends.append(self._grams.length + ends[1:])
        self._grams.append(grams)
        self._sketches.append(signatures.astype(np.uint8))
        self._keys.append(_key_bands(signatures, self.bands, self.rows).T)

    def views(self) -> _Views:
        """The same for reading, once all texts are stored."""
        ends, id_ends = self._ends.view(), self._id_ends.view()
        sketches = self._sketches.view().reshape(len(self), self.bands * self.rows)
        return _Views(self._ids.view(), id_ends, self._grams.view(), ends, sketches)

    def keys(self) -> list[np.ndarray]:
        """The band keys of each batch, (bands, texts); they may be replaced by others."""
        flat = self._keys.view()
        return [
            flat[first * self.bands : (first + count) * self.bands].reshape(self.bands, count)
            for first, count in self.batches
        ]


def _key_bands(signatures: np.ndarray, bands: int, rows: int) -> np.ndarray:
    """The 32-bit hash of each band of each signature: (texts, bands)."""
    parts = signatures.reshape(len(signatures), bands, rows).astype(np.uint64)
    keys = np.zeros((len(signatures), bands), np.uint64)
    for row in range(rows):
        keys = (keys ^ parts[:, :, row]) * np.uint64(0x9E3779B97F4A7C15)
        keys ^= keys >> np.uint64(29)
    return (keys >> np.uint64(32)).astype(np.uint32)


@dataclass(frozen=True)
class _Views:
    """`_Stored` for reading: flat arrays, and where each text's part of them ends."""

    ids: np.ndarray
    id_ends: np.ndarray
    grams: np.ndarray
    ends: np.ndarray
    sketches: np.ndarray

    def row_id(self, number: int) -> str:
        start = self.id_ends[number - 1] if number else 0
        return self.ids[start : self.id_ends[number]].tobytes().decode("utf-8", "surrogatepass")

    def ngrams(self, number: int) -> np.ndarray:
        return self.grams[self.ends[number - 1] if number else 0 : self.ends[number]]

    def sizes(self, numbers: np.ndarray) -> np.ndarray:
        """How many n-grams these texts have."""
        before = np.where(numbers > 0, self.ends[numbers - 1], 0)
        return self.ends[numbers] - before


def _group(stored: _Stored, pulse: Pulse) -> Iterator[np.ndarray]:
    """Replace each band key by the number of its bucket, or by `_ALONE`; yield the sizes of the buckets, in order."""
    batches = stored.keys()
    numbers = np.arange(len(stored), dtype=np.uint64)
    known = 0
    for band in range(stored.bands if len(stored) else 0):
        pulse("grouping", band, stored.bands)
        keys = np.concatenate([batch[band] for batch in batches]).astype(np.uint64)
        entries = np.sort(keys << np.uint64(32) | numbers)
        keys = entries >> np.uint64(32)
        like_last = np.zeros(len(keys) + 1, bool)
        like_last[1:-1] = keys[1:] == keys[:-1]
        shared = like_last[:-1] | like_last[1:]
        order = np.cumsum(shared & ~like_last[:-1])[shared] - 1
        buckets = np.full(len(keys), _ALONE, np.uint32)
        buckets[entries[shared] & np.uint64(0xFFFFFFFF)] = order + known
        for (first, count), batch in zip(stored.batches, batches, strict=True):
            batch[band] = buckets[first : first + count]
        sizes = np.bincount(order)
        known += len(sizes)
        yield sizes


class _Buckets:
    """The kept texts of each bucket, on disk."""

    def __init__(self, sizes: Iterable[np.ndarray], folder: Path | None, files: ExitStack) -> None:
        starts, members, filled = (DiskArray(kind, folder) for kind in (np.int64, np.uint32, np.uint32))
        total = 0
        for some in sizes:
            ends = total + np.cumsum(some)
            starts.append(ends - some)
            total += int(some.sum())
        members.extend(total)
        filled.extend(starts.length)
        for array in (starts, members, filled):
            files.callback(array.close)
        self._starts, self._members, self._filled = starts.view(), members.view(), filled.view()

    def find(self, buckets: np.ndarray) -> np.ndarray:
        """The kept texts of these buckets, each once, in their order."""
        counts = self._filled[buckets]
        used = np.flatnonzero(counts)
        if not len(used):
            return np.empty(0, np.int64)
        starts = self._starts[buckets[used]]
        members = self._members
        found = [
            members[start : start + count] for start, count in zip(starts.tolist(), counts[used].tolist(), strict=True)
        ]
        return np.unique(np.concatenate(found)).astype(np.int64)

    def add(self, number: int, buckets: np.ndarray) -> None:
        """A text of these buckets is kept."""
        self._members[self._starts[buckets] + self._filled[buckets]] = number
        self._filled[buckets] += np.uint32(1)


def _compare(stored: _Stored, buckets: _Buckets, jaccard: float, first: int, pulse: Pulse) -> Iterator[NearDuplicate]:
    """Go through the texts in their order: each is kept or yielded. Texts before `first` are kept."""
    views = stored.views()
    judge = _Judge(views, jaccard)
    for (begin, _), batch in zip(stored.batches, stored.keys(), strict=True):
        table = np.ascontiguousarray(batch.T)
        shared = table != _ALONE
        ends = np.cumsum(shared.sum(1)).tolist()
        flat = table[shared]
        start = 0
        for number, end in enumerate(ends, begin):
            if not (number - begin) % 256:
                pulse("comparing", number, len(stored))
            if end == start:
                continue
            mine, start = flat[start:end], end
            nearest = judge.nearest(number, buckets.find(mine)) if number >= first else None
            if nearest is None:
                buckets.add(number, mine)
            else:
                kept, similarity = nearest
                yield NearDuplicate(views.row_id(number), views.row_id(kept), similarity, kept < first)


class _Judge:
    """Finds the most similar of some candidates: by their sizes, then by their sketches, then by their n-grams."""

    def __init__(self, views: _Views, jaccard: float) -> None:
        self._views = views
        self._jaccard = jaccard
        permutations = views.sketches.shape[1]
        agreement = jaccard + (1 - jaccard) / 256  # of two bytes; those of different minima are alike by chance
        error = math.sqrt(permutations * agreement * (1 - agreement))
        self._least = math.floor(permutations * agreement - _ERRORS * error)

    def nearest(self, number: int, candidates: np.ndarray) -> tuple[int, float] | None:
        """The first of the most similar candidates, if its similarity reaches the threshold."""
        views = self._views
        own = views.ngrams(number)
        sizes = views.sizes(candidates)
        fits = np.minimum(sizes, len(own)) >= self._jaccard * np.maximum(sizes, len(own))
        candidates, sizes = candidates[fits], sizes[fits]
        alike = np.count_nonzero(views.sketches[candidates] == views.sketches[number], axis=1)
        fits = np.flatnonzero(alike >= self._least)
        if len(fits) > _MOST:
            fits = np.sort(fits[np.argsort(-alike[fits], kind="stable")[:_MOST]])
        candidates, sizes = candidates[fits], sizes[fits]
        if not len(candidates):
            return None
        others = np.concatenate([views.ngrams(candidate) for candidate in candidates.tolist()])
        places = np.minimum(np.searchsorted(own, others), len(own) - 1)
        common = np.add.reduceat(own[places] == others, np.cumsum(sizes) - sizes, dtype=np.int64)
        similarities = common / (len(own) + sizes - common)
        best = int(np.argmax(similarities))
        similarity = float(similarities[best])
        return (int(candidates[best]), similarity) if similarity >= self._jaccard else None
