"""Lay out the lines of a journey: each column has its place and width as long as the terminal keeps its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rich.cells import cell_len, set_cell_size
from rich.text import Text

#: Columns and their widths; the name's is that of the longest one.
WIDTHS = {"bar": 8, "rows": 11, "rate": 6, "kept": 10, "cached": 6, "tok/s": 5, "time": 10}
#: What a narrow terminal leaves out, in this order.
LEFT_OUT_FIRST = ("tok/s", "cached", "rate", "kept", "bar")
#: Columns of the mark before the name.
MARK = 2
#: Columns below which names no longer distinguish stages, and above which they take room that figures need.
LEAST_NAME, MOST_NAME = 8, 24
#: A wide terminal has a long bar, and the most frequent reasons of drops in what is left beside the columns.
LONG_BAR, LEAST_DROPS = 20, 16


@dataclass(frozen=True)
class Line:
    """A line of the journey. `bar` is the share that is finished. `text` stands in the place of all columns from
    `text_from` up to the time, or with it if the line has none.
    """

    mark: str
    name: str
    style: str = ""
    mark_style: str = ""
    bar: float | None = None
    cells: Mapping[str, str] = field(default_factory=dict)
    text: str = ""
    text_from: str = "bar"


def fit(longest_name: int, width: int) -> dict[str, int]:
    """Choose the columns, with their widths, that a terminal of `width` columns has room for."""
    widths = {"name": min(longest_name, MOST_NAME)} | WIDTHS

    def free() -> int:
        return width - MARK - sum(widths.values()) - len(widths) + 1

    for name in LEFT_OUT_FIRST:
        if free() >= 0:
            break
        del widths[name]
    if free() < 0:
        widths["name"] = max(LEAST_NAME, widths["name"] + free())
    if free() > 0 and "tok/s" in widths:
        widths["bar"] += min(free(), LONG_BAR - widths["bar"])
    if free() > LEAST_DROPS:
        widths["drops"] = free() - 1
    return widths


def draw_line(line: Line, widths: Mapping[str, int]) -> Text:
    """Draw a line in these columns."""
    drawn = Text(no_wrap=True)
    drawn.append(line.mark.ljust(MARK), line.mark_style or line.style)
    drawn.append(cut(line.name, widths["name"]), line.style)
    spanned = _spanned(line, widths)
    for name, width in widths.items():
        if name == "name" or (name in spanned and name != spanned[0]):
            continue
        drawn.append(" ")
        if spanned and name == spanned[0]:
            drawn.append(cut(line.text, sum(widths[one] for one in spanned) + len(spanned) - 1), line.style)
        elif name == "bar":
            _draw_bar(drawn, line.bar, width)
        else:
            cell = line.cells.get(name, "")
            drawn.append(cut(cell, width) if name == "drops" else cut(cell, width).strip().rjust(width), line.style)
    return drawn


def _spanned(line: Line, widths: Mapping[str, int]) -> list[str]:
    """The columns that the line's text takes."""
    names = [name for name in widths if name not in ("name", "drops") and name not in {"time"} & line.cells.keys()]
    wanted = list(WIDTHS)[list(WIDTHS).index(line.text_from) :]
    return [name for name in names if name in wanted] if line.text else []


def _draw_bar(drawn: Text, share: float | None, width: int) -> None:
    """Draw half columns, as rich's own bars do; a thin line, seen without colours too, is what is still to come."""
    if share is None:
        drawn.append(" " * width)
        return
    halves = int(2 * width * min(max(share, 0.0), 1.0))
    done = "━" * (halves // 2) + "╸" * (halves % 2)
    drawn.append(done, "bar.complete" if share < 1 else "bar.finished")
    drawn.append("─" * (width - len(done)), "dim")


def cut(text: str, width: int) -> str:
    """Make a text exactly `width` columns wide, in one line."""
    text = " ".join(text.split())
    return set_cell_size(text, width) if cell_len(text) <= width else f"{set_cell_size(text, width - 1)}…"


def brief(number: float) -> str:
    """Write a number in five columns at most.

    >>> [brief(number) for number in (0, 98765, 123456, 1234567, 71_200_000, 3_456_000_000)]
    ['0', '98765', '123k', '1.23M', '71.2M', '3.46G']
    """
    if number < 100_000:
        return f"{number:.0f}"
    for size, letter in ((1e9, "G"), (1e6, "M")):
        if number >= size:
            return f"{number / size:.3g}{letter}" if number < 1000 * size else f"{number / size:.0f}{letter}"
    return f"{number / 1e3:.0f}k"


def brief_clock(seconds: float) -> str:
    """Format a duration in a few columns.

    >>> [brief_clock(seconds) for seconds in (5.4, 750, 3723, 50_400, 400_000, 900_000)]
    ['0:05', '12:30', '1h02', '14h00', '4d15h', '10 d']
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days = hours // 24
    if days >= 4:
        return f"{days}d{hours % 24:02d}h" if days < 10 else f"{days} d"
    return f"{hours}h{minutes:02d}" if hours else f"{minutes}:{rest:02d}"
