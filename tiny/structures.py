"""Tasks on ranges, dictionaries, sets, and operations that may fail."""

from __future__ import annotations

import random

from tiny.lists import DIGITS, QUOTED, draw_constants, fill
from tiny.ops import op
from tiny.small import AFTER_NUMBER, draw_draft, finish
from tiny.tasks import Task

TERMS = (
    op("numbers", "each number", "{i}"),
    op("squares", "each number's square", "{i} * {i}", "{i} * 2"),
    op("cubes", "each number's cube", "{i} ** 3", "{i} * 3", trap=True),
    op("doubles", "each number's double", "{i} * 2", "{i} + 2", trap=True),
    op("plus_{k}", "each number plus {k}", "{i} + {k}", "{i} - {k}"),
    op("times_{k}", "{k} times each number", "{i} * {k}", "{i} + {k}"),
)
LOOKUPS = (
    op("same", "return its value", "{x}"),
    *(part for part in AFTER_NUMBER if part.name and part.name != "text"),
)
KEYS = (
    op("words", "each word", "{w}", "{w}[0]"),
    op("upper", "each word in capitals", "{w}.upper()", "{w}.title()"),
    op("reversed", "each word backwards", "{w}[::-1]", "{w}[:-1]", trap=True),
    op("titled", "each word capitalized", "{w}.title()", "{w}.upper()"),
)
VALUES = (
    op("lengths", "its length", "len({w})", "len({w}) - 1"),
    op("initials", "its first letter", "{w}[0]", "{w}[1]", trap=True),
    op("endings", "its last letter", "{w}[-1]", "{w}[0]"),
    op("doubles", "itself twice", "{w} * 2", "{w} + '2'", trap=True),
    op("capitals", "itself in capitals", "{w}.upper()", "{w}.lower()"),
    op("letters", "the list of its letters", "list({w})", "[{w}]"),
    op("marks", "itself with '!' added", "{w} + '!'", "'!' + {w}"),
)
SETS = (
    op("shared", "take what `{a}` and `{b}` share", "set({a}) & set({b})", "set({a}) | set({b})"),
    op("united", "take everything in `{a}` or `{b}`", "set({a}) | set({b})", "set({a}) & set({b})", trap=True),
    op("only", "take what is in `{a}` but not in `{b}`", "set({a}) - set({b})", "set({b}) - set({a})", trap=True),
    op("either", "take what is in just one of `{a}` and `{b}`", "set({a}) ^ set({b})", "set({a}) | set({b})"),
)
SET_ENDS = (
    op("set", "return the set", "{x}"),
    op("size", "return how many there are", "len({x})", "len({x}) + 1"),
    op("sorted", "return it sorted", "sorted({x})", "list({x})[::-1]"),
)


def make_range_task(rng: random.Random) -> Task:
    """Draw a task that counts from 1 to n (recursion, while or range) and sums, multiplies or lists the terms."""
    how = rng.choice(("recursive", "while", "range"))
    end, sign, start = rng.choice((("sum", "+", "0"), ("product", "*", "1"), ("list", "+", "[]")))
    term = rng.choice(TERMS)
    constants = draw_constants(rng, 2, 5)
    name = f"{how}_{end}_{fill(term.name, constants)}"
    words = {"recursive": "by recursion", "while": "with a while loop", "range": "with a for loop over a range"}[how]
    verb = {"sum": "add up", "product": "multiply", "list": "list"}[end]

    def item(code: str, i: str) -> str:
        value = fill(code, constants, i=i)
        return f"[{value}]" if end == "list" else (f"({value})" if " " in value and end == "product" else value)

    def code(term_code: str, begin: str = start, stop: str = "n + 1") -> str:
        if how == "recursive":
            return f"    if n == 0:\n        return {begin}\n    return {name}(n - 1) {sign} {item(term_code, 'n')}"
        if how == "range":
            step = f"        result {sign}= {item(term_code, 'i')}\n"
            return f"    result = {begin}\n    for i in range(1, {stop}):\n{step}    return result"
        test = "i <= n" if stop == "n + 1" else "i < n"
        return (
            f"    result = {begin}\n    i = 1\n    while {test}:\n"
            f"        result {sign}= {item(term_code, 'i')}\n        i += 1\n    return result"
        )

    head = f"def {name}(n):\n"
    wrong_start = code(term.code, {"0": "1", "1": "0", "[]": "[0]"}[start])
    wrong_stop = [code(term.code, start, "n")] if how != "recursive" else []
    swapped = [code(wrong) for wrong in term.wrong]
    trap = term.trap or how == "while"
    wrong = [*swapped, *wrong_stop, wrong_start] if term.trap else [*wrong_stop, *swapped, wrong_start]
    if how == "recursive" and not term.trap:
        wrong.insert(0, wrong.pop())

    def expected(n: int) -> str:
        values = [fill(term.code, constants, i=str(i)) for i in range(1, n + 1)]
        if end == "list":
            return "[" + ", ".join(values) + "]"
        return f" {sign} ".join(f"({value})" if " " in value and end == "product" else value for value in values)

    return Task(
        key=("count", how, end, term.name),
        name=name,
        arguments="n",
        description=f"{verb} {fill(term.phrase[0], constants)} from 1 to `n` {words}",
        code=head + code(term.code),
        wrong=[head + body for body in wrong],
        trap=trap,
        asserts=[(str(n), expected(n)) for n in (1, 2, 2, 3, 3)],
        cases=["1", "2", "3", "4", "5"],
    )


