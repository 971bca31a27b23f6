"""Rows of published data sets of instructions: which columns hold what, and what becomes of odd rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from selfcodealign.errors import SourceError
from selfcodealign.rows import Dropped
from selfcodealign.settings import ImportedSettings
from selfcodealign.sources.given import GivenRow, open_given

CHAT = [
    {"role": "system", "content": "You write Python."},
    {"role": "user", "content": "Add."},
    {"role": "assistant", "content": "def add(): ..."},
    {"role": "user", "content": "Subtract."},
    {"role": "assistant", "content": "def subtract(): ..."},
]
SHARED = [{"from": "human", "value": "Add."}, {"from": "gpt", "value": "def add(): ..."}]


def write_rows(path: Path, *rows: dict[str, Any]) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(list(rows)), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read(path: Path, **settings: Any) -> list[GivenRow | Dropped]:
    return [row for table in open_given(str(path), ImportedSettings(**settings)) for row in table.rows()]


@pytest.mark.parametrize(
    "row",
    [
        {"instruction": "Add.", "response": "def add(): ..."},
        {"instruction": "Add.", "input": "", "output": "def add(): ..."},
        {"messages": CHAT},
        {"conversations": SHARED},
        {"messages": json.dumps(CHAT)},
        {"prompt": "Add.", "prompt_id": "7", "messages": CHAT},
        {"prompt": "Add.", "completion": "def add(): ..."},
        {"prompt": CHAT[:2], "completion": CHAT[2:3]},
        {"question": "Add.", "solution": "def add(): ...", "test": "assert True"},
        {"problem": "Add.", "solution": "def add(): ...", "lang": "python"},
        {"query": "Add.", "answer": "def add(): ...", "lang": "Python"},
        {"input": "Add.", "output": "def add(): ...", "unit_tests": '["assert add"]'},
        {"text": "Add.", "code": "def add(): ...", "test_list": ["assert add"], "test_setup_code": ""},
    ],
)
@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_published_layouts_are_recognised(tmp_path: Path, row: dict[str, Any], ending: str) -> None:
    """Each states the same instruction and response; of a chat these are the first turns."""
    (found,) = read(write_rows(tmp_path / f"rows.{ending}", row))
    assert isinstance(found, GivenRow)
    assert (found.instruction, found.response) == ("Add.", "def add(): ...")


def test_parts_of_one_text_are_joined(tmp_path: Path) -> None:
    """Alpaca's input belongs to the instruction; a canonical solution goes on where the prompt ends."""
    first = write_rows(tmp_path / "alpaca.jsonl", {"instruction": "Sort this.", "input": "[2, 1]", "output": "[1, 2]"})
    second = write_rows(tmp_path / "eval.jsonl", {"prompt": "def f():\n", "canonical_solution": "    return 1\n"})
    (alpaca,), (code,) = read(first), read(second)
    assert isinstance(alpaca, GivenRow)
    assert isinstance(code, GivenRow)
    assert alpaca.instruction == "Sort this.\n\n[2, 1]"
    assert code.response == "def f():\n    return 1\n"


def test_named_columns_win_and_none_means_no_column(tmp_path: Path) -> None:
    """Columns that a person names are taken, several joined; a recognised one can be switched off."""
    row = {"instruction": "No.", "task": "Add.", "head": "def add():", "body": "    return 1", "tests": "assert add"}
    path = write_rows(tmp_path / "rows.jsonl", row)
    (found,) = read(path, instruction_column="task", response_column=["head", "body"], tests_column="none")
    assert isinstance(found, GivenRow)
    assert (found.instruction, found.response, found.tests) == ("Add.", "def add():\n    return 1", [])


def test_odd_rows_are_drops_with_a_reason(tmp_path: Path) -> None:
    """Nothing is lost: every line is a row or a drop."""
    path = tmp_path / "rows.jsonl"
    rows = [
        {"instruction": "Add.", "response": None},
        {"instruction": "", "response": "x"},
        {"instruction": 7, "response": "x"},
        {"instruction": "Add.", "response": ["one", "two"]},
        {"instruction": "Add.", "response": "x", "language": "JavaScript"},
        {"instruction": "Add.", "response": "x" * 2000},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"torn": \n"a text"\n')
    found = read(path, max_text_kib=1)
    assert [one.reason if isinstance(one, Dropped) else "" for one in found] == [
        "", "no_instruction", "no_instruction", "unknown_response", "not_python", "too_large",
        "malformed_row", "malformed_row",
    ]  # fmt: skip
    assert len({one.id for one in found}) == len(found)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "no column of instructions that is known (it has ask, reply): set imported.instruction_column"),
        ({"instruction_column": "asks"}, 'no column "asks" (it has ask, reply): set imported.instruction_column'),
        (
            {"instruction_column": "ask", "tests_column": "replies"},
            'set imported.tests_column; did you mean "reply"?',
        ),
    ],
)
def test_a_missing_column_is_one_line_with_the_columns(tmp_path: Path, settings: dict[str, Any], said: str) -> None:
    """The columns that there are, and the setting that names one."""
    path = write_rows(tmp_path / "rows.jsonl", {"ask": "Add.", "reply": "x"})
    with pytest.raises(SourceError) as caught:
        read(path, **settings)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    """A missing file, a torn one, an empty one, one of another kind, a folder without data."""
    (tmp_path / "torn.parquet").write_bytes(b"PAR1 and no more")
    (tmp_path / "torn.jsonl.gz").write_bytes(b"\x1f\x8b\x08\x00")
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "notes.txt").write_text("Add.")
    (tmp_path / "folder").mkdir()
    for name in ("missing.jsonl", "torn.parquet", "torn.jsonl.gz", "empty.jsonl", "notes.txt", "folder", "hub:"):
        with pytest.raises(SourceError) as caught:
            read(tmp_path / name) if name != "hub:" else list(open_given(name, ImportedSettings()))
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_folder_is_all_its_data_files(tmp_path: Path) -> None:
    """Rows come in the order of the files' paths, under the folder's name."""
    (tmp_path / "set" / "data").mkdir(parents=True)
    write_rows(tmp_path / "set" / "data" / "b.parquet", {"instruction": "B.", "response": "x"})
    write_rows(tmp_path / "set" / "data" / "a.jsonl", {"instruction": "A.", "response": "x"})
    (tmp_path / "set" / "README.md").write_text("")
    found = read(tmp_path / "set")
    assert [(one.instruction, one.origin) for one in found if isinstance(one, GivenRow)] == [
        ("A.", "set"),
        ("B.", "set"),
    ]


def test_a_data_set_that_datasets_saved_is_read(tmp_path: Path) -> None:
    """With splits, `imported.split` chooses; a wrong one is named with those that there are."""
    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset.from_list([{"instruction": "Add.", "response": "x", "license": "mit", "id": 3}])
    datasets.DatasetDict({"train": rows, "test": rows}).save_to_disk(tmp_path / "saved")
    (found,) = read(tmp_path / "saved", split="test")
    assert isinstance(found, GivenRow)
    assert (found.instruction, found.given_id, found.licence) == ("Add.", "3", "MIT")
    with pytest.raises(SourceError, match=r"it has train, test\): set imported.split"):
        read(tmp_path / "saved", split="tests")
