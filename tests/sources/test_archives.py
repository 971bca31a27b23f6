"""Sdists, wheels and other archives are read from the archive; nothing is written."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from selfcodealign.errors import SourceError
from tests.support.sources import CODE, MIT, drops, kept, read, tar, zipped

METADATA = "Metadata-Version: 2.1\nName: tools\nVersion: 1.5\nLicense-Expression: ISC\n"


SDIST = {
    "tools-1.5/src/tools/a.py": CODE,
    "tools-1.5/tests/test_a.py": CODE,
    "tools-1.5/src/tools/_vendor/b.py": CODE,
    "tools-1.5/PKG-INFO": METADATA,
    "tools-1.5/notes.txt": "x",
}


@pytest.mark.parametrize(
    ("ending", "mode"), [("tar.gz", "w:gz"), ("tar.bz2", "w:bz2"), ("tar.xz", "w:xz"), ("tar", "w:")]
)
def test_sdists(tmp_path: Path, ending: str, mode: str) -> None:
    """Origin and licence come from the package's metadata, wherever it lies in the archive; tests are counted."""
    path = tar(tmp_path / f"tools-1.5.{ending}", SDIST, mode)
    (file,) = kept(path)
    assert (file.path, file.text) == ("tools-1.5/src/tools/a.py", CODE.encode())
    assert (file.origin, file.licence) == ("tools==1.5", "ISC")
    assert drops(path) == [
        ("tools-1.5/tests/test_a.py", "test_code"),
        ("tools-1.5/src/tools/_vendor/b.py", "vendored"),
    ]


def test_zstd(tmp_path: Path) -> None:
    """An archive packed by zstd is read like the others."""
    plain = tar(tmp_path / "a.tar", SDIST, "w:")
    with pa.CompressedOutputStream(str(tmp_path / "a.tar.zst"), "zstd") as packed:
        packed.write(plain.read_bytes())
    assert [(file.path, file.origin) for file in kept(tmp_path / "a.tar.zst")] == [
        ("tools-1.5/src/tools/a.py", "tools==1.5")
    ]


def test_wheels(tmp_path: Path) -> None:
    """The metadata of a wheel lies in its .dist-info, licence files below it."""
    info = METADATA.replace("License-Expression: ISC\n", "")
    files = {"tools/a.py": CODE, "tools-1.5.dist-info/METADATA": info, "tools-1.5.dist-info/licenses/LICENSE": MIT}
    (file,) = kept(zipped(tmp_path / "tools-1.5-py3-none-any.whl", files))
    assert (file.path, file.origin, file.licence) == ("tools/a.py", "tools==1.5", "MIT")


def test_an_archive_without_metadata(tmp_path: Path) -> None:
    """Its name is the origin, the licence files at its top are its licence; notebooks are read as well."""
    note = '{"cells": [{"cell_type": "code", "source": "x = 1"}]}'
    (first, second) = kept(zipped(tmp_path / "work.zip", {"w/a.py": CODE, "w/LICENSE": MIT, "w/n.ipynb": note}))
    assert (first.origin, first.licence) == ("work.zip", "MIT")
    assert (second.path, second.text) == ("w/n.ipynb", "x = 1\n")


def test_a_folder_of_archives(tmp_path: Path) -> None:
    """Archives of a folder without Python files are read one after the other; a torn one is counted."""
    tar(tmp_path / "b.tar.gz", SDIST)
    zipped(tmp_path / "a.zip", {"x.py": CODE})
    (tmp_path / "c.tar.gz").write_bytes(b"torn")
    zipped(tmp_path / "d.whl", {"x.txt": "no code"})
    assert [(file.origin, file.path) for file in kept(tmp_path)] == [
        ("a.zip", "x.py"),
        ("tools==1.5", "tools-1.5/src/tools/a.py"),
    ]
    assert [reason for path, reason in drops(tmp_path) if path in ("c.tar.gz", "d.whl")] == ["unreadable"] * 2


def test_ids_are_those_of_path_and_text(tmp_path: Path) -> None:
    """The same entry has the same id in every run, and in an archive of another form."""
    first = kept(tar(tmp_path / "t.tar.gz", SDIST))[0].id
    assert first == kept(tar(tmp_path / "t.tar.xz", SDIST, "w:xz"))[0].id
    assert first == kept(zipped(tmp_path / "t.zip", SDIST))[0].id


def test_archives_that_are_none(tmp_path: Path) -> None:
    """They are refused at once, in one line."""
    for name in ("a.zip", "a.tar.gz", "a.tar.xz", "a.tar.zst", "a.tar"):
        (tmp_path / name).write_bytes(b"this is no archive at all")
        with pytest.raises(SourceError, match=r"cannot read .* as an archive: ") as caught:
            read(tmp_path / name)
        assert "\n" not in str(caught.value)
    with pytest.raises(SourceError, match="holds no Python files"):
        read(zipped(tmp_path / "b.zip", {"notes.txt": "x"}))
