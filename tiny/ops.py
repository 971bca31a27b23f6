"""The parts of tasks: their names, wordings, code and wrong versions.

In code `{x}` stands for the value, `{k}` for the task's constant (a digit), `{j}` for an adjacent digit, `{c}` for its
letter or separator. `wrong` are the wrong versions, the most common first. A *trap* is a part that is wrong more often
than right in the corpus, so that the most likely answer of a trained model is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

WORDS = (
    "cat", "cloud", "dog", "door", "sun", "star", "tree", "tiger", "bird", "book", "fish", "fox", "moon", "milk",
    "rose", "river",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Op:
    """One part of a task. `name` goes into the function's name, `phrase` into its description; "" does nothing."""

    name: str
    phrase: tuple[str, ...]
    code: str
    wrong: tuple[str, ...] = ()
    trap: bool = False
    makes: str = "same"  # number, text, or the type of the input


def op(name: str, phrase: str, code: str, *wrong: str, trap: bool = False, makes: str = "same") -> Op:
    """Make an `Op`; the phrase's wordings are separated by `|`."""
    return Op(name, tuple(phrase.split("|")), code, wrong, trap, makes)


NOTHING = op("", "", "{x}")

NUMBER_FILTERS = (
    op(
        "above_{k}",
        "keep those above {k}|keep only numbers greater than {k}",
        "{x} > {k}",
        "{x} >= {k}",
        "{x} < {k}",
        trap=True,
    ),
    op("below_{k}", "keep those below {k}|keep only numbers less than {k}", "{x} < {k}", "{x} <= {k}", "{x} > {k}"),
    op("from_{k}", "keep those from {k} up|keep only numbers of at least {k}", "{x} >= {k}", "{x} > {k}", "{x} <= {k}"),
    op("not_{k}", "drop every {k}|keep those different from {k}", "{x} != {k}", "{x} == {k}"),
    op("even", "keep the even ones|keep only even numbers", "{x} % 2 == 0", "{x} % 2 == 1", "{x} // 2 == 0"),
    op("odd", "keep the odd ones|keep only odd numbers", "{x} % 2 == 1", "{x} % 2 == 0", trap=True),
)  # fmt: skip
WORD_FILTERS = (
    op("starting_{c}", "keep those starting with '{c}'|keep only words that begin with '{c}'", "{x}.startswith('{c}')",
       "{x}.endswith('{c}')", "'{c}' in {x}"),
    op("longer_{k}", "keep those longer than {k} letters|keep only words of more than {k} letters", "len({x}) > {k}",
       "len({x}) >= {k}", "len({x}) < {k}", trap=True),
    op("of_{k}", "keep those of {k} letters|keep only words with exactly {k} letters", "len({x}) == {k}",
       "len({x}) != {k}", "len({x}) > {k}"),
)  # fmt: skip
NUMBER_MAPS = (
    op("plus_{k}", "add {k} to each|increase each by {k}", "{x} + {k}", "{x} + {j}", "{x} - {k}"),
    op("minus_{k}", "subtract {k} from each|decrease each by {k}", "{x} - {k}", "{k} - {x}", trap=True),
    op("times_{k}", "multiply each by {k}|take {k} times each", "{x} * {k}", "{x} + {k}", "{x} * {j}"),
    op("doubled", "double each|take twice each", "{x} * 2", "{x} + 2", trap=True),
    op("squared", "square each|take the square of each", "{x} * {x}", "{x} * 2"),
    op("cubed", "cube each|take the third power of each", "{x} ** 3", "{x} * 3", trap=True),
    op("negated", "negate each|flip the sign of each", "-{x}", "{x}"),
    op("mod_{k}", "take each modulo {k}|take the remainder of each by {k}", "{x} % {k}", "{x} // {k}"),
    op("halved", "halve each with floor division|floor divide each by 2", "{x} // 2", "{x} % 2", "{x} / 2"),
    op("text", "turn each into text|convert each to a string", "str({x})", "{x}", makes="text"),
)
WORD_MAPS = (
    op("upper", "put each in upper case|convert each to capitals", "{x}.upper()", "{x}.title()", "{x}.lower()"),
    op("reversed", "reverse each|spell each backwards", "{x}[::-1]", "{x}[:-1]", "{x}[::1]", trap=True),
    op("first", "take the first letter of each|take each word's first letter", "{x}[0]", "{x}[1]", trap=True),
    op("last", "take the last letter of each|take each word's last letter", "{x}[-1]", "{x}[0]"),
    op("tail", "drop the first letter of each|cut off each word's first letter", "{x}[1:]", "{x}[:1]", "{x}[:-1]"),
    op("head_{k}", "take the first {k} letters of each|cut each to {k} letters", "{x}[:{k}]", "{x}[{k}:]", trap=True),
    op("lengths", "take the length of each|count the letters of each", "len({x})", "len({x}) - 1", makes="number"),
    op("marked", "add '!' to each|put '!' after each", "{x} + '!'", "'!' + {x}"),
    op("times_{k}", "repeat each {k} times|write each {k} times", "{x} * {k}", "{x} + '{k}'", "{x} * {j}"),
    op("titled", "capitalize each|start each with a capital", "{x}.title()", "{x}.upper()"),
)


