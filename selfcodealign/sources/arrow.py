"""Rows of Parquet files and of folders that `datasets` saved, as a stream of a few rows at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from selfcodealign.errors import SourceError, did_you_mean, reason_of
from selfcodealign.sources.regular import read_regular

Columns = list[str]

_BATCH_ROWS = 128  # fewer where rows are long
_BATCH_BYTES = 64 << 20
_MOST_STATE = 64 << 20
#: A row group that unpacks to so many bytes, and to so many times its size, is a bomb.
_BOMB_BYTES = 1 << 30
_BOMB_TIMES = 500


def parquet_columns(path: Path) -> Columns:
    """The columns of a Parquet file; none where it has no row. Raises `SourceError` if it is no Parquet file."""
    with _reading(path, "Parquet"):
        import pyarrow.parquet as pq

        with pq.ParquetFile(path, memory_map=False, pre_buffer=False) as file:
            return list(file.schema_arrow.names) if file.metadata.num_rows else []


def parquet_rows(path: Path, columns: Columns, most: int) -> Iterator[dict[str, Any]]:
    """Stream these columns of a Parquet file, of longer texts the first `most` bytes.

    Raises `SourceError` when the file breaks off.
    """
    with _reading(path, "Parquet"):
        import pyarrow.parquet as pq

        facts = pq.read_metadata(path)
        groups = [facts.row_group(number) for number in range(facts.num_row_groups)]
        for group in groups:
            _refuse_bomb(path, group)
        longest = max((group.total_byte_size // max(group.num_rows, 1) for group in groups), default=0)
        at_once = max(1, min(_BATCH_ROWS, _BATCH_BYTES // max(longest, 1)))
        # one text that many rows repeat stays one text in memory
        texts = [column.path for column in map(facts.schema.column, range(facts.num_columns)) if _repeats(column)]
        texts = [name for name in texts if name in columns]
        with pq.ParquetFile(path, memory_map=False, pre_buffer=False, read_dictionary=texts) as file:
            for batch in file.iter_batches(batch_size=at_once, columns=columns):
                yield from _rows(batch, most)


def _repeats(column: Any) -> bool:
    return column.physical_type == "BYTE_ARRAY" and column.max_repetition_level == 0


def _refuse_bomb(path: Path, group: Any) -> None:
    for index in range(group.num_columns):
        column = group.column(index)
        size, packed = column.total_uncompressed_size, column.total_compressed_size
        if size > _BOMB_BYTES and size > _BOMB_TIMES * max(packed, 1):
            raise SourceError(
                f"cannot read {path} as Parquet: a part of it unpacks to {size:,} bytes, {_BOMB_TIMES} times its size"
            )


class _reading:
    """Turns what pyarrow raises for a torn file into a `SourceError`."""

    def __init__(self, path: Path, form: str) -> None:
        self._path = path
        self._form = form

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        import pyarrow as pa

        if isinstance(error, pa.ArrowException | OSError | ValueError | MemoryError):
            raise SourceError(f"cannot read {self._path} as {self._form}: {reason_of(error)}") from None


def is_saved(folder: Path) -> bool:
    """Whether `datasets` saved a data set, or one with splits, in this folder."""
    return (folder / "state.json").is_file() or (folder / "dataset_dict.json").is_file()


def saved_files(folder: Path, split: str, section: str = "seeds") -> list[Path]:
    """The .arrow files of a saved data set in order; of one with splits, those of `split`, a setting of `section`."""
    if (folder / "dataset_dict.json").is_file():
        splits = _read_state(folder / "dataset_dict.json").get("splits")
        known = [name for name in splits if isinstance(name, str)] if isinstance(splits, list) else []
        if split not in known or "/" in split or split in (".", ".."):
            raise SourceError(
                f'{folder} has no split "{split}" (it has {", ".join(known)}): set {section}.split'
                f"{did_you_mean(split, known)}"
            )
        folder = folder / split
    entries = _read_state(folder / "state.json").get("_data_files")
    names = [entry.get("filename") for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    files = [folder / name for name in names if isinstance(name, str) and name == Path(name).name]
    if not files or len(files) < len(names):
        raise SourceError(f"{folder / 'state.json'} names no files of its folder: save the data set again")
    return files


def _read_state(path: Path) -> dict[str, Any]:
    try:
        state = json.loads(read_regular(path, _MOST_STATE))
    except (OSError, ValueError, RecursionError) as error:
        raise SourceError(f"cannot read {path}: {reason_of(error)}; save the data set again") from None
    if not isinstance(state, dict):
        raise SourceError(f"cannot read {path}: it holds no object; save the data set again")
    return state


def saved_columns(path: Path) -> Columns:
    """The columns of an .arrow file; none where it has no row."""
    import pyarrow as pa

    with _reading(path, "Arrow"), pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as stream:
        first = next((batch for batch in stream if batch.num_rows), None)
        return list(stream.schema.names) if first is not None else []


def saved_rows(path: Path, columns: Columns, most: int) -> Iterator[dict[str, Any]]:
    """Stream these columns of an .arrow file, which stays on the disk: only pages that are looked at are read."""
    import pyarrow as pa

    with _reading(path, "Arrow"), pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as stream:
        for batch in stream:
            chosen = batch.select([name for name in columns if name in batch.schema.names])
            for column in chosen.columns:  # offsets that lead out of the file would end this process
                _plain(column).validate(full=True)
            yield from _rows(chosen, most)


def _plain(column: Any) -> Any:
    """A string column as bytes, without a copy: a cell that is not UTF-8 then costs its row and not its batch."""
    import pyarrow as pa

    if pa.types.is_string(column.type):
        return column.view(pa.binary())
    return column.view(pa.large_binary()) if pa.types.is_large_string(column.type) else column


def _rows(batch: Any, most: int) -> Iterator[dict[str, Any]]:
    columns = {name: batch.column(name) for name in batch.schema.names}
    readers = {name: _Texts(column, most) if _is_text(column) else column for name, column in columns.items()}
    for index in range(batch.num_rows):
        yield {name: _cell(reader, index) for name, reader in readers.items()}


def _is_text(column: Any) -> bool:
    import pyarrow as pa

    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    return any(
        test(kind)
        for test in (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    )


class _Texts:
    """A column of texts, of which only the first `most` bytes are copied; what is not UTF-8 stays bytes."""

    def __init__(self, column: Any, most: int) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        coded = pa.types.is_dictionary(column.type)
        self._indices = column.indices if coded else None
        self._values = _plain(column.dictionary if coded else column)
        self._lengths = pc.call_function("binary_length", [self._values])
        self._most = most

    def __getitem__(self, index: int) -> Any:
        import pyarrow.compute as pc

        place = index if self._indices is None else self._indices[index].as_py()
        length = None if place is None else self._lengths[place].as_py()
        if length is None:
            return None
        values = self._values.slice(place, 1)
        if length > self._most:
            values = pc.call_function("binary_slice", [values], pc.SliceOptions(0, self._most))
        value = values[0].as_py()
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:  # left as bytes, which are dropped as not_utf8
            return value


def _cell(column: Any, index: int) -> Any:
    """A value of a column as Python has it; None for what Python cannot hold."""
    import pyarrow as pa

    with suppress(ValueError, OverflowError, pa.ArrowException, NotImplementedError):
        return column[index] if isinstance(column, _Texts) else column[index].as_py()
    return None
