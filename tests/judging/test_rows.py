"""A row comes back as it was written, whatever it holds; a line that is none is a row with a reason."""

from __future__ import annotations

import json
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from selfcodealign.errors import UserError
from selfcodealign.judging import columns, tables
from selfcodealign.judging.opening import open_source
from selfcodealign.judging.rows import ADDED_FIELDS, Fields, Row, join_tests, read_row
from selfcodealign.judging.tables import ParquetRows
from selfcodealign.sandbox import Status, Verdict

PASSED = Verdict(Status.PASSED, message="half \ud800", seconds=0.5)
GOOD = '"response": "def f(): return 1", "tests": "assert f() == 1"'
DEEP = "[" * 100_000 + "]" * 100_000


def read(text: str | bytes, number: int = 2) -> Row:
    row = read_row(text.encode() if isinstance(text, str) else text, number, Fields())
    assert row is not None
    return row


@pytest.mark.parametrize(
    "more",
    [
        r'"half": "\ud800"',
        '"long": ' + "9" * 5000,
        '"large": 1e400, "exact": 1.10, "small": -0.0, "none": NaN',
        f'"deep": {DEEP}',
        '"deep": ' + '{"a": [' * 50_000 + '"}"' + "]}" * 50_000,
        '"twice": 1, "twice": 2',
        '"text": "} , {\\"[\\\\",   "space" : [1,\t2 ]',
    ],
)
def test_what_is_not_read_comes_back_as_written(more: str) -> None:
    """Nothing is rounded, sorted, joined or left out; response and tests are read."""
    for text in (f"{{{more}, {GOOD}}}", f"{{ {GOOD}, {more} }}\r\n"):
        row = read(text)
        assert (row.fault, row.response, row.tests) == ("", "def f(): return 1", "assert f() == 1")
        line = row.with_verdict(PASSED)
        assert line.startswith(text.rstrip("} \r\n").encode())
        assert line.endswith(b"}\n")
        assert row.read_verdict(line) == json.loads("{" + line.decode().partition('"status"')[2].join(['"status"', ""]))


def test_a_verdict_takes_the_place_of_an_earlier_one() -> None:
    """Also where it stands between other fields."""
    row = read('{"status": "failed", "id": 1.10, "seconds": 3, "seconds": 4, ' + GOOD + ', "proof": ""}')
    assert row.with_verdict(PASSED).startswith(b'{"id": 1.10, ' + GOOD.encode() + b', "status": "passed"')
    again = read(row.with_verdict(PASSED))
    assert again.head == row.head
    assert read('{"status": 1}').with_verdict(PASSED).startswith(b'{"status": "passed"')


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('{"a": 1', "not JSON (Expecting ',' delimiter)"),
        ('{"a": 1,}', "not JSON (Expecting property name enclosed in double quotes)"),
        ('{"a" 1}', "not JSON (Expecting ':' delimiter)"),
        ('{"a": }', "not JSON (Expecting value)"),
        ('{"a": 1} 2', "not JSON (Extra data)"),
        ('{"a": ' + DEEP[:-1] + "}", "not JSON (Expecting ',' delimiter)"),
        ('{"a": ' + DEEP.replace("[]", "[x]") + "}", "not JSON (Expecting value)"),
        (DEEP, "a JSON list"),
        ("3", "a JSON int"),
        (b'{"a": "\xff"}', "this line is not UTF-8"),
    ],
)
def test_a_broken_line_tells_why(line: str | bytes, fault: str) -> None:
    """It is a row with its number, its text and the reason."""
    row = read(line, 7)
    assert row.fault.startswith(fault)
    assert (row.line, row.response) == (7, None)


