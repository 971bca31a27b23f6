"""Near-duplicates agree with exact Jaccard similarity, in a fixed order."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfcodealign.curation import near_duplicates as module
from selfcodealign.curation.near_duplicates import choose_bands, near_duplicates
from selfcodealign.curation.ngrams import iterate_ngrams

VOCABULARY = [f"word{number}" for number in range(2000)]


def find(texts: list[str], jaccard: float = 0.5, permutations: int = 250, ngram: int = 5) -> dict[int, int]:
    """Number of each dropped text → number of the kept one."""
    named = [(str(number), text) for number, text in enumerate(texts)]
    found = near_duplicates(named, jaccard=jaccard, permutations=permutations, ngram=ngram)
    return {int(one.row_id): int(one.kept_id) for one in found}


def make_pair(random_: random.Random, share: float) -> tuple[str, str]:
    """Two texts of which a run of about `share` of the words is the same."""
    words = random_.choices(VOCABULARY, k=200)
    other = words[: int(200 * share)] + random_.choices(VOCABULARY, k=200 - int(200 * share))
    return " ".join(words), " ".join(other)


def exact(first: str, second: str, ngram: int) -> float:
    left, right = set(iterate_ngrams(first, ngram)), set(iterate_ngrams(second, ngram))
    return len(left & right) / len(left | right)


def test_copies_and_near_copies_are_dropped_and_the_first_stays():
    """Layout and punctuation do not matter; one changed word in a long text hardly matters."""
    text = " ".join(VOCABULARY[:60])
    near = text.replace("word30 ", "other ")
    assert find([text, text.replace(" ", ",\n"), near, " ".join(VOCABULARY[100:160])]) == {1: 0, 2: 0}


def test_every_dropped_text_resembles_a_kept_one():
    """In a chain of drifting texts, every dropped text is similar to a kept text, not only to a dropped one."""
    chain = [" ".join(VOCABULARY[start : start + 100]) for start in range(0, 600, 10)]
    found = find(chain)
    assert found
    assert not set(found) & set(found.values())
    for dropped, kept in found.items():
        assert exact(chain[dropped], chain[kept], 5) >= 0.5


@st.composite
def alike_texts(draw: st.DrawFn) -> list[str]:
    """Texts that are runs of a few words, so that many of them overlap."""
    runs = st.tuples(st.integers(0, 30), st.integers(0, 30), st.sampled_from([" ", "\n", ".", " x "]))
    return [found[2].join(VOCABULARY[found[0] : found[0] + found[1]]) for found in draw(st.lists(runs, max_size=25))]


@settings(max_examples=150, deadline=None)
@given(
    texts=alike_texts(),
    known=alike_texts(),
    jaccard=st.sampled_from([0.1, 0.3, 0.5, 0.7, 1.0]),
    ngram=st.integers(1, 6),
)
def test_a_drop_names_a_kept_text_and_the_exact_similarity(
    texts: list[str], known: list[str], jaccard: float, ngram: int
) -> None:
    """Whatever the texts, the threshold and the n-grams: none is dropped for a dropped one, or for less than asked."""
    named = {f"new {number}": text for number, text in enumerate(texts)}
    earlier = {f"old {number}": text for number, text in enumerate(known)}
    found = list(near_duplicates(named.items(), jaccard=jaccard, permutations=64, ngram=ngram, earlier=earlier.items()))
    dropped = [one.row_id for one in found]
    order = list(named)
    assert dropped == sorted(set(dropped), key=order.index)
    for one in found:
        assert one.similarity == exact(named[one.row_id], (named | earlier)[one.kept_id], ngram) >= jaccard
        assert one.kept_id not in dropped
        assert one.earlier == (one.kept_id in earlier)
        assert one.earlier or order.index(one.kept_id) < order.index(one.row_id)


@settings(max_examples=30, deadline=None)
@given(texts=alike_texts(), size=st.integers(1, 7))
def test_batches_do_not_decide(texts: list[str], size: int) -> None:
    """However few texts are taken at once, the same ones are dropped."""
    with pytest.MonkeyPatch.context() as patch:
        expected = find(texts)
        patch.setattr(module, "_BATCH", size)
        assert find(texts) == expected


@pytest.mark.parametrize(("jaccard", "ngram"), [(0.5, 5), (0.7, 5), (0.7, 1), (0.9, 2)])
def test_agrees_with_exact_similarity(jaccard: float, ngram: int):
    """Away from the threshold (4 standard errors) every decision agrees with exact Jaccard."""
    random_ = random.Random(7)
    pairs = [make_pair(random_, random_.random()) for _ in range(300)]
    found = find([text for pair in pairs for text in pair], jaccard=jaccard, ngram=ngram)
    margin = 4 * (jaccard * (1 - jaccard) / 250) ** 0.5
    truths = [exact(*pair, ngram) for pair in pairs]
    clear = [number for number, truth in enumerate(truths) if abs(truth - jaccard) > margin]
    assert len(clear) > 150
    assert {truths[number] > jaccard for number in clear} == {True, False}
    for number in clear:
        assert (2 * number + 1 in found) == (truths[number] > jaccard), truths[number]


def test_almost_every_pair_at_the_threshold_is_found():
    """Of pairs whose similarity hardly reaches the threshold, 95 % are found; of those below it, none is dropped."""
    random_ = random.Random(11)
    pairs = [make_pair(random_, 0.6 + 0.1 * random_.random()) for _ in range(1500)]
    found = find([text for pair in pairs for text in pair])
    truths = [exact(*pair, 5) for pair in pairs]
    at = [number for number, truth in enumerate(truths) if 0.5 <= truth < 0.52]
    below = [number for number, truth in enumerate(truths) if 0.48 <= truth < 0.5]
    assert len(at) > 150
    assert len(below) > 150
    assert sum(2 * number + 1 in found for number in at) >= 0.95 * len(at)
    assert not any(2 * number + 1 in found for number in below)


def test_earlier_texts_are_kept_and_named():
    """They are compared with no other earlier text, and a new text that is like none of them stays."""
    text, other = " ".join(VOCABULARY[:60]), " ".join(VOCABULARY[100:160])
    found = near_duplicates(
        [("new", text + " more"), ("unlike", other), ("again", other)],
        jaccard=0.5,
        permutations=250,
        ngram=5,
        earlier=[("old", text), ("old copy", text)],
    )
    assert [(one.row_id, one.kept_id, one.earlier) for one in found] == [
        ("new", "old", True),
        ("again", "unlike", False),
    ]


def test_many_variants_of_one_text_are_compared_with_the_kept_one_only(monkeypatch: pytest.MonkeyPatch):
    """Two thousand texts with one other word each cost two thousand comparisons."""
    compared = []
    nearest = module._Judge.nearest

    def count(judge, number, candidates):
        compared.append(len(candidates))
        return nearest(judge, number, candidates)

    monkeypatch.setattr(module._Judge, "nearest", count)
    words = VOCABULARY[:60]
    texts = [" ".join([*words[: n % 60], f"other{n}", *words[n % 60 :]]) for n in range(2000)]
    assert find(texts) == dict.fromkeys(range(1, 2000), 0)
    assert sum(compared) <= 2000


class StopHere(Exception): ...


@pytest.mark.parametrize("part", ["reading", "grouping", "comparing"])
def test_it_can_be_stopped_and_leaves_no_file(part: str, tmp_path: Path):
    """In each part of the work; its files have no name, so a kill leaves none either."""

    def pulse(now: str, done: int, total: int | None) -> None:
        assert not list(tmp_path.iterdir())
        if now == part:
            raise StopHere

    texts = [(str(number), " ".join(VOCABULARY[number : number + 40])) for number in range(100)]
    with pytest.raises(StopHere):
        list(near_duplicates(texts, jaccard=0.5, permutations=64, ngram=5, folder=tmp_path, pulse=pulse))
    assert not list(tmp_path.iterdir())


def test_reports_the_most_similar_kept_text():
    """Of several kept texts that a dropped one resembles, the nearest is named."""
    words = VOCABULARY[:100]
    far, near = words[:62] + VOCABULARY[200:238], words[38:] + VOCABULARY[300:338]
    assert find([" ".join(far), " ".join(near), " ".join(words[30:])], jaccard=0.3) == {2: 1}


def test_texts_without_words_are_never_dropped():
    """Empty texts and bare punctuation have nothing in common."""
    assert find(["", "", "()", "!?", "a b", "a b"]) == {5: 4}


def test_short_texts_are_one_ngram():
    """Fewer words than an n-gram has: equal or different, nothing between."""
    assert find(["one two three", "One, two three", "one  two (three)"]) == {2: 0}


def test_batches_do_not_change_the_result():
    """A copy is found across any number of texts in between."""
    texts = [" ".join(VOCABULARY[start % 1900 : start % 1900 + 40]) + f" {start}" for start in range(0, 40_000, 40)]
    texts.append(texts[0])
    assert find(texts, jaccard=1.0) == {1000: 0}


def test_same_result_in_every_process():
    """Nothing depends on Python's hash seed."""
    code = (
        "from selfcodealign.curation.near_duplicates import near_duplicates\n"
        "texts = [(str(n), ' '.join(f'w{k}' for k in range(n, n + 60))) for n in range(0, 300, 7)]\n"
        "print(list(near_duplicates(texts, jaccard=0.6, permutations=64, ngram=3)))"
    )
    results = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(results) == 1
    assert results.pop().startswith("[NearDuplicate")


@pytest.mark.parametrize("jaccard", [0.1, 0.3, 0.5, 0.7, 0.85, 0.99, 1.0])
@pytest.mark.parametrize("permutations", [16, 100, 250, 257])
def test_bands_find_pairs_at_the_threshold(jaccard: float, permutations: int):
    """The index has at least the requested permutations, and misses few pairs where possible."""
    bands, rows = choose_bands(jaccard, permutations)
    assert permutations <= bands * rows < permutations + rows
    assert 1 - (1 - jaccard**rows) ** bands >= 0.95 or rows == 1
