"""Hostile sources: each is counted drops or one error, in bounded time and memory, and nothing is written or run."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import socket
import struct
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from selfcodealign.curation.functions import extract_seeds
from selfcodealign.errors import SourceError
from selfcodealign.rows import Dropped, SourceFile
from selfcodealign.settings import SeedSettings
from selfcodealign.sources import git as git_source
from tests.support.measured_source import measure
from tests.support.sources import CODE, commit, drops, git, kept, read, tar, zipped

#: What a process needs for its imports, and as much again for what it reads.
MOST_MIB = 450


def outcomes(text: bytes) -> list[str]:
    """What `extract_seeds` makes of a file's bytes: reasons, and "seed" for a seed."""
    file = SourceFile(id="1", path="a.py", text=text, origin="here", licence="MIT")
    return [row.reason if isinstance(row, Dropped) else "seed" for row in extract_seeds(file, SeedSettings())]


# ---- texts


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        (CODE.encode("utf-8-sig"), "seed"),
        (b"# coding: latin-1\n" + CODE.replace("itself", "él").encode("latin-1"), "seed"),
        (b"# coding: utf-7\n" + CODE.encode("utf-7"), "seed"),
        (CODE.encode("utf-16"), "not_utf8"),
        (CODE.encode("utf-16-le"), "no_functions"),
        (CODE.encode("utf-32"), "not_utf8"),
        (CODE.replace("itself", "él").encode("latin-1"), "not_utf8"),
        (b"\xef\xbb\xbf# coding: latin-1\n" + CODE.encode(), "not_utf8"),
        (b"# coding: no-such-codec\n" + CODE.encode(), "not_utf8"),
        (b"# coding: a\x00b\n" + CODE.encode(), "not_utf8"),
        (b"# coding: ascii\n" + CODE.replace("itself", "él").encode(), "not_utf8"),
        (b"# coding: rot13\n" + CODE.encode(), "not_utf8"),
        (b"# coding: zlib\n" + CODE.encode(), "not_utf8"),
        (b"# coding: undefined\n" + CODE.encode(), "not_utf8"),
        (b"# coding: punycode\n" + CODE.encode() + b"#" + b"a" * 150 * 4000 + b"-" + b"\nb" * 200_000, "not_utf8"),
        (b"# coding: idna\n" + CODE.encode() + b"#a.\n" * 100_000, "not_utf8"),
        (CODE.replace("itself", "\0").encode(), "syntax_error"),
        (CODE.encode() + b"\0" * 1000, "syntax_error"),
        (CODE.replace("return x", "print x\n    return x").encode(), "syntax_error"),
        (CODE.replace("return x", "exec 'x'\n    return `x`").encode(), "syntax_error"),
        (b"", "no_functions"),
    ],
)
def test_encodings(text: bytes, outcome: str) -> None:
    """A text is read by its coding line or as UTF-8; what cannot be read is one drop."""
    assert outcomes(text) == [outcome]


def wrapped(expression: str) -> bytes:
    return f"def f(x):\n    'Return what is nested.'\n    return (\n{expression}\n)\n".encode()


@pytest.mark.parametrize(
    "expression",
    [
        "(\n" * 5000 + "x" + ")" * 5000,
        "[\n" * 5000 + "x" + "]" * 5000,
        "-\n" * 100_000 + "x",
        "not\n" * 100_000 + "x",
        "x" + "\n.a" * 100_000,
        "x" + "\n()" * 100_000,
        "x" + "\n[0]" * 50_000,
        "x" + "\n+ x" * 100_000,
        "x" + "\n** x" * 5000,
        "lambda:\n" * 50_000 + "x",
        "x if x else\n" * 50_000 + "x",
        "f'{x:\n" + "{x:" * 200 + "}" * 200 + "'",
    ],
    ids=lambda text: text[:12].replace("\n", " "),
)
@pytest.mark.parametrize("where", ["return", "module"])
def test_nesting_that_overflows_the_parser(expression: str, where: str) -> None:
    """It is one drop of the file, or one of the function; the process stays."""
    text = wrapped(expression)
    if where == "module":
        text = f"y = (\n{expression}\n)\n".encode() + CODE.encode()
    assert outcomes(text)[0] in ("too_nested", "syntax_error", "too_long", "seed")


