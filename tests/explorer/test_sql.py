"""SQL over the rows of a run: what it can read, and what it cannot."""

from __future__ import annotations

import re
import shutil
from html import unescape
from pathlib import Path

import pytest

from selfcodealign.explorer.sql import EXAMPLES, ask_process, hide_paths
from tests.support.explorer import ask_sql, explorer_of
from tests.support.runs import rows_of

#: Statements that are refused; RUN is the run's folder.
ATTEMPTS = [
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_blob('/etc/passwd')",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "SELECT * FROM read_json('/etc/passwd')",
    "SELECT * FROM parquet_metadata('/etc/passwd')",
    "SELECT * FROM read_text('/proc/self/environ')",
    "SELECT * FROM read_text('/proc/self/cgroup')",
    "SELECT * FROM read_text('RUN/recipe.toml')",
    "SELECT * FROM read_text('RUN/run.json')",
    "SELECT * FROM read_text('RUN/seeds/stage.json')",
    "SELECT * FROM read_text('RUN/seeds/../recipe.toml')",
    "SELECT * FROM read_text('RUN/seeds/link')",
    "SELECT * FROM read_parquet('RUN/seeds/link.parquet')",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM glob('RUN/*')",
    "SELECT getenv('PATH')",
    "SELECT * FROM read_parquet('https://example.com/a.parquet')",
    "SELECT * FROM read_parquet('s3://bucket/a.parquet')",
    "SELECT * FROM query('COPY (SELECT 1) TO ''RUN/new.csv''')",
    "COPY (SELECT 1) TO 'RUN/new.csv'",
    "COPY (SELECT 1) TO '/dev/stdout'",
    "ATTACH 'RUN/new.db'",
    "EXPORT DATABASE 'RUN/new'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET enable_external_access=true",
    "RESET allowed_paths",
    "PRAGMA database_list",
    "CALL pragma_version()",
    "CREATE TABLE t AS SELECT 1",
    "DROP VIEW seeds",
    "INSERT INTO seeds SELECT * FROM seeds",
    "SELECT 1; SELECT 2",
    "SELECT 1; COPY (SELECT 1) TO 'RUN/new.csv'",
    "EXPLAIN SELECT 1",
    "SELECT * FROM views",
    "SELECT * FROM asked",
    "",
    "-- nothing",
]


@pytest.mark.parametrize("query", ATTEMPTS)
async def test_nothing_else_can_be_read_or_written(small_run: Path, tmp_path: Path, query: str) -> None:
    """Other files, also of the run, the environment, the net, settings, other statements: refused with a reason."""
    link = small_run / "seeds" / "link"
    outside = tmp_path / "outside.parquet"  # rows, but of no run
    shutil.copy(next((small_run / "concepts").glob("kept-*")), outside)
    for name, target in (("link", "/etc/passwd"), ("link.parquet", outside)):
        link.with_name(name).unlink(missing_ok=True)
        link.with_name(name).symlink_to(target)
    before = sorted(small_run.rglob("*"))
    answer = await ask_process(small_run, query.replace("RUN", str(small_run)))
    assert answer.error
    assert not answer.rows
    assert "root:" not in answer.error
    assert "/etc" not in answer.error
    assert sorted(small_run.rglob("*")) == before


async def test_each_stage_is_a_view(small_run: Path) -> None:
    """Kept and dropped rows, told apart by `kept` and `reason`."""
    answer = await ask_process(small_run, "SELECT kept, count(*), count(reason) FROM responses GROUP BY ALL ORDER BY 1")
    kept, dropped = (len(rows_of(small_run, "responses", kind)) for kind in ("kept", "dropped"))
    assert answer.rows == [["False", str(dropped), str(dropped)], ["True", str(kept), "0"]]
    assert answer.columns[0] == "kept"


async def test_examples_run(small_run: Path) -> None:
    """The queries that the page shows are right."""
    for _, query in EXAMPLES:
        assert (await ask_process(small_run, query)).error == ""


async def test_results_are_bounded(small_run: Path) -> None:
    """Rows, bytes and long values are cut, and the page says so; time and memory end a query."""
    many = await ask_process(small_run, "SELECT * FROM range(5000)")
    assert (len(many.rows), many.cut) == (1000, "the first 1,000 rows")
    wide = await ask_process(small_run, "SELECT repeat('x', 15000) FROM range(500)")
    assert 100 < len(wide.rows) < 200
    assert "2 MB" in wide.cut
    long = await ask_process(small_run, "SELECT repeat('x', 30000)")
    assert len(long.rows[0][0] or "") == 20_000
    assert "20,000 characters" in long.cut
    endless = "SELECT sum(sin(range)) FROM range(1000000000000)"
    assert "took longer" in (await ask_process(small_run, endless, seconds=2)).error
    assert "memory" in (await ask_process(small_run, "SELECT list(range) FROM range(200000000)")).error


async def test_values_of_all_kinds_are_shown(small_run: Path) -> None:
    """Values that Python makes with its library are made behind the wall, too."""
    answer = await ask_process(
        small_run,
        "SELECT uuid(), now(), 1.5::DECIMAL, DATE '2026-01-02', INTERVAL 1 DAY, [1], {'a': 1}, 'ab'::BLOB, NULL",
    )
    assert answer.error == ""
    assert answer.rows[0][3] == "2026-01-02"
    assert answer.rows[0][-1] is None


async def test_page_escapes_query_result_and_error(small_run: Path) -> None:
    """What was asked, what came back and what DuckDB says is text on the page."""
    async with explorer_of(small_run) as client:
        bad = "<script>alert(1)</script>"
        for query in (f"SELECT '{bad}' AS \"{bad}\"", f"SELECT {bad}", f"SELECT error('{bad}')"):
            page = (await ask_sql(client, query)).text
            assert bad not in page
            assert bad in unescape(page)
        assert re.search("LINE 1", (await ask_sql(client, "SELECT nothing FROM seeds")).text)


def test_paths_outside_are_hidden() -> None:
    """A message names files of the run from the run on, and no others."""
    told = hide_paths("no '/home/a b/x' or /etc/shadow, read_text(/x)", Path("/runs/one"))
    assert "home" not in told
    assert "shadow" not in told
