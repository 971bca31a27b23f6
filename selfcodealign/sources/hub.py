"""Data sets of the Hugging Face hub, and local folders that `datasets` loads: rows as a stream, or files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfcodealign.errors import MissingExtra, SourceError, reason_of


@dataclass(frozen=True, slots=True)
class HubRows:
    """A data set: its name (a local one's folder name), its revision ("" where none was asked for), its rows."""

    origin: str
    revision: str
    rows: Iterator[dict[str, Any]]


def stream_hub(name: str, split: str | None) -> HubRows:
    """Stream a split of a data set (None: all splits, one after the other), at the hub's newest revision.

    `name` is a hub name or a local folder, with `:CONFIGURATION` behind it where there are several. Raises
    `SourceError` when the data set cannot be opened, now, or breaks off, later, and `MissingExtra` without `datasets`.
    """
    _require(name)
    from huggingface_hub import HfApi

    name, _, configuration = name.partition(":")
    try:
        revision = "" if Path(name).is_dir() else HfApi().dataset_info(name).sha or ""
    except Exception as error:
        raise _cannot_open(name, error) from None
    opened = _load(name, configuration, split=split, streaming=True, revision=revision or None)
    parts = [opened] if split is not None else opened.values()
    return HubRows(name if revision else Path(name).resolve().name, revision, _iterate(name, parts))


def load_hub(name: str, configuration: str | None, split: str) -> HubRows:
    """Load a split of a data set whole, through the cache of `datasets`: what was fetched once needs no network.

    Raises as `stream_hub`.
    """
    _require(name)
    return HubRows(name, "", _iterate(name, [_load(name, configuration, split=split)]))


def download_files(name: str, files: tuple[str, ...]) -> list[Path]:
    """Fetch plain files of a data set's repository, through the hub's cache. Raises as `stream_hub`."""
    _require(name)
    from huggingface_hub import hf_hub_download

    try:
        return [Path(hf_hub_download(name, file, repo_type="dataset")) for file in files]
    except Exception as error:
        raise _cannot_open(name, error) from None


def _require(name: str) -> None:
    try:
        import datasets  # noqa: F401
        import huggingface_hub  # noqa: F401
    except ImportError:
        raise MissingExtra(f"reading hub:{name}", "hub") from None


# Loaders and network layers raise what they please, StopIteration for an empty file among it: all of it means that this
# data set cannot be had, and nothing but their code runs inside these blocks.


def _load(name: str, configuration: str | None, **options: Any) -> Any:
    import datasets

    try:
        return datasets.load_dataset(name, configuration or None, **options)
    except Exception as error:
        raise _cannot_open(name, error) from None


def _iterate(name: str, parts: Any) -> Iterator[dict[str, Any]]:
    try:
        for part in parts:
            yield from part
    except Exception as error:
        raise SourceError(f'reading data set "{name}" failed: {reason_of(error)}') from None


def _cannot_open(name: str, error: Exception) -> SourceError:
    return SourceError(f'cannot open data set "{name}": {reason_of(error)}')
