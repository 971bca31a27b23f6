"""Spellings of one concept are found together, others are not."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfcodealign.report.facts.concepts import POINTS, ConceptLists, define_keys, group_spellings
from selfcodealign.report.facts.tables import RunTables
from selfcodealign.rows import Concepts, Seed, digest, grow
from selfcodealign.run_folder.folder import Description, RunFolder, StageFolder
from tests.support.rows import make_seed


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunTables]:
    """DuckDB with the key of spellings."""
    with RunTables(RunFolder(tmp_path_factory.mktemp("keys"))) as tables:
        define_keys(tables)
        yield tables


@pytest.mark.parametrize(
    "spellings",
    [
        ["For Loops", "for-loop", "loop, for", "for_loops"],
        ["list comprehension", "List comprehensions", "comprehension: list"],
        ["caches", "cache", "Cache"],
        ["classes", "class"],
        ["queries", "query", "Query."],
        ["hashes", "hash"],
        ["Bayes' theorem", "bayes theorem"],
        ["indexes", "index"],
        ["types", "type"],
        ["movies", "movie"],
    ],
)
def test_spellings_of_one_concept_have_one_key(tables: RunTables, spellings: Sequence[str]) -> None:
    """Case, punctuation, plural and word order aside."""
    assert len(set(group_spellings(tables, spellings).values())) == 1


@pytest.mark.parametrize(
    "others",
    [
        ["C", "C++", "C#"],
        ["analysis", "analog"],
        ["for loop", "while loop"],
        ["状态", "状况"],
        ["!", "?"],
        ["bus", "bu"],
    ],
)
def test_other_concepts_have_other_keys(tables: RunTables, others: Sequence[str]) -> None:
    """Signs of languages, other scripts, and spellings of punctuation alone are told apart."""
    assert len(set(group_spellings(tables, others).values())) == len(others)


_WORD = st.text("abcdefghij", min_size=1, max_size=8)


@given(st.lists(_WORD, min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_a_respelled_concept_stays_in_its_group(tables: RunTables, words: list[str], random: object) -> None:
    """Any order of the words, in any case, with any punctuation between them and around, has the same key."""
    shuffled = list(words)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    other = f" {'-'.join(shuffled).title()}."
    keys = group_spellings(tables, [" ".join(words), other])
    assert len(set(keys.values())) == 1


@given(st.lists(st.text(max_size=12).filter(lambda text: "\x00" not in text), max_size=12))
def test_groups_are_a_partition(tables: RunTables, spellings: list[str]) -> None:
    """Every spelling, whatever it is made of, is in one group, and its key does not depend on the others."""
    keys = group_spellings(tables, spellings)
    assert set(keys) == set(spellings)
    for spelling in spellings[:3]:
        assert group_spellings(tables, [spelling]) == {spelling: keys[spelling]}


def _run_of_lists(folder: Path, lists: Sequence[Sequence[str]]) -> RunFolder:
    """A run whose stage `concepts` has kept these lists."""
    (folder / "run.json").write_text(json.dumps({"form": 3, "journey": ["concepts"]}))
    about = Description("Concepts", Concepts.id_field, Seed.id_field, None, Concepts.field_names())
    stage = StageFolder(folder / "concepts", about, Concepts)
    stage.begin({})
    rows = [
        grow(make_seed(number), Concepts, concepts_id=digest(number), concepts=list(one))
        for number, one in enumerate(lists)
    ]
    stage.shards.write(rows, [])
    return RunFolder(folder)


def test_groups_of_several_spellings_are_listed(tmp_path: Path) -> None:
    """Counts are those of the lists, the most frequent spelling of a group comes first."""
    folder = _run_of_lists(tmp_path, [["Loops", "hash"], ["loop"], ["loop", "hash"], ["once"], []])
    with RunTables(folder) as tables:
        found = ConceptLists(tables).describe()
    assert found is not None
    assert (found.lists, found.distinct, found.groups, found.once, found.several) == (4, 4, 3, 2, 1)
    assert found.top[:2] == [("hash", 2), ("loop", 2)]
    (group,) = found.near_duplicates
    assert (list(group.spellings), group.count) == ([("loop", 2), ("Loops", 1)], 3)


@pytest.mark.parametrize("count", [1, 7, 200, 201, 1999])
def test_coverage_ends_with_all_lists_and_spellings(tmp_path: Path, count: int) -> None:
    """The curve never falls, has a bounded number of points, and its last point counts everything."""
    folder = _run_of_lists(tmp_path, [[f"c{number % 50}", f"d{number}"] for number in range(count)])
    with RunTables(folder) as tables:
        found = ConceptLists(tables).describe()
    assert found is not None
    assert found.coverage[-1] == (count, found.distinct)
    assert len(found.coverage) <= POINTS + 1
    assert list(found.coverage) == sorted(found.coverage)
