"""The written data set, read by the real `datasets` through one cache."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from selfcodealign.dataset.card import CardFacts
from selfcodealign.dataset.write import write_dataset
from selfcodealign.rows import Example, grow
from tests.support.rows import make_response

FACTS = CardFacts(recipe_toml="", run={}, funnel=[], benchmarks=[])


def make_examples(numbers: Sequence[int], **changes: Any) -> list[Example]:
    return [grow(make_response(number, **changes), Example, samples=1, pass_rate=1.0) for number in numbers]


def write(run: Path, rows: list[Example]) -> Path:
    run.mkdir(exist_ok=True)
    write_dataset(run / "dataset", rows, len(rows), FACTS)
    return run / "dataset"


def load(folder: Path, cache: Path) -> list[str]:
    datasets = pytest.importorskip("datasets")
    return list(datasets.load_dataset(str(folder), split="train", cache_dir=str(cache))["instruction"])


def test_each_run_gets_its_own_rows_from_one_cache(tmp_path: Path) -> None:
    """Two data sets of one size, one card and one folder name; then other rows in the folder of the first."""
    first, second, third = (make_examples([number, number + 1]) for number in (0, 2, 4))
    for run, rows in (("a", first), ("b", second), ("a", third), ("a", first)):
        folder = write(tmp_path / run, rows)
        assert load(folder, tmp_path / "cache") == [row.instruction for row in rows]
    assert len(list((tmp_path / "a" / "dataset" / "data").iterdir())) == 1, "no file of an earlier write stays"


def test_one_set_of_rows_has_one_name(tmp_path: Path) -> None:
    """The name comes from the rows alone: written again, the data set is the same, and its cache is used."""
    rows = make_examples(range(3))
    names = [[file.name for file in (write(tmp_path / run, rows) / "data").iterdir()] for run in ("a", "b", "a")]
    assert names[0] == names[1] == names[2]
    changed = make_examples(range(3), tests="assert True")
    assert [file.name for file in (write(tmp_path / "a", changed) / "data").iterdir()] != names[0]


def test_many_rows_are_several_files_of_one_pattern(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The card's pattern finds all of them, in order."""
    monkeypatch.setattr("selfcodealign.dataset.write.FILE_ROWS", 2)
    folder = write(tmp_path / "a", make_examples(range(5)))
    assert len(list((folder / "data").iterdir())) == 3
    assert load(folder, tmp_path / "cache") == [row.instruction for row in make_examples(range(5))]
