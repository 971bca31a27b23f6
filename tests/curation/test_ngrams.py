"""Sets of hashes intersect as the sets of n-grams do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfcodealign.curation import ngrams
from selfcodealign.curation.ngrams import iterate_ngrams, make_sets


def split(texts: list[str], ngram: int) -> list[set[int]]:
    grams, sizes = make_sets(texts, ngram)
    assert len(grams) == sum(sizes)
    parts = np.split(grams, np.cumsum(sizes)[:-1]) if texts else []
    assert all(list(part) == sorted(part) for part in parts)
    return [set(part.tolist()) for part in parts]


def test_ngrams_are_runs_of_words() -> None:
    """All words are one n-gram if there are fewer."""
    assert list(iterate_ngrams("a b c", 5)) == ["a b c"]
    assert list(iterate_ngrams("a b c d", 3)) == ["a b c", "b c d"]
    assert list(iterate_ngrams("a(b) == a b", 2)) == ["a b", "b a", "a b"]
    assert list(iterate_ngrams("+ - ()", 2)) == []


@settings(max_examples=200, deadline=None)
@given(texts=st.lists(st.text("ab cé_(\n", max_size=30), max_size=6), ngram=st.integers(1, 6))
@pytest.mark.parametrize("long", [1 << 20, 5])
def test_sets_of_hashes_intersect_as_sets_of_ngrams(texts: list[str], ngram: int, long: int) -> None:
    """In any batch, with the words of a long text taken in pieces or not, and none across two texts."""
    words = [set(iterate_ngrams(text, ngram)) for text in texts]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ngrams, "_LONG", long)
        hashes = split(texts, ngram)
    assert list(map(len, hashes)) == list(map(len, words))
    for one, numbers in zip(words, hashes, strict=True):
        assert [len(numbers & other) for other in hashes] == [len(one & other) for other in words]


def test_hashes_are_spread() -> None:
    """The n-grams of a hundred thousand similar words have different hashes, and so have their lower halves."""
    (grams,) = split([" ".join(f"value_{number}" for number in range(100_000))], 2)
    assert len(grams) == 99_999
    assert len({gram & 0xFFFFFFFF for gram in grams}) > 99_990
