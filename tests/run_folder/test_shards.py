"""Pairs of Parquet files: whole or absent, swept after a kill, refused when damaged."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from selfcodealign.errors import RunFolderError
from selfcodealign.rows import Concepts, Seed, digest
from selfcodealign.run_folder.shards import Shards
from tests.support.rows import make_drop, make_seed


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    """Kept rows, drops with the fields they had, counts and parents, over several pairs."""
    shards = Shards(tmp_path, Seed, "source_id")
    shards.write([make_seed(1), make_seed(2)], [make_drop(3)])
    shards.write([], [make_drop(4)])
    assert list(shards.rows()) == [make_seed(1), make_seed(2)]
    assert shards.counts() == (2, {"no_docstring": 2})
    assert sorted(f"{int(one):016x}" for one in shards.parents()) == sorted(digest("file", n) for n in (1, 2, 3, 4))
    drops = [drop for _, dropped in shards.pairs() for drop in dropped]
    assert [drop.parent for drop in drops] == [digest("file", 3), digest("file", 4)]
    assert drops[0].row["function"] == "g"
    assert drops[0].row["seed"] is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(text=st.text(), concepts=st.lists(st.text(alphabet=st.characters(codec="utf-8")), max_size=4))
def test_any_text_survives(tmp_path_factory: pytest.TempPathFactory, text: str, concepts: list[str]) -> None:
    """Any text of a model or a file can be stored; what UTF-8 cannot encode becomes "?"."""
    folder = tmp_path_factory.mktemp("shards")
    row = Concepts(**make_seed(1, text).fields(), concepts_id=digest("c"), concepts=concepts)
    shards = Shards(folder, Concepts, "seed_id")
    shards.write([row], [])
    (back,) = shards.rows()
    assert back.seed == text.encode("utf-8", "replace").decode()
    assert back.concepts == concepts


def test_rows_come_sorted_by_id_from_any_order(tmp_path: Path) -> None:
    """`sorted_rows` sorts by id for any order of the shards."""
    shards = Shards(tmp_path, Seed, "source_id")
    for number in range(50):
        shards.write([make_seed(number)], [])
    ids = [row.id for row in shards.sorted_rows(duckdb.connect(), "seed_id")]
    assert ids == sorted(ids)
    assert len(ids) == 50


def test_what_a_killed_writer_left_is_swept_away(tmp_path: Path) -> None:
    """Hidden files and drops without their kept twin were never committed."""
    shards = Shards(tmp_path, Seed, "source_id")
    shards.write([make_seed(1)], [make_drop(2)])
    orphan = tmp_path / "dropped-main-000002.parquet"
    orphan.write_bytes((tmp_path / "dropped-main-000001.parquet").read_bytes())
    torn = tmp_path / ".kept-main-000002.parquet.tmp"
    torn.write_bytes(b"PAR1")
    other_writer = tmp_path / "dropped-w2-000001.parquet"
    other_writer.write_bytes(b"being renamed by another machine")
    shards.sweep()
    assert not orphan.exists()
    assert not torn.exists()
    assert other_writer.exists()
    assert shards.counts() == (1, {"no_docstring": 1})


def test_a_damaged_shard_is_refused_with_what_to_do(tmp_path: Path) -> None:
    """The error for a torn file names the file and its twin; no row is silently skipped."""
    shards = Shards(tmp_path, Seed, "source_id")
    shards.write([make_seed(1)], [])
    path = tmp_path / "kept-main-000001.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(RunFolderError, match=r"is damaged .* delete kept-main-000001.parquet and dropped-main-000001"):
        list(shards.rows())
    with pytest.raises(RunFolderError, match="cannot sort the rows of"):
        list(shards.sorted_rows(duckdb.connect(), "seed_id"))


def test_a_reader_needs_nothing_of_ours(tmp_path: Path) -> None:
    """Shards are plain Parquet with a column per field."""
    Shards(tmp_path, Seed, "source_id").write([make_seed(1)], [make_drop(2)])
    assert pq.read_table(tmp_path / "kept-main-000001.parquet").column_names == list(Seed.field_names())
    dropped = pq.read_table(tmp_path / "dropped-main-000001.parquet").to_pylist()
    assert dropped[0]["reason"] == "no_docstring"


def test_a_disk_that_takes_nothing_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    """The folder is missing (or full, or read-only): one line, and no half of a pair."""
    folder = tmp_path / "gone"
    with pytest.raises(RunFolderError, match="make room or choose another --out"):
        Shards(folder, Seed, "source_id").write([make_seed(1)], [])
    assert not folder.exists()
