"""The texts of every benchmark that can be read: from files, from caches, and from where they are published.

Nothing here waits long: a place that does not answer within `PROBE_SECONDS` is not asked again, a set that takes more
than `FETCH_SECONDS` is left out, and with HF_HUB_OFFLINE=1 only caches are read. What was left out is named with the
reason.
"""

from __future__ import annotations

import gzip
import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from selfcodealign.benchmarks.catalogue import BENCHMARKS, find_benchmark
from selfcodealign.benchmarks.problem_files import Row, Source, cached_download, load_rows
from selfcodealign.benchmarks.texts import BenchmarkTexts, TaskTexts, collect_texts, load_benchmark_texts, read_texts
from selfcodealign.errors import BenchmarkError, UserError, reason_of

#: Stands for every benchmark of the catalogue that can be read.
AVAILABLE = "available"
PROBE_SECONDS, FETCH_SECONDS = 5.0, 90.0

#: Benchmarks whose tasks are those of another one, and the small model's own, which is no one's benchmark.
_SAME = {"bigcodebench-hard", "cruxeval-i", "tiny-eval"}
#: Read from a cache, never fetched unasked: gigabytes.
_HUGE = ("livecodebench",)
_HUB = "https://huggingface.co"
_SUFFIXES = (".parquet", ".jsonl", ".jsonl.gz", ".json", ".json.gz")


