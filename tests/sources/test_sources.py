"""Every kind of source yields its files in a fixed order with their origin, or a clear error."""

from __future__ import annotations

import gzip
import json
import os
import platform
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from selfcodealign.curation.functions import extract_seeds
from selfcodealign.errors import MissingExtra, SourceError
from selfcodealign.rows import Dropped, SourceFile
from selfcodealign.settings import SeedSettings
from selfcodealign.sources import iterate_source_files

CODE = "def f(x):\n    'Return x itself.'\n    return x\n"
MIT = "Permission is hereby granted, free of charge, to any person [...] this permission notice shall be included"


def read(*sources: object, **settings: Any) -> list[SourceFile | Dropped]:
    return list(iterate_source_files(SeedSettings(sources=[str(source) for source in sources], **settings)))


def files(*sources: object, **settings: Any) -> list[SourceFile]:
    found = read(*sources, **settings)
    assert all(isinstance(file, SourceFile) for file in found), found
    return [file for file in found if isinstance(file, SourceFile)]


def write_jsonl(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    return subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True, text=True
    ).stdout


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    (folder / "lib").mkdir(parents=True)
    (folder / "lib" / "a.py").write_text(CODE)
    (folder / "LICENSE").write_text(MIT)
    (folder / "untracked.py").write_text(CODE)
    git(folder, "init", "-q")
    git(folder, "add", "lib", "LICENSE")
    git(folder, "commit", "-q", "-m", "first")
    return folder


def test_standard_library():
    """The interpreter's library, with its tests counted and without the packages installed beside it."""
    rows = read("stdlib")
    found = [file for file in rows if isinstance(file, SourceFile)]
    dropped = {row.row["source_path"]: row.reason for row in rows if isinstance(row, Dropped)}
    assert dropped["test/test_textwrap.py"] == "test_code"
    assert dropped["idlelib/pyshell.py"] == "vendored"
    paths = [file.path for file in found]
    assert {"textwrap.py", "json/decoder.py"} <= set(paths)
    assert not [path for path in paths if path.startswith(("test/", "idlelib/", "lib2to3/", "site-packages/"))]
    assert {file.origin for file in found} == {f"{platform.python_implementation()} {platform.python_version()}"}
    assert {file.licence for file in found if b"SPDX" not in file.text} == {"PSF-2.0"}  # type: ignore[operator]
    assert len({file.id for file in found}) == len(found)
    assert paths == [file.path for file in read("stdlib") if isinstance(file, SourceFile)]


def test_installed_package():
    """Files, version and licence of a distribution, by the name pip knows."""
    from importlib.metadata import version

    found = files("package:httpx")
    assert "httpx/_client.py" in {file.path for file in found}
    assert {(file.origin, file.licence) for file in found} == {(f"httpx=={version('httpx')}", "BSD-3-Clause")}


def test_checkout(checkout: Path):
    """Tracked files as committed, with the commit and the licence; untracked files are left out."""
    (checkout / "lib" / "a.py").write_text("changed since the commit")
    (file,) = files(f"git:{checkout}")
    assert (file.path, file.text) == ("lib/a.py", CODE.encode())
    assert (file.origin, file.licence) == ("checkout", "MIT")
    assert file.commit == git(checkout, "rev-parse", "HEAD").strip()


def test_checkout_never_shows_credentials(checkout: Path):
    """The remote names the origin; a token in its address stays out."""
    git(checkout, "remote", "add", "origin", "https://me:secret@example.org/a/b.git")
    (file,) = files(f"git:{checkout}")
    assert file.origin == "https://example.org/a/b.git"


def test_part_of_a_checkout(checkout: Path):
    """A folder of a checkout is a source as well; paths count from the root, where the licence lies."""
    (file,) = files(f"git:{checkout / 'lib'}")
    assert (file.path, file.licence) == ("lib/a.py", "MIT")


def test_large_file_of_a_checkout_is_not_read(checkout: Path):
    """The size is known before the text is."""
    (checkout / "big.py").write_text("#" * 3000)
    git(checkout, "add", "big.py")
    git(checkout, "commit", "-q", "-m", "big")
    large, small = read(f"git:{checkout}", max_file_kib=2)
    assert isinstance(large, Dropped)
    assert (large.reason, large.row["source_path"]) == ("too_large", "big.py")
    assert isinstance(small, SourceFile)


