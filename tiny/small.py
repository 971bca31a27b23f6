"""Tasks on one or two values, dictionaries, ranges, patterns, sets and pairs, mostly of two parts."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from tiny.lists import DIGITS, QUOTED, Constants, draw_constants, fill, wrap
from tiny.ops import Op, op
from tiny.tasks import Task

PAIRS = (
    op("added", "add `{a}` and `{b}`|take the sum of `{a}` and `{b}`", "{a} + {b}", "{a} - {b}"),
    op("difference", "subtract `{b}` from `{a}`|take `{a}` minus `{b}`", "{a} - {b}", "{b} - {a}", trap=True),
    op("multiplied", "multiply `{a}` and `{b}`|take `{a}` times `{b}`", "{a} * {b}", "{a} + {b}"),
    op("larger", "take the larger of `{a}` and `{b}`|pick the maximum of `{a}` and `{b}`", "max({a}, {b})",
       "min({a}, {b})"),
    op("smaller", "take the smaller of `{a}` and `{b}`|pick the minimum of `{a}` and `{b}`", "min({a}, {b})",
       "max({a}, {b})", trap=True),
    op("distance", "take the distance of `{a}` and `{b}`|take the absolute difference of `{a}` and `{b}`",
       "abs({a} - {b})", "abs({a} + {b})"),
    op("quotient", "floor divide `{a}` by `{b}`|take how often `{b}` goes into `{a}`", "{a} // {b}", "{a} % {b}"),
    op("remainder", "take the remainder of `{a}` by `{b}`|take `{a}` modulo `{b}`", "{a} % {b}", "{a} // {b}"),
    op("power", "raise `{a}` to the power `{b}`|take the power `{b}` of `{a}`", "{a} ** {b}", "{a} * {b}"),
)  # fmt: skip
AFTER_NUMBER = (
    op("plus_{k}", "add {k}|increase it by {k}", "{x} + {k}", "{x} + {j}", "{x} - {k}"),
    op("minus_{k}", "subtract {k}|decrease it by {k}", "{x} - {k}", "{k} - {x}", trap=True),
    op("times_{k}", "multiply it by {k}|take {k} times it", "{x} * {k}", "{x} + {k}"),
    op("doubled", "double it|take it twice", "{x} * 2", "{x} + 2", trap=True),
    op("squared", "square it|take its square", "{x} ** 2", "{x} * 2"),
    op("negated", "negate it|flip its sign", "-{x}", "{x}"),
    op("listed", "put it in a list|wrap it in a list", "[{x}]", "[{x}, {x}]"),
    op("text", "turn it into text|convert it to a string", "str({x})", "{x}", trap=True),
    op("", "", "{x}"),
)
TEXTS = (
    op("upper", "put `{a}` in upper case|convert `{a}` to capitals", "{a}.upper()", "{a}.title()", "{a}.lower()"),
    op("titled", "capitalize `{a}`|start `{a}` with a capital", "{a}.title()", "{a}.upper()"),
    op("reversed", "reverse `{a}`|spell `{a}` backwards", "{a}[::-1]", "{a}[:-1]", trap=True),
    op("first", "take the first letter of `{a}`|take the letter that `{a}` starts with", "{a}[0]", "{a}[1]"),
    op("last", "take the last letter of `{a}`|take the letter that `{a}` ends with", "{a}[-1]", "{a}[0]", trap=True),
    op("tail", "drop the first letter of `{a}`|cut off the first letter of `{a}`", "{a}[1:]", "{a}[:1]"),
    op("short", "drop the last letter of `{a}`|cut off the last letter of `{a}`", "{a}[:-1]", "{a}[-1:]"),
    op("head_{k}", "take the first {k} letters of `{a}`|cut `{a}` to {k} letters", "{a}[:{k}]", "{a}[{k}:]"),
    op("without_{c}", "remove every '{c}' from `{a}`|delete each '{c}' in `{a}`", "{a}.replace('{c}', '')",
       "{a}.strip('{c}')", "{a}.replace('{c}', ' ')"),
    op("same", "take `{a}`|start with `{a}`", "{a}"),
)  # fmt: skip
AFTER_TEXT = (
    op("marked", "add '!'|put '!' after it", "{x} + '!'", "'!' + {x}"),
    op("asked", "put '?' before it|add '?' in front", "'?' + {x}", "{x} + '?'", trap=True),
    op("times_{k}", "repeat it {k} times|write it {k} times", "{x} * {k}", "{x} * {j}", "{x} + '{k}'", trap=True),
    op("length", "return its length|count its letters", "len({x})", "len({x}) - 1"),
    op("letters", "return its letters as a list|split it into letters", "list({x})", "[{x}]"),
    op("quoted", "put quotes around it|enclose it in quotes", "'\"' + {x} + '\"'", "'\"' + {x}"),
    op("paired", "return it twice in a tuple|make a pair of it and itself", "({x}, {x})", "({x},)"),
    op("count_{c}", "count the '{c}' in it|return how many '{c}' it has", "{x}.count('{c}')", "{x}.find('{c}')"),
)


@dataclass
class Draft:
    """The parts of a small task and the code around them."""

    rng: random.Random
    family: str
    first: Op
    second: Op
    arguments: tuple[str, ...]
    constants: Constants
    after: Constants

    def name(self) -> str:
        parts = (self.family, fill(self.first.name, self.constants), fill(self.second.name, self.after))
        return "_".join(part.replace("-", "") for part in parts if part)

    def describe(self, places: Constants) -> str:
        phrases = [fill(self.rng.choice(self.first.phrase), self.constants, **places)]
        if self.second.name:
            phrases.append(fill(self.rng.choice(self.second.phrase), self.after, **places))
        return " and ".join(phrases) if phrases[0] else phrases[-1]

    def value(self, places: Constants, first: str | None = None, second: str | None = None) -> str:
        """Write the expression of both parts, with parentheses where the inner expression needs them."""
        inner = fill(self.first.code if first is None else first, self.constants, **places)
        outer = self.second.code if second is None else second
        alone = outer == "{x}" or outer.startswith(("[{x}", "str({x}", "len({x}", "list({x}", "({x}"))
        return fill(outer, self.after, x=inner if alone else wrap(inner))

    def mistakes(self) -> list[tuple[str | None, str | None]]:
        """Return the (first, second) parts of wrong versions, the most common first."""
        firsts = [(self.first.trap, (wrong, None)) for wrong in self.first.wrong]
        seconds = [(self.second.trap, (None, wrong)) for wrong in self.second.wrong]
        groups = [firsts, seconds]
        if not self.is_trap():
            self.rng.shuffle(groups)
        ordered = sorted([*groups[0], *groups[1]], key=lambda entry: not entry[0])
        return [places for _, places in ordered]

    def is_trap(self) -> bool:
        return self.first.trap or self.second.trap


def draw_draft(rng: random.Random, family: str, first: Op, second: Op, arguments: tuple[str, ...]) -> Draft:
    return Draft(rng, family, first, second, arguments, draw_constants(rng, 2, 5), draw_constants(rng, 2, 5))


def name_places(values: Sequence[str]) -> Constants:
    """Map `{a}` and `{b}` to the first and the second argument."""
    return dict(zip(("a", "b"), values, strict=False))


def finish(draft: Draft, lines: str, literals: Sequence[tuple[str, ...]], describe: str = "") -> Task:
    """Make a task whose body is `lines` around the value `{v}`; tests put literals into the value's expression."""
    places = name_places(draft.arguments)
    name = draft.name()
    head = f"def {name}({', '.join(draft.arguments)}):\n"
    asserts = [(", ".join(row), draft.value(name_places(row))) for row in literals]
    return Task(
        key=tuple(part for part in (draft.family or "value", draft.first.name, draft.second.name) if part),
        name=name,
        arguments=", ".join(draft.arguments),
        description=describe + draft.describe(places),
        code=head + lines.replace("{v}", draft.value(places)),
        wrong=[head + lines.replace("{v}", draft.value(places, *wrong)) for wrong in draft.mistakes()],
        trap=draft.is_trap(),
        asserts=asserts[:8],
        cases=[arguments for arguments, _ in asserts],
    )


