"""Read data sets of the Hugging Face hub and local folders that `datasets` loads: rows, or plain files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfcodealign.errors import MissingExtra, SourceError, is_unreachable, reason_of


@dataclass(frozen=True, slots=True)
class HubRows:
    """A data set: its name (the folder name of a local one), its revision ("" if none was requested), its rows."""

    origin: str
    revision: str
    rows: Iterator[dict[str, Any]]


def stream_hub(name: str, split: str | None) -> HubRows:
    """Stream a split of a data set (None: all splits in turn), at the hub's newest revision.

    `name` is a hub name or a local folder, followed by `:CONFIGURATION` where there are several. Raises `SourceError`
    at once if the data set cannot be opened, later if it breaks off, and `MissingExtra` without `datasets`.
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
    """Load a whole split of a data set through the cache of `datasets`; a cached split needs no network.

    Raises the same errors as `stream_hub`.
    """
    _require(name)
    return HubRows(name, "", _iterate(name, [_load(name, configuration, split=split)]))


def download_files(name: str, files: tuple[str, ...]) -> list[Path]:
    """Fetch plain files of a data set's repository through the hub's cache. Raises the same errors as `stream_hub`."""
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


# Loaders and network layers raise any exception (StopIteration for an empty file): only their code runs inside these
# blocks, so each exception means that the data set cannot be read.


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
    fix = "; connect, or name another data set or a file" if is_unreachable(error) else ""
    return SourceError(f'cannot open data set "{name}": {reason_of(error)}{fix}')
