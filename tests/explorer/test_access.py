"""Who may ask the explorer, and what it serves to nobody."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.support.explorer import TOKEN, explorer_of, get_as_written


async def test_nothing_is_shown_without_the_token(small_run: Path) -> None:
    """Pages, rows, static files and addresses that do not exist: 403, with the way in, and no word of the run."""
    async with explorer_of(small_run, token=None) as client:
        for path in (
            "/",
            "/live",
            "/stage/seeds",
            "/stage/seeds/rows.csv",
            "/sql",
            "/static/explorer.js",
            "/no",
            "/%ff",
        ):
            answer = await client.get(path)
            assert answer.status_code == 403, path
            assert "seeds" not in answer.text
        assert "selfcodealign view" in (await client.get("/")).text
        for wrong in ("", "x", TOKEN + "x", "ä"):
            assert (await client.get("/", params={"token": wrong})).status_code == 403
        assert (await client.post("/sql?token=" + TOKEN)).status_code == 403


async def test_token_becomes_a_cookie(small_run: Path) -> None:
    """The first request is answered by a cookie for this server alone, and the address without the token."""
    async with explorer_of(small_run, token=None) as client:
        answer = await client.get(f"/stage/seeds?f=function&token={TOKEN}&o=is&v=a%26b")
        assert answer.status_code == 303
        assert answer.headers["Location"] == "/stage/seeds?f=function&o=is&v=a%26b"
        cookie = answer.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert str(client.base_url.port) in cookie.partition("=")[0]
        assert (await client.get("/stage/seeds")).status_code == 200
        away = await client.get(f"//evil.example/x?token={TOKEN}")
        assert away.headers["Location"] == "/x"  # on this server


async def test_other_names_and_origins_are_refused(small_run: Path) -> None:
    """A name that was bound to 127.0.0.1 (DNS rebinding), and pages of others, also with the cookie."""
    async with explorer_of(small_run) as client:
        port, own = client.base_url.port, str(client.base_url).rstrip("/")
        for host in ("evil.example", f"evil.example:{port}", "127.0.0.1.evil.example", ""):
            assert (await client.get("/", headers={"Host": host})).status_code in (400, 403), host
        assert (await client.get("/", headers={"Host": f"localhost:{port}"})).status_code == 200
        for origin in ("http://evil.example", "null", f"http://127.0.0.1:{(port or 0) + 1}"):
            for method in ("GET", "POST"):
                answer = await client.request(method, "/sql", data={"query": "SELECT 1"}, headers={"Origin": origin})
                assert answer.status_code == 403
        assert (await client.post("/sql", data={"query": "SELECT 1"})).status_code == 403  # no Origin at all
        answer = await client.post("/sql", data={"query": "SELECT 1"}, headers={"Origin": own})
        assert answer.status_code == 200


async def test_every_answer_has_the_headers(small_run: Path) -> None:
    """Nothing is loaded from elsewhere, framed, kept by the browser, or taken for another type."""
    async with explorer_of(small_run) as client:
        for path in ("/", "/stage/seeds", "/stage/seeds/rows.jsonl", "/live", "/sql", "/static/pages.css", "/nothing"):
            headers = (await client.get(path)).headers
            policy = headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'none'; style-src 'self'; script-src 'self'"), path
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Cache-Control"] == "no-store"


async def test_report_has_a_policy_of_its_own(small_run: Path, tmp_path: Path) -> None:
    """The report has its styles inside; scripts are not run."""
    run = tmp_path / "run"
    shutil.copytree(small_run, run)
    (run / "report.html").unlink()
    async with explorer_of(run) as client:
        assert (await client.get("/report.html")).status_code == 404
        (run / "report.html").write_text("<h1>told</h1>")
        answer = await client.get("/report.html")
        assert answer.text == "<h1>told</h1>"
        assert "script-src" not in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "path",
    [
        "/stage/..",
        "/stage/../recipe.toml",
        "/stage/..%2frecipe.toml",
        "/stage/%2e%2e",
        "/stage/%2e%2e%2fseeds",
        "/stage/seeds%00",
        "/stage/seeds%2f..%2fconcepts",
        "/stage/superseded",
        "/stage/dataset",
        "/stage/.lock",
        "/stage//etc",
        "/stage/%c0%ae%c0%ae",
        "/stage/seeds?page=0",
        "/stage/seeds?page=-1",
        "/stage/seeds?page=99999999999",
        "/stage/seeds?page=%d9%a1",
        "/stage/seeds/rows.exe",
        "/stage/seeds/rows.parquet%00",
        "/stage/seeds/row/stage.json/0",
        "/stage/seeds/row/..%2f..%2frun.json/0",
        "/stage/seeds/row/kept-main-000001.parquet/-1",
        "/stage/seeds/row/kept-main-000001.parquet/99999999999",
        "/stage/seeds/row/kept-main-000001.parquet/1e1",
        "/static/../server.py",
        "/static/..%2fserver.py",
        "/static/%2e%2e%2fserver.py",
        "/run.json",
        "/recipe.toml",
        "/..%2f..%2fetc/passwd",
    ],
)
async def test_paths_that_lead_nowhere(small_run: Path, path: str) -> None:
    """Only stages of the journey, their rows, and files of the package by name: all else is 404."""
    async with explorer_of(small_run) as client:
        answer = await get_as_written(client, path)
    assert answer.startswith(b"HTTP/1.1 404 "), answer[:200]


async def test_links_in_the_run_are_not_followed(small_run: Path, tmp_path: Path) -> None:
    """Links instead of a stage, a file of rows, the report and the card show nothing of what they lead to."""
    run, outside = tmp_path / "run", tmp_path / "outside"
    shutil.copytree(small_run, run)
    shutil.copytree(run / "seeds", outside)
    (tmp_path / "secret").write_text("secret")
    shutil.rmtree(run / "concepts")
    os.symlink(outside, run / "concepts")
    (run / "report.html").unlink()
    os.symlink(tmp_path / "secret", run / "report.html")
    (run / "dataset").mkdir()
    os.symlink(tmp_path / "secret", run / "dataset" / "README.md")
    for file in (run / "seeds").glob("kept-*"):
        file.unlink()
        os.symlink(outside / file.name, file)
    async with explorer_of(run) as client:
        for path in ("/stage/concepts", "/report.html", "/card"):
            assert (await client.get(path)).status_code == 404
        assert "0 of 0 rows" in (await client.get("/stage/seeds")).text
        assert "<summary><code>concepts" not in (await client.get("/sql")).text


async def test_a_run_that_is_damaged_is_one_sentence(small_run: Path, tmp_path: Path) -> None:
    """A file of the run that cannot be read is named, and the server goes on."""
    run = tmp_path / "run"
    shutil.copytree(small_run, run)
    async with explorer_of(run) as client:
        (run / "run.json").write_text("{")
        answer = await client.get("/")
        assert answer.status_code == 500
        assert "run.json" in answer.text
        assert (await client.get("/static/pages.css")).status_code == 200