def test_nested_blocks() -> None:
    """Blocks as deep as the tokenizer allows are read, deeper ones are a drop."""
    for depth, outcome in ((18, "seed"), (99, "does_not_compile"), (200, "syntax_error")):
        blocks = "".join(" " * (4 + level) + "if x:\n" for level in range(depth - 1))
        text = f"def f(x):\n    'Return what is nested.'\n{blocks}{' ' * (3 + depth)}return x\n"
        found = outcomes(text.encode())
        assert len(found) == 1
        assert found[0] in (outcome, "syntax_error", "seed")


def test_a_line_of_100_mb(tmp_path: Path) -> None:
    """In a source file it is too large; in JSON Lines it is passed over in pieces, and the next row is read."""
    with (tmp_path / "a.py").open("wb") as file:
        file.truncate(100 << 20)
    with (tmp_path / "rows.jsonl").open("wb") as file:
        file.seek(100 << 20)
        file.write(b"\n" + json.dumps({"content": CODE}).encode() + b"\n")
    assert measure(tmp_path / "a.py")["found"] == {"too_large": 1}
    lines = measure(tmp_path / "rows.jsonl")
    assert lines["found"] == {"too_large": 1, "seed": 1}
    assert lines["peak"] < MOST_MIB


# ---- folders


def test_what_is_no_regular_file(tmp_path: Path) -> None:
    """FIFOs, sockets, devices and loops of links are counted and never opened; the file beside them is read."""
    (tmp_path / "a.py").write_text(CODE)
    os.mkfifo(tmp_path / "fifo.py")
    with socket.socket(socket.AF_UNIX) as bound:
        here = os.getcwd()
        os.chdir(tmp_path)  # the name of a socket is short
        try:
            bound.bind("socket.py")
        finally:
            os.chdir(here)
        (tmp_path / "device.py").symlink_to("/dev/zero")
        (tmp_path / "self.py").symlink_to("self.py")
        (tmp_path / "loop").symlink_to(".")
        (tmp_path / "up").symlink_to("..")
        (tmp_path / "again.py").symlink_to("a.py")
        (tmp_path / "folder.py").mkdir()
        assert [file.path for file in kept(tmp_path)] == ["a.py"]
        assert dict(drops(tmp_path)) == {
            "fifo.py": "unreadable",
            "socket.py": "unreadable",
            "device.py": "unreadable",
            "self.py": "unreadable",
            "loop": "link",
            "up": "link",
            "again.py": "link",
        }


def test_a_file_with_several_names_is_read_once(tmp_path: Path) -> None:
    """Links from outside and hard links lead to a file that is read under its first name."""
    (tmp_path / "elsewhere.py").write_text(CODE)
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "a.py").symlink_to("../elsewhere.py")
    (folder / "b.py").symlink_to("../elsewhere.py")
    (folder / "c.py").write_text(CODE + "# c\n")
    os.link(folder / "c.py", folder / "d.py")
    assert [file.path for file in kept(folder)] == ["a.py", "c.py"]
    assert drops(folder) == [("b.py", "link"), ("d.py", "link")]


def test_folders_deeper_than_any_recursion(tmp_path: Path) -> None:
    """A walk keeps no frame for each folder."""
    here = os.getcwd()
    os.chdir(tmp_path)
    try:
        for _ in range(1800):
            os.mkdir("d")
            os.chdir("d")
        Path("a.py").write_text(CODE)
    finally:
        os.chdir(here)
    try:
        assert len(kept(tmp_path)) == 1
    finally:
        os.system(f"rm -rf '{tmp_path}/d'")  # shutil recurses