@dataclass(frozen=True, slots=True)
class Reduce:
    """How a list is reduced: as an expression over a generator `{g}`, as a loop over `{e}`, and in a test.

    `expect` joins the elements' expressions: an operator, or a template with `{g}` for their comma-separated list.
    """

    name: str
    phrase: tuple[str, ...]
    code: str
    wrong: tuple[str, ...]
    loop: tuple[str, str, str] | None
    wrong_loop: tuple[tuple[str, str, str], ...]
    expect: str
    trap: bool = False


_LIST_LOOP = ("result = []", "result.append({e})", "return result")
NUMBER_REDUCES = (
    Reduce("sum", ("return the sum", "add everything up"), "sum({g})", ("sum({g}) + 1",),
           ("total = 0", "total += {e}", "return total"),
           (("total = 1", "total += {e}", "return total"), ("total = 0", "total = {e}", "return total")), " + "),
    Reduce("product", ("return the product", "multiply everything"), "", (),
           ("total = 1", "total *= {e}", "return total"), (("total = 0", "total *= {e}", "return total"),), " * "),
    Reduce("max", ("return the maximum", "return the largest"), "max({g})", ("min({g})",), None, (), "max({g})"),
    Reduce("min", ("return the minimum", "return the smallest"), "min({g})", ("max({g})",), None, (), "min({g})", True),
    Reduce("sorted", ("return them sorted", "return the results in order"), "sorted({g})", ("sorted({g})[::-1]",), None,
           (), "sorted([{g}])"),
)  # fmt: skip
WORD_REDUCES = (
    Reduce("joined", ("join them with '{c}'", "put '{c}' between them"), "'{c}'.join({g})", ("''.join({g})",), None, (),
           " + '{c}' + "),
    Reduce("glued", ("glue them together", "return them as one string"), "''.join({g})", ("' '.join({g})",),
           ("text = ''", "text += {e}", "return text"), (("text = ''", "text = {e} + text", "return text"),), " + "),
)  # fmt: skip
ANY_REDUCES = (
    Reduce("list", ("return the list", "return them as a list"), "[{g}]", ("[{g}][1:]", "[{g}][:-1]"), _LIST_LOOP,
           (("result = []", "result = [{e}]", "return result"),), "[{g}]"),
    Reduce("turned", ("return the list backwards", "return them in reverse order"), "[{g}][::-1]", ("[{g}]",), None, (),
           "[{g}][::-1]", True),
    Reduce("first", ("return the first one", "return only the first"), "[{g}][0]", ("[{g}][-1]",), None, (), "first"),
    Reduce("last", ("return the last one", "return only the last"), "[{g}][-1]", ("[{g}][0]",), None, (), "last"),
)  # fmt: skip
COUNT = Reduce("count", ("return how many there are", "count them"), "len([{g}])", ("len([{g}]) - 1",),
               ("count = 0", "count += 1", "return count"),
               (("count = 1", "count += 1", "return count"), ("count = 0", "count = 1", "return count")),
               "count")  # fmt: skip