def make_mapping_task(rng: random.Random) -> Task:
    """Draw a task from a list of words to a dictionary."""
    key, value = rng.choice(KEYS), rng.choice(VALUES)
    argument = rng.choice(("words", "names"))
    name = f"map_{key.name}_to_{value.name}"
    head = f"def {name}({argument}):\n"
    loop = rng.random() < 0.4

    def code(of_key: str = key.code, of_value: str = value.code) -> str:
        left, right = of_key.replace("{w}", "w"), of_value.replace("{w}", "w")
        if loop:
            step = f"    for w in {argument}:\n        result[{left}] = {right}\n"
            return f"{head}    result = {{}}\n{step}    return result"
        return f"{head}    return {{{left}: {right} for w in {argument}}}"

    wrong = [(part.trap, text) for part, text in [*[(value, code(of_value=w)) for w in value.wrong]]]
    wrong += [(key.trap, code(of_key=w)) for w in key.wrong]
    rows = [rng.sample(QUOTED, rng.randint(1, 2)) for _ in range(12)]

    def entry(word: str) -> str:
        return f"{key.code.replace('{w}', word)}: {value.code.replace('{w}', word)}"

    asserts = [(f"[{', '.join(row)}]", f"{{{', '.join(map(entry, row))}}}") for row in rows]
    return Task(
        key=("mapping", key.name, value.name),
        name=name,
        arguments=argument,
        description=f"for the word list `{argument}`, return a dictionary from {key.phrase[0]} to {value.phrase[0]}",
        code=code(),
        wrong=[text for _, text in sorted(wrong, key=lambda pair: not pair[0])],
        trap=key.trap or value.trap,
        asserts=asserts[:8],
        cases=[arguments for arguments, _ in asserts],
    )


def make_failure_task(rng: random.Random) -> Task:
    """Draw a task on an operation that may fail: what to do with its value, and what to return on failure."""
    family, phrase, tried, error, good, bad = rng.choice((
        ("parse", "convert `text` to an integer", "int(text)", "ValueError", lambda d: (f"'{d}'", d), lambda d, w: w),
        ("lookup", "look up `key` in the dictionary `data`", "data[key]", "KeyError",
         lambda d: (f"{{{w0}: {d}}}, {w0}" if (w0 := rng.choice(QUOTED)) else "", d),
         lambda d, w: f"{{'cow': {d}}}, {w}"),
        ("item", "take the first of `items`", "items[0]", "IndexError", lambda d: (f"[{d}]", d), lambda d, w: "[]"),
        ("last_item", "take the last of `items`", "items[-1]", "IndexError",
         lambda d: (f"[{rng.choice(DIGITS)}, {d}]", d), lambda d, w: "[]"),
    ))  # fmt: skip
    arguments = {"parse": "text", "lookup": "data, key"}.get(family, "items")
    after = rng.choice(LOOKUPS)
    constants = draw_constants(rng, 2, 5)
    fallback = rng.choice(("0", "-1", "None", "1"))
    plain = family == "lookup" and rng.random() < 0.4
    suffix = fill(after.name, constants)
    name = f"{family}_{suffix}_or_{fallback.lower().replace('-1', 'minus_1')}"

    def code(change: str = after.code, other: str = fallback, attempt: str = tried) -> str:
        value = fill(change, constants, x=attempt)
        if plain:
            return f"def {name}({arguments}):\n    if key in data:\n        return {value}\n    return {other}"
        return (
            f"def {name}({arguments}):\n    try:\n        return {value}\n    except {error}:\n        return {other}"
        )

    change_wrong = [code(change=wrong) for wrong in after.wrong]
    other_wrong = [code(other="1" if fallback == "0" else "0")]
    swap = {"items[0]": "items[-1]", "items[-1]": "items[0]"}
    taken_wrong = [code(attempt=swap[tried])] if tried in swap else []
    trap = after.trap or family == "last_item"
    wrong = [*change_wrong, *taken_wrong, *other_wrong] if after.trap else [*taken_wrong, *other_wrong, *change_wrong]
    fine = [good(digit) for digit in rng.sample(DIGITS, 5)]
    asserts = [(call, fill(after.code, constants, x=digit)) for call, digit in fine]
    asserts += [(bad(rng.choice(DIGITS), word), fallback) for word in rng.sample(QUOTED, 3)]
    said = f" and {fill(rng.choice(after.phrase), constants)}" if after.name != "same" else ""
    return Task(
        key=("failure", family, after.name),
        name=name,
        arguments=arguments,
        description=f"{phrase}{said}, or return {fallback} if that fails",
        code=code(),
        wrong=wrong,
        trap=trap,
        asserts=asserts,
        cases=[call for call, _ in asserts],
    )


def make_set_task(rng: random.Random) -> Task:
    """Draw a task from two lists to their intersection, difference or union."""
    draft = draw_draft(rng, "", rng.choice(SETS), rng.choice(SET_ENDS), rng.choice((("a", "b"), ("left", "right"))))
    rows = []
    for _ in range(14):
        one, two, three, four = rng.sample(DIGITS, 4)
        rows.append(rng.choice([(f"[{one}, {two}]", f"[{two}, {three}]"), (f"[{one}]", f"[{one}, {two}]"),
                                 (f"[{one}, {two}]", f"[{three}, {two}, {four}]")]))  # fmt: skip
    return finish(draft, "    return {v}", rows)