def make_scalar_task(rng: random.Random) -> Task:
    """Draw a task from two numbers to one value."""
    arguments = rng.choice((("a", "b"), ("x", "y"), ("left", "right")))
    first, second = rng.choice(PAIRS), rng.choice(AFTER_NUMBER)
    draft = Draft(rng, "", first, second, arguments, draw_constants(rng), draw_constants(rng))
    powers = DIGITS[:3]
    rows = [(rng.choice(DIGITS), rng.choice(powers if first.name == "power" else DIGITS)) for _ in range(14)]
    return finish(draft, _body(rng, draft, "result"), rows)


def make_text_task(rng: random.Random) -> Task:
    """Draw a task from one word to one value."""
    arguments = (rng.choice(("text", "word", "s")),)
    first, second = rng.choice(TEXTS), rng.choice(AFTER_TEXT)
    letters = "aeorst"
    draft = Draft(
        rng, "", first, second, arguments, draw_constants(rng, 2, 3, letters), draw_constants(rng, 2, 4, letters)
    )
    return finish(draft, _body(rng, draft, "result"), [(word,) for word in rng.sample(QUOTED, 14)])


def _body(rng: random.Random, draft: Draft, name: str) -> str:
    return "    return {v}" if rng.random() < 0.7 else f"    {name} = {{v}}\n    return {name}"
