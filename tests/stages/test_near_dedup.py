"""Near-deduplication of seeds, and the limit of the recipe."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from selfcodealign import run_recipe
from selfcodealign.errors import UserError
from selfcodealign.pipeline import plan_recipe
from selfcodealign.rows import Dropped, Seed, digest
from selfcodealign.settings import NearDedupSettings
from selfcodealign.stages.near_dedup import drop_near_copies
from tests.support.journey import small_recipe, write_sources
from tests.support.rows import make_seed, store_and_sort


def seed(number: int, code: str, seed_id: str = "") -> Seed:
    """A seed found in file `number`; ids grow with the number unless one is given."""
    return make_seed(number, code, seed_id=seed_id or f"{number:016x}", source_id=f"{number:016x}")


def steps(start: int, stop: int) -> str:
    """Code whose overlap with other such code is that of their numbers."""
    return "\n".join(f"step_{number} = {number}" for number in range(start, stop))


def choose(*rows: Seed, limit: int | None = None, **settings: Any) -> list[Seed | Dropped]:
    asked = NearDedupSettings().model_copy(update=settings)
    outcomes = list(drop_near_copies(lambda: rows, asked, limit))
    assert [one.id for one in outcomes] == [row.id for row in rows]
    return outcomes


def told(outcomes: list[Seed | Dropped]) -> list[str]:
    return [f"{one.reason} {one.detail}" if isinstance(one, Dropped) else "kept" for one in outcomes]


FIRST = seed(1, steps(0, 40))
FILTERS: Mapping[str, tuple[Mapping[str, Any], Seed, str, Seed]] = {
    # reason: settings, a second seed that is dropped for it, the detail of the drop, a second seed that is kept
    "copy": (
        {},
        seed(2, FIRST.seed, seed_id=FIRST.id),
        FIRST.id,
        seed(2, steps(40, 80)),
    ),
    "copy, near copies allowed": (
        {"enabled": False},
        seed(2, FIRST.seed, seed_id=FIRST.id),
        FIRST.id,
        seed(2, steps(1, 41)),
    ),
    "near_copy": (
        {},
        seed(2, steps(4, 44)),
        FIRST.id + r" \(0\.[789]\d\)",
        seed(2, steps(24, 64)),
    ),
    "near_copy, laid out otherwise": (
        {"jaccard": 1.0},
        seed(2, FIRST.seed.replace(" = ", "=").replace("\n", ";")),
        FIRST.id + r" \(1\.00\)",
        seed(2, FIRST.seed + "\nstep_40 = 40"),
    ),
}


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_drops_what_it_is_for(name: str) -> None:
    """A drop has its reason, its detail and all fields of the row; the first seed stays."""
    settings, row, detail, _ = FILTERS[name]
    first, dropped = choose(FIRST, row, **settings)
    assert first == FIRST
    assert isinstance(dropped, Dropped)
    assert dropped.reason == name.partition(",")[0]
    assert re.fullmatch(detail, dropped.detail), dropped.detail
    assert dropped.row == row.fields()


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_keeps_what_only_looks_like_it(name: str) -> None:
    """A near miss stays, and so does the first seed."""
    settings, _, _, kept = FILTERS[name]
    assert choose(FIRST, kept, **settings) == [FIRST, kept]


def test_the_limit_counts_what_stays() -> None:
    """Copies and near-duplicates do not count towards the limit; seeds over it have that reason."""
    rows = [
        FIRST,
        seed(2, FIRST.seed, seed_id=FIRST.id),
        seed(3, steps(1, 41)),
        seed(5, steps(100, 140)),
        seed(6, steps(200, 240)),
        seed(7, steps(101, 141)),
    ]
    near = rf"near_copy {FIRST.id} \(0\.9\d\)", rf"near_copy {rows[3].id} \(0\.9\d\)"
    expected = ["kept", f"copy {FIRST.id}", near[0], "kept", "over_limit limit 2", near[1]]
    for pattern, outcome in zip(expected, told(choose(*rows, limit=2)), strict=True):
        assert re.fullmatch(pattern, outcome)
    assert "over_limit limit 3" not in told(choose(*rows, limit=3))


def test_a_copy_of_a_near_copy_is_a_copy() -> None:
    """Copies are found by id, so each drop names its own id and not a similar seed."""
    near = seed(2, steps(1, 41))
    outcomes = told(choose(FIRST, near, seed(3, near.seed, seed_id=near.id)))
    assert outcomes[1].startswith(f"near_copy {FIRST.id}")
    assert outcomes[2] == f"copy {near.id}"


@st.composite
def many_seeds(draw: st.DrawFn) -> list[Seed]:
    """Seeds with copies (of one id, as their code is one) and near copies among them, in the order of their ids."""
    codes = st.integers(0, 12).map(lambda start: steps(3 * start, 3 * start + 40))
    rows = [seed(number, code, digest(code)) for number, code in enumerate(draw(st.lists(codes, max_size=12)))]
    return sorted(rows, key=lambda row: (row.seed_id, row.source_id))


@hypothesis_settings(max_examples=20, deadline=None)
@given(rows=many_seeds(), data=st.data())
def test_ids_decide_and_not_the_order_in_which_rows_were_made(rows: list[Seed], data: st.DataObject) -> None:
    """Stored in any order and read back as the engine reads them, the same seeds have the same outcomes."""
    stored = store_and_sort(data.draw(st.permutations(rows)), Seed, "source_id")
    assert choose(*stored, permutations=64) == choose(*rows, permutations=64)


@hypothesis_settings(max_examples=50, deadline=None)
@given(rows=many_seeds(), limit=st.integers(0, 6))
def test_a_higher_limit_draws_the_same_seeds_and_more(rows: list[Seed], limit: int) -> None:
    """The limit cuts the list of kept seeds, and a second pass keeps all of them."""
    everything = [one for one in choose(*rows, permutations=64) if isinstance(one, Seed)]
    kept = [one for one in choose(*rows, permutations=64, limit=limit) if isinstance(one, Seed)]
    assert kept == everything[:limit]
    assert choose(*everything, permutations=64) == everything


def write_parquet(path: Path, column: str, values: list[Any]) -> None:
    pq.write_table(pa.table({column: pa.array(values, pa.string()), "n": list(range(len(values)))}), path)


def write_json_lines(path: Path, column: str, values: list[Any]) -> None:
    text = "".join(json.dumps({column: value, "n": 1}) + "\n" for value in values)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


WRITERS: Mapping[str, Callable[[Path, str, list[Any]], None]] = {
    "old.parquet": write_parquet,
    "old.jsonl": write_json_lines,
    "old.jsonl.gz": write_json_lines,
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("enabled", [True, False])
def test_rows_of_earlier_files_count_as_kept(name: str, enabled: bool, tmp_path: Path) -> None:
    """A copy and a near copy of one are dropped, and each drop names file and line; cells without text do not count.

    Where near copies may stay, copies still go. A copy of such a copy is a copy.
    """
    path = tmp_path / name
    WRITERS[name](path, "code", [None, "", steps(0, 40), steps(0, 40), steps(100, 140)])
    rows = [
        seed(1, steps(0, 40)),
        seed(2, steps(0, 40), seed_id=f"{1:016x}"),
        seed(3, steps(101, 141)),
        seed(4, steps(102, 142)),
        seed(5, steps(200, 240)),
        seed(6, steps(201, 241)),
    ]
    outcomes = told(choose(*rows, enabled=enabled, against=[str(path)], against_column="code"))
    near = [rf"near_copy_of_earlier {path}:5 \(0\.9\d\)", rf"near_copy_of_earlier {path}:5 \(0\.9\d\)"]
    last = rf"near_copy {rows[4].id} \(0\.9\d\)"
    expected = [f"copy_of_earlier {path}:3", f"copy {rows[0].id}", *near, "kept", last]
    if not enabled:
        expected[2:] = ["kept"] * 4
    for pattern, outcome in zip(expected, outcomes, strict=True):
        assert re.fullmatch(pattern, outcome), (pattern, outcome)


def test_earlier_seeds_do_not_count_towards_the_limit(tmp_path: Path) -> None:
    """The limit draws from the seeds that are left."""
    write_parquet(tmp_path / "old.parquet", "seed", [steps(0, 40)])
    rows = [FIRST, seed(2, steps(50, 90)), seed(3, steps(100, 140))]
    outcomes = told(choose(*rows, limit=1, against=[str(tmp_path / "old.parquet")]))
    assert outcomes == [f"copy_of_earlier {tmp_path / 'old.parquet'}:1", "kept", "over_limit limit 1"]


def run_until(folder: Path, sources: Path, *settings: str) -> dict[str, int]:
    """The drops of a run of the seeds of `sources`, with the number of kept ones."""
    recipe = small_recipe(sources, *settings)
    result = asyncio.run(run_recipe(recipe, folder, until="near_dedup"))
    books = result.books["near_dedup"]
    return {"kept": books.kept, **books.dropped}


def test_a_run_does_not_repeat_the_seeds_of_an_earlier_run(tmp_path: Path) -> None:
    """Only what the earlier run had not is kept; when that run has more, the stage is made again and says why."""
    first, second = write_sources(tmp_path / "one" / "source", 3), write_sources(tmp_path / "two" / "source", 5)
    against = f'near_dedup.against=["{tmp_path / "first"}"]'
    assert run_until(tmp_path / "first", first) == {"kept": 3}
    assert run_until(tmp_path / "second", second, against) == {"kept": 2, "copy_of_earlier": 3}
    write_sources(first, 4)
    assert run_until(tmp_path / "longer", first) == {"kept": 4}
    (tmp_path / "first").rename(tmp_path / "away")
    (tmp_path / "longer").rename(tmp_path / "first")
    plan = asyncio.run(plan_recipe(small_recipe(second, against), tmp_path / "second", until="near_dedup"))
    assert "versions of the earlier rows" in str(plan)
    assert run_until(tmp_path / "second", second, against) == {"kept": 1, "copy_of_earlier": 4}


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "there is no {path}; check the path"),
        (lambda path: path.mkdir(), "{path} is no source of earlier rows: .* folders of finished runs, and files"),
        (lambda path: path.write_text("x"), "{path} is no source of earlier rows"),
    ],
)
def test_what_is_no_source_of_earlier_rows_is_refused(
    make: Callable[[Path], object], said: str, tmp_path: Path
) -> None:
    """Before any work, and with what is one."""
    make(tmp_path / "old")
    with pytest.raises(UserError, match=said.format(path=tmp_path / "old")):
        run_until(tmp_path / "run", write_sources(tmp_path / "source", 1), f"near_dedup.against={tmp_path / 'old'}")
    assert not (tmp_path / "run" / "seeds").exists()


@pytest.mark.parametrize("name", WRITERS)
def test_a_missing_column_and_a_torn_file_are_refused(name: str, tmp_path: Path) -> None:
    """The error names the columns that are there, and the setting."""
    path, sources = tmp_path / name, write_sources(tmp_path / "source", 1)
    WRITERS[name](path, "seeds", ["x = 1"])
    with pytest.raises(UserError, match=r'has no column "seed" \(it has seeds, n\): set near_dedup.against_column'):
        run_until(tmp_path / "run", sources, f"near_dedup.against={path}")
    path.write_bytes(path.read_bytes()[:-9][:20])
    with pytest.raises(UserError, match=rf"{path}"):
        run_until(tmp_path / "run", sources, f"near_dedup.against={path}")
    assert not (tmp_path / "run" / "seeds").exists()


def test_a_column_without_any_text_is_an_error(tmp_path: Path) -> None:
    """Numbers are no code: the run says so instead of comparing with nothing."""
    write_parquet(tmp_path / "old.parquet", "seed", ["x = 1"])
    settings = {"against": [str(tmp_path / "old.parquet")], "against_column": "n"}
    with pytest.raises(UserError, match=r'no row of .*old\.parquet has text in the column "n"'):
        choose(FIRST, **settings)


def test_a_run_is_not_compared_with_itself_or_with_one_that_has_not_ended(tmp_path: Path) -> None:
    """All of its seeds would be copies; those of the other would not be known yet."""
    sources = write_sources(tmp_path / "source", 1)
    run_until(tmp_path / "run", sources)
    with pytest.raises(UserError, match="the folder of this very run"):
        run_until(tmp_path / "run", sources, f"near_dedup.against={tmp_path / 'run'}")
    (tmp_path / "run" / "near_dedup" / "stage.json").unlink()
    for stage in ("decontamination", "seeds"):
        (tmp_path / "run" / stage / "stage.json").unlink()
    with pytest.raises(UserError, match="has no finished seeds; run it to its end"):
        run_until(tmp_path / "other", sources, f"near_dedup.against={tmp_path / 'run'}")
