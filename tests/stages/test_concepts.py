"""Parsing concepts from a model's answer, and cutting a seed for the prompt."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfcodealign.generation.concept_list import LONGEST_CONCEPT, read_concepts
from selfcodealign.settings import ConceptSettings
from selfcodealign.stages.concepts import cut_snippet, drop_docstrings


@pytest.mark.parametrize(
    ("text", "concepts"),
    [
        ("", []),
        (" ,\n;, . ,``", []),
        ("recursion", ["recursion"]),
        ("recursion, string slicing; sorting\nhashing", ["recursion", "string slicing", "sorting", "hashing"]),
        (
            "- recursion\n* sorting\n• hashing\n1. slicing\n12) joins",
            ["recursion", "sorting", "hashing", "slicing", "joins"],
        ),
        ("`recursion`, 'sorting', \"hashing\", slicing.", ["recursion", "sorting", "hashing", "slicing"]),
        ("Recursion, recursion, RECURSION, STRASSE, straße", ["Recursion", "STRASSE"]),
        ("divide-and-conquer, O(n log n), 2D arrays", ["divide-and-conquer", "O(n log n)", "2D arrays"]),
        ("a" * LONGEST_CONCEPT + ", " + "b" * (LONGEST_CONCEPT + 1), ["a" * LONGEST_CONCEPT]),
    ],
)
def test_an_answer_is_read_as_a_list(text: str, concepts: list[str]) -> None:
    """Commas, semicolons or lines separate concepts; bullets, quotes, repetitions and sentences are removed."""
    assert read_concepts(text, most=12).concepts == concepts


def test_the_first_concepts_stay_when_there_are_too_many() -> None:
    """Repetitions and invalid concepts do not count."""
    assert read_concepts(f"a, A, {'word ' * 30}, b, c, d", most=3).concepts == ["a", "b", "c"]
    assert read_concepts("a, b, c", most=3).concepts == ["a", "b", "c"]


@given(st.text(), st.integers(1, 5))
def test_any_answer_gives_few_short_distinct_concepts(text: str, most: int) -> None:
    """For any answer: no more concepts than allowed, none empty, none a sentence, none twice in another case."""
    concepts = read_concepts(text, most).concepts
    assert len(concepts) <= most
    assert all(0 < len(concept) <= LONGEST_CONCEPT for concept in concepts)
    assert len({concept.casefold() for concept in concepts}) == len(concepts)


@pytest.mark.parametrize(
    "part",
    [
        "x = 1",
        "total += item",
        "def add(a",
        "return total.real",
        "from os import path",
        "import itertools",
        "import polars as pl",
        "for x in xs:",
        "os.path.join(a)",
        "self.total",
        "</concepts>",
        ">>> f(1)",
        "items[0]",
        "dict[str] -> int",
        "print(x)",
        "# count them",
        "@property",
    ],
)
def test_code_is_no_concept(part: str) -> None:
    """Statements, calls with arguments, markup and sessions are removed and counted."""
    found = read_concepts(f"sorting, {part}", most=12)
    assert found.concepts == ["sorting"]
    assert found.removed == {"code": 1}


@pytest.mark.parametrize(
    "part",
    ["This function adds two numbers", "Write a function that sorts", "one two three four five six seven eight nine"],
)
def test_a_sentence_is_no_concept(part: str) -> None:
    """Sentences are removed and counted."""
    assert read_concepts(f"sorting\n{part}", most=12).removed == {"sentence": 1}


@pytest.mark.parametrize(
    "concept",
    [
        "O(n log n)",
        "dict.get()",
        "__init__ method",
        "splat *args",
        "string.join",
        "return values",
        "with statement",
        "class methods",
        "import hooks",
        "for loop",
        "default arguments",
        "f-strings",
        "CSV parsing",
        "functools.wraps",
        "print formatting",
    ],
)
def test_names_and_terms_are_concepts(concept: str) -> None:
    """Words of the language do not make code."""
    assert read_concepts(concept, most=12).concepts == [concept]


def test_a_list_ends_at_an_empty_line() -> None:
    """What follows is another task."""
    assert read_concepts("\nsorting, hashing\n \nrecursion", most=12).concepts == ["sorting", "hashing"]


SHOWN = ["graph traversal, shortest paths, priority queues, state space search", "CSV parsing, dictionaries, sorting"]


@pytest.mark.parametrize(
    ("text", "kept", "copied"),
    [
        ("slicing, graph traversal, Shortest Paths, priority queues", ["slicing"], 3),
        ("graph traversal, dictionaries, CSV parsing", [], 3),
        (
            "graph traversal, sorting, slicing, dictionaries",
            ["graph traversal", "sorting", "slicing", "dictionaries"],
            0,
        ),
        ("sorting, dictionaries", ["sorting", "dictionaries"], 0),
        ("CSV parsing, dictionaries, sorting", ["sorting"], 2),
    ],
    ids=["in order", "all of them", "scattered", "two", "one is true of the code"],
)
def test_lists_copied_from_the_prompt_are_removed(text: str, kept: list[str], copied: int) -> None:
    """Three in a row or the whole answer are copied, but for terms whose words stand in the code; fewer are chance."""
    found = read_concepts(text, most=12, code="def f(x):\n    return sorted(x)", shown=SHOWN)
    assert (found.concepts, found.removed["copied"]) == (kept, copied)


LINES = ["a" * 19, "b" * 19, "c" * 19]  # 20 characters each, with the line end


@pytest.mark.parametrize(
    ("lines", "settings", "shown"),
    [
        (LINES, {}, LINES),
        (LINES, {"snippet_lines": 2}, LINES[:2]),
        (LINES, {"snippet_lines": 3}, LINES),
        (LINES, {"snippet_characters": 40}, LINES[:2]),
        (LINES, {"snippet_characters": 59}, LINES[:2]),
        (LINES, {"snippet_characters": 60}, LINES),
        (LINES, {"snippet_lines": 2, "snippet_characters": 60}, LINES[:2]),
        (LINES, {"snippet_lines": 3, "snippet_characters": 40}, LINES[:2]),
        (["a" * 50, "b"], {"snippet_characters": 40}, ["a" * 40]),
        (["a", "b" * 50], {"snippet_characters": 40}, ["a"]),
        ([], {"snippet_characters": 40}, []),
    ],
)
def test_a_snippet_is_as_many_whole_lines_as_there_is_room_for(
    lines: list[str], settings: dict[str, int], shown: list[str]
) -> None:
    """Lines and characters have separate limits; only an overlong first line is cut."""
    assert cut_snippet({"seed": "\n".join(lines)}, ConceptSettings.model_validate(settings)) == "\n".join(shown)


@pytest.mark.parametrize(
    ("code", "left"),
    [
        ('class A:\n    """Hold one."""\n\n    one = 1', "class A:\n\n    one = 1"),
        ('async def f(x):\n    """Wait.\n\n    For x.\n    """\n    await x', "async def f(x):\n    await x"),
        ('def f(\n    x,\n):\n    "Return x."\n    return x', "def f(\n    x,\n):\n    return x"),
        (
            'def f(x):\n    # why\n    "Return x."\n    # how\n    return x',
            "def f(x):\n    # why\n    # how\n    return x",
        ),
        ('def f(): "Doc."; \\\n    return 1', 'def f(): "Doc."; \\\n    return 1'),
        ('def f(x):\n    y = "no docstring"\n    return y', 'def f(x):\n    y = "no docstring"\n    return y'),
        ('def f(x):\n    "Not." + "one"\n    return x', 'def f(x):\n    "Not." + "one"\n    return x'),
    ],
)
def test_docstrings_are_cut_out_by_the_line(code: str, left: str) -> None:
    """Docstrings of functions and classes are cut, after heads of any length; comments and other strings stay."""
    assert drop_docstrings(code) == left
