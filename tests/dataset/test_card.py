"""The card claims what the rows and the run show, and nothing else."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from selfcodealign.dataset.card import CardFacts, Examples, write_card
from selfcodealign.rows import Books, Example, grow
from tests.support.rows import make_response

FACTS = CardFacts(
    recipe_toml="random_seed = 0\n", run={}, funnel=[("seeds", Books(3, 1, {"too_long": 2}))], benchmarks=[]
)


def card(*changes: dict[str, Any]) -> str:
    examples = Examples()
    for number, change in enumerate(changes):
        examples.add(grow(make_response(number, **change), Example, samples=1, pass_rate=1.0))
    return " ".join(write_card(examples, FACTS, "data/train-*.parquet").split())


def test_the_card_states_a_licence() -> None:
    """That of all seeds, if the hub knows it; else `other`, with its name; a setting overrides it."""
    assert "license: mit task" in card(PASSED)
    assert "license: other license_name: psf-2.0 task" in card(PASSED | {"licence": "PSF-2.0"})
    assert "license: other license_name: several task" in card(PASSED, PASSED | {"licence": "ISC"})
    examples = Examples()
    examples.add(grow(make_response(1), Example, samples=1, pass_rate=1.0))
    stated = write_card(examples, replace(FACTS, license="CC-BY-4.0"), "data/*")
    assert "license: cc-by-4.0" in stated
    assert "the licence and the terms of that model apply" in stated


VERIFIED = "Every response passed tests written with it, in a sandbox"
PASSED = {"status": "passed", "mutation_score": 1.0}


def test_the_card_counts_the_rows_with_split_proof() -> None:
    """Those that also passed apart from their tests."""
    assert "1 of them also passed in a process apart from their tests" in card(PASSED, PASSED | {"proof": "split"})


@pytest.mark.parametrize(
    ("rows", "said", "unsaid"),
    [
        (
            [PASSED, PASSED],
            "Every response passed tests written with it, in a sandbox, and its tests killed",
            "not** pass",
        ),
        (
            [PASSED | {"mutation_score": math.nan}],
            "Every response passed tests written with it, in a sandbox.",
            "mutant",
        ),
        ([PASSED, {"status": "failed"}], "1 of the responses passed tests", "Every response"),
        ([], "0 instruction–response pairs", "Every response"),
    ],
    ids=["all verified", "not mutated", "some failed", "empty"],
)
def test_the_card_claims_what_the_verdicts_show(rows: list[dict[str, Any]], said: str, unsaid: str) -> None:
    """A journey of one's own may bring rows that never met a sandbox: the card says so."""
    text = card(*rows)
    assert said in text
    assert unsaid not in text
    assert "| seeds | 3 | 1 | too_long 2 |" in text
    assert ("**not** compared with any benchmark" in text) == bool(rows)
