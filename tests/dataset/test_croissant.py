"""The Croissant metadata, read by MLCommons' own reader."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from selfcodealign.dataset.card import CardFacts
from selfcodealign.dataset.columns import COLUMNS
from selfcodealign.dataset.write import write_dataset
from selfcodealign.rows import Example, grow
from tests.support.hostile_names import HOSTILE, facts
from tests.support.rows import make_response

FACTS = CardFacts(recipe_toml="", run={"started": "2026-11-27T08:00:00+0000"}, funnel=[], benchmarks=[])


def write(folder: Path, count: int, told: CardFacts = FACTS, **changes: Any) -> Path:
    rows = [grow(make_response(number, **changes), Example, samples=1, pass_rate=1.0) for number in range(count)]
    write_dataset(folder / "dataset", rows, count, told)
    return folder / "dataset"


def read(folder: Path) -> tuple[Any, list[dict[str, Any]]]:
    mlcroissant = pytest.importorskip("mlcroissant")
    found = mlcroissant.Dataset(jsonld=str(folder / "croissant.json"))
    assert not found.metadata.ctx.issues.errors
    return found, list(found.records("examples"))


@pytest.mark.parametrize("file_rows", [50_000, 2], ids=["one file", "several files"])
def test_the_reader_of_mlcommons_reads_every_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file_rows: int
) -> None:
    """From the metadata alone: all rows, with their columns, types and nested messages."""
    monkeypatch.setattr("selfcodealign.dataset.write.FILE_ROWS", file_rows)
    _, rows = read(write(tmp_path, 5))
    assert len(rows) == 5
    assert set(rows[0]) == {f"examples/{name}" for name in COLUMNS}
    instructions = {make_response(number).instruction.encode() for number in range(5)}
    assert {row["examples/instruction"] for row in rows} == instructions
    assert rows[0]["examples/source_line"] in range(5)
    said = rows[0]["examples/messages"]
    assert [one["examples/messages/role"] for one in said] == [b"user", b"assistant"]


def test_the_sums_are_those_of_the_files(tmp_path: Path) -> None:
    """Size and SHA-256 of every Parquet file, under the path that the repository has."""
    folder = write(tmp_path, 3)
    told = json.loads((folder / "croissant.json").read_text("utf-8"))
    files = {one["contentUrl"]: one for one in told["distribution"] if one["@type"] == "cr:FileObject"}
    assert set(files) == {str(path.relative_to(folder)) for path in (folder / "data").iterdir()}
    for name, one in files.items():
        held = (folder / name).read_bytes()
        assert one["sha256"] == hashlib.sha256(held).hexdigest()
        assert one["contentSize"] == f"{len(held)} B"


def test_it_says_who_made_the_rows_and_what_they_do_not_show(tmp_path: Path) -> None:
    """Models as agents of their provenance, the limits that the card has, the licence's page."""
    found, _ = read(write(tmp_path, 2, facts("some/model"), licence="MIT"))
    told = json.loads((tmp_path / "dataset" / "croissant.json").read_text("utf-8"))
    assert told["license"] == "https://spdx.org/licenses/MIT.html"
    assert told["prov:wasAttributedTo"][0]["sc:name"] == "some/model"
    assert found.metadata.machine_annotation_tools == ["some/model"]
    assert any("may be wrong in the same way" in one for one in found.metadata.data_limitations)


@pytest.mark.parametrize("word", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_names_do_not_break_it(tmp_path: Path, word: str) -> None:
    """Whatever models, licences and stages are called, the reader finds no error and the rows."""
    _, rows = read(write(tmp_path, 1, facts(word), licence=word))
    assert len(rows) == 1
