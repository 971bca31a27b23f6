"""Tasks on lists: filter, map, reduce, over numbers or words, as a comprehension or as a loop."""

from __future__ import annotations

import ast
import random
from collections.abc import Sequence

from tiny.ops import (
    ANY_REDUCES,
    COUNT,
    NOTHING,
    NUMBER_FILTERS,
    NUMBER_MAPS,
    NUMBER_REDUCES,
    WORD_FILTERS,
    WORD_MAPS,
    WORD_REDUCES,
    WORDS,
    Op,
    Reduce,
)
from tiny.tasks import Task

Constants = dict[str, str]
LoopForm = tuple[str, str, str]
DIGITS = tuple(str(digit) for digit in range(1, 10))
QUOTED = tuple(f"'{word}'" for word in WORDS)


def fill(template: str, constants: Constants, **values: str) -> str:
    """Replace placeholders like `{x}` by values; other braces stay."""
    for name, value in {**constants, **values}.items():
        template = template.replace("{" + name + "}", value)
    return template


def draw_constants(rng: random.Random, low: int = 2, high: int = 6, letters: str = "") -> Constants:
    """Draw a digit `k`, an adjacent digit `j`, and a letter or separator `c`."""
    k = rng.randint(low, high)
    return {"k": str(k), "j": str(k + rng.choice((1, -1))), "c": rng.choice(letters or "-+/:")}


def wrap(literal: str) -> str:
    """Put an expression in parentheses if it would bind wrongly in a product or before a method."""
    return f"({literal})" if isinstance(ast.parse(literal, mode="eval").body, ast.BinOp | ast.UnaryOp) else literal


def make_list_task(rng: random.Random) -> Task:
    """Draw a list task of a random composition with random constants; it is not checked yet."""
    numeric = rng.random() < 0.55
    keep = rng.choice((NOTHING, *(NUMBER_FILTERS if numeric else WORD_FILTERS)))
    change = rng.choice((NOTHING, *(NUMBER_MAPS if numeric else WORD_MAPS)))
    if keep is NOTHING and change is NOTHING:
        return make_list_task(rng)
    makes_number = numeric if change.makes == "same" else change.makes == "number"
    ends = (*ANY_REDUCES, *(NUMBER_REDUCES if makes_number else WORD_REDUCES), *([COUNT] if change is NOTHING else []))
    return ListTask(rng, numeric, keep, change, rng.choice(ends)).build()