def test_folder(tmp_path: Path):
    """All .py files in sorted order with paths from the folder; hidden folders are skipped, environments counted."""
    for name in ("b.py", "a/z.py", "a/a.py", ".hidden/x.py", "venv/lib/y.py", "__pycache__/c.py", "notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(CODE)
    (tmp_path / "venv" / "pyvenv.cfg").touch()
    (tmp_path / "COPYING").write_text(MIT)
    *found, environment = read(tmp_path)
    assert isinstance(environment, Dropped)
    assert (environment.reason, environment.row["source_path"]) == ("vendored", "venv")
    assert [file.path for file in found if isinstance(file, SourceFile)] == ["b.py", "a/a.py", "a/z.py"]
    assert {(file.origin, file.licence) for file in found if isinstance(file, SourceFile)} == {(tmp_path.name, "MIT")}


def test_single_file_and_its_own_licence_header(tmp_path: Path):
    """A licence in the file wins over the setting; the setting fills the gap."""
    plain, tagged = tmp_path / "plain.py", tmp_path / "tagged.py"
    plain.write_text(CODE)
    tagged.write_text("# SPDX-License-Identifier: ISC\n" + CODE)
    assert [file.licence for file in files(plain, tagged, licence="MIT")] == ["MIT", "ISC"]
    assert files(plain)[0].licence == "unknown"


def test_ids_come_from_origin_path_and_text(tmp_path: Path):
    """The same file has the same id in every run; a changed file has another id."""
    path = tmp_path / "a.py"
    path.write_text(CODE)
    before = files(path)[0].id
    assert files(path)[0].id == before
    path.write_text(CODE + "\n")
    assert files(path)[0].id != before


def test_bad_files_are_rows(tmp_path: Path):
    """A file that is too large, not regular or not text is dropped; others are not affected."""
    (tmp_path / "big.py").write_bytes(b"x = 1;" * 2_000_000)
    (tmp_path / "dangling.py").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe.py")
    (tmp_path / "latin.py").write_bytes(b"caf\xe9 = 1")
    (tmp_path / os.fsdecode(b"caf\xe9.py")).write_text(CODE)
    found = read(tmp_path)
    reasons = {row.row["source_path"]: row.reason for row in found if isinstance(row, Dropped)}
    assert reasons == {"big.py": "too_large", "dangling.py": "unreadable", "pipe.py": "unreadable"}
    texts = {file.path: file for file in found if isinstance(file, SourceFile)}
    assert set(texts) == {"latin.py", "caf?.py"}
    (dropped,) = extract_seeds(texts["latin.py"], SeedSettings())
    assert isinstance(dropped, Dropped)
    assert dropped.reason == "not_utf8"


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz"])
def test_jsonl(tmp_path: Path, ending: str):
    """Rows with path and licence columns; rows that cannot be used are drops that name their line."""
    lines = [
        json.dumps({"code": CODE, "path": "x/a.py", "lic": ["mit"]}).encode(),
        b'{"code": "torn',
        b"",
        b'{"code": "\xff"}',
        b"[1, 2]",
        json.dumps({"code": None, "path": None, "lic": None}).encode(),
        b"[" * 100_000,
        json.dumps({"code": CODE, "path": None, "lic": None}).encode(),
    ]
    path = tmp_path / f"data{ending}"
    with gzip.open(path, "wb") if ending.endswith("gz") else path.open("wb") as stream:
        stream.write(b"\n".join(lines))
    found = read(path, code_column="code", path_column="path", licence_column="lic", licence="ISC")
    kept = [(row.path, row.licence) for row in found if isinstance(row, SourceFile)]
    assert kept == [("x/a.py", "MIT"), (f"data{ending}:8", "ISC")]
    drops = [(row.row["source_path"], row.reason) for row in found if isinstance(row, Dropped)]
    expected = [(2, "malformed_row"), (4, "not_utf8"), (5, "malformed_row"), (6, "malformed_row"), (7, "malformed_row")]
    assert drops == [(f"data{ending}:{line}", reason) for line, reason in expected]


def test_overlong_line_is_skipped_in_pieces(tmp_path: Path):
    """A line of 40 MB is never held in memory, and the row after it is read."""
    path = tmp_path / "data.jsonl"
    with path.open("wb") as stream:
        stream.write(json.dumps({"content": CODE}).encode() + b"\n")
        stream.write(b'{"content": "')
        for _ in range(40):
            stream.write(b"x" * (1 << 20))
        stream.write(b'"}\n' + json.dumps({"content": CODE}).encode() + b"\n")
    tracemalloc.start()
    first, large, last = read(path, max_file_kib=64)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert isinstance(first, SourceFile)
    assert isinstance(large, Dropped)
    assert large.reason == "too_large"
    assert isinstance(last, SourceFile)
    assert peak < 16 << 20


def test_licence_header_of_a_row_wins_over_its_column(tmp_path: Path):
    """A licence header in the file wins over the data set's licence column."""
    rows = [
        {"content": "# SPDX-License-Identifier: ISC\n" + CODE, "licence": "mit"},
        {"content": CODE, "licence": "mit"},
    ]
    path = write_jsonl(tmp_path / "data.jsonl", rows)
    assert [file.licence for file in files(path, licence_column="licence", licence="0BSD")] == ["ISC", "MIT"]


def test_equal_rows_are_told_apart(tmp_path: Path):
    """Two rows with the same path and text are two files."""
    path = write_jsonl(tmp_path / "data.jsonl", [{"content": CODE, "path": "a.py"}] * 2)
    assert len({file.id for file in files(path, path_column="path")}) == 2


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.binary(), pa.dictionary(pa.int32(), pa.string())])
def test_parquet(tmp_path: Path, kind: pa.DataType):
    """Text may be stored as any kind of string or as bytes."""
    rows = pa.table({"content": pa.array([CODE, CODE + "#", None]).cast(kind), "path": ["a.py", "b.py", "c.py"]})
    pq.write_table(rows, tmp_path / "data.parquet")
    first, second, empty = read(tmp_path / "data.parquet", path_column="path")
    assert isinstance(first, SourceFile)
    assert isinstance(second, SourceFile)
    assert (first.path, first.text, second.text) == ("a.py", CODE, CODE + "#")
    assert isinstance(empty, Dropped)
    assert empty.reason == "malformed_row"


