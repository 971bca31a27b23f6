"""Draw tasks that are no stages of a journey: a bar for each."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

#: Columns below which facts are useless, and below which names no longer distinguish tasks.
LEAST_FACTS, LEAST_NAME = 8, 12


def draw_bars(texts: Sequence[tuple[str, ...]], bars: Sequence[tuple[int | None, int]], screen_width: int) -> Table:
    """Draw one row per task: bar, count and time left always fit; names, then facts, get the remaining columns.

    `texts` are name, count, time, time left and facts; `bars` total and finished units.
    """
    name, count, elapsed, left, facts = (max(map(cell_len, column)) for column in zip(*texts, strict=True))
    bar = 24 if screen_width >= 100 else 12 if screen_width >= 70 else 8
    gaps = 5
    free = screen_width - bar - count - left - gaps
    elapsed = elapsed if free - elapsed >= min(name, LEAST_NAME) else 0
    free -= elapsed
    name = min(name, max(free, LEAST_NAME))
    facts = min(facts, free - name)
    widths = [name, bar, count, elapsed, left, facts if facts >= LEAST_FACTS else 0]
    grid = Table.grid(padding=(0, 1))
    for width in filter(None, widths):
        grid.add_column(width=width, no_wrap=True, overflow="ellipsis")
    for (task, *rest), (total, completed) in zip(texts, bars, strict=True):
        shown = ProgressBar(total=total, completed=completed, width=bar)
        cells = [Text(task, "bold"), shown, *map(Text, rest)]
        grid.add_row(*(cell for cell, width in zip(cells, widths, strict=True) if width))
    return grid


def shorten(text: str, width: int) -> str:
    """Leave out the last of the reasons after a semicolon, so that no count is cut; `width` is in columns.

    >>> shorten("40 in, 2 kept; dropped: failed 30, timeout 7, error 1", 45)
    '40 in, 2 kept; dropped: failed 30, …'
    """
    if cell_len(text) <= width:
        return text
    cut = set_cell_size(text, max(width - 2, 1))
    kept, comma, _ = cut.rpartition(", ")
    return f"{kept}, …" if comma and "; " in kept else f"{cut.rstrip()}…"
