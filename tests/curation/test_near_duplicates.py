"""Near-duplicates agree with exact Jaccard and with an independent library, in a fixed order."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest
from datasketch import MinHash

from selfcodealign.curation.near_duplicates import choose_bands, iterate_ngrams, near_duplicates

VOCABULARY = [f"word{number}" for number in range(2000)]


def find(texts: list[str], jaccard: float = 0.5, permutations: int = 250, ngram: int = 5) -> dict[int, int]:
    """Number of each dropped text → number of the kept one."""
    named = [(str(number), text) for number, text in enumerate(texts)]
    found = near_duplicates(named, jaccard=jaccard, permutations=permutations, ngram=ngram)
    return {int(dropped): int(kept) for dropped, (kept, _) in found.items()}


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
        assert exact(chain[dropped], chain[kept], 5) > 0.4


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


def test_estimates_agree_with_datasketch():
    """The similarity reported is the one datasketch estimates from the same n-grams, within the error of both."""
    random_ = random.Random(3)
    pairs = [make_pair(random_, 0.7 + 0.3 * random_.random()) for _ in range(60)]
    texts = {
        f"{number}{side}": text for number, pair in enumerate(pairs) for side, text in zip("ab", pair, strict=True)
    }
    found = near_duplicates(texts.items(), jaccard=0.5, permutations=250, ngram=5)
    assert len(found) > 40
    for dropped, (kept, score) in found.items():
        first, second = MinHash(250), MinHash(250)
        first.update_batch([gram.encode() for gram in iterate_ngrams(texts[dropped], 5)])
        second.update_batch([gram.encode() for gram in iterate_ngrams(texts[kept], 5)])
        assert score >= 0.5
        assert abs(score - first.jaccard(second)) < 0.2  # 4 standard errors of the difference at 0.5


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
    assert list(iterate_ngrams("a b c", 5)) == ["a b c"]
    assert list(iterate_ngrams("a b c d", 3)) == ["a b c", "b c d"]


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
        "print(near_duplicates(texts, jaccard=0.6, permutations=64, ngram=3))"
    )
    results = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(results) == 1
    assert results.pop().startswith("{'")


@pytest.mark.parametrize("jaccard", [0.1, 0.3, 0.5, 0.7, 0.85, 0.99, 1.0])
@pytest.mark.parametrize("permutations", [16, 100, 250, 257])
def test_bands_find_pairs_at_the_threshold(jaccard: float, permutations: int):
    """The index has at least the requested permutations, and misses few pairs where possible."""
    bands, rows = choose_bands(jaccard, permutations)
    assert permutations <= bands * rows < permutations + rows
    assert 1 - (1 - jaccard**rows) ** bands >= 0.95 or rows == 1
