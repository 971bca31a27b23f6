"""Rows are read from every place of a data set."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from selfcodealign.errors import TrainingError
from selfcodealign.training.conversations import load_conversations
from tests.support.tiny_model import write_rows

PAIRS = [{"instruction": "A", "response": "a"}, {"instruction": "B", "response": "b"}]
TURNS = [[{"role": "user", "content": x}, {"role": "assistant", "content": x.lower()}] for x in "AB"]


def test_all_places_and_both_forms_give_the_same_rows(tmp_path: Path):
    """JSONL and Parquet, file, folder and run folder, pairs and messages: the same conversations, the same digest."""
    run = tmp_path / "run"
    (run / "dataset" / "data").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(PAIRS[:1]), run / "dataset" / "data" / "train-00000.parquet")
    pq.write_table(pa.Table.from_pylist(PAIRS[1:]), run / "dataset" / "data" / "train-00001.parquet")
    pq.write_table(pa.Table.from_pylist([{"messages": turns} for turns in TURNS]), tmp_path / "m.parquet")
    places = [run, run / "dataset", tmp_path / "m.parquet", write_rows(tmp_path / "p.jsonl", PAIRS)]
    loaded = [load_conversations(place) for place in places]
    assert all(each.rows == TURNS for each in loaded)
    assert len({each.digest for each in loaded}) == 1


def test_a_hub_name_is_read_with_its_split(monkeypatch: pytest.MonkeyPatch):
    """owner/name:split goes to `datasets.load_dataset`; other columns are left alone."""
    import datasets

    asked = []

    def load(name: str, configuration: str | None, split: str):
        asked.append((name, split))
        return datasets.Dataset.from_list([{**row, "extra": 1} for row in PAIRS])

    monkeypatch.setattr(datasets, "load_dataset", load)
    assert load_conversations("someone/tasks:sft").rows == TURNS
    assert asked == [("someone/tasks", "sft")]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"instuction": "A", "response": "a"}, 'did you mean "instuction"'),
        ({"mesages": []}, 'did you mean "mesages"'),
        ({"instruction": "A", "response": None}, "row 0 lacks"),
    ],
)
def test_missing_columns_are_named_with_what_was_probably_meant(tmp_path: Path, row: dict, words: str):
    """The message names the required columns and the most similar one."""
    with pytest.raises(TrainingError, match=words):
        load_conversations(write_rows(tmp_path / "x.jsonl", [row]))


def test_what_is_not_there_or_not_readable_is_said(tmp_path: Path):
    """No path, an empty folder, an unknown kind of file, broken JSON, no rows."""
    (tmp_path / "x.csv").write_text("a")
    (tmp_path / "broken.jsonl").write_text("{")
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "folder").mkdir()
    for name, words in {
        "absent.jsonl": "no data set at",
        "x.csv": "rows are read from",
        "broken.jsonl": r"broken\.jsonl:1: not JSON",
        "empty.jsonl": "holds no rows",
        "folder": "no rows in",
    }.items():
        with pytest.raises(TrainingError, match=words):
            load_conversations(tmp_path / name)