def test_byte_order_mark_empty_lines_and_long_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first line may have a mark, empty ones are no rows, and a line without end is cut."""
    assert read(b"\xef\xbb\xbf{" + GOOD.encode() + b"}", 1).fault == ""
    assert read(b"\xef\xbb\xbf{}", 2).fault
    assert read_row(b" \r\n", 3, Fields()) is None
    monkeypatch.setattr("selfcodealign.judging.rows.LONGEST_LINE_MIB", 0)
    assert "is longer than" in read("{}").fault


def test_tests_are_a_text_or_a_list_of_texts() -> None:
    """A list may be JSON; a JSON list of something else is not."""
    for tests in (["a", "b"], '["a", "b"]', ("a", "b")):
        assert join_tests(tests) == "a\nb"
    assert join_tests(None) == join_tests("[]") == ""
    assert join_tests("[f(1)]\nassert f(1)") == "[f(1)]\nassert f(1)"
    assert not isinstance(join_tests('[{"input": 1, "output": 2}]'), str)


class _Journaled:
    """The rows of a file with a verdict, as a table."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def convert(self, source: Path, convert: Any) -> tuple[pa.Table, list[str]]:
        rows = open_source(source, Fields(), for_table=True)
        journal, target = self.folder / "journal", self.folder / "out.parquet"
        journal.write_bytes(b"".join(row.with_verdict(PASSED) for row in rows.take(1000)))
        notes = convert(rows, journal, target)
        rows.close()
        return pq.read_table(target), notes


def test_lines_become_a_table_that_loses_nothing(tmp_path: Path) -> None:
    """Columns have types where one holds all values, and the JSON text of the values elsewhere."""
    (tmp_path / "in.jsonl").write_text(
        '{"id": 1, "share": 1, "names": ["a"], "point": {"x": 1, "y": [0.5]}, "mixed": 1, "long": 1, "deep": 1}\n'
        '{"id": 2, "share": 0.5, "names": [], "point": {"x": 2, "y": []}, "mixed": "a", "long": 99999999999999999999, '
        f'"half": "\\ud800", "large": 1e400, "odd": {{}}, "deep": {DEEP}}}\n'
    )
    table, notes = _Journaled(tmp_path).convert(tmp_path / "in.jsonl", columns.write_table)
    rows = table.to_pylist()
    assert [rows[0][name] for name in ("share", "names", "point")] == [1.0, ["a"], {"x": 1, "y": [0.5]}]
    assert [row["mixed"] for row in rows] == ["1", '"a"']
    assert [row["long"] for row in rows] == ["1", "99999999999999999999"]
    assert [rows[1][name] for name in ("half", "large", "odd", "deep")] == ['"\\ud800"', "1e400", "{}", DEEP]
    assert rows[0]["half"] is None
    assert table.schema.field("id").type == pa.int64()
    assert rows[0]["message"] == "half \\ud800"
    assert notes == [
        "stored as JSON text, which no column type holds exactly: mixed, long, deep, half, large and 1 more"
    ]


def test_a_table_keeps_its_types(tmp_path: Path) -> None:
    """Every type and the metadata stay; old verdicts are replaced."""
    schema = pa.schema(
        [
            ("response", pa.large_string()),
            ("tests", pa.list_(pa.string())),
            ("when", pa.timestamp("ns")),
            ("price", pa.decimal128(10, 2)),
            ("bytes", pa.binary()),
            ("kind", pa.dictionary(pa.int8(), pa.string())),
            ("status", pa.int8()),
        ],
        metadata={"made": "by hand"},
    )
    values = {
        "response": ["def f(): return 1"] * 3,
        "tests": [["assert f() == 1"], None, ["a", "b"]],
        "when": pa.array([1, 2, None], pa.timestamp("ns")),
        "price": pa.array([Decimal(1), None, Decimal(3)], pa.decimal128(10, 2)),
        "bytes": [b"\xff", None, b""],
        "kind": pa.array(["a", None, "a"]).dictionary_encode().cast(schema.field("kind").type),
        "status": pa.array([1, 2, 3], pa.int8()),
    }
    pq.write_table(pa.table(values, schema), tmp_path / "in.parquet")
    table, notes = _Journaled(tmp_path).convert(tmp_path / "in.parquet", tables.add_columns)
    kept = [name for name in schema.names if name != "status"]
    assert table.select(kept).equals(pq.read_table(tmp_path / "in.parquet").select(kept))
    assert table.schema.names == [*kept, *ADDED_FIELDS]
    assert table.schema.metadata[b"made"] == b"by hand"
    assert table.column("status").to_pylist() == ["passed"] * 3
    assert notes == []
    rows = open_source(tmp_path / "in.parquet", Fields(), for_table=False).take(3)
    first = json.loads(rows[0].with_verdict(PASSED))
    assert (first["when"], first["price"], first["bytes"]) == ("1970-01-01 00:00:00.000000001", "1.00", "/w==")
    assert rows[0].tests == ["assert f() == 1"]