def test_parquet_cell_that_is_not_utf8(tmp_path: Path):
    """A broken cell in a string column drops its row, not its batch."""
    broken = pa.Array.from_buffers(
        pa.string(), 2, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0"), pa.py_buffer(b"\xffx")]
    )
    pq.write_table(pa.table({"content": broken}), tmp_path / "data.parquet")
    first, second = files(tmp_path / "data.parquet")
    assert (first.text, second.text) == (b"\xff", "x")


def test_folder_of_shards(tmp_path: Path):
    """A folder without .py files but with data files is read shard by shard."""
    for number in (2, 1):
        write_jsonl(tmp_path / f"{number}.jsonl", [{"content": f"x = {number}"}])
    assert [(file.origin, file.path) for file in files(tmp_path)] == [
        (tmp_path.name, "1.jsonl:1"),
        (tmp_path.name, "2.jsonl:1"),
    ]


def test_memory_does_not_grow_with_a_data_set(tmp_path: Path):
    """Reading 40 times the rows takes no more memory at a time."""
    peaks = []
    for copies in (1, 40):
        path = tmp_path / f"{copies}.jsonl.gz"
        line = json.dumps({"content": CODE * 40}).encode() + b"\n"
        path.write_bytes(gzip.compress(line * 500 * copies))
        tracemalloc.start()
        for _ in iterate_source_files(SeedSettings(sources=[str(path)])):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + (1 << 20)


def test_local_data_set_through_datasets(tmp_path: Path):
    """`hub:` streams through the real `datasets` library, here from a folder of Parquet files."""
    (tmp_path / "data").mkdir()
    rows = pa.table({"content": [CODE, "x = 1"], "path": ["a.py", "b.py"], "license": ["mit", None]})
    pq.write_table(rows, tmp_path / "data" / "train-00000.parquet")
    found = files(f"hub:{tmp_path}", path_column="path", licence_column="license")
    assert [(file.origin, file.path, file.text, file.licence) for file in found] == [
        (tmp_path.name, "a.py", CODE, "MIT"),
        (tmp_path.name, "b.py", "x = 1", "unknown"),
    ]
    with pytest.raises(SourceError, match=r'no column "code".*seeds\.code_column'):
        read(f"hub:{tmp_path}", code_column="code")
    with pytest.raises(SourceError, match="cannot open data set"):
        read(f"hub:{tmp_path}", split="tset")


def test_data_set_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch):
    """Without the hub, one line says which data set could not be opened, and what to do."""
    import huggingface_hub

    def refuse(*_: object, **__: object) -> None:
        raise ConnectionError("no route to the hub\nand much more")

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", refuse)
    with pytest.raises(SourceError) as caught:
        read("hub:nobody/nothing")
    said = 'cannot open data set "nobody/nothing": no route to the hub; connect, or name another data set or a file'
    assert str(caught.value) == said