@dataclass(frozen=True)
class KnownTexts:
    """The texts that could be read, and why others could not, by name."""

    loaded: Sequence[BenchmarkTexts] = ()
    missing: Mapping[str, str] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Keep the texts in a file (.json.gz), for `read`."""
        part = path.with_name(f".{path.name}.tmp")
        content = {"loaded": [asdict(one) for one in self.loaded], "missing": dict(self.missing)}
        part.write_bytes(gzip.compress(json.dumps(content).encode(), 1, mtime=0))
        part.rename(path)

    @classmethod
    def read(cls, path: Path) -> KnownTexts:
        """The texts that `write` kept. Raises `BenchmarkError` for a file that it did not write."""
        try:
            found = json.loads(gzip.decompress(path.read_bytes()))
            loaded = [
                BenchmarkTexts(one["name"], one["version"], [TaskTexts(**task) for task in one["tasks"]])
                for one in found["loaded"]
            ]
            return cls(loaded, found["missing"])
        except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
            raise BenchmarkError(
                f"cannot read {path}: {reason_of(error)}; delete it to read the benchmarks again"
            ) from None


def load_known_texts(
    wanted: Sequence[str], evaluated: Iterable[str], problems: Mapping[str, str], kept: KnownTexts | None = None
) -> KnownTexts:
    """Load benchmarks by name, file or `hub:NAME`; `AVAILABLE` stands for all, with those that are `evaluated`.

    `problems` are files by benchmark. `kept` is what an earlier run used: published sets are taken from there, and
    those that it missed stay missing, so that a resumed run compares with the same texts. Raises a `UserError` where
    something that a person named cannot be read.
    """
    names: dict[str, bool] = {}
    for one in wanted:
        if one == AVAILABLE:
            every = [name for name in BENCHMARKS if name not in _SAME]
            names |= dict.fromkeys([*every, *evaluated], False) | names
        else:
            names[one] = True
    before = {one.name: one for one in kept.loaded} if kept else {}
    loaded: list[BenchmarkTexts] = []
    missing: dict[str, str] = {}
    for name, named in names.items():
        if name in problems:
            loaded.append(read_texts(name, Path(problems[name]).expanduser()))
        elif name.startswith("hub:") or "/" in name or "." in name:
            loaded.append(load_benchmark_texts(name))
        elif name in before:
            loaded.append(before[name])
        elif kept and name in kept.missing and not named:
            missing[name] = kept.missing[name]
        else:
            try:
                loaded.append(load_published(name, fetch=named or not name.startswith(_HUGE)))
            except UserError as error:
                if named:
                    raise BenchmarkError(
                        f"the texts of {name}, which decontamination.benchmarks names, cannot be read: {error}; name "
                        "its file instead"
                    ) from None
                missing[name] = str(error)
    return KnownTexts(loaded, missing)


def load_published(name: str, *, fetch: bool = True) -> BenchmarkTexts:
    """Read the texts of a benchmark of the catalogue, from a cache if it is there. Raises `BenchmarkError`."""
    source = find_benchmark(name).source
    if source.packaged:
        found = load_rows(name, source, None)
        return collect_texts(name, found.version, found.rows)
    if source.url:
        path = cached_download(source.url)
        if not path.exists():
            _require_place(source.url)
            _within(FETCH_SECONDS, name, lambda: load_rows(name, source, None))
        return read_texts(name, path)
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise BenchmarkError(f"reading {source.hub} needs the extra hub: pip install 'selfcodealign[hub]'") from None
    patterns = list(source.files) or [f"*{suffix}" for suffix in _SUFFIXES]

    def find(*, local: bool) -> Path:
        options: dict[str, Any] = {"allow_patterns": patterns, "local_files_only": local}
        return Path(snapshot_download(source.hub, repo_type="dataset", etag_timeout=PROBE_SECONDS, **options))

    try:
        return _read_folder(name, source, find(local=True))
    except Exception as error:  # the hub's layers raise anything; there is no copy, or it is not whole
        if not fetch:
            raise BenchmarkError(
                f"{source.hub} is in no cache, and too large to be fetched unasked: name it ({name}) to fetch it"
            ) from error
    _require_place(_HUB)
    return _read_folder(name, source, _within(FETCH_SECONDS, name, lambda: find(local=False)))


def _read_folder(name: str, source: Source, folder: Path) -> BenchmarkTexts:
    files = [path for path in sorted(folder.rglob("*")) if path.name.endswith(_SUFFIXES) and "info" not in path.name]
    rows = [row for path in files for row in _iterate_rows(path)]
    if not rows:
        raise BenchmarkError(f"{source.hub} in {folder} holds no problems")
    return collect_texts(name, f"{source.hub} revision {folder.name}", rows)


def _iterate_rows(path: Path) -> Iterator[Row]:
    """The rows of a file without the fields that no text is in: the tests of some benchmarks are gigabytes."""
    if path.suffix != ".jsonl":
        yield from load_rows(path.name, Source(), path).rows
        return
    with path.open("rb") as lines:
        for line in lines:
            if line.strip():
                row = json.loads(line)
                yield {key: value for key, value in row.items() if not key.endswith("test_cases") and key != "test"}


def _within(seconds: float, name: str, work: Callable[[], Any]) -> Any:
    """What `work` returns. Raises `BenchmarkError` when it takes longer, and lets it end by itself."""
    found: list[Any] = []
    failed: list[Exception] = []

    def do() -> None:
        try:
            found.append(work())
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=do, daemon=True, name=f"fetch {name}")
    thread.start()
    thread.join(seconds)
    if failed:
        raise BenchmarkError(f"cannot fetch {name}: {reason_of(failed[0])}")
    if not found:
        raise BenchmarkError(f"cannot fetch {name} within {seconds:.0f} seconds")
    return found[0]


def _require_place(url: str) -> None:
    """Raise `BenchmarkError` unless the host of an address answers; asked once."""
    parts = urlsplit(url)
    if reason := _probe(f"{parts.scheme}://{parts.netloc}"):
        raise BenchmarkError(f"{parts.netloc} cannot be reached ({reason}), and no cache holds it")


@cache
def _probe(address: str) -> str:
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return "HF_HUB_OFFLINE is set"
    import httpx

    try:
        httpx.head(address, timeout=PROBE_SECONDS)
    except (httpx.HTTPError, OSError) as error:
        return reason_of(error)
    return ""