def test_a_name_that_no_column_can_have(tmp_path: Path) -> None:
    """Half a surrogate pair in it is written as in JSON."""
    (tmp_path / "in.jsonl").write_text('{"response": "x", "\\ud800": 1}\n')
    table, _ = _Journaled(tmp_path).convert(tmp_path / "in.jsonl", columns.write_table)
    assert table.column("\\ud800").to_pylist() == [1]


def test_two_columns_of_one_name_are_refused_before_anything_is_judged(tmp_path: Path) -> None:
    """A row could hold only one of them."""
    texts = [pa.array(["x"])] * 3
    pq.write_table(pa.Table.from_arrays(texts, ["response", "extra", "extra"]), tmp_path / "in.parquet")
    with pytest.raises(UserError, match='two columns "extra"'):
        open_source(tmp_path / "in.parquet", Fields(), for_table=True)


def test_times_that_python_lacks_are_texts(tmp_path: Path) -> None:
    """Years after 9999 in lists, unknown time zones; all rows are read, and what is missing stays missing."""
    late = pa.array([[2**62 // 1000], [0], None], pa.list_(pa.timestamp("ms")))
    zoned = pa.array([0, None, 1], pa.timestamp("ns", "Mars/Base"))
    lasting = pa.array([1, None, 2], pa.duration("s"))
    columns = {"response": ["x"] * 3, "late": late, "zoned": zoned, "lasting": lasting}
    pq.write_table(pa.table(columns), tmp_path / "in.parquet")
    rows = open_source(tmp_path / "in.parquet", Fields(), for_table=False).take(3)
    first, second, third = (json.loads(row.with_verdict(PASSED)) for row in rows)
    assert "4611686018427387" in first["late"]
    assert (second["late"], third["late"]) == (["1970-01-01T00:00:00"], None)
    assert "1970-01-01" in first["zoned"]
    assert (second["zoned"], second["lasting"], third["lasting"]) == (None, None, "2")


def test_large_rows_are_taken_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many are asked for, of lines and of a table, so that the memory is bounded."""
    monkeypatch.setattr("selfcodealign.judging.reading._MIB_TAKEN", 1)
    monkeypatch.setattr("selfcodealign.judging.tables._BATCH_MIB", 1)
    rows = [{"response": "x", "more": os.urandom(1 << 20).hex()} for _ in range(3)]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "in.parquet")
    for name in ("in.jsonl", "in.parquet"):
        source = open_source(tmp_path / name, Fields(), for_table=False)
        assert [len(source.take(32)) for _ in range(4)] == [1, 1, 1, 0]
    table = ParquetRows(tmp_path / "in.parquet", Fields(), for_table=True)
    assert [len(batch) for batch in table.batches()] == [1] * 3


def test_a_carriage_return_in_a_text_is_no_json() -> None:
    """It is told, and not changed into a space; between values it becomes one."""
    broken = read_row(b'{"response": "a\rb"}\n', 2, Fields())
    assert broken is not None
    assert "not JSON (Invalid control character" in broken.fault
    assert json.loads(broken.with_verdict(PASSED))["text"] == '{"response": "a\rb"}'
    between = read_row(b'{"response":\r"a"}\r\n', 2, Fields())
    assert between is not None
    assert (between.head, between.fault) == ('{"response": "a"', "")