def test_missing_datasets_library(monkeypatch: pytest.MonkeyPatch):
    """Where `datasets` is not installed the message names the extra."""
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtra, match=r"pip install .*\[hub\]"):
        read("hub:anything")


def _empty(folder: Path) -> str:
    (folder / "empty").mkdir()
    return str(folder / "empty")


def _torn_gzip(folder: Path) -> str:
    whole = gzip.compress(b"".join(json.dumps({"content": str(n)}).encode() + b"\n" for n in range(9999)))
    (folder / "torn.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    return str(folder / "torn.jsonl.gz")


def _file(name: str, content: bytes) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        (folder / name).write_bytes(content)
        return str(folder / name)

    return make


def _bare_package(folder: Path) -> str:
    """A distribution that records no files, like an editable install."""
    (folder / "bare-1.0.dist-info").mkdir()
    (folder / "bare-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: bare\nVersion: 1.0\n")
    (folder / "bare-1.0.dist-info" / "RECORD").write_text("bare.pth,,\n")
    return "package:bare"


def _unborn(folder: Path) -> str:
    git(folder, "init", "-q")
    return f"git:{folder}"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (lambda folder: str(folder / "sources.jsnl"), 'does not exist.*did you mean "sources.jsonl"'),
        (lambda folder: str(folder / "no" / "such" / "place"), "there is no .*/no$"),
        (lambda folder: "stdlb", 'did you mean "stdlib"'),
        (lambda folder: "hbu:a/b", 'unknown kind of source "hbu:a/b".*did you mean "hub"'),
        (lambda folder: "package:", "write package:NAME"),
        (lambda folder: "package:htpx", 'not installed.*did you mean "httpx"'),
        (_bare_package, "give its folder instead"),
        (lambda folder: f"git:{_empty(folder)}", "is not a git checkout"),
        (_unborn, "has no commit yet"),
        (_empty, "holds no Python files"),
        (_file("a.txt", b"x"), "is no source: give a .py file, a folder"),
        (_file("a.jsonl", b""), "is empty"),
        (_file("a.jsonl", b"\n\n"), "is empty"),
        (_file("a.jsonl", b'{"Content": "x"}\n'), 'no column "content" .it has Content.*did you mean "Content"'),
        (_file("a.jsonl", b"\x00\x01binary\n" * 500), "does not look like a data set"),
        (_file("a.jsonl.gz", b"not gzip at all"), "cannot read .*a.jsonl.gz after line 0"),
        (_file("a.parquet", b"PAR1 not at all"), "as Parquet"),
        (_torn_gzip, "after line [1-9][0-9]*: Compressed file ended"),
    ],
)
def test_what_a_person_must_fix_is_said_in_one_line(
    tmp_path: Path, source: Callable[[Path], str], message: str, monkeypatch: pytest.MonkeyPatch
):
    """Each mistake about a source is a SourceError of one line that names the fix."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "sources.jsonl").touch()
    with pytest.raises(SourceError, match=message) as caught:
        read(source(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_wrong_source_is_found_before_anything_is_read(tmp_path: Path):
    """The second source is refused before the first gives a file."""
    with pytest.raises(SourceError, match="does not exist"):
        iterate_source_files(SeedSettings(sources=["stdlib", str(tmp_path / "nothing")]))


def test_parquet_without_the_column(tmp_path: Path):
    """The message lists the existing columns."""
    pq.write_table(pa.table({"code": ["x"], "n": [1]}), tmp_path / "a.parquet")
    with pytest.raises(SourceError, match=r'no column "content" \(it has code, n\)'):
        read(tmp_path / "a.parquet")
    with pytest.raises(SourceError, match='no column "pth"'):
        read(tmp_path / "a.parquet", code_column="code", path_column="pth")


def test_own_code_is_found_by_its_path_however_it_is_written(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`git:checkout` is the source `git:/…/checkout`; the folder without the prefix is another source."""
    monkeypatch.chdir(checkout.parent)
    found = files(f"git:{checkout}", own_code=["git:checkout"])
    assert [file.own for file in found] == [True]
    with pytest.raises(SourceError, match="which is none of"):
        read(f"git:{checkout}", own_code=["checkout"])
    with pytest.raises(SourceError, match="is an address: clone or download it"):
        read("git:https://host/name.git")
