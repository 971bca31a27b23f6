"""Two texts side by side, and one change as lines with a sign; bounded, since a diff is not linear in its texts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher, unified_diff

#: Lines of a text beyond which no diff is made, and characters of a line that are shown.
_MOST_LINES, _MOST_CHARACTERS = 2_000, 2_000
#: Equal lines that are shown around a difference.
_AROUND = 3


@dataclass(frozen=True)
class Line:
    """A line of a change: `sign` is "+", "-", " " or "@" (the place of what follows)."""

    sign: str
    text: str


@dataclass(frozen=True)
class Pair:
    """Lines that stand side by side, numbered from 1; None where one text has no such line. `left_out` equal lines
    before it are not shown."""

    left: tuple[int, str] | None
    right: tuple[int, str] | None
    differs: bool
    left_out: int = 0


def unified(before: str, after: str) -> list[Line]:
    """Return a change as a unified diff without the names of files."""
    old, new = _lines(before), _lines(after)
    lines = [*unified_diff(old, new, lineterm="")][2:]
    return [Line(line[:1], line[1:] if line[:1] != "@" else line) for line in lines]


def side_by_side(left: str, right: str) -> list[Pair]:
    """Return the lines of two texts in pairs, with the equal ones around each difference."""
    old, new = _lines(left), _lines(right)
    pairs = list(_pairs(old, new))
    near = [False] * len(pairs)
    for number, pair in enumerate(pairs):
        for place in range(max(0, number - _AROUND), min(len(pairs), number + _AROUND + 1)) if pair.differs else ():
            near[place] = True
    return list(_leave_out(pairs, near))


def _lines(text: str) -> list[str]:
    lines = text.split("\n")
    cut = [line if len(line) <= _MOST_CHARACTERS else line[:_MOST_CHARACTERS] + " …" for line in lines[:_MOST_LINES]]
    more = len(lines) - _MOST_LINES
    return cut if more <= 0 else [*cut, f"… {more:,} further lines are not compared"]


def _pairs(old: list[str], new: list[str]) -> Iterator[Pair]:
    for tag, start, stop, begin, end in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        for place in range(max(stop - start, end - begin)):
            left, right = start + place, begin + place
            yield Pair(
                (left + 1, old[left]) if left < stop else None,
                (right + 1, new[right]) if right < end else None,
                tag != "equal",
            )


def _leave_out(pairs: list[Pair], shown: list[bool]) -> Iterator[Pair]:
    left_out = 0
    for pair, near in zip(pairs, shown, strict=True):
        if near:
            yield Pair(pair.left, pair.right, pair.differs, left_out)
        left_out = 0 if near else left_out + 1
    if left_out:
        yield Pair(None, None, False, left_out)
