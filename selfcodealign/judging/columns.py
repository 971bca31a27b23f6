"""JSON Lines become a Parquet file that loses nothing.

A column gets a type that holds each of its values; where there is none (values of several types, integers beyond 64
bits, numbers beyond a float, deep nesting, objects of different names, half a surrogate pair), it holds their JSON
text.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from json import JSONDecoder
from pathlib import Path
from typing import Any

import pyarrow as pa

from selfcodealign.judging.reading import Source
from selfcodealign.judging.rows import ADDED_FIELDS, DEEP, members
from selfcodealign.judging.tables import VERDICT_SCHEMA, TableWriter, storable, verdict_columns

#: Rows that become one batch, unless they are longer than so many bytes.
_BATCH_ROWS, _BATCH_BYTES = 1000, 8 << 20
#: Deeper values, and objects with more names, are no types that a reader would want.
_MOST_NESTED, _MOST_NAMES = 8, 100
_LEAST, _MOST = -(2**63), 2**63 - 1
_COLUMNS_TOLD = 5

#: A type of values: the name of a plain one, ("list", type of elements), ("object", types by name).
Kind = Any
_NOTHING, _TEXT, _BOOL, _INT, _SMALL, _FLOAT, _JSON = "nothing", "text", "bool", "int", "small int", "float", "JSON"
_EXACT = 2**53  # up to it, an integer is a float as well
_ARROW = {
    _NOTHING: pa.null(),
    _TEXT: pa.string(),
    _BOOL: pa.bool_(),
    _INT: pa.int64(),
    _SMALL: pa.int64(),
    _FLOAT: pa.float64(),
}


class _Inexact:
    """Stands for what no type of Arrow holds exactly."""


_INEXACT = _Inexact()


def _read_int(text: str) -> Any:
    if len(text) > 20:
        return _INEXACT
    number = int(text)
    return number if _LEAST <= number <= _MOST else _INEXACT


def _read_float(text: str) -> Any:
    number = float(text)
    return number if math.isfinite(number) else _INEXACT


def _read_object(pairs: list[tuple[str, Any]]) -> Any:
    found = dict(pairs)
    return found if len(found) == len(pairs) and len(found) <= _MOST_NAMES else _INEXACT


_scan: Any = JSONDecoder(parse_int=_read_int, parse_float=_read_float, object_pairs_hook=_read_object)
_scan = _scan.scan_once


def write_table(source: Source, journal: Path, target: Path) -> list[str]:
    """Write the rows of a journal; return a line that names the columns with JSON text, if there are any."""
    kinds: dict[str, Kind] = {}
    for row in _rows(source, journal):
        for name, (value, _) in row.items():
            if name not in ADDED_FIELDS:
                kinds[name] = _merge(kinds.get(name, _NOTHING), _kind(value))
    as_text = [name for name, kind in kinds.items() if _has_json(kind)]
    types = {name: pa.string() if name in as_text else _arrow(kind) for name, kind in kinds.items()}
    schema = pa.schema([*((storable(name), kind) for name, kind in types.items()), *VERDICT_SCHEMA])
    with TableWriter(target, schema) as writer:
        for rows in _batches(_rows(source, journal)):
            columns = [_column(rows, name, kind, name in as_text) for name, kind in types.items()]
            verdicts = verdict_columns([{name: row[name][0] for name in ADDED_FIELDS} for row in rows])
            writer.write(pa.RecordBatch.from_arrays([*columns, *verdicts], schema=schema))
    if not as_text:
        return []
    more = f" and {len(as_text) - _COLUMNS_TOLD} more" if len(as_text) > _COLUMNS_TOLD else ""
    told = ", ".join(map(storable, as_text[:_COLUMNS_TOLD]))
    return [f"stored as JSON text, which no column type holds exactly: {told}{more}"]


def _rows(source: Source, journal: Path) -> Iterator[dict[str, tuple[Any, str]]]:
    """Yield the values of each row by name, with their text."""
    with open(journal, "rb") as lines:
        for line in lines:
            source.check()
            text = line.decode().rstrip("\n")
            yield {one.name: (one.value, text[one.start : one.end]) for one in members(text, _scan)}


def _batches(rows: Iterator[dict[str, tuple[Any, str]]]) -> Iterator[list[dict[str, tuple[Any, str]]]]:
    batch: list[dict[str, tuple[Any, str]]] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += sum(len(text) for _, text in row.values())
        if len(batch) == _BATCH_ROWS or size > _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _column(rows: list[dict[str, tuple[Any, str]]], name: str, kind: pa.DataType, as_text: bool) -> pa.Array:
    missing = (None, None)
    found = (row.get(name, missing) for row in rows)
    return pa.array([text if as_text else value for value, text in found], kind)


def _kind(value: Any, depth: int = 0) -> Kind:
    """Return the narrowest type of a value."""
    if value is None:
        return _NOTHING
    if isinstance(value, bool):
        return _BOOL
    if isinstance(value, int):
        return _SMALL if abs(value) <= _EXACT else _INT
    if isinstance(value, float):
        return _FLOAT
    if isinstance(value, str):
        return _TEXT if _is_text(value) else _JSON
    if value is _INEXACT or value is DEEP or depth == _MOST_NESTED:
        return _JSON
    if isinstance(value, list):
        kind: Kind = _NOTHING
        for one in value:
            kind = _merge(kind, _kind(one, depth + 1))
        return ("list", kind)
    if not value or not all(map(_is_text, value)):
        return _JSON  # Parquet has no objects without names
    return ("object", {name: _kind(one, depth + 1) for name, one in value.items()})


def _merge(first: Kind, second: Kind) -> Kind:
    """Return the narrowest type of both; that is JSON text if they have nothing in common."""
    if first == second or second == _NOTHING:
        return first
    if first == _NOTHING:
        return second
    if isinstance(first, tuple) and isinstance(second, tuple) and first[0] == second[0]:
        if first[0] == "list":
            return ("list", _merge(first[1], second[1]))
        # An object without a name would come back with it.
        if first[1].keys() != second[1].keys():
            return _JSON
        return ("object", {name: _merge(kind, second[1][name]) for name, kind in first[1].items()})
    plain = {first, second} if isinstance(first, str) and isinstance(second, str) else set()
    if plain == {_SMALL, _INT}:
        return _INT
    return _FLOAT if plain == {_SMALL, _FLOAT} else _JSON


def _has_json(kind: Kind) -> bool:
    if isinstance(kind, tuple):
        return _has_json(kind[1]) if kind[0] == "list" else any(map(_has_json, kind[1].values()))
    return kind == _JSON


def _arrow(kind: Kind) -> pa.DataType:
    if isinstance(kind, str):
        return _ARROW[kind]
    if kind[0] == "list":
        return pa.list_(_arrow(kind[1]))
    return pa.struct([pa.field(name, _arrow(one)) for name, one in kind[1].items()])


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