class ListTask:
    """One composition with its constants; builds code, mistakes and asserts from the same parts."""

    def __init__(self, rng: random.Random, numeric: bool, keep: Op, change: Op, end: Reduce) -> None:
        self.rng, self.numeric, self.keep, self.change, self.end = rng, numeric, keep, change, end
        self.argument = rng.choice(("numbers", "values") if numeric else ("words", "names"))
        self.item = rng.choice(("x", "n") if numeric else ("word", "w"))
        initials = "".join(sorted({word[0] for word in WORDS}))
        self.of_keep = draw_constants(rng, *((3, 6) if numeric else (3, 4)), letters=initials)
        if keep.name == "of_{k}":
            self.of_keep["k"] = str(rng.randint(3, 5))
        self.of_change = draw_constants(rng, *((2, 5) if numeric else (2, 3)))
        self.of_end = draw_constants(rng)
        self.loop = end.loop is not None and (not end.code or rng.random() < 0.4)

    def build(self) -> Task:
        parts = [(self.keep, self.of_keep), (self.change, self.of_change), (self.end, self.of_end)]
        shown = [(part, constants) for part, constants in parts if part.name]
        phrases = [fill(self.rng.choice(part.phrase), constants) for part, constants in shown]
        kind = "number list" if self.numeric else "word list"
        return Task(
            key=("numbers" if self.numeric else "words", *(part.name for part, _ in shown)),
            name="_".join(fill(part.name, constants) for part, constants in shown),
            arguments=self.argument,
            description=f"for the {kind} `{self.argument}`, " + ", ".join(phrases[:-1]) + f" and {phrases[-1]}",
            code=self.code(),
            wrong=self.mistakes(),
            trap=any(part.trap for part, _ in shown),
            asserts=[self.draw_assert() for _ in range(8)],
            cases=[self.draw_assert()[0] for _ in range(10)],
        )

    def code(
        self, keep: str | None = None, change: str | None = None, end: str | tuple[str, str, str] | None = None
    ) -> str:
        condition = fill(self.keep.code if keep is None else keep, self.of_keep, x=self.item) if self.keep.name else ""
        value = fill(self.change.code if change is None else change, self.of_change, x=self.item)
        name = "_".join(fill(part.name, c) for part, c in self._named() if part.name)
        head = f"def {name}({self.argument}):\n"
        if self.loop:
            start, step, last = end if isinstance(end, tuple) else self.end.loop or ("", "", "")
            inner = f"        if {condition}:\n            " if condition else "        "
            step = fill(step, self.of_end, e=value)
            return f"{head}    {start}\n    for {self.item} in {self.argument}:\n{inner}{step}\n    {last}"
        generator = f"{value} for {self.item} in {self.argument}" + (f" if {condition}" if condition else "")
        return f"{head}    return {fill(end if isinstance(end, str) else self.end.code, self.of_end, g=generator)}"

    def _named(self) -> Sequence[tuple[Op | Reduce, Constants]]:
        return ((self.keep, self.of_keep), (self.change, self.of_change), (self.end, self.of_end))

    def mistakes(self) -> list[str]:
        """Make wrong versions: those of a trap first, else of a random part; those that omit a part last."""
        groups = [
            (self.keep.trap, [self.code(keep=wrong) for wrong in self.keep.wrong]),
            (self.change.trap, [self.code(change=wrong) for wrong in self.change.wrong]),
            (self.end.trap, [self.code(end=wrong) for wrong in (self.end.wrong_loop if self.loop else self.end.wrong)]),
        ]
        # With traps, the first trap is wrong; otherwise any part may be wrong.
        if not any(trap for trap, _ in groups):
            self.rng.shuffle(groups)
        groups.sort(key=lambda group: not group[0])
        forgotten = [self.code(change="{x}")] if self.change.name else []
        return [code for _, codes in groups for code in codes] + forgotten

    def draw_assert(self) -> tuple[str, str]:
        """Draw arguments and the expected expression: one or two kept elements and at most one filtered out."""
        pool = DIGITS if self.numeric else QUOTED
        stays, goes = list(pool), list[str]()
        if self.keep.name:
            kept = [eval(fill(self.keep.code, self.of_keep, x=item)) for item in pool]
            stays = [item for item, stay in zip(pool, kept, strict=True) if stay]
            goes = [item for item, stay in zip(pool, kept, strict=True) if not stay]
        if self.end.name in ("sorted", "max", "min", "turned", "first", "last", "joined"):
            chosen = self.rng.sample(stays, min(2, len(stays)))
        else:
            chosen = self.rng.sample(stays, min(self.rng.randint(1, 2), len(stays)))
        items = [(item, True) for item in chosen]
        if goes and self.rng.random() < 0.8:
            # "above" and "from" differ on the constant itself.
            edge = self.of_keep["k"] if self.numeric and "{k}" in self.keep.name and self.of_keep["k"] in goes else None
            gone = edge if edge and self.rng.random() < 0.6 else self.rng.choice(goes)
            items.insert(self.rng.randint(0, len(items)), (gone, False))
        if not items:
            return self.draw_assert()
        argument = "[" + ", ".join(item for item, _ in items) + "]"
        return argument, self.expected([item for item, stay in items if stay])

    def expected(self, stays: list[str]) -> str:
        values = [fill(self.change.code, self.of_change, x=item) for item in stays]
        how = self.end.expect
        if how == "count":
            return str(len(values))
        if how in ("first", "last"):
            return values[0 if how == "first" else -1]
        if "{g}" in how:
            template = how.replace("({g})", "([{g}])") if self.end.name in ("max", "min") else how
            return fill(template, self.of_end, g=", ".join(values))
        if how == " * ":
            values = [wrap(value) for value in values]
        return fill(how, self.of_end).join(values)
