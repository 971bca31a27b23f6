"""Which rows a page shows, as its address says it: a search, conditions on fields, an order.

    ?q=sort&f=status&o=is&v=passed&f=mutation_score&o=min&v=0.5&sort=mutation_score&down=1

`q` is looked for in all text fields. `f`, `o` and `v` are conditions: a field, one of `OPERATORS`, a value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

from multidict import MultiMapping

from selfcodealign.explorer.tables import KEPT, Kind, StageTable, quote
from selfcodealign.run_folder.marks import Mark

#: A field that rows do not have: what people said of them.
MARK = "mark"
#: Operators by kind of field, with their words on the page.
OPERATORS: Mapping[str, Mapping[Kind, str]] = {
    "is": {"text": "is", "number": "=", "boolean": "is", "list": "has the item"},
    "not": {"text": "is not", "boolean": "is not"},
    "has": {"text": "contains", "list": "has an item with"},
    "min": {"number": "≥"},
    "max": {"number": "≤"},
}
_SQL = {"min": ">=", "max": "<=", "is": "="}
_TRUE, _FALSE = ("true", "yes", "kept", "1"), ("false", "no", "dropped", "0")
#: Conditions and characters of one address; more are left out.
_MOST_CONDITIONS, _MOST_CHARACTERS = 20, 500


class FilterError(Exception):
    """An address whose conditions mean nothing; the text says which and why."""


@dataclass(frozen=True)
class Condition:
    """A field, an operator, a value."""

    field: str
    operator: str
    value: str


@dataclass(frozen=True)
class Filter:
    """The rows of a page: those with `search` in a text that meet all `conditions`, ordered by `sort`."""

    search: str = ""
    conditions: Sequence[Condition] = field(default_factory=tuple)
    sort: str = ""
    down: bool = False

    @property
    def reads_texts(self) -> bool:
        """Whether long texts have to be read, which takes seconds for a million rows."""
        return bool(self.search) or any(one.operator == "has" for one in self.conditions)

    @property
    def fields(self) -> set[str]:
        return {one.field for one in self.conditions}

    def query(self, **more: object) -> str:
        """Return this filter as the query of an address."""
        pairs: list[tuple[str, object]] = [("q", self.search)] if self.search else []
        for one in self.conditions:
            pairs += [("f", one.field), ("o", one.operator), ("v", one.value)]
        if self.sort:
            pairs += [("sort", self.sort), *([("down", 1)] if self.down else [])]
        return urlencode([*pairs, *more.items()])

    def without(self, condition: Condition) -> Filter:
        return replace(self, conditions=tuple(one for one in self.conditions if one != condition))

    def without_search(self) -> Filter:
        return replace(self, search="")

    def having(self, name: str, value: str) -> Filter:
        """Return this filter with `name` is `value`, and no other value of it."""
        kept = [one for one in self.conditions if (one.field, one.operator) != (name, "is")]
        return replace(self, conditions=(*kept, Condition(name, "is", value)))

    def sorted_by(self, name: str) -> Filter:
        """Return this filter ordered by a column; by the one it is ordered by, the other way."""
        return replace(self, sort=name, down=not self.down if name == self.sort else False)


def read_filter(query: MultiMapping[str], table: StageTable) -> Filter:
    """Read the filter in an address. Raises `FilterError`."""
    names, operators, values = (query.getall(key, []) for key in "fov")
    given = [Condition(*parts) for parts in zip(names, operators, values, strict=False) if parts[0]]
    if len(given) > _MOST_CONDITIONS or any(len(text) > _MOST_CHARACTERS for text in [*values, query.get("q", "")]):
        raise FilterError(f"at most {_MOST_CONDITIONS} conditions of {_MOST_CHARACTERS} characters")
    for one in given:
        _check(one, table)
    sort = query.get("sort", "")
    if sort and sort not in table.kinds:
        raise FilterError(f"the rows of {table.name} have no field {sort} to sort by")
    return Filter(query.get("q", "").strip(), tuple(dict.fromkeys(given)), sort, query.get("down") == "1")


def _check(condition: Condition, table: StageTable) -> None:
    name, operator, value = condition.field, condition.operator, condition.value
    if name == MARK:
        if (operator, value) not in {("is", word) for word in ("keep", "drop", "note", "any", "none")}:
            raise FilterError("a mark is: keep, drop, note, any or none")
        return
    if name not in table.kinds:
        raise FilterError(f"the rows of {table.name} have no field {name}")
    kind = table.kinds[name]
    if kind not in OPERATORS.get(operator, {}):
        raise FilterError(f"{name} holds {_WORDS[kind]}: {', '.join(_operators_of(kind))}")
    if kind == "number":
        _number(name, value)
    if kind == "boolean" and value.lower() not in (*_TRUE, *_FALSE, ""):
        raise FilterError(
            f"{name} is {'kept or dropped' if name == KEPT else 'true or false'}, or empty where it is not known"
        )


_WORDS = {"text": "texts", "number": "numbers", "boolean": "true or false", "list": "lists of texts"}


def _operators_of(kind: Kind) -> list[str]:
    return [words[kind] for words in OPERATORS.values() if kind in words]


def _number(name: str, value: str) -> float:
    try:
        found = float(value)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise FilterError(f"{name} holds numbers, and {value or 'nothing'} is none")
    return found


def needed(chosen: Filter, table: StageTable) -> list[str]:
    """Return the fields that have to be read to find the rows of a filter."""
    names = [one.field for one in chosen.conditions if one.field != MARK]
    if chosen.search:
        names += [name for name, kind in table.fields.items() if kind in ("text", "list")]
    if any(one.field == MARK for one in chosen.conditions):
        names.append(table.row_id)
    return list(dict.fromkeys([*names, *([chosen.sort] if chosen.sort else [])]))


def where(chosen: Filter, table: StageTable, marks: Mapping[str, Mark]) -> tuple[str, list[Any]]:
    """Return the filter as SQL with its parameters; "true" for all rows."""
    parts, given = [], []
    for one in chosen.conditions:
        text, values = _marked(one, table, marks) if one.field == MARK else _compare(one, table.kinds[one.field])
        parts.append(text)
        given += values
    if chosen.search:
        texts = [_searched(name, kind) for name, kind in table.fields.items() if kind in ("text", "list")]
        parts.append(f"({' OR '.join([*texts, *map(_contains, ('reason', 'detail'))])})")
        given += [chosen.search.lower()] * (len(texts) + 2)
    return " AND ".join(parts) or "true", given


def _contains(column: str) -> str:
    return f"contains(lower({column}), ?)"


def _searched(name: str, kind: Kind) -> str:
    return _contains(quote(name) if kind == "text" else f"array_to_string({quote(name)}, chr(10))")


def _compare(one: Condition, kind: Kind) -> tuple[str, list[Any]]:
    column, value = quote(one.field), one.value
    if kind == "number":
        # DuckDB takes NaN for larger than all numbers: a score that was not measured is not at least 0.5.
        return f"({column} {_SQL[one.operator]} ? AND NOT isnan({column}::DOUBLE))", [float(value)]
    if kind == "boolean":
        chosen = None if value == "" else value.lower() in _TRUE
        return f"{column} IS {'NOT ' if one.operator == 'is' else ''}DISTINCT FROM ?::BOOLEAN", [chosen]
    if kind == "list":
        if one.operator == "is":
            return f"list_contains({column}, ?)", [value]
        return _searched(one.field, kind), [value.lower()]
    if one.operator == "has":
        return _contains(column), [value.lower()]
    if not value:  # a field that a dropped row does not have yet is empty, too
        return f"({column} IS NULL OR {column} = '')" if one.operator == "is" else f"{column} <> ''", []
    return (f"{column} = ?" if one.operator == "is" else f"{column} IS DISTINCT FROM ?"), [value]


def _marked(one: Condition, table: StageTable, marks: Mapping[str, Mark]) -> tuple[str, list[Any]]:
    chosen = [
        name
        for name, mark in marks.items()
        if one.value in ("any", "none") or mark.label == one.value or (one.value == "note" and mark.note)
    ]
    found = f"coalesce(list_contains(?::VARCHAR[], {quote(table.row_id)}), false)"
    return f"NOT {found}" if one.value == "none" else found, [chosen]


def tell(condition: Condition, table: StageTable) -> str:
    """Return a condition in words."""
    if condition.field == KEPT and condition.operator == "is":
        return "kept" if condition.value.lower() in _TRUE else "dropped"
    kind = table.kinds.get(condition.field, "text")
    return f"{condition.field} {OPERATORS[condition.operator][kind]} {condition.value or '(nothing)'}"
