"""Reads problems from a local file, a release page or the hub; identifies their version by hash."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import metadata, resources
from pathlib import Path
from typing import Any

from selfcodealign.errors import BenchmarkError, SourceError, reason_of
from selfcodealign.files import decode, parse_json, parse_json_lines, read_bytes

#: One problem in the format of the benchmark's authors: their field names, JSON values.
Row = dict[str, Any]

_ONE_PER_PROBLEM = "it should hold one JSON object per problem"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The place where a benchmark's problems are published.

    One of `packaged` (a file in this package), `url` (a release file) or `hub` (a data set's name, with `config`,
    `split` and, where the data is in plain files, their `files`). `versions` maps the md5 of the unpacked file to the
    version's name.
    """

    packaged: str = ""
    url: str = ""
    hub: str = ""
    config: str | None = None
    split: str = "test"
    files: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProblemFile:
    """The rows of a problem file, the md5 of its unpacked bytes ("" for a hub table) and the version's name."""

    rows: list[Row]
    md5: str
    version: str


def load_rows(name: str, source: Source, path: Path | None) -> ProblemFile:
    """Read the problems of benchmark `name` from `path`, or from their published place.

    Raises `BenchmarkError` when the file cannot be read or fetched; the message names --problems.
    """
    if path is not None:
        return _read_local(source, path)
    if source.packaged:
        with resources.as_file(resources.files("selfcodealign") / "embedded" / source.packaged) as file:
            found = _read_local(source, file)
        return replace(found, version=f"selfcodealign {metadata.version('selfcodealign')} (md5 {found.md5[:8]})")
    if source.url:
        return _read_local(source, _download(name, source.url))
    return _read_hub(name, source)


def _read_local(source: Source, path: Path) -> ProblemFile:
    if path.suffix == ".parquet":
        return _read_parquet(path)
    data = read_bytes(path, error=BenchmarkError)
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    return ProblemFile(_parse(path, data), md5, source.versions.get(md5, f"unknown version (md5 {md5[:8]})"))


def _parse(path: Path, data: bytes) -> list[Row]:
    """Rows of JSON Lines, or of one JSON list (or mapping of tasks). Python's JSON takes `Infinity`, which is used."""
    if path.name.removesuffix(".gz").endswith(".json"):
        whole = parse_json(decode(data, path, error=BenchmarkError), path, error=BenchmarkError, fix=_ONE_PER_PROBLEM)
        rows = list(whole.values()) if isinstance(whole, dict) else whole
    else:
        rows = [row for _, row in parse_json_lines(data.split(b"\n"), path, error=BenchmarkError)]
    if not rows or not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise BenchmarkError(f"{path} is no problem file: {_ONE_PER_PROBLEM}")
    return rows


def _read_parquet(path: Path) -> ProblemFile:
    import pyarrow
    import pyarrow.parquet

    try:
        rows = pyarrow.parquet.read_table(path).to_pylist()
        md5 = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    except (OSError, pyarrow.ArrowException) as error:
        raise BenchmarkError(f"cannot read {path}: {reason_of(error)}; give a Parquet file of problems") from None
    return ProblemFile(rows, md5, f"{path.name} (md5 {md5[:8]})")


def cache_folder() -> Path:
    """Return the folder of fetched problem files: $XDG_CACHE_HOME/selfcodealign/benchmarks, or below ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "selfcodealign" / "benchmarks"


def cached_download(url: str) -> Path:
    """Return where a release file is kept once it has been fetched."""
    _, release, file = url.rsplit("/", 2)
    return cache_folder() / f"{release}-{file}"


def _download(name: str, url: str) -> Path:
    """Fetch a release file once; its name comes from its address, so a new release is a new file."""
    path = cached_download(url)
    if path.exists():
        return path
    import httpx

    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with httpx.stream("GET", url, follow_redirects=True, timeout=60) as response, part.open("wb") as file:
            response.raise_for_status()
            for piece in response.iter_bytes():
                file.write(piece)
        # Renamed only when complete, so an interrupted download is never used.
        part.rename(path)
    except (httpx.HTTPError, OSError) as error:
        raise BenchmarkError(_unreachable(name, url, reason_of(error))) from None
    finally:
        part.unlink(missing_ok=True)
    return path


def _read_hub(name: str, source: Source) -> ProblemFile:
    # Not before the hub is asked: it brings libraries along that judging does without.
    from selfcodealign.sources.hub import download_files, load_hub

    try:
        if source.files:
            paths = download_files(source.hub, source.files)
            rows = [row for path in paths for row in _read_local(source, path).rows]
            return ProblemFile(rows, "", f"{source.hub}: {', '.join(source.files)}")
        rows = list(load_hub(source.hub, source.config, source.split).rows)
    except SourceError as error:
        raise BenchmarkError(_unreachable(name, "the hub", str(error))) from None
    fingerprint = hashlib.md5(json.dumps(rows, sort_keys=True, default=str).encode(), usedforsecurity=False).hexdigest()
    return ProblemFile(rows, fingerprint, f"{source.hub} {source.split} (rows' md5 {fingerprint[:8]})")


def _unreachable(name: str, place: str, reason: str) -> str:
    return (
        f"cannot fetch the problems of {name} from {place} ({reason}); "
        f"download them elsewhere and give the file with --problems {name}=FILE"
    )


def check_fields(name: str, row: Row, fields: tuple[str, ...]) -> None:
    """Raise `BenchmarkError` when a row lacks one of these fields: the file belongs to another benchmark."""
    missing = [field for field in fields if field not in row]
    if missing:
        shown = ", ".join(sorted(row)[:8])
        raise BenchmarkError(f"this is no problem file of {name}: a row has no {missing[0]!r} (it has {shown})")
