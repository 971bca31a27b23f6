"""The card claims what the rows and the run show, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from selfcodealign.dataset.authors import Author
from selfcodealign.dataset.card import CardFacts, Examples, write_card
from selfcodealign.rows import Books, Example, grow
from tests.support.rows import make_response

FACTS = CardFacts(
    recipe_toml="random_seed = 0\n",
    run={},
    funnel=[("seeds", Books(3, 1, {"too_long": 2}))],
    benchmarks=[],
    authors=[Author(text, "responses", "m") for text in ("instruction", "response", "tests")],
)


def card(*changes: dict[str, Any], authors: Sequence[Author] = FACTS.authors, **facts: Any) -> str:
    examples = Examples()
    for number, change in enumerate(changes):
        examples.add(grow(make_response(number, **change), Example, samples=1, pass_rate=1.0))
    told = replace(FACTS, authors=authors, **facts)
    return " ".join(write_card(examples, told, "data/train-*.parquet").split())


def test_the_card_states_a_licence() -> None:
    """That of all seeds, if the hub knows it; else `other`, with its name; a setting overrides it."""
    assert "license: mit task" in card(PASSED)
    link = 'license_link: "https://spdx.org/licenses/PSF-2.0.html"'
    assert f"license: other license_name: psf-2.0 {link} task" in card(PASSED | {"licence": "PSF-2.0"})
    assert "license: other license_name: several task" in card(PASSED, PASSED | {"licence": "ISC"})
    examples = Examples()
    examples.add(grow(make_response(1), Example, samples=1, pass_rate=1.0))
    stated = write_card(examples, replace(FACTS, license="CC-BY-4.0"), "data/*")
    assert "license: cc-by-4.0" in stated
    assert "`m` wrote (above) inherits the licence and the terms of that model" in stated


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
    assert unsaid not in text.partition("## Columns")[0]
    assert "| seeds | 3 | 1 | too_long 2 |" in text
    assert ("**not** compared with any benchmark" in text) == bool(rows)


COMMITS = [Author(text, "commit_pairs") for text in ("seed", "instruction", "response")]
IMPORTED = [Author(text, "import", source=True) for text in ("instruction", "response", "tests")]
NOT_RUN = {"status": "not_run"}


def test_the_card_of_commits_names_no_model() -> None:
    """People wrote code and message; nothing was run, and no model's terms apply."""
    text = card(NOT_RUN | {"kind": "commits", "seed": "x = 1"}, authors=COMMITS)
    assert "1 instruction–response pairs out of commits that people wrote; no model wrote any of them." in text
    assert "| `response` | people, in commits | commit_pairs |" in text
    assert "1 responses were **not** run" in text
    assert "terms of that model" not in text
    assert "Self-aligned" not in text


def test_the_card_of_rows_without_seeds_has_no_empty_table() -> None:
    """Where nothing was taken from code, there is no table of seeds' licences, and the metadata says unknown."""
    bare = {"licence": "", "origin": "", "seed": ""}
    text = card(PASSED | bare)
    assert "| licence" not in text
    assert "| origin" not in text
    assert "The examples grew from no code, and no licence is stated" in text
    assert "license: other license_name: unknown task" in text
    assert "| licence of the seed | examples |" in card(PASSED | {"seed": "x = 1"})


def test_the_card_of_imported_rows_names_their_origins() -> None:
    """Foreign rows that were verified here: their tests are not called the model's, their licence is theirs."""
    text = card(PASSED | {"licence": "Apache-2.0", "origin": "owner/data"}, authors=IMPORTED)
    assert "pairs that no model of this run wrote: they come from the origins below." in text
    assert "| licence | examples | | --- | --- | | Apache-2.0 | 1 |" in text
    assert "| owner/data | 1 |" in text
    answered = [Author("instruction", "import", source=True), Author("response", "responses", "t")]
    assert "Every response passed its tests, in a sandbox" in card(PASSED, authors=answered)
    assert "`t` wrote the responses; the instructions come from the origins below." in card(PASSED, authors=answered)


def test_answers_that_failed_on_purpose_are_said_to() -> None:
    """With a policy that takes failing answers, the card names it and calls nothing verified."""
    text = card({"status": "failed"}, {"status": "timeout"}, answers="selection.answers = failed")
    assert "2 did **not** pass (failed 1, timeout 1). The recipe asked for such answers" in text
    assert "(`selection.answers = failed`)" in text
