"""Files are read with file and line in every error, and written whole."""

from __future__ import annotations

import gzip
import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from selfcodealign.errors import BenchmarkError, RunFolderError
from selfcodealign.files import (
    read_json,
    read_json_lines,
    read_text,
    write_json,
    write_json_lines,
    write_text,
    write_whole,
)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz"])
@given(rows=st.lists(st.dictionaries(st.text(st.characters()), VALUES, max_size=3), max_size=4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
def test_rows_come_back_as_they_were_written(tmp_path: Path, name: str, rows: list[dict]) -> None:
    """Any JSON object, compressed or not: lone surrogates, infinities, Unicode line separators in strings."""
    write_json_lines(tmp_path / name, rows)
    assert list(read_json_lines(tmp_path / name)) == list(enumerate(rows, 1))


def test_the_bytes_of_a_packed_file_are_packed(tmp_path: Path) -> None:
    """The final name decides about compression, not the temporary name."""
    write_text(tmp_path / "a.txt.gz", "text\n")
    assert gzip.decompress((tmp_path / "a.txt.gz").read_bytes()) == b"text\n"
    assert read_text(tmp_path / "a.txt.gz") == "text\n"


def test_json_files_hold_only_what_json_has(tmp_path: Path) -> None:
    """NaN and infinities become null at any depth; the rest comes back."""
    value = {"a": [1.5, float("nan"), {"b": float("-inf")}], "c": "ü"}
    write_json(tmp_path / "x.json", value)
    assert read_json(tmp_path / "x.json") == {"a": [1.5, None, {"b": None}], "c": "ü"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": 1}\n\n{"a"\n', r"x\.jsonl:3: not JSON \(.+\); every line must be one JSON object"),
        (b'{"a": 1}\n[1]\n', r"x\.jsonl:2: a JSON list; every line must be one JSON object"),
        (b'{"a": 1}\n"caf\xe9"\n', r"x\.jsonl:2: this line is not UTF-8; save the file as UTF-8"),
        (b"[" * 100_000, r"x\.jsonl:1: not JSON \(maximum recursion"),
        (b"9" * 5_000, r"x\.jsonl:1: not JSON \(Exceeds the limit"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    """The error has file, line, fault and fix, and the requested class."""
    (tmp_path / "x.jsonl").write_bytes(content)
    with pytest.raises(BenchmarkError, match=message) as caught:
        list(read_json_lines(tmp_path / "x.jsonl", error=BenchmarkError))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.json", None, "cannot read .*x.json: No such file or directory; check the path"),
        ("x.json", b'{\n"a": 1,\n}', "x.json:3: not JSON"),
        ("x.json", b"[\n1,\n\xff]", "x.json:3: this line is not UTF-8"),
        ("x.json.gz", b"not packed", "cannot read .*x.json.gz: Not a gzipped file"),
        ("x.json.gz", gzip.compress(b"[1]" * 100, mtime=0)[:-9], "cannot read .*x.json.gz: Compressed file ended"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    """Missing, torn and wrongly encoded files: one line each, the line inside a JSON file too."""
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(BenchmarkError, match=message):
        read_json(tmp_path / name, error=BenchmarkError)


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    """A byte order mark is removed."""
    (tmp_path / "x.jsonl").write_bytes(b"\xef\xbb\xbf" + json.dumps({"a": 1}).encode())
    assert list(read_json_lines(tmp_path / "x.jsonl")) == [(1, {"a": 1})]


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    """An error in the middle leaves the old file and no temporary file."""
    write_text(tmp_path / "x.txt", "old")
    with suppress(ZeroDivisionError), write_whole(tmp_path / "x.txt") as file:
        file.write("new" * 100_000)
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.iterdir()] == ["x.txt"]
    assert (tmp_path / "x.txt").read_text() == "old"
    with pytest.raises(RunFolderError, match=r"cannot write .*; make room or choose another place"):
        write_text(tmp_path / "nowhere" / "x.txt", "new", error=RunFolderError)
    with pytest.raises(RunFolderError, match=r"cannot write .*: Not a directory"):
        write_text(tmp_path / "x.txt" / "y.txt", "new", error=RunFolderError)
