"""What tests of sources share: read a source, count its drops, commit files to a repository."""

from __future__ import annotations

import io
import subprocess
import tarfile
import zipfile
from pathlib import Path
from typing import Any

from selfcodealign.rows import Dropped, SourceFile
from selfcodealign.settings import SeedSettings
from selfcodealign.sources import iterate_source_files

CODE = "def f(x):\n    'Return x itself.'\n    return x\n"
MIT = "Permission is hereby granted, free of charge, to any person [...] this permission notice shall be included"

#: A row in the layout of The Stack.
STACK = {
    "content": CODE,
    "max_stars_repo_path": "lib/a.py",
    "max_stars_repo_name": "ann/tools",
    "max_stars_repo_licenses": ["MIT", "Apache-2.0"],
    "lang": "Python",
    "size": 48,
}


def read(*sources: object, **settings: Any) -> list[SourceFile | Dropped]:
    return list(iterate_source_files(SeedSettings(sources=[str(source) for source in sources], **settings)))


def kept(*sources: object, **settings: Any) -> list[SourceFile]:
    """The files of sources without their drops."""
    return [file for file in read(*sources, **settings) if isinstance(file, SourceFile)]


def drops(*sources: object, **settings: Any) -> list[tuple[str, str]]:
    """The path and the reason of each drop."""
    return [(row.row["source_path"], row.reason) for row in read(*sources, **settings) if isinstance(row, Dropped)]


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    return subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True, text=True
    ).stdout


def commit(folder: Path, files: dict[str, str]) -> Path:
    """Write files to a repository, which is made if there is none, and commit them."""
    folder.mkdir(exist_ok=True)
    git(folder, "init", "-q")
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    git(folder, "add", "-A", "-f")
    git(folder, "commit", "-q", "-m", "work")
    return folder


def tar(path: Path, files: dict[str, str], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, text in files.items():
            facts = tarfile.TarInfo(name)
            facts.size = len(text.encode())
            archive.addfile(facts, io.BytesIO(text.encode()))
    return path


def zipped(path: Path, files: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path
