"""How much a page shows, so that it stays small for any run: of lists, of rows, of texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Sized
from dataclasses import dataclass
from itertools import islice
from typing import Any

from markupsafe import Markup

from selfcodealign.pages.code import make_visible, show_code


@dataclass(frozen=True)
class Bounds:
    """The most rows to read, letters of their texts, entries of lists, and letters of names and cells."""

    rows: int
    text: int
    entries: int
    name: int

    def cut(self, value: object, most: int | None = None) -> Markup:
        """A value as text of at most `most` letters (`name`), which says how many are left out."""
        text = "" if value is None else str(value)
        limit = self.name if most is None else most
        shown = Markup.escape(make_visible(text[:limit]))
        return shown if len(text) <= limit else shown + self._left_out(len(text) - limit)

    def long(self, value: object) -> Markup:
        """A text of a row."""
        return self.cut(value, self.text)

    def code(self, code: str | None, marked: int = 0) -> Markup:
        """Code of a row in colours; a marked line that is cut off is not marked."""
        text = code or ""
        shown = show_code(text[: self.text], marked)
        return shown if len(text) <= self.text else shown + self._left_out(len(text) - self.text)

    def first(self, values: Iterable[Any]) -> list[Any]:
        """The first entries of a list."""
        return list(islice(values, self.entries))

    def hits(self, values: Sequence[Any]) -> Sequence[Any]:
        """The first of entries that hold whole texts."""
        return values[: min(self.entries, 10)]

    def columns(self, values: Sequence[Any]) -> Sequence[Any]:
        """The first columns of a table."""
        return values[:12]

    def rest(self, values: Sized, what: str = "") -> Markup:
        """How many entries are not shown; nothing where all are."""
        left = len(values) - self.entries
        return Markup('<p class="dim">{:,} more {} not shown.</p>').format(left, what) if left > 0 else Markup("")

    @staticmethod
    def _left_out(count: int) -> Markup:
        return Markup('<span class="left-out"> … {:,} more characters</span>').format(count)


#: Tried in this order, until the page is small enough; the last always is.
LEVELS = (
    Bounds(rows=30, text=6_000, entries=60, name=300),
    Bounds(rows=30, text=3_000, entries=40, name=200),
    Bounds(rows=20, text=1_500, entries=30, name=120),
    Bounds(rows=8, text=500, entries=20, name=80),
    Bounds(rows=0, text=200, entries=10, name=40),
)
