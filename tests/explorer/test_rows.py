"""Rows of a stage: filters, order, pages, downloads; hostile text stays text."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from html import unescape
from pathlib import Path

import httpx
import pyarrow.parquet as pq
import pytest

from selfcodealign.explorer import listing
from selfcodealign.explorer.counts import is_at_work
from selfcodealign.run_folder.folder import RunFolder
from tests.support.explorer import explorer_of, get_json, write_stage
from tests.support.rows import make_response
from tests.support.runs import books, rows_of

FAILED = "f=status&o=is&v=failed"


async def download(client: httpx.AsyncClient, query: str, stage: str = "responses") -> list[dict[str, object]]:
    answer = await client.get(f"/stage/{stage}/rows.jsonl?{query}")
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def shown(page: str) -> list[str]:
    return re.findall(r'href="/row/(\w+)"', page)


async def test_overview_tells_each_stage(small_run: Path) -> None:
    """The counts of the books, with a link to the rows dropped for each reason; /live has the same counts."""
    async with explorer_of(small_run) as client:
        page = unescape((await client.get("/")).text)
        live = await get_json(client, "/live")
        assert live["working"] is False
        for stage in live["stages"]:
            _, kept, dropped = books(small_run)[stage["name"]]
            assert (stage["kept"], stage["dropped"]) == (kept, sum(dropped.values()))
            for reason in dropped:
                assert f'href="/stage/{stage["name"]}?f=reason&o=is&v={reason}"' in page


async def test_all_rows_are_listed_and_found(small_run: Path) -> None:
    """Kept and dropped rows in one list, with the columns that the stage declares; each condition keeps its rows."""
    kept, dropped = (rows_of(small_run, "responses", kind) for kind in ("kept", "dropped"))
    async with explorer_of(small_run) as client:
        page = (await client.get("/stage/responses")).text
        assert set(shown(page)) <= {row["response_id"] for row in kept} | {row["parent"] for row in dropped} | {
            row["response_id"] for row in dropped if row["response_id"]
        }
        assert f"{len(kept) + len(dropped)} of {len(kept) + len(dropped)} rows" in page
        for column in ("instruction", "status", "message", "mutation_score"):
            assert f"sort={column}" in page
        for query, count in {
            "f=kept&o=is&v=kept": len(kept),
            "f=kept&o=is&v=dropped": len(dropped),
            FAILED: sum(row["status"] == "failed" for row in kept + dropped),
            "f=status&o=not&v=failed": sum(row["status"] != "failed" for row in kept + dropped),
            "f=reason&o=is&v=": len(kept),
            "f=mutation_score&o=min&v=0.5": sum((row["mutation_score"] or 0) >= 0.5 for row in kept + dropped),
            "f=sample&o=max&v=0": sum(row["sample"] == 0 for row in kept + dropped),
            "f=concepts&o=is&v=rounding": sum("rounding" in row["concepts"] for row in kept + dropped),
            "f=instruction&o=has&v=WRITE+A": len(kept + dropped),
            "q=no+such+text": 0,
        }.items():
            assert len(await download(client, query)) == count, query
        assert all(row["status"] == "failed" for row in await download(client, FAILED))


async def test_pages_and_order(small_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of a list, of a sorted list and of a search have every row once."""
    monkeypatch.setattr(listing, "PAGE_ROWS", 7)
    async with explorer_of(small_run) as client:
        for query in ("", "sort=sample", "sort=mutation_score&down=1"):
            size, numbers = len(await download(client, "")), []
            places: list[str] = []
            for number in range(1, size // 7 + 2):
                page = unescape((await client.get(f"/stage/responses?{query}&page={number}")).text)
                places += re.findall(r'data-copy="([^"]+)"', page)
                numbers.append(number)
            assert len(places) == len(set(places)) == size
        path, places = "/stage/responses?q=write", []
        while path:
            page = unescape((await client.get(path)).text)
            places += re.findall(r'data-copy="([^"]+)"', page)
            path = next(iter(re.findall(r'href="(/stage/responses\?[^"]*after=[^"]+)" rel="next"', page)), "")
        assert (
            len(places)
            == len(set(places))
            == size
            == (await get_json(client, "/stage/responses/count?q=write"))["total"]
        )


async def test_downloads_hold_the_same_rows(small_run: Path) -> None:
    """JSON Lines, CSV and Parquet of one filter agree; the file has the stage's name."""
    async with explorer_of(small_run) as client:
        lines = await download(client, FAILED)
        table = await client.get(f"/stage/responses/rows.csv?{FAILED}")
        parquet = pq.read_table(io.BytesIO((await client.get(f"/stage/responses/rows.parquet?{FAILED}")).content))
        ids = [row["response_id"] for row in lines]
        assert [row["response_id"] for row in csv.DictReader(io.StringIO(table.text, newline=""))] == ids
        assert parquet.column("response_id").to_pylist() == ids
        assert 'filename="responses.csv"' in table.headers["Content-Disposition"]
        row = await get_json(
            client, re.findall(r'data-copy="([^"]+)"', (await client.get(f"/stage/responses?{FAILED}")).text)[0]
        )
        assert {name: row[name] for name in lines[0]} == lines[0]


@pytest.mark.parametrize(
    "query",
    ["f=nothing&o=is&v=1", "f=sample&o=is&v=x", "f=sample&o=has&v=1", "f=kept&o=is&v=maybe", "sort=nothing",
     "f=sample&o=min&v=nan", "f=mark&o=is&v=x", 'f="+OR+1=1+--&o=is&v=1', "f=status&o=)&v=1"],
)  # fmt: skip
async def test_conditions_without_meaning_are_one_sentence(small_run: Path, query: str) -> None:
    """A field, an operator or a value that does not fit is named."""
    async with explorer_of(small_run) as client:
        answer = await client.get(f"/stage/responses?{query}")
        assert answer.status_code == 400
        assert 'role="alert"' in answer.text


async def test_hostile_text_stays_text(tmp_path: Path) -> None:
    """Markup, quotes, and invisible characters in fields, in a stage's name and in a filter."""
    bad = "\"'><script>alert(1)</script>\u202e"
    name = 'a"b<i>&é'
    texts = {"function": bad, "instruction": bad, "status": bad, "response_id": "ab" * 8, "origin": bad}
    write_stage(
        tmp_path / "run", name, [make_response(1, **texts, concepts=[bad])], [], ("status", "concepts", "origin")
    )
    async with explorer_of(tmp_path / "run") as client:
        overview = (await client.get("/")).text
        assert "<i>" not in overview
        path = unescape(re.findall(r'href="(/stage/[^"]+)"', overview)[0])
        for query in ("", "?q=" + bad, "?f=status&o=is&v=" + bad):
            page = await client.get(path + query)
            assert page.status_code == 200
            assert "1 of 1 rows" in page.text or query
            assert "<script>alert" not in page.text
            assert "\u202e" not in re.sub('value="[^"]*"', "", page.text)
        answer = await client.get(path + "/rows.csv")
        assert answer.headers["Content-Disposition"] == 'attachment; filename="a-b-i.csv"'
        assert "<script>alert" not in (await client.get("/sql")).text


async def test_a_live_run_is_followed(tmp_path: Path) -> None:
    """New files are seen at the next request, and the run's lock tells that it is at work."""
    run = tmp_path / "run"
    write_stage(run, "responses", [make_response(1)], [])
    async with explorer_of(run) as client:
        assert (await get_json(client, "/live"))["stages"][0]["kept"] == 1
        with RunFolder(run):
            write_stage(run, "responses", [make_response(2)], [])
            live = await get_json(client, "/live")
        assert live["stages"][0] == {"name": "responses", "state": "under way", "kept": 2, "dropped": 0}
        assert len(await download(client, "")) == 2


def test_lock_is_looked_up(tmp_path: Path) -> None:
    """A run that holds its lock is at work; afterwards it is not. The lock itself is never taken."""
    with RunFolder(tmp_path / "run") as folder:
        assert is_at_work(folder.path)
    assert not is_at_work(tmp_path / "run")
    assert not is_at_work(tmp_path)


async def test_older_runs_show_short_fields(small_run: Path, tmp_path: Path) -> None:
    """A stage.json without columns: the fields that the stage added."""
    run = tmp_path / "run"
    shutil.copytree(small_run, run)
    state = json.loads((run / "responses" / "stage.json").read_text())
    assert state["rows"].pop("columns")
    (run / "responses" / "stage.json").write_text(json.dumps(state))
    async with explorer_of(run) as client:
        page = (await client.get("/stage/responses")).text
        assert "sort=status" in page
        assert "sort=function" not in page