def test_a_folder_that_may_not_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is counted, and the walk goes on."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.py").write_text(CODE)
    listing = os.scandir

    def refuse(folder: str) -> Any:
        if folder.endswith("/a"):
            raise PermissionError(13, "Permission denied")
        return listing(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    assert drops(tmp_path) == [("a", "unreadable")]
    assert [file.path for file in kept(tmp_path)] == ["b/x.py"]


# ---- notebooks


def test_huge_notebooks(tmp_path: Path) -> None:
    """Many cells are read, a notebook of pictures is read or too large, and memory stays bounded."""
    cells = [{"cell_type": "code", "source": "x = 1"}] * 100_000
    (tmp_path / "cells.ipynb").write_text(json.dumps({"cells": cells}))
    (tmp_path / "output.ipynb").write_text('{"cells": [' + " " * (30 << 20) + "]}")
    (tmp_path / "lines.ipynb").write_text(json.dumps({"cells": [{"cell_type": "code", "source": ["!x\n"] * 100_000}]}))
    (tmp_path / "digits.ipynb").write_text('{"cells": ' + "9" * 1_000_000 + "}")
    found = measure(tmp_path)
    assert found["found"] == {"no_functions": 2, "too_large": 1, "broken_notebook": 1}
    assert found["peak"] < MOST_MIB


# ---- archives


def add(archive: tarfile.TarFile, name: str, text: str = CODE, **facts: Any) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(text)
    for fact, value in facts.items():
        setattr(entry, fact, value)
    archive.addfile(entry, io.BytesIO(text.encode()))


def test_entries_that_lead_elsewhere(tmp_path: Path) -> None:
    """Absolute names, `..`, links, devices, and second entries of a name are counted; nothing is written."""
    outside = tmp_path / "outside.py"
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        add(archive, "ok.py")
        add(archive, str(outside))
        add(archive, "../outside.py")
        add(archive, "a/../../outside.py")
        add(archive, "link.py", "", type=tarfile.SYMTYPE, linkname="/etc/passwd")
        add(archive, "hard.py", "", type=tarfile.LNKTYPE, linkname="ok.py")
        add(archive, "fifo.py", "", type=tarfile.FIFOTYPE)
        add(archive, "device.py", "", type=tarfile.CHRTYPE)
        add(archive, "ok.py", CODE + "# again\n")
        add(archive, os.fsdecode(b"caf\xe9.py"))
    reasons = [reason for _, reason in drops(tmp_path / "a.tar.gz")]
    assert reasons == ["unsafe_path"] * 3 + ["link"] * 2 + ["unreadable"] * 2 + ["link"]
    assert [file.path for file in kept(tmp_path / "a.tar.gz")] == ["ok.py", "caf?.py"]
    rows = read(tmp_path / "a.tar.gz")
    assert len({row.id for row in rows}) == len(rows)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("ok.py", "../outside.py", "/outside.py", "C:\\outside.py", "..\\outside.py"):
            archive.writestr(name, CODE)
        link = zipfile.ZipInfo("link.py")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    assert [reason for _, reason in drops(tmp_path / "a.zip")] == ["unsafe_path"] * 4 + ["link"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar.gz", "a.zip"]


def zip_bomb(path: Path) -> None:
    """Entries of a gigabyte each, 2,000 of them in one place of the file."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = b"".join(packer.compress(b"#" * (1 << 20)) for _ in range(64)) + packer.flush()
    name = b"0000.py"
    local = struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 8, 0, 0, 0, len(packed), 64 << 20, len(name), 0) + name
    central = b""
    for number in range(2000):
        own = b"%04d.py" % number
        facts = (20, 20, 0, 8, 0, 0, 0, len(packed), 900, len(own), 0, 0, 0, 0, 0, 0)  # it says 900 bytes
        central += struct.pack("<4s6H3I5H2I", b"PK\1\2", *facts) + own
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 2000, 2000, len(central), len(local) + len(packed), 0)
    path.write_bytes(local + packed + central + end)


def test_zip_bombs(tmp_path: Path) -> None:
    """High ratios, overlapping entries, sizes that lie, and archives in archives: bounded, and all counted."""
    zip_bomb(tmp_path / "overlap.zip")
    zipped(tmp_path / "ratio.zip", {"a.py": "#" * (16 << 20), "b.py": CODE})
    inner = zipped(tmp_path / "inner.zip", {"a.py": "#" * (8 << 20)}).read_bytes()
    with zipfile.ZipFile(tmp_path / "nested.zip", "w") as archive:
        for number in range(20):
            archive.writestr(f"{number}.zip", inner)
        archive.writestr("b.py", CODE)
    (tmp_path / "inner.zip").unlink()
    found = measure(tmp_path)
    assert found["error"] is None
    assert found["found"]["seed"] == 2
    assert set(found["found"]) == {"seed", "too_large", "unreadable"}
    assert found["peak"] < MOST_MIB


def test_a_zip_whose_directory_is_a_bomb(tmp_path: Path) -> None:
    """A list of entries that would not fit into memory is refused before it is read."""
    size = 200 << 20
    with (tmp_path / "a.zip").open("wb") as file:
        file.truncate(size)
        file.seek(size)
        file.write(struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 0xFFFE, 0xFFFE, size, 0, 0))
    found = measure(tmp_path / "a.zip")
    assert "the list of its entries is too large" in found["error"]
    assert found["peak"] < MOST_MIB


@pytest.mark.parametrize(("kind", "pack"), [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)])
def test_tar_bombs(tmp_path: Path, kind: str, pack: Callable[[bytes], bytes]) -> None:
    """A tar that unpacks to gigabytes is read up to a bound; what came before it is kept."""
    path = tmp_path / f"a.tar.{kind}"
    zeros = tarfile.TarInfo("zeros.bin")
    zeros.size = 2000 << 20
    code = tar(tmp_path / "code.tar", {"a.py": CODE}, "w:").read_bytes()[:1024]
    path.write_bytes(pack(code + zeros.tobuf()) + pack(bytes(1 << 20)) * 2000)  # streams may follow one another
    found = measure(path)
    assert found["found"] == {"seed": 1, "archive_bomb": 1}
    assert found["peak"] < MOST_MIB


def test_tars_with_forged_headers(tmp_path: Path) -> None:
    """Extended headers of gigabytes, negative sizes and broken headers end the archive with a count."""
    whole = tar(tmp_path / "whole.tar", {"a.py": CODE, "b.py": CODE}, "w:").read_bytes()
    second = 512 + 512  # where the header of b.py begins
    pax = tarfile.TarInfo("pax")
    pax.type = tarfile.XHDTYPE
    pax.size = 2 << 30
    head = bytearray(whole[second : second + 512])
    head[124:136] = b"\xff" * 12  # base 256, negative
    head[148:156] = b"        "
    head[148:156] = b"%06o\0 " % sum(head)
    forged = {
        "pax.tar": whole[:second] + pax.tobuf() + b"1" * 4096,
        "negative.tar": whole[:second] + bytes(head) + whole[second + 512 :],
        "broken.tar": whole[:second] + b"x" * 512 + whole[second + 512 :],
        "torn.tar": whole[: second + 530],
    }
    for name, content in forged.items():
        (tmp_path / name).write_bytes(content)
        assert [file.path for file in kept(tmp_path / name)] == ["a.py"], name
        assert [reason for _, reason in drops(tmp_path / name)] == ["unreadable"], name


def test_torn_and_encrypted_archives(tmp_path: Path) -> None:
    """What can be read is kept; an entry whose bytes are wrong costs itself only."""
    files = {f"{number}.py": CODE + f"# {number}\n" + "".join(map(chr, range(40, 127))) * 9 for number in range(300)}
    content = tar(tmp_path / "a.tar.gz", {name: "# " + text for name, text in files.items()}).read_bytes()
    (tmp_path / "a.tar.gz").write_bytes(content[: len(content) // 2])
    found = read(tmp_path / "a.tar.gz")
    assert isinstance(found[0], SourceFile)
    assert isinstance(found[-1], Dropped)
    assert found[-1].reason == "unreadable"
    content = zipped(tmp_path / "b.zip", {"a.py": CODE, "b.py": CODE}).read_bytes()
    (tmp_path / "b.zip").write_bytes(content.replace(b"PK\3\4", b"PK\3\5", 1))
    assert drops(tmp_path / "b.zip") == [("a.py", "unreadable")]
    locked = bytearray(content)
    locked[content.index(b"PK\1\2") + 8] |= 1
    (tmp_path / "c.zip").write_bytes(bytes(locked))
    assert drops(tmp_path / "c.zip") == [("a.py", "unreadable")]
    assert len(kept(tmp_path / "c.zip")) == 1


def test_more_entries_than_any_project_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading stops with a count."""
    monkeypatch.setattr("selfcodealign.sources.archives._MOST_ENTRIES", 3)
    path = tar(tmp_path / "a.tar", {f"{number}.py": CODE + f"#{number}" for number in range(9)}, "w:")
    assert len(kept(path)) == 3
    assert drops(path) == [("a.tar", "too_many_files")]


# ---- tables


def test_parquet_with_odd_types(tmp_path: Path) -> None:
    """Whatever the columns hold, each row is read or dropped."""
    table = pa.table(
        {
            "content": pa.array([CODE, None, "", CODE]).dictionary_encode(),
            "path": pa.array([b"\xff.py", None, b"", b"a.py"]),
            "who": pa.array([1.5, None, float("nan"), 2]),
            "lic": pa.array([["mit", None], None, [], ["house\nrules" * 100]]),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    found = read(tmp_path / "a.parquet", path_column="path", repository_column="who", licence_column="lic")
    assert [getattr(row, "reason", "file") for row in found] == ["file", "malformed_row", "file", "file"]
    last = found[-1]
    assert isinstance(last, SourceFile)
    assert len(last.licence) <= 200
    assert "\n" not in last.licence
    for column in (pa.array([1, 2]), pa.array([[CODE], None]), pa.array([{"a": CODE}] * 2), pa.nulls(2)):
        pq.write_table(pa.table({"content": column}), tmp_path / "b.parquet")
        assert [reason for _, reason in drops(tmp_path / "b.parquet")] == ["malformed_row"] * 2


def test_a_text_that_many_rows_repeat(tmp_path: Path) -> None:
    """It is held once: 500 rows of 16 MiB are no 8 GiB."""
    large = pa.DictionaryArray.from_arrays(pa.array([0] * 500, pa.int32()), pa.array(["#" * (16 << 20)]))
    options: Any = {"use_dictionary": True, "dictionary_pagesize_limit": 128 << 20}
    pq.write_table(pa.table({"content": large}), tmp_path / "a.parquet", compression="zstd", **options)
    found = measure(tmp_path / "a.parquet", max_file_kib=64)
    assert found["found"] == {"too_large": 500}
    assert found["peak"] < MOST_MIB


def test_broken_tables(tmp_path: Path) -> None:
    """Any byte of a Parquet or Arrow file may be wrong: rows, drops or one error, and never a crash."""
    pq.write_table(pa.table({"content": [CODE] * 50, "path": ["a.py"] * 50}), tmp_path / "whole.parquet")
    whole = (tmp_path / "whole.parquet").read_bytes()
    folder = tmp_path / "torn"
    folder.mkdir()
    for number in range(40):
        place = number * len(whole) // 40
        (folder / f"{number}.parquet").write_bytes(whole[:place] + b"\xff\x7f" + whole[place + 2 :])
    for path in sorted(folder.iterdir()):
        with suppress(SourceError):
            read(path)


def test_lines_of_odd_json(tmp_path: Path) -> None:
    """Half characters, numbers of a million digits, nesting, and columns that hold anything."""
    rows = [
        '{"content": "\\ud800", "path": "\\udfff.py", "lic": "\\ud800"}',
        '{"content": "x = 1", "path": {"a": 1}, "lic": {"b": [1]}}',
        '{"content": "x = 1", "path": "a.py", "lic": ' + "[" * 500 + "]" * 500 + "}",
        '{"content": ' + "9" * 100_000 + "}",
        '{"content": "x = 1", "path": "' + "a" * 100_000 + '", "lic": null}',
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(rows))
    found = measure(tmp_path / "a.jsonl", path_column="path", licence_column="lic")
    assert found["error"] is None
    assert sum(found["found"].values()) == 5


@pytest.mark.parametrize("ending", ["gz", "zst"])
def test_bombs_of_json_lines(tmp_path: Path, ending: str) -> None:
    """A file that unpacks to gigabytes of nothing is given up, with the line."""

    def pack(data: bytes) -> bytes:
        return gzip.compress(data) if ending == "gz" else pa.compress(data, codec="zstd", asbytes=True)

    path = tmp_path / f"a.jsonl.{ending}"
    path.write_bytes(pack(json.dumps({"content": CODE}).encode() + b"\n") + pack(b" " * (1 << 20)) * 2000)
    found = measure(path)
    assert "after line 1: it unpacks to more than 200 times its size" in found["error"]
    assert found["found"] == {"seed": 1}
    assert found["peak"] < MOST_MIB


# ---- repositories


def test_a_repository_runs_nothing(tmp_path: Path) -> None:
    """Its configuration names programs for everything that git may start; none is."""
    folder = commit(tmp_path / "work", {"a.py": CODE, ".gitattributes": "*.py filter=evil diff=evil\n"})
    program = f"touch {tmp_path}/evil"
    for name in (
        "core.fsmonitor", "core.pager", "core.editor", "core.sshCommand", "core.askPass", "diff.external",
        "diff.evil.textconv", "diff.evil.command", "filter.evil.smudge", "filter.evil.process", "pager.ls-tree",
        "pager.cat-file", "pager.rev-parse", "gpg.program", "credential.helper", "uploadpack.packObjectsHook",
    ):  # fmt: skip
        git(folder, "config", name, program)
    git(folder, "config", "alias.cat-file", f"!{program}")
    for hook in ("post-checkout", "reference-transaction", "post-index-change"):
        (folder / ".git" / "hooks").mkdir(exist_ok=True)
        (folder / ".git" / "hooks" / hook).write_text(f"#!/bin/sh\n{program}\n")
        (folder / ".git" / "hooks" / hook).chmod(0o755)
    assert [file.path for file in kept(f"git:{folder}")] == ["a.py"]
    assert not (tmp_path / "evil").exists()


def test_missing_objects_are_not_fetched(tmp_path: Path) -> None:
    """A partial clone, whose remote is a program, gives drops for the objects that it lacks."""
    folder = commit(tmp_path / "work", {"a.py": CODE, "b.py": CODE + "# b\n"})
    blob = git(folder, "rev-parse", "HEAD:a.py").strip()
    (folder / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    git(folder, "config", "extensions.partialClone", "origin")
    git(folder, "config", "core.repositoryFormatVersion", "1")
    git(folder, "config", "remote.origin.url", f"ext::sh -c 'touch {tmp_path}/evil'")
    git(folder, "config", "remote.origin.promisor", "true")
    git(folder, "config", "protocol.ext.allow", "always")
    found = measure(f"git:{folder}")
    assert not (tmp_path / "evil").exists()
    assert found["error"] is not None or found["found"] == {"unreadable": 1, "seed": 1}


def test_torn_objects_cost_their_file_only(tmp_path: Path) -> None:
    """The files after a torn object are read."""
    folder = commit(tmp_path / "work", {"a.py": CODE, "b.py": CODE + "# b\n"})
    blob = git(folder, "rev-parse", "HEAD:a.py").strip()
    path = folder / ".git" / "objects" / blob[:2] / blob[2:]
    packed = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(packed[:10] + b"\xff" * (len(packed) - 10))
    assert drops(f"git:{folder}") == [("a.py", "unreadable")]
    assert [file.path for file in kept(f"git:{folder}")] == ["b.py"]


def test_replaced_objects_are_not_followed(tmp_path: Path) -> None:
    """The commit that a seed names has the seed's text."""
    folder = commit(tmp_path / "work", {"a.py": CODE})
    (folder / "other.py").write_text("# other\n")
    other = git(folder, "hash-object", "-w", "other.py").strip()
    git(folder, "replace", git(folder, "rev-parse", "HEAD:a.py").strip(), other)
    assert [file.text for file in kept(f"git:{folder}")] == [CODE.encode()]


def test_links_submodules_and_names(tmp_path: Path) -> None:
    """Links and submodules are counted; any name that git can hold is a path."""
    folder = commit(tmp_path / "work", {"-rf.py": CODE, "a\nb\t.py": CODE + "#\n", '"q".py': CODE + "##\n"})
    (folder / os.fsdecode(b"\xff.py")).write_text(CODE + "###\n")
    (folder / "link.py").symlink_to("/etc/passwd")
    head = git(folder, "rev-parse", "HEAD").strip()
    git(folder, "add", "-A")
    git(folder, "update-index", "--add", "--cacheinfo", f"160000,{head},sub")
    git(folder, "commit", "-q", "-m", "more")
    assert dict(drops(f"git:{folder}")) == {"link.py": "link", "sub": "link"}
    assert {file.path for file in kept(f"git:{folder}")} == {"-rf.py", "a\nb\t.py", '"q".py', "?.py"}


def test_a_tree_that_holds_itself_many_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten trees of ten trees are ten thousand files from five objects; reading stops with a count."""
    folder = commit(tmp_path / "work", {"a.py": CODE})
    tree = git(folder, "rev-parse", "HEAD^{tree}").strip()
    for _ in range(4):
        listing = "".join(f"040000 tree {tree}\td{number}\n" for number in range(10))
        made = subprocess.run(
            ["git", "-C", str(folder), "mktree"], input=listing, capture_output=True, text=True, check=True
        )
        tree = made.stdout.strip()
    head = git(folder, "commit-tree", tree, "-m", "bomb").strip()
    git(folder, "update-ref", "HEAD", head)
    monkeypatch.setattr(git_source, "_MOST_ENTRIES", 100)
    found = read(f"git:{folder}")
    assert [getattr(row, "reason", "file") for row in found] == ["file"] * 100 + ["too_many_files"]


def test_revisions(tmp_path: Path) -> None:
    """`git:PATH@REVISION` reads a tag, a branch or a commit; what looks like an option is none."""
    folder = commit(tmp_path / "work@home", {"a.py": CODE})
    git(folder, "tag", "v1")
    first = git(folder, "rev-parse", "HEAD").strip()
    commit(folder, {"a.py": CODE + "# second\n"})
    assert kept(f"git:{folder}")[0].text == (CODE + "# second\n").encode()
    for revision in ("v1", first, first[:12], "HEAD~1"):
        (file,) = kept(f"git:{folder}@{revision}")
        assert (file.text, file.commit) == (CODE.encode(), first)
    assert kept(f"git:{folder}@v1", own_code=[f"git:{folder}@v1"])[0].own
    for revision in ("none", "--help", "--output=x", ""):
        with pytest.raises(SourceError, match="has no revision"):
            read(f"git:{folder}@{revision}")


def test_a_hook_that_starts_a_run_changes_no_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """git tells its hooks which repository it works on; the source is the one that is named."""
    folder = commit(tmp_path / "work", {"a.py": CODE})
    other = commit(tmp_path / "other", {"b.py": CODE})
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    assert [file.path for file in kept(f"git:{folder}")] == ["a.py"]
