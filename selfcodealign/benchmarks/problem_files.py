"""Reads problems from a local file, a release page or the hub; identifies their version by hash."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any

from selfcodealign import __version__
from selfcodealign.errors import BenchmarkError

#: One problem in the format of the benchmark's authors: their field names, JSON values.
Row = dict[str, Any]


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
        return replace(found, version=f"selfcodealign {__version__} (md5 {found.md5[:8]})")
    if source.url:
        return _read_local(source, _download(name, source.url))
    return _read_hub(name, source)


def _read_local(source: Source, path: Path) -> ProblemFile:
    if path.suffix == ".parquet":
        return _read_parquet(path)
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if path.suffix == ".gz" else data
        text = data.decode("utf-8")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise BenchmarkError(f"cannot read problems from {path}: {_reason(error)}") from None
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    return ProblemFile(_parse(path, text), md5, source.versions.get(md5, f"unknown version (md5 {md5[:8]})"))


def _parse(path: Path, text: str) -> list[Row]:
    """Parse JSON Lines, or one JSON list or mapping of tasks. Python accepts `Infinity`, which some files use."""
    name = path.name.removesuffix(".gz")
    try:
        if name.endswith(".json"):
            whole = json.loads(text)
            rows = list(whole.values()) if isinstance(whole, dict) else whole
        else:
            rows = [json.loads(line) for line in text.split("\n") if line.strip()]
    except json.JSONDecodeError as error:
        raise BenchmarkError(f"{path} is no problem file: line {error.lineno} is not JSON ({error.msg})") from None
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise BenchmarkError(f"{path} is no problem file: it should hold one JSON object per problem")
    return rows


def _read_parquet(path: Path) -> ProblemFile:
    import pyarrow
    import pyarrow.parquet

    try:
        rows = pyarrow.parquet.read_table(path).to_pylist()
        md5 = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    except (OSError, pyarrow.ArrowException) as error:
        raise BenchmarkError(f"cannot read problems from {path}: {_reason(error)}") from None
    return ProblemFile(rows, md5, f"{path.name} (md5 {md5[:8]})")


def cache_folder() -> Path:
    """Return the folder of fetched problem files: $XDG_CACHE_HOME/selfcodealign/benchmarks, or below ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "selfcodealign" / "benchmarks"


def _download(name: str, url: str) -> Path:
    """Fetch a release file once; its name comes from its address, so a new release is a new file."""
    parts = url.rsplit("/", 2)
    path = cache_folder() / f"{parts[1]}-{parts[2]}"
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
        raise BenchmarkError(_unreachable(name, url, error)) from None
    finally:
        part.unlink(missing_ok=True)
    return path


def _read_hub(name: str, source: Source) -> ProblemFile:
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import HfHubHTTPError
    except ImportError:
        from selfcodealign.errors import MissingExtra

        raise MissingExtra(f"fetching {name} from the hub", "hub") from None
    import httpx

    errors = (HfHubHTTPError, httpx.HTTPError, OSError, ValueError)
    if source.files:
        try:
            paths = [Path(hf_hub_download(source.hub, file, repo_type="dataset")) for file in source.files]
        except errors as error:
            raise BenchmarkError(_unreachable(name, f"the hub's {source.hub}", error)) from None
        rows = [row for path in paths for row in _read_local(source, path).rows]
        return ProblemFile(rows, "", f"{source.hub}: {', '.join(source.files)}")
    from datasets import load_dataset

    try:
        table = load_dataset(source.hub, source.config, split=source.split)
    except errors as error:
        raise BenchmarkError(_unreachable(name, f"the hub's {source.hub}", error)) from None
    rows = [dict(row) for row in table]
    fingerprint = hashlib.md5(json.dumps(rows, sort_keys=True, default=str).encode(), usedforsecurity=False).hexdigest()
    return ProblemFile(rows, fingerprint, f"{source.hub} {source.split} (rows' md5 {fingerprint[:8]})")


def _unreachable(name: str, place: str, error: Exception) -> str:
    return (
        f"cannot fetch the problems of {name} from {place} ({_reason(error)}); "
        f"download them elsewhere and give the file with --problems {name}=FILE"
    )


def _reason(error: BaseException) -> str:
    text = (getattr(error, "strerror", None) or str(error) or type(error).__name__).strip()
    return text.splitlines()[0][:200]


def check_fields(name: str, row: Row, fields: tuple[str, ...]) -> None:
    """Raise `BenchmarkError` when a row lacks one of these fields: the file belongs to another benchmark."""
    missing = [field for field in fields if field not in row]
    if missing:
        shown = ", ".join(sorted(row)[:8])
        raise BenchmarkError(f"this is no problem file of {name}: a row has no {missing[0]!r} (it has {shown})")
