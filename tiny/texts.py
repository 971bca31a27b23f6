"""Tasks on patterns, formats and small classes."""

from __future__ import annotations

import random

from tiny.lists import DIGITS, QUOTED, draw_constants, fill
from tiny.ops import Op, op
from tiny.small import AFTER_NUMBER, Draft, draw_draft, finish
from tiny.tasks import Task

ENDS = (
    op("found", "return what is found", "{x}", "{x}[1:]"),
    op("count", "return how many are found", "len({x})", "len({x}) - 1"),
    op("first", "return the first", "{x}[0]", "{x}[-1]", trap=True),
    op("last", "return the last", "{x}[-1]", "{x}[0]"),
    op("turned", "return them in reverse order", "{x}[::-1]", "{x}", trap=True),
    op("dashed", "join them with '-'", "'-'.join({x})", "''.join({x})"),
)
PATTERNS = (
    op("digits", "find the digits in `{a}`", r"re.findall(r'\d', {a})", r"re.findall(r'\D', {a})"),
    op("words", "find the words in `{a}`", "re.findall(r'[a-z]+', {a})", "re.findall(r'[a-z]', {a})", trap=True),
)
CUTS = (
    op("spaces", "split `{a}` at spaces", "{a}.split(' ')", "list({a})"),
    op("commas", "split `{a}` at commas", "{a}.split(',')", "{a}.split(' ')", trap=True),
    op("colons", "split `{a}` at colons", "{a}.split(':')", "{a}.split()"),
)
FORMATS = (
    op("dash", "a dash", "-", ":", " "),
    op("colon", "a colon", ":", ": "),
    op("equals", "an equals sign", "=", "=="),
    op("space", "a space", " ", "", trap=True),
    op("slash", "a slash", "/", "-"),
)
NAMES = (
    op("name", "`name`", "{x}"),
    op("upper", "`name` in capitals", "{x}.upper()", "{x}.title()"),
    op("titled", "`name` capitalized", "{x}.title()", "{x}.upper()"),
    op("reversed", "`name` backwards", "{x}[::-1]", "{x}[:-1]", trap=True),
    op("initial", "the first letter of `name`", "{x}[0]", "{x}[1]"),
)


def make_pattern_task(rng: random.Random) -> Task:
    """Draw a task that finds or splits parts of a text."""
    pattern = rng.random() < 0.5
    first = rng.choice(PATTERNS if pattern else CUTS)
    draft = draw_draft(rng, "find" if pattern else "split", first, rng.choice(ENDS), (rng.choice(("text", "line")),))
    rows = []
    for _ in range(12):
        words = [word.strip("'") for word in rng.sample(QUOTED, rng.randint(2, 3))]
        joint = rng.choice(DIGITS) if pattern else {"spaces": " ", "commas": ",", "colons": ":"}[first.name]
        text = joint.join(words) + (rng.choice(DIGITS) if pattern and rng.random() < 0.5 else "")
        rows.append((f"'{text}'",))
    task = finish(draft, "    return {v}", rows)
    if pattern:
        _import_re(task)
        # Without the import, a test spells the parts out.
        task.asserts = [(call, _spell(call, first, draft)) for call, _ in task.asserts]
    return task


def _import_re(task: Task) -> None:
    task.code = "import re\n\n" + task.code
    task.wrong = ["import re\n\n" + code for code in task.wrong]


def _spell(call: str, first: Op, draft: Draft) -> str:
    """Write the matches of a pattern in a literal as a list of literals, then apply the task's second part."""
    found: list[str] = []
    run = ""
    for letter in call.strip("'") + " ":
        if letter.isalpha():
            run += letter
            continue
        if run and first.name == "words":
            found.append(run)
        run = ""
        if letter.isdigit() and first.name == "digits":
            found.append(letter)
    listed = "[" + ", ".join(f"'{part}'" for part in found) + "]"
    return fill(draft.second.code, draft.after, x=listed)


