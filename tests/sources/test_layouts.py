"""Columns of the published data sets are recognised; those that a person names win."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from selfcodealign.curation.functions import extract_seeds
from selfcodealign.errors import SourceError
from selfcodealign.rows import Seed, SourceFile
from selfcodealign.settings import SeedSettings
from tests.support.sources import CODE, STACK, drops, kept, read

SMOL = {"content": CODE, "repository_name": "ann/tools", "path": "lib/a.py", "licenses": ["mit"], "lang": "Python"}
GITHUB = {
    "code": CODE,
    "repo_name": "ann/tools",
    "path": "lib/a.py",
    "language": "Python",
    "license": "mit",
    "size": 48,
}
CODEPARROT = {"repo_name": "ann/tools", "path": "lib/a.py", "copies": "3", "content": CODE, "license": "apache-2.0"}
BLOB = "3f" * 20
STACK_V2 = {
    "blob_id": BLOB,
    "path": "/lib/a.py",
    "repo_name": "ann/tools",
    "src_encoding": "UTF-8",
    "language": "Python",
    "detected_licenses": ["MIT"],
    "license_type": "permissive",
    "length_bytes": 48,
    "is_vendor": False,
    "is_generated": False,
}


def table(path: Path, *rows: dict[str, Any]) -> Path:
    pq.write_table(pa.Table.from_pylist(list(rows)), path)
    return path


def lines(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("write", [table, lines])
@pytest.mark.parametrize(
    ("row", "licence"),
    [(STACK, "Apache-2.0 AND MIT"), (SMOL, "MIT"), (GITHUB, "MIT"), (CODEPARROT, "Apache-2.0")],
    ids=["stack", "smol", "github-code", "codeparrot"],
)
def test_a_published_layout_is_recognised(tmp_path: Path, write: Any, row: dict[str, Any], licence: str) -> None:
    """Text, path, licence and repository come from its columns; a list of licences becomes one expression."""
    name = "rows.parquet" if write is table else "rows.jsonl"
    (file,) = kept(write(tmp_path / name, row))
    assert (file.text, file.path, file.licence, file.repository) == (CODE, "lib/a.py", licence, "ann/tools")


def test_the_repository_reaches_the_seed(tmp_path: Path) -> None:
    """A seed names the repository that its row states."""
    (file,) = kept(table(tmp_path / "rows.parquet", STACK))
    (seed,) = extract_seeds(file, SeedSettings())
    assert isinstance(seed, Seed)
    assert seed.repository == "ann/tools"


def test_columns_that_are_named_win(tmp_path: Path) -> None:
    """A setting replaces the column of the layout and leaves the others."""
    row = {**STACK, "mine": "# mine\n", "who": "me"}
    (file,) = kept(lines(tmp_path / "rows.jsonl", row), code_column="mine", repository_column="who")
    assert (file.text, file.path, file.repository) == ("# mine\n", "lib/a.py", "me")


def test_missing_columns_of_a_layout_are_no_error(tmp_path: Path) -> None:
    """StarCoderData has no licences; the line of names that it puts before a file is not part of the code."""
    row = {
        "content": "<reponame>ann/tools<filename>lib/a.py<gh_stars>1-10\n" + CODE,
        "max_stars_repo_path": "lib/a.py",
        "max_stars_repo_name": "ann/tools",
        "id": "1",
    }
    (file,) = kept(table(tmp_path / "rows.parquet", row))
    assert (file.text, file.licence, file.repository) == (CODE, "unknown", "ann/tools")


def test_any_other_data_set_needs_its_columns_named(tmp_path: Path) -> None:
    """Columns that tell nothing are not guessed: path and repository stay empty unless they are named."""
    path = lines(tmp_path / "rows.jsonl", {"content": CODE, "path": "a.py", "project": "p"})
    (file,) = kept(path)
    assert (file.path, file.repository) == ("rows.jsonl:1", "")
    (file,) = kept(path, path_column="path", repository_column="project")
    assert (file.path, file.repository) == ("a.py", "p")
    with pytest.raises(SourceError, match=r'no column "projct".*seeds\.repository_column.*did you mean "project"'):
        read(path, repository_column="projct")


def test_rows_in_other_languages_and_flagged_rows_are_counted(tmp_path: Path) -> None:
    """What a published data set says of language and origin decides before its text is looked at."""
    rows = [
        {**STACK_V2, "content": CODE},
        {**STACK_V2, "content": "int x;", "language": "C"},
        {**STACK_V2, "content": CODE, "is_vendor": True, "path": "/b.py"},
        {**STACK_V2, "content": CODE, "is_generated": True, "path": "/c.py"},
    ]
    path = table(tmp_path / "rows.parquet", *rows)
    assert [reason for _, reason in drops(path)] == ["not_python", "vendored", "generated"]
    assert len(kept(path, skip=[])) == 3


@pytest.fixture
def heritage() -> Iterator[tuple[str, list[str]]]:
    """An address that answers like Software Heritage, with what was asked of it."""
    import threading
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    asked: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            known = self.path == f"/content/{BLOB}"
            body = gzip.compress("# caf\xe9\n".encode("latin-1") + CODE.encode()) if known else b""
            if self.path.endswith("b0" * 20):  # a text that is larger than any source file
                body = gzip.compress(b"\0" * (8 << 20))
            self.send_response(200 if body else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/content/{{blob_id}}", asked
    finally:
        server.shutdown()
        server.server_close()


def test_texts_of_the_stack_v2_are_fetched(tmp_path: Path, heritage: tuple[str, list[str]]) -> None:
    """In the order of the rows, in the encoding that the row states; what is dropped anyway is not asked for."""
    address, asked = heritage
    rows = [
        {**STACK_V2, "src_encoding": "ISO-8859-1"},
        {**STACK_V2, "blob_id": "ab" * 20, "path": "/gone.py"},
        {**STACK_V2, "blob_id": "cd" * 20, "path": "/tests/test_a.py"},
        {**STACK_V2, "blob_id": "ef" * 20, "path": "/big.py", "length_bytes": 9 << 20},
        {**STACK_V2, "blob_id": "b0" * 20, "path": "/lies.py"},
        {**STACK_V2, "blob_id": "../../etc/passwd", "path": "/evil.py"},
        {**STACK_V2, "src_encoding": "no such"},
    ]
    found = read(table(tmp_path / "rows.parquet", *rows), blob_url=address)
    first, *dropped, last = found
    assert isinstance(first, SourceFile)
    assert (first.text, first.path, first.licence) == ("# café\n" + CODE, "/lib/a.py", "MIT")
    assert [row.reason for row in dropped if not isinstance(row, SourceFile)] == [
        "not_fetched", "test_code", "too_large", "too_large", "malformed_row",
    ]  # fmt: skip
    assert isinstance(last, SourceFile)
    assert isinstance(last.text, bytes)  # and dropped as not_utf8 where seeds are taken
    assert {path.rpartition("/")[2] for path in asked} == {BLOB, "ab" * 20, "b0" * 20}


def test_repositories_of_the_stack_v2(tmp_path: Path, heritage: tuple[str, list[str]]) -> None:
    """A row with a list of files gives each of them, with the repository of the row."""
    address, _ = heritage
    files = [
        {name: STACK_V2[name] for name in STACK_V2 if name != "repo_name"},
        {**{name: STACK_V2[name] for name in STACK_V2 if name != "repo_name"}, "language": "Go", "path": "/b.go"},
    ]
    row = {"repo_name": "ann/tools", "snapshot_id": "1", "files": files, "num_files": 2}
    path = table(tmp_path / "rows.parquet", row, {**row, "repo_name": "bob/b"})
    assert [(file.repository, file.path) for file in kept(path, blob_url=address)] == [
        ("ann/tools", "/lib/a.py"),
        ("bob/b", "/lib/a.py"),
    ]
    rows = read(path, blob_url=address)
    assert len({row.id for row in rows}) == len(rows) == 4


def test_texts_that_lie_elsewhere_need_an_address(tmp_path: Path) -> None:
    """Before any work one line says what is missing, and a wrong address is refused."""
    path = table(tmp_path / "rows.parquet", STACK_V2)
    with pytest.raises(SourceError, match=r"has no texts, only the ids.*set seeds\.blob_url="):
        read(path)
    with pytest.raises(SourceError, match=r"blob_url ftp://x needs the form"):
        read(path, blob_url="ftp://x")


def test_a_server_that_is_down_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After some attempts, with the address and what to check."""
    monkeypatch.setattr("selfcodealign.sources.software_heritage._PAUSE", 0.0)
    with pytest.raises(SourceError, match=r"cannot fetch http://127\.0\.0\.1:9/.*after 5 attempts.*blob_url"):
        read(table(tmp_path / "rows.parquet", STACK_V2), blob_url="http://127.0.0.1:9/{blob_id}")
