"""Data sets that `datasets` saved with `save_to_disk` are read as they lie on the disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pytest

from selfcodealign.errors import SourceError
from tests.support.sources import CODE, STACK, drops, kept, read


def save(folder: Path, rows: list[dict[str, Any]], shards: int = 1) -> Path:
    datasets.Dataset.from_list(rows).save_to_disk(folder, num_shards=shards)
    return folder


def test_shards_in_order(tmp_path: Path) -> None:
    """The shards of a data set follow one another; rows are numbered over all of them."""
    folder = save(tmp_path / "code", [{"content": f"x = {n}"} for n in range(5)], shards=2)
    assert [(file.origin, file.path, file.text) for file in kept(folder)] == [
        ("code", f"code:{n + 1}", f"x = {n}") for n in range(5)
    ]


def test_the_layout_is_recognised(tmp_path: Path) -> None:
    """Like that of a file with the same columns."""
    (file,) = kept(save(tmp_path / "code", [STACK]))
    assert (file.path, file.licence, file.repository) == ("lib/a.py", "Apache-2.0 AND MIT", "ann/tools")


def test_splits(tmp_path: Path) -> None:
    """`seeds.split` chooses among the splits; a wrong one is named with those that exist."""
    parts: Any = {name: datasets.Dataset.from_list([{"content": name}]) for name in ("train", "test")}
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "code")
    assert [file.text for file in kept(tmp_path / "code")] == ["train"]
    assert [file.text for file in kept(tmp_path / "code", split="test")] == ["test"]
    with pytest.raises(SourceError, match=r'no split "tset" \(it has train, test\).*did you mean "test"'):
        read(tmp_path / "code", split="tset")


def test_a_row_that_is_not_utf8_is_one_drop(tmp_path: Path) -> None:
    """The other rows of its batch are read; a path that is not UTF-8 is shown with question marks."""
    folder = save(tmp_path / "code", [{"content": CODE}])
    text = pa.Array.from_buffers(
        pa.string(), 2, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0"), pa.py_buffer(b"\xffx")]
    )
    write(folder, pa.record_batch({"content": text, "path": text}))
    first, second = kept(folder, path_column="path")
    assert (first.text, second.text) == (b"\xff", "x")


def write(folder: Path, batch: pa.RecordBatch) -> None:
    with pa.ipc.new_stream(str(folder / "data-00000-of-00001.arrow"), batch.schema) as stream:
        stream.write_batch(batch)


def test_forged_offsets_end_no_process(tmp_path: Path) -> None:
    """Offsets that lead out of the file are found before a cell is read."""
    folder = save(tmp_path / "code", [{"content": CODE}])
    data = folder / "data-00000-of-00001.arrow"
    content = data.read_bytes()
    end = content.rindex(b"\0\0\0\0" + len(CODE).to_bytes(4, "little")) + 4
    data.write_bytes(content[:end] + (1 << 30).to_bytes(4, "little") + content[end + 4 :])
    with pytest.raises(SourceError, match="as Arrow"):
        read(folder)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("state.json", "{", "cannot read .*state.json"),
        ("state.json", "[]", "holds no object"),
        (
            "state.json",
            json.dumps({"_data_files": [{"filename": "../../secret.arrow"}]}),
            "names no files of its folder",
        ),
        ("state.json", json.dumps({"_data_files": 3}), "names no files of its folder"),
        ("state.json", json.dumps({"_data_files": [{"filename": "none.arrow"}]}), "as Arrow"),
        ("data-00000-of-00001.arrow", "no Arrow at all", "as Arrow"),
        ("data-00000-of-00001.arrow", "", "as Arrow"),
    ],
)
def test_broken_folders(tmp_path: Path, name: str, content: str, message: str) -> None:
    """Each is one line before any work."""
    folder = save(tmp_path / "code", [{"content": CODE}])
    (folder / name).write_text(content)
    with pytest.raises(SourceError, match=message) as caught:
        read(folder)
    assert "\n" not in str(caught.value)


def test_rows_without_text(tmp_path: Path) -> None:
    """Each is a drop."""
    assert drops(save(tmp_path / "code", [{"content": CODE}, {"content": None}])) == [("code:2", "malformed_row")]