def make_format_task(rng: random.Random) -> Task:
    """Draw a task from a name and a number to a formatted text."""
    shown, sign = rng.choice(NAMES), rng.choice(FORMATS)
    change = rng.choice((op("", "`count`", "{x}"), op("plus_1", "`count` plus 1", "{x} + 1", "{x}"),
                          op("doubled", "twice `count`", "{x} * 2", "{x} + 2", trap=True)))  # fmt: skip
    parts = [part.name for part in (shown, sign, change) if part.name]
    name = "format_" + "_".join(parts)

    def code(of_name: str = shown.code, mark: str = sign.code, of_count: str = change.code) -> str:
        left, right = of_name.replace("{x}", "name"), of_count.replace("{x}", "count")
        return f"def {name}(name, count):\n    return f'{{{left}}}{mark}{{{right}}}'"

    groups = [(shown.trap, [code(of_name=wrong) for wrong in shown.wrong]), (sign.trap, [code(mark=sign.wrong[0])]),
              (change.trap, [code(of_count=wrong) for wrong in change.wrong])]  # fmt: skip
    if not any(trap for trap, _ in groups):
        rng.shuffle(groups)
    groups.sort(key=lambda group: not group[0])
    asserts = []
    for word in rng.sample(QUOTED, 10):
        digit = rng.choice(DIGITS)
        asserts.append(
            (
                f"{word}, {digit}",
                f"{shown.code.replace('{x}', word)} + '{sign.code}' + str({change.code.replace('{x}', digit)})",
            )
        )
    return Task(
        key=("format", *parts),
        name=name,
        arguments="name, count",
        description=f"return {shown.phrase[0]}, {sign.phrase[0]} and {change.phrase[0]} as one string",
        code=code(),
        wrong=[text for _, texts in groups for text in texts],
        trap=shown.trap or sign.trap or change.trap,
        asserts=asserts,
        cases=[call for call, _ in asserts],
    )


def make_class_task(rng: random.Random) -> Task:
    """Draw a task on a class with a number and a method; used for training only."""
    first, method = rng.choice((
        (op("Adder", "adds it to `x`", "x + self.start", "x - self.start"), "add"),
        (op("Scaler", "multiplies `x` by it", "x * self.start", "x + self.start", trap=True), "scale"),
        (op("Taker", "subtracts it from `x`", "x - self.start", "self.start - x", trap=True), "take"),
        (op("Repeater", "returns a list of it `x` times", "[self.start] * x", "[x] * self.start"), "repeat"),
    ))  # fmt: skip
    after = rng.choice(
        (op("", "", "{x}"), *(part for part in AFTER_NUMBER if "{k}" in part.name and method != "repeat"))
    )
    constants = draw_constants(rng, 2, 5)
    suffix = "".join(part.title() for part in fill(after.name, constants).split("_"))
    name = f"{first.name}{suffix}"

    def code(value: str = first.code, change: str = after.code) -> str:
        inner = value if change == "{x}" else f"({value})"
        return (
            f"class {name}:\n    def __init__(self, start):\n        self.start = start\n\n"
            f"    def {method}(self, x):\n        return {fill(change, constants, x=inner)}"
        )

    def expected(start: str, x: str) -> str:
        value = first.code.replace("self.start", start)
        value = value.replace("[x]", f"[{x}]").replace("* x", f"* {x}").replace("x ", f"{x} ").replace("- x", f"- {x}")
        return fill(after.code, constants, x=value if after.code == "{x}" else f"({value})")

    rows = [(rng.choice(DIGITS), rng.choice(DIGITS[:4])) for _ in range(10)]
    wrong = [code(value=w) for w in first.wrong] + [code(change=w) for w in after.wrong]
    said = f", then to {fill(after.phrase[0], constants)}" if after.name else ""
    return Task(
        key=("class", first.name) if not after.name else ("class", first.name + after.name),
        name=name,
        arguments="start",
        description=f"hold a number `start`, with a method `{method}(x)` that {first.phrase[0]}{said}",
        code=code(),
        wrong=wrong,
        trap=first.trap,
        asserts=[(f"{start}).{method}({x}", expected(start, x)) for start, x in rows],
        cases=[f"{start}).{method}({x}" for start, x in rows],
        category="class",
    )
